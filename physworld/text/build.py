"""What a training run of text physics is made of."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld import scenarios
from physworld.data import EncodedStream, Repeated, Staged
from physworld.errors import FormatError, UserError, call, no_setting
from physworld.reporting.screen import screen
from physworld.runs.wiring import codec_and_network, longest, stage_samples
from physworld.settings import checks
from physworld.text import timestep
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.curriculum import StageTable
from physworld.text.evaluation.evaluation import EvalCases, Evaluation, unwritable
from physworld.text.validation import RolloutValidation
from physworld.training.hardware import placed
from physworld.training.mfu import MFUCallback
from physworld.training.parts import Parts

console = screen()


@dataclass(frozen=True, kw_only=True)
class TextParts(Parts):
    codec: FrameCodec
    evaluation: Evaluation
    timesteps: tuple[float, ...] = ()  # s, of the scenes that it is trained on
    stages: StageTable | None = None  # of a curriculum that has several


def build(cfg: DictConfig) -> TextParts:
    """Source, codec, network and evaluation of a run.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    hardware = placed(cfg)
    micro_batch, accumulate = hardware.split(cfg.global_batch)
    names = checks.scenario_names(cfg.scenario.names)
    codec, make_network = codec_and_network(cfg)
    for name in names:
        why = unwritable(codec, name, list(cfg.curriculum.difficulties), split="train", seed=cfg.seed, scenes=20)
        if why:
            raise UserError(f"{why[name]}, which {name} needs; leave it out of scenario.names, or use codec=engine.")
    train, val = sources(cfg, names, codec)
    try:
        encoded, timesteps = EncodedStream(val, codec, longest(cfg))[0], timestep.of_source(_bare(train))
    except FormatError as error:  # a data file
        raise UserError(f"{error}. Nothing was trained.") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"This data and codec do not fit together: {error}.") from error
    if not (encoded.labels != -100).any():
        raise UserError(f"{type(codec).__name__} scores no token of the first sample, so nothing could be learned.")
    try:
        network = call(make_network, codec.vocabulary)
        module = call(instantiate(cfg.model), network=network, total_steps=cfg.steps)
    except (ValueError, TypeError) as error:
        known = no_setting(error, make_network.func, ["vocabulary"])
        raise UserError(known or f"The model cannot be built as configured: {str(error).rstrip('.')}.") from error
    whole = module.unshardable() if hardware.strategy == "fsdp" else ""
    if whole:
        raise UserError(f"{whole}; use hardware=ddp, or other options.")
    most = longest(cfg, network)
    if most != longest(cfg):
        console.print(f"Note: these weights read {most} tokens: of longer examples the oldest frames are left out.")
        try:
            EncodedStream(val, codec, most)[0]
        except ValueError as error:
            raise UserError(f"These weights read {most} tokens, and {error}; choose other weights.") from None
    data = call(
        instantiate(cfg.data.stream),
        train=train,
        val=val,
        codec=codec,
        micro_batch=micro_batch,
        num_workers=hardware.workers(),
        max_length=most,
    )
    kept = [name for name in names if name in scenarios.HELD_OUT]
    if kept:
        console.print(f"Note: held-out types are trained on ({', '.join(kept)}): they do not test this run as such.")
    evaluation: Evaluation = instantiate(cfg.evaluation)
    stages = _stage_table(cfg, evaluation, codec)
    rollouts = RolloutValidation(evaluation, lambda: cases_of_run(cfg, evaluation, codec), codec)
    uses = [MFUCallback(cfg.trainer.log_every_n_steps)] if network.flops(0, 0, 0) is not None else []
    return TextParts(
        hardware=hardware,
        codec=codec,
        module=module,
        data=data,
        evaluation=evaluation,
        timesteps=timesteps,
        accumulate=accumulate,
        monitor=f"rollout/ratio_best@{max(evaluation.horizons)}",
        callbacks=[rollouts, *uses, *([stages] if stages is not None else [])],
        stages=stages,
        scenarios=tuple(names),
        pad_id=int(codec.tokenizer.pad_token_id),
    )


def _stage_table(cfg: DictConfig, evaluation: Evaluation, codec: FrameCodec) -> StageTable | None:
    samples = stage_samples(cfg)
    if samples is None:
        return None
    names = list(cfg.scenario.names)

    def draw(difficulty: int) -> EvalCases:
        count = evaluation.val_rollouts
        return evaluation.sample_cases(
            codec, names, [difficulty], split="val", seed=cfg.seed, per_scenario=count, trained_on=names
        )

    return StageTable(
        difficulties=list(cfg.curriculum.difficulties), steps_per_stage=samples // cfg.global_batch,
        global_batch=cfg.global_batch, evaluation=evaluation, codec=codec, draw=draw,
    )  # fmt: skip


def cases_of_run(
    cfg: DictConfig, evaluation: Evaluation, codec: FrameCodec, *, learned: Sequence[str] | None = None
) -> EvalCases:
    """Rollouts of the validation split: while it trains (None) of the trained types, at the end of held-out ones too.

    Args:
        learned: the scenario types that the model was trained on, in this run and before it.
    """
    names = list(cfg.scenario.names)
    return evaluation.sample_cases(
        codec,
        names if learned is None else list(dict.fromkeys([*names, *scenarios.heldout()])),
        list(cfg.curriculum.difficulties),
        split="val",
        seed=cfg.seed,
        per_scenario=evaluation.val_rollouts if learned is None else evaluation.rollouts,
        trained_on=names if learned is None else learned,
    )


def _bare(source: Any) -> Any:
    """The source of scenes behind stages and repetition, of the first stage."""
    while isinstance(source, Repeated | Staged):
        source = source.source if isinstance(source, Repeated) else source.stages[0]
    return source


def sources(cfg: DictConfig, names: list[str], codec: FrameCodec) -> tuple[Any, Any]:
    """The training and the validation stream; only the first knows of stages and repetition."""
    make = instantiate(cfg.data.source)
    difficulties = checks.difficulties(cfg.curriculum.difficulties)
    samples_per_stage = stage_samples(cfg)
    shape: dict[str, Any] = {"context_frames": codec.context_frames, "target_frames": codec.target_frames}
    if "unwritable" in inspect.signature(make).parameters:  # scenes from outside, which nobody has looked at
        shape["unwritable"] = codec.unwritable
        if samples_per_stage is not None:
            raise UserError(
                "data=files takes scenes of every difficulty from the first step, so there are no stages; set "
                "curriculum.samples_per_stage=null."
            )

    def source(split: str, some: list[int]) -> Any:
        try:
            return call(make, seed=cfg.seed, split=split, names=names, difficulties=some, **shape)
        except ValueError as error:
            raise UserError(f"The data source cannot be made: {error}.") from error

    def again(train: Any) -> Any:
        return train if cfg.data.repeat is None else Repeated(train, count=cfg.data.repeat)

    if samples_per_stage is not None:
        keep = cfg.curriculum.keep_easier
        stages = [again(source("train", difficulties[0 if keep else k : k + 1])) for k in range(len(difficulties))]
        return Staged(stages, samples_per_stage=samples_per_stage), source("val", difficulties)
    return again(source("train", difficulties)), source("val", difficulties)
