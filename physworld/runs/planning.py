"""Codec and network of a configuration without weights, for plans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.errors import UserError, call
from physworld.lm.packed_lm import PackedLM
from physworld.lm.unweighted import architecture, counting_tokenizer, quantised, settings_of, unweighted
from physworld.lm.weights import load_tokenizer
from physworld.runs.wiring import codec_and_network

STAND_IN = (
    "Tokens are counted by a stand-in for the model's tokenizer (digits one by one, words in pieces); "
    "weights=FOLDER with the tokenizer counts exactly."
)


def network_for(cfg: DictConfig, precision: str) -> tuple[Any, Any, int | None, tuple[str, ...]]:
    """(codec, network, bytes of its weights where they lie in another form, notes); on tensors without content.

    Args:
        precision: of training; frozen weights are in bf16 where it is.

    Raises:
        UserError: the weights name no architecture that is known here, or codec and network do not go together.
    """
    network = cfg.model.network
    weights = (network.weights if cfg.weights is None else cfg.weights) if "weights" in network else None
    if weights is None:
        codec, make = codec_and_network(cfg)
        try:
            return codec, call(make, codec.vocabulary), None, ()
        except (ValueError, TypeError) as error:
            raise UserError(f"The model cannot be built as configured: {str(error).rstrip('.')}.") from error
    config = architecture(str(weights))
    notes: tuple[str, ...] = ()
    if (Path(str(weights)) / "tokenizer_config.json").is_file():
        tokenizer = load_tokenizer(str(weights))
    else:
        tokenizer, notes = counting_tokenizer(), (STAND_IN,)
    codec = instantiate(cfg.codec, tokenizer=tokenizer)
    settings = settings_of(network)
    lowered = precision.startswith("bf16") and settings["tuning"] != "full" and cfg.hardware.strategy != "fsdp"
    try:
        made = unweighted(
            config=config, pad_id=codec.vocabulary.pad, dtype=torch.bfloat16 if lowered else torch.float32, **settings
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"The model cannot be built as configured: {str(error).rstrip('.')}.") from error
    return codec, made, quantised(made) if settings["tuning"] == "qlora" else None, notes


def switch(network: Any) -> tuple[Callable[[bool], None] | None, bool]:
    """(what switches gradient checkpointing on and off, whether it is on); (None, False) where there is none."""
    if not isinstance(network, PackedLM):
        return None, False

    def toggle(on: bool) -> None:
        if on:
            network.inner.activation_checkpointing_enable({"use_reentrant": False})
        else:
            network.inner.activation_checkpointing_disable()

    return toggle, bool(network.inner.is_activation_checkpointing)
