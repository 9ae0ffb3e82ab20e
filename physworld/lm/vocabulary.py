"""What a model must know about a codec's tokens, and how token lists become real tokenizers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """Ids 0..num_words-1 are words; then come numbers. A model embeds words by table and numbers by value."""

    num_words: int
    values: np.ndarray  # (V - num_words,) float64, value of each number token; empty for codecs that spell digits
    records: dict[int, tuple[int, int]]  # word id -> (words, numbers) that follow it; embedded as one position
    outputs: np.ndarray  # (K,) ids that a model may say
    ordered_from: int  # outputs[ordered_from:] are numbers in ascending order
    pad: int
    prompt_end: int = -1  # id of the word that ends a prompt; -1: no word of its own does
    names: tuple[int, int] = (0, 0)  # first id and number of the words that name bodies

    @property
    def size(self) -> int:
        return self.num_words + len(self.values)


def word_level_tokenizer(tokens: list[str], *, pad: str, end: str, unknown: str) -> PreTrainedTokenizerFast:
    """Tokenizer of blank-separated words, `tokens` in id order."""
    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown)
