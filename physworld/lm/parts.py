"""What `PackedLM` needs to know of models of transformers: new ones, their linear layers, names, operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from physworld.lm.number_features import number_features
from physworld.lm.value_rows import ValueHead
from physworld.types import Vocabulary


def random_lm(vocabulary: Vocabulary, architecture: Mapping[str, Any] | None) -> Any:
    """A model of transformers with random weights, sized for a codec's tokens; numbers start near their neighbours."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = dict(architecture or {})
    kind = settings.pop("model_type", None)
    if kind is None:
        raise ValueError("weights=null wants model.network.architecture with a model_type, for example lfm2")
    sized = {"vocab_size": vocabulary.size, "pad_token_id": vocabulary.pad, "bos_token_id": None, **settings}
    try:
        config = AutoConfig.for_model(kind, **sized)
    except StrictDataclassError as error:  # of many kinds, none of them a ValueError
        raise ValueError(f"model.network.architecture is none: {' '.join(str(error).split())}") from None
    lm: Any = AutoModelForCausalLM.from_config(config)
    if len(vocabulary.values):
        with torch.no_grad():
            table = lm.get_input_embeddings().weight
            features = number_features(torch.as_tensor(vocabulary.values))
            project = torch.randn(features.shape[1], table.shape[1]) * (config.initializer_range / features.std())
            table[vocabulary.num_words : vocabulary.size] += features @ project / features.shape[1] ** 0.5
    return lm


def linear_names(lm: Any) -> list[str]:
    """Ends of the names of all linear layers but the output layer: what LoRA is put on."""
    head = lm.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, part in lm.named_modules()
            if isinstance(part, nn.Linear | Conv1D) and part is not head  # GPT-2 calls its linear layers Conv1D
        }
    )


def plain_names(inner: nn.Module) -> dict[str, str]:
    """Name that a weight has without adapters -> the name it has with them beside its layer."""
    return {name.replace(".base_layer.", "."): name for name in inner.state_dict() if ".lora_" not in name}


def plain_state(inner: nn.Module) -> dict[str, Tensor]:
    """The weights without the adapters beside them."""
    state = inner.state_dict()
    return {plain: state[name] for plain, name in plain_names(inner).items()}


def flops(lm: Any, tokens: int, attended: int, scored: int) -> float:
    """Floating-point operations of training on `tokens`, of which `scored` meet the output layer and the pairs in
    `attended` (the sum of squared lengths) each other.

    Counted as usual: two for each weight that a token meets, twice as much backward; frozen weights need one product
    backward, not two; computing again for checkpointing does not count.
    """
    head = lm.get_output_embeddings()
    above = {id(parameter) for parameter in head.parameters()}
    matrices = head.matrices() if isinstance(head, ValueHead) else [head.weight]
    total = float(sum(scored * (6 if matrix.requires_grad else 4) * matrix.numel() for matrix in matrices))
    config = lm.config.get_text_config()
    looked_up = {id(part.weight) for part in lm.modules() if isinstance(part, nn.Embedding)}
    experts = getattr(config, "num_local_experts", getattr(config, "num_experts", None))
    for parameter in lm.parameters():
        if parameter.ndim < 2 or id(parameter) in above or id(parameter) in looked_up:
            continue
        shape = getattr(getattr(parameter, "quant_state", None), "shape", parameter.shape)
        # The matrices of experts stand in one tensor, and a token meets a few of them.
        met = config.num_experts_per_tok / experts if len(shape) == 3 and shape[0] == experts else 1
        total += tokens * (6 if parameter.requires_grad else 4) * shape.numel() * met
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    # Two products of 2 · width per pair forward, four backward, half of the pairs because it is causal.
    return total + kinds.count("full_attention") * 6 * attended * width
