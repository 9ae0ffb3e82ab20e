"""Tiny models of the real classes with random weights, and a tokenizer as pretrained models have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from physworld.lm.gguf import CUTS
from physworld.text.codecs.engine import EngineCodec
from physworld.text.sources.physics import PhysicsSource
from physworld.types import Sample

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"num_hidden_layers": 2},
    "qwen2": {"num_hidden_layers": 2},
    "lfm2": {
        "num_hidden_layers": 3,
        "layer_types": ["conv", "full_attention", "conv"],
        "block_auto_adjust_ff_dim": False,
    },
}


def tiny(family: str, vocab_size: int = 97, **more: Any) -> Any:
    """A model whose weights are large enough for leaks to show."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=vocab_size, **{**SIZES, **FAMILIES[family], **more})
    lm: Any = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in lm.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(5)
    return lm


def examples(lengths: list[int], seed: int = 0, vocab_size: int = 97) -> tuple[Tensor, Tensor]:
    """Right-padded ids and labels (B, L); the second half of each example is scored, and its end."""
    rng = np.random.default_rng(seed)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.as_tensor(rng.integers(1, vocab_size, length))
        scored = torch.arange(length) >= max(1, length // 2)
        labels[row, :length][scored] = ids[row, :length][scored]
    return ids, labels


def samples(count: int, names: tuple[str, ...] = ("billiards",), seed: int = 0) -> list[Sample]:
    source = PhysicsSource(
        seed=seed, split="train", names=list(names), difficulties=[1], context_frames=4, target_frames=1, frames=40,
        windows_per_scene=4, event_fraction=0.5, kicked_scenes=0.0, kick_rate=0.0, kick_size=1.0,
    )  # fmt: skip
    return [source.sample(index) for index in range(count)]


def bpe_tokenizer(size: int = 400, cut: str = "gpt-2") -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from engine text, with begin, end and padding tokens as LFM2 has them.

    Args:
        cut: into words, by llama.cpp's name.
    """
    codec = EngineCodec()
    texts = [codec.write_prompt(s.given) + codec.write_target(s) for s in samples(8)]
    tokenizer = Tokenizer(models.BPE())
    last = [] if cut in ("gpt-2", "smollm") else [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*CUTS[cut], *last])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|pad|>", "<|startoftext|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", bos_token="<|startoftext|>", eos_token="<|im_end|>"
    )


def save_base(folder: Path, family: str = "lfm2", cut: str = "gpt-2", **more: Any) -> Path:
    """A folder as a download of a pretrained model leaves it."""
    tokenizer = bpe_tokenizer(cut=cut)
    more = {"hidden_size": 64, "intermediate_size": 128, **more}  # 4-bit blocks are 64 weights of a row
    lm = tiny(
        family, len(tokenizer), pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, **more,
    )  # fmt: skip
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
