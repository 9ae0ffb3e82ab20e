"""Codec and network of a configuration: pretrained weights bring the tokenizer that the codec writes with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from physworld.errors import UserError
from physworld.lm.weights import WeightsError, load_tokenizer

EXAMPLES_OF_A_STAGE = 50_000  # of the LFM_Physics350M card, for curricula that name no number


def codec_and_module(cfg: DictConfig) -> tuple[Any, functools.partial[Any]]:
    """(codec, the module's constructor, which lacks `network` and `total_steps`).

    Raises:
        UserError: weights and codec do not go together, or the weights are not there.
    """
    make = instantiate(cfg.model)
    network = make.keywords["network"]
    if "weights" not in network.keywords:
        if cfg.weights is not None:
            raise UserError(f"weights={cfg.weights} goes with pretrained models, such as model=lfm2 or model=hf.")
        return instantiate(cfg.codec), make
    named = {"weights": cfg.weights or network.keywords["weights"], "base": cfg.base}
    make = functools.partial(make, network=functools.partial(network, **named))
    if named["weights"] is None:
        if "architecture" not in network.keywords:
            raise UserError("model=hf needs weights=FOLDER_OR_REPO: whole weights, or a PEFT adapter (base=).")
        return instantiate(cfg.codec), make
    try:
        return codec_for(cfg.codec, load_tokenizer(**named)), make
    except WeightsError as error:
        raise UserError(str(error)) from None


def codec_for(config: Any, tokenizer: Any) -> Any:
    """The codec of a configuration, writing with the tokenizer of pretrained weights.

    Raises:
        UserError: it has tokens of its own, or cannot use this tokenizer.
    """
    name = config["_target_"].rpartition(".")[2]
    if "tokenizer" not in inspect.signature(get_class(config["_target_"])).parameters:
        raise UserError(
            f"{name} writes with tokens of its own, which pretrained weights do not know; choose codec=engine or "
            "codec=card."
        )
    try:
        codec = instantiate(config, tokenizer=tokenizer)
    except Exception as error:
        cause = error.__cause__ or error
        raise UserError(
            f"{name} cannot use the tokenizer of pretrained weights ({str(cause).splitlines()[0]}); "
            f"choose codec=engine or codec=card."
        ) from None
    if codec.loses():
        text = name.removesuffix("Codec").lower()
        raise UserError(
            f"The tokenizer in {tokenizer.name_or_path} cannot write codec={text} text: parts of it are unknown to it; "
            "give weights with a tokenizer for any text (a run of physworld is judged with run=DIR)."
        )
    return codec


def uses_weights_tokenizer(config: Mapping[str, Any]) -> bool:
    """Whether a run's codec wrote with the tokenizer of its weights."""
    return bool(config.get("weights") or config["model"].get("network", {}).get("weights"))


def stage_samples(cfg: DictConfig) -> int | None:
    """Samples of each stage of a curriculum that has several, as whole optimiser steps; None where it has one."""
    asked: int | None = cfg.curriculum.samples_per_stage
    return None if asked is None else -(-asked // cfg.global_batch) * cfg.global_batch


def epoch_steps(cfg: DictConfig) -> int:
    """Optimiser steps that go once through every stage."""
    each = stage_samples(cfg)
    if each is None:
        return int(-(-EXAMPLES_OF_A_STAGE // cfg.global_batch))
    return len(cfg.curriculum.difficulties) * each // int(cfg.global_batch)


def longest(network: functools.partial[Any]) -> int | None:
    """Tokens of an example at most, where the network has a limit."""
    limit: int | None = network.keywords.get("max_length")
    return limit
