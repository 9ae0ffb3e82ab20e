"""What a training run of spatial scenes is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.data import Repeated
from physworld.errors import FormatError, UserError, call
from physworld.runs.wiring import codec_and_network
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.evaluation import SpatialEvaluation
from physworld.spatial.reward import RuleReward
from physworld.spatial.sources.drawn import SpatialSource
from physworld.spatial.sources.listened import ListenedPairs
from physworld.spatial.sources.preference import PreferencePairs
from physworld.spatial.validation import RulesValidation
from physworld.training.hardware import placed
from physworld.training.parts import Parts

LISTENED = f"{ListenedPairs.__module__}.{ListenedPairs.__qualname__}"
FITTING = "model=tiny_gravity or model=gravity"


@dataclass(frozen=True, kw_only=True)
class SpatialParts(Parts):
    codec: SceneCodec
    evaluation: SpatialEvaluation


def build(cfg: DictConfig) -> SpatialParts:
    """Source, codec, network and evaluation of a run.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    hardware = placed(cfg)
    micro_batch, accumulate = hardware.split(cfg.global_batch)
    if not str(cfg.codec._target_).startswith("physworld.spatial."):
        raise UserError(f"{str(cfg.codec._target_).rpartition('.')[2]} does not write spatial scenes; use {FITTING}.")
    codec, make_network = codec_and_network(cfg)
    train, val = _sources(cfg)
    try:
        codec.encode(val.sample(0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"This data and codec do not fit together: {error}.") from error
    try:
        network = call(make_network, codec.vocabulary)
        module = call(instantiate(cfg.model), network=network, total_steps=cfg.steps)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"The model cannot be built as configured: {str(error).rstrip('.')}.") from error
    whole = module.unshardable() if hardware.strategy == "fsdp" else ""
    if whole:
        raise UserError(f"{whole}; use hardware=ddp.")
    if cfg.data.source._target_ == LISTENED and module.objective != "preference":
        raise UserError("data=listened holds pairs of scenes, of which one is preferred; use model=tiny_gravity_dpo.")
    if module.objective == "preference":
        if micro_batch % 2:
            raise UserError(f"A pass of {micro_batch} rows cuts a pair in two; make hardware.micro_batch even.")
        if cfg.data.source._target_ != LISTENED:  # those are pairs already
            train = PreferencePairs(train, seed=cfg.seed, split="train", codec=codec)
    elif module.objective == "reward":
        if not cfg.reward:
            raise UserError("A model that learns from a reward needs one; use model=tiny_gravity_grpo.")
        judge: RuleReward = call(instantiate(cfg.reward), train, codec)
        module.reward, module.limits, module.tokens = judge, judge.limits, (codec.end_id, codec.pad_id)
    data = call(
        instantiate(cfg.data.stream), train=train, val=val, codec=codec, micro_batch=micro_batch,
        num_workers=hardware.workers(),
    )  # fmt: skip
    evaluation: SpatialEvaluation = instantiate(cfg.evaluation)
    asked = val if isinstance(val, SpatialSource) else SpatialSource(seed=cfg.seed, split="val")
    return SpatialParts(
        hardware=hardware,
        codec=codec,
        module=module,
        data=data,
        evaluation=evaluation,
        accumulate=accumulate,
        monitor="spatial/broken",
        callbacks=[RulesValidation(evaluation, codec, asked)],
        pad_id=int(codec.pad_id),
    )


def _sources(cfg: DictConfig) -> tuple[Any, Any]:
    make = instantiate(cfg.data.source)
    if cfg.data.source._target_ == LISTENED and cfg.data.repeat is not None and cfg.data.repeat % 2:
        raise UserError(f"data.repeat={cfg.data.repeat} cuts a pair of data=listened in two; make it even.")
    try:
        train, val = (call(make, seed=cfg.seed, split=split) for split in ("train", "val"))
    except (ValueError, FormatError) as error:
        raise UserError(f"The data source cannot be made: {error}") from error
    return (train if cfg.data.repeat is None else Repeated(train, count=cfg.data.repeat)), val
