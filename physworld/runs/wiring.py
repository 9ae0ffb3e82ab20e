"""Codec and network of a configuration: pretrained weights bring the tokenizer that the codec writes with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from physworld.errors import UserError
from physworld.lm.weights import load_tokenizer
from physworld.protocols import Generator

EXAMPLES_OF_A_STAGE = 50_000  # of the LFM_Physics350M card, for curricula that name no number


def codec_and_network(cfg: DictConfig) -> tuple[Any, functools.partial[Any]]:
    """(codec, the network's constructor, which lacks the codec's vocabulary).

    Raises:
        UserError: weights and codec do not go together, or the weights are not there.
    """
    network, make = cfg.model.network, instantiate(cfg.model.network)
    if "weights" not in network:
        if cfg.weights is not None:
            raise UserError(f"weights={cfg.weights} goes with pretrained models, such as model=lfm2 or model=hf.")
        return own_codec(cfg.codec), make
    weights = network.weights if cfg.weights is None else cfg.weights
    # YAML reads a folder's name such as 12 as a number.
    named: dict[str, Any] = {
        key: None if value is None else str(value) for key, value in (("weights", weights), ("base", cfg.base))
    }
    make = functools.partial(make, **named)
    if named["weights"] is None:
        if "architecture" not in network:
            raise UserError("model=hf needs weights=FOLDER_OR_REPO: whole weights, or a PEFT adapter (base=).")
        return own_codec(cfg.codec), make
    by_value = "numbers" in network and network.numbers == "value"
    return codec_for(cfg.codec, load_tokenizer(**named), by_value=by_value), make


def own_codec(config: Any) -> Any:
    """The codec of a configuration, writing with tokens of its own.

    Raises:
        UserError: it has none.
    """
    tokenizer = _tokenizer_of(config)
    if tokenizer is not None and tokenizer.default is tokenizer.empty:
        raise UserError(f"{_name(config)} writes with the tokenizer of pretrained weights, and this model has none.")
    return instantiate(config)


def codec_for(config: Any, tokenizer: Any, *, by_value: bool = False) -> Any:
    """The codec of a configuration, writing with the tokenizer of pretrained weights.

    Args:
        by_value: each number as one token, which the tokenizer is given.

    Raises:
        UserError: it has tokens of its own, or cannot use this tokenizer.
    """
    name = _name(config)
    if _tokenizer_of(config) is None:
        raise UserError(
            f"{name} writes with tokens of its own, which pretrained weights do not know; choose codec=engine or "
            "codec=card."
        )
    if by_value and "by_value" not in inspect.signature(get_class(config["_target_"])).parameters:
        raise UserError(
            f"{name} does not write numbers by value; choose codec=engine, codec=card or model.network.numbers=digits."
        )
    try:
        codec = instantiate(config, tokenizer=tokenizer, **({"by_value": True} if by_value else {}))
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


def longest(cfg: DictConfig, network: Generator | None = None) -> int | None:
    """Tokens of an example at most: what the configuration says, or the positions that the built network has."""
    asked = int(cfg.model.network.max_length) if "max_length" in cfg.model.network else None
    limits = (asked, None if network is None else network.max_length)
    return min((limit for limit in limits if limit is not None), default=None)


def _name(config: Any) -> str:
    return str(config["_target_"]).rpartition(".")[2]


def _tokenizer_of(config: Any) -> inspect.Parameter | None:
    """The setting by which a codec takes a tokenizer from elsewhere."""
    return inspect.signature(get_class(config["_target_"])).parameters.get("tokenizer")
