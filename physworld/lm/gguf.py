"""Weights of Llama-, Qwen2- and LFM2-type models as GGUF, the format of llama.cpp, in float32.

Metadata keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A GGUF file holds its tokenizer too, so only
byte-level BPE tokenizers (those of these families) can be written.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, pre_tokenizers
from torch import Tensor

from physworld.errors import UserError
from physworld.io.atomic import replacing

FAMILIES = {"llama": "LLAMA", "qwen2": "QWEN2", "lfm2": "LFM2"}
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# llama.cpp's names of how a tokenizer cuts text into words; the digits of a number, for example: all, one, one, three.
CUTS: dict[str, list[Any]] = {
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "qwen2": [pre_tokenizers.Split(Regex(WORDS % r"\p{N}"), "isolated")],
    "llama-bpe": [pre_tokenizers.Split(Regex(WORDS % r"\p{N}{1,3}"), "isolated")],
}
PROBE = "I'm IT'S (x12345) y=-6.75;\n\n\tThe  caf\u00e9\u2019s \u4f60\u597d \u0661\u0662  !? \r\n end "


class GgufError(UserError):
    """A model that the format, or this writer, does not take."""


def write_gguf(network: Any, tokenizer: Any, path: Path, name: str) -> None:
    """One file with weights, settings and tokenizer.

    Args:
        name: of the model, for whoever opens the file.

    Raises:
        GgufError: another family, another kind of tokenizer, or positions that the format would not keep.
    """
    import gguf

    config = network.config
    if config.model_type not in FAMILIES:
        raise GgufError(f"GGUF is written for {', '.join(FAMILIES)}; this is a {config.model_type} model.")
    if any(_is_number(token.content) for token in tokenizer.added_tokens_decoder.values()):
        raise GgufError("GGUF's readers cut numbers into digits, and this model reads them by value; use onnx.")
    pieces, cut = _bpe(tokenizer)
    positions = config.rope_parameters["rope_type"]
    if positions != "default":
        raise GgufError(f"GGUF is written for plain rotary positions; this model scales them ({positions}).")
    if config.model_type == "llama" and (config.attention_bias or config.mlp_bias):
        raise GgufError("GGUF is written for llama models without biases: not every reader takes them in.")
    arch = gguf.MODEL_ARCH[FAMILIES[config.model_type]]
    with replacing(path) as temporary:
        writer = gguf.GGUFWriter(temporary, gguf.MODEL_ARCH_NAMES[arch])
        writer.add_name(name)
        _settings(writer, config, gguf)
        _tokenizer(writer, tokenizer, pieces, cut, config, gguf)
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


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _settings(writer: Any, config: Any, gguf: Any) -> None:
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_rope_dimension_count(width)
    if width * heads != config.hidden_size:
        writer.add_key_length(width)
        writer.add_value_length(width)
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


def _bpe(tokenizer: Any) -> tuple[dict[str, Any], str]:
    """(the model of a byte-level BPE tokenizer, llama.cpp's name of how it cuts text)."""
    content: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    model, cut = content["model"], json.dumps([content.get("pre_tokenizer"), content.get("decoder")])
    if model["type"] != "BPE" or "ByteLevel" not in cut:
        raise GgufError(
            f"GGUF holds byte-level BPE tokenizers only, and this is a {model['type']} one; export pretrained weights."
        )
    words = _words(tokenizer.backend_tokenizer.pre_tokenizer)
    for name, parts in CUTS.items():
        if _words(pre_tokenizers.Sequence(parts)) == words:
            return model, name
    raise GgufError(f"GGUF has no name for how this tokenizer cuts text; it is written for {', '.join(CUTS)}.")


def _words(cutter: Any) -> list[tuple[int, int]]:
    """Where the words of a text begin and end."""
    return [place for _, place in cutter.pre_tokenize_str(PROBE)]


def _tokenizer(writer: Any, tokenizer: Any, model: dict[str, Any], cut: str, config: Any, gguf: Any) -> None:
    words = {index: word for word, index in tokenizer.get_vocab().items()}
    added = dict(tokenizer.added_tokens_decoder)
    kind = gguf.TokenType
    types = [
        kind.UNUSED if i not in words else kind.CONTROL if i in added and added[i].special
        else kind.USER_DEFINED if i in added else kind.NORMAL
        for i in range(config.vocab_size)
    ]  # fmt: skip
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
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
    ends = tokenizer("x").input_ids  # what the tokenizer itself puts around a text
    writer.add_add_bos_token(ends[0] == tokenizer.bos_token_id is not None)
    writer.add_add_eos_token(ends[-1] == tokenizer.eos_token_id is not None)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)
