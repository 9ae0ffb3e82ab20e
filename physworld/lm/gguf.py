"""Weights of Llama-, Qwen2- and LFM2-type models as GGUF, the format of llama.cpp, in float32.

Metadata keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A GGUF file holds its tokenizer too, so only
byte-level BPE tokenizers (those of these families) can be written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from physworld.io.atomic import replacing

FAMILIES = {"llama": "LLAMA", "qwen2": "QWEN2", "lfm2": "LFM2"}
SPLITTERS = {"llama": "smollm", "qwen2": "qwen2", "lfm2": "lfm2"}  # llama.cpp's name of how a tokenizer cuts text


class GgufError(ValueError):
    """A model that the format, or this writer, does not take; the message is one sentence."""


def write_gguf(network: Any, tokenizer: Any, path: Path) -> None:
    """One file with weights, settings and tokenizer.

    Raises:
        GgufError: another family, or another kind of tokenizer.
    """
    import gguf

    config = network.config
    if config.model_type not in FAMILIES:
        raise GgufError(f"GGUF is written for {', '.join(FAMILIES)}; this is a {config.model_type} model.")
    pieces = _bpe(tokenizer)
    arch = gguf.MODEL_ARCH[FAMILIES[config.model_type]]
    with replacing(path) as temporary:
        writer = gguf.GGUFWriter(temporary, gguf.MODEL_ARCH_NAMES[arch])
        _settings(writer, config, gguf)
        _tokenizer(writer, tokenizer, pieces, config, gguf)
        names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
        for name, weight in network.state_dict().items():
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            there = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if there is None:
                raise GgufError(f"GGUF has no place for the weight {name} of {config.model_type}.")
            writer.add_tensor(there, _tensor(name, weight, config))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _settings(writer: Any, config: Any, gguf: Any) -> None:
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(getattr(config, "head_dim", None) or config.hidden_size // heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if config.model_type == "lfm2":
        writer.add_head_count_kv([shared if kind == "full_attention" else 0 for kind in config.layer_types])
        writer.add_shortconv_l_cache(config.conv_L_cache)
        writer.add_layer_norm_rms_eps(config.norm_eps)
        writer.add_feed_forward_length(_lfm2_inner(config))
    else:
        writer.add_head_count_kv(shared)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_feed_forward_length(config.intermediate_size)


def _lfm2_inner(config: Any) -> int:
    """Width inside the MLP as LFM2 adjusts it: two thirds, times a factor, up to a multiple."""
    if not config.block_auto_adjust_ff_dim:
        return int(config.intermediate_size)
    inner = int(2 * config.intermediate_size / 3)
    if config.block_ffn_dim_multiplier is not None:
        inner = int(config.block_ffn_dim_multiplier * inner)
    multiple = int(config.block_multiple_of)
    return multiple * -(-inner // multiple)


def _tensor(name: str, weight: Tensor, config: Any) -> np.ndarray:
    if name.endswith("conv.conv.weight"):
        weight = weight[:, 0]
    if config.model_type == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
        # llama.cpp turns neighbouring pairs of a head's channels, transformers its two halves.
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        weight = weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
    # float32 holds every bf16 value exactly; llama.cpp quantises from it.
    return weight.detach().float().contiguous().numpy()


def _bpe(tokenizer: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    model, cut = content["model"], json.dumps([content.get("pre_tokenizer"), content.get("decoder")])
    if model["type"] != "BPE" or "ByteLevel" not in cut:
        raise GgufError(
            f"GGUF holds byte-level BPE tokenizers only, and this is a {model['type']} one; export pretrained weights."
        )
    return model


def _tokenizer(writer: Any, tokenizer: Any, model: dict[str, Any], config: Any, gguf: Any) -> None:
    words = {index: word for word, index in tokenizer.get_vocab().items()}
    added = dict(tokenizer.added_tokens_decoder)
    kind = gguf.TokenType
    types = [
        kind.UNUSED if i not in words else kind.CONTROL if i in added and added[i].special
        else kind.USER_DEFINED if i in added else kind.NORMAL
        for i in range(config.vocab_size)
    ]  # fmt: skip
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(SPLITTERS[config.model_type])
    writer.add_token_list([words.get(i, f"[PAD{i}]") for i in range(config.vocab_size)])
    writer.add_token_types(types)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    for add, index in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if index is not None:
            add(index)
    writer.add_add_bos_token(tokenizer.bos_token_id is not None)
