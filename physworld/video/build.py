"""What a training run of video physics is made of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.errors import UserError, call
from physworld.settings.reading import own_evaluation
from physworld.training.hardware import placed
from physworld.training.parts import Parts
from physworld.video import preview as pages
from physworld.video.callbacks import ClipSamples, OwnSamples
from physworld.video.evaluation import (
    IN_RANGE,
    VideoEvaluation,
    VideoEvaluator,
)
from physworld.video.own_evaluation import OwnEvaluator


@dataclass(frozen=True, kw_only=True)
class VideoParts(Parts):
    codec: Any
    evaluation: VideoEvaluation
    source: Callable[..., Any]


def build(cfg: DictConfig) -> VideoParts:
    """Source, codec, network and evaluation of a run.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    if cfg.init_from is not None:
        raise UserError("init_from is for text runs; to go on from other video weights, give model.network.base=DIR.")
    hardware = placed(cfg)
    micro_batch, accumulate = hardware.split(cfg.global_batch)
    evaluation: VideoEvaluation = instantiate(cfg.evaluation)
    codec, source = codec_and_source(cfg)
    check_guidance(evaluation, codec)
    try:
        train, val = source("train"), source("val")
        # Before the network is there: a text encoder of 9.5 GB and the network need not be in memory together.
        some = [*train.ahead(), *val.ahead()]
        if not own_clips(cfg):
            some += source("val", scenarios=[IN_RANGE], repeat=None).captions(range(evaluation.val_clips))
        codec.prepare(some if evaluation.guidance == 1 else [*some, ""])
        first = codec.encode(val.samples([0]))
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"This data cannot be {'read' if own_clips(cfg) else 'made'}: {error}.") from error
    module = make_module(cfg, codec, val, first, target=cfg.model.target, steps=cfg.steps)
    data = call(instantiate(cfg.data.stream), train=train, val=val, codec=codec, micro_batch=micro_batch, num_workers=0)
    if own_clips(cfg):
        own = OwnEvaluator(inner=plain_evaluator(cfg, evaluation, codec, hardware.device()), source=val)
        callback: Any = OwnSamples(own, evaluation.val_clips)
    else:
        judge = make_evaluator(cfg, evaluation, codec, source, hardware.device(), split="val")
        callback = ClipSamples(judge, evaluation.val_clips)
    return VideoParts(
        hardware=hardware,
        module=module,
        data=data,
        accumulate=accumulate,
        monitor="val/loss",
        callbacks=[callback],
        codec=codec,
        evaluation=evaluation,
        source=source,
    )


def codec_and_source(cfg: DictConfig) -> tuple[Any, Callable[..., Any]]:
    """The codec, and (split, overrides) -> source."""
    codec = instantiate(cfg.model.codec)
    make = instantiate(cfg.data.source)
    own = {"usual": codec.usual, "refuses": codec.refuses} if own_clips(cfg) else {}

    def source(split: str, **changes: Any) -> Any:
        known = {"multiple": codec.multiple, **own, **changes}
        return call(functools.partial(make, **known), seed=cfg.seed, split=split)

    return codec, source


def make_module(cfg: DictConfig, codec: Any, source: Any, first: Any, *, target: str, steps: int) -> Any:
    """The Lightning module around a fresh network."""
    shape = tuple(first.latents.shape[1:])
    try:
        network = instantiate(cfg.model.network).build(
            shape=shape, frames=source.frames, text=tuple(first.prompt.shape[1:]), seed=cfg.seed
        )
        return module_around(network, cfg, target=target, steps=steps)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"The model cannot be built as configured: {str(error).rstrip('.')}.") from error


def module_around(network: Any, cfg: DictConfig, *, target: str, steps: int) -> Any:
    """The Lightning module around this network."""
    return call(
        functools.partial(instantiate(cfg.model), network=network, target=target), total_steps=steps, seed=cfg.seed
    )


def evaluation_of(trained: DictConfig) -> VideoEvaluation:
    """A run's own evaluation; smoke runs of earlier versions hold text's."""
    found: VideoEvaluation = instantiate(own_evaluation(trained.evaluation, "video"))
    return found


def check_guidance(evaluation: VideoEvaluation, codec: Any) -> None:
    """
    Raises:
        UserError: guided sampling compares with an empty caption, which the codec cannot read.
    """
    why = "" if evaluation.guidance == 1 else codec.refuses("")
    if why:
        raise UserError(
            f"evaluation.guidance={evaluation.guidance:g} needs an empty caption beside each, and {why}; leave it at 1."
        )


def own_clips(cfg: DictConfig) -> bool:
    """Whether the clips are somebody's files, which no simulator made."""
    return "path" in cfg.data


def plain_evaluator(cfg: DictConfig, evaluation: VideoEvaluation, codec: Any, device: Any) -> VideoEvaluator:
    """Of losses and pictures alone, whatever the clips."""

    def no_scenes(scenario: str) -> Any:
        raise ValueError(f"no simulator made these clips, so there is no {scenario}")

    return VideoEvaluator(evaluation=evaluation, codec=codec, source=no_scenes, device=device, seed=cfg.seed)


def make_evaluator(
    cfg: DictConfig, evaluation: VideoEvaluation, codec: Any, source: Callable[..., Any], device: Any, *, split: str
) -> VideoEvaluator:
    seed = cfg.seed

    def scenes(scenario: str) -> Any:
        return source(split, scenarios=[scenario], physics="correct", repeat=None)

    return VideoEvaluator(evaluation=evaluation, codec=codec, source=scenes, device=device, seed=seed)


def preview(cfg: DictConfig, directory: Path, *, command: str, count: int, seen: bool, console: Any) -> Path:
    """`physworld preview` of a training configuration: what its loader feeds.

    Raises:
        UserError: the data cannot be read.
    """
    codec, source = codec_and_source(cfg)
    try:
        return pages.preview(source, codec, directory, command=command, count=count, seen=seen, console=console)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"This data cannot be read: {str(error).rstrip('.')}.") from error
