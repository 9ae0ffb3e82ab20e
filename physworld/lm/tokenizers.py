"""Word tokenizers as real `PreTrainedTokenizerFast` objects, and their compiled twin.

A text is cut into the given fixed words (longest first) and, everywhere else, into single characters, so numbers
are spelled digit by digit. Every printable ASCII character and the newline is in the vocabulary: ASCII text never
meets the unknown token and `decode(encode(text)) == text`. The special tokens are written with characters outside
ASCII, so no scene description can spell one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, BEGIN, END = "⟨pad⟩", "⟨unknown⟩", "⟨begin⟩", "⟨end⟩"
CHARACTERS = ("\n", *(chr(code) for code in range(0x20, 0x7F)))


def _vocabulary(words: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Token -> id: the special tokens, the ASCII characters, the words; and the words, longest first."""
    longest_first = sorted(set(words) - set(CHARACTERS), key=lambda word: (-len(word), word))
    tokens = (PAD, UNKNOWN, BEGIN, END, *CHARACTERS, *longest_first)
    return {token: index for index, token in enumerate(tokens)}, longest_first


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Tokenizer whose vocabulary is the special tokens, the ASCII characters and `words`, in that order.

    It adds no special token by itself; codecs place begin and end.
    """
    from transformers import PreTrainedTokenizerFast  # late: it loads slowly

    vocabulary, longest_first = _vocabulary(words)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    # The alternatives are tried in order, so a longer word wins; the last one takes any single character.
    pattern = "|".join([*map(re.escape, longest_first), r"[\s\S]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()  # without a decoder, tokens are joined with spaces
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )


def word_level_tokenizer(tokens: list[str], *, pad: str, end: str, unknown: str) -> PreTrainedTokenizerFast:
    """Tokenizer of blank-separated words, `tokens` in id order."""
    from transformers import PreTrainedTokenizerFast  # late: it loads slowly

    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown)


class WordCutter:
    """`word_tokenizer(words)` for text of which no part is a special token, a hundred times faster."""

    def __init__(self, words: Iterable[str]) -> None:
        """words: ASCII; with the characters and the special tokens at most 256."""
        vocabulary, longest_first = _vocabulary(words)
        spelled = [word.encode("ascii") for word in sorted(longest_first, key=lambda word: ord(word[0]))]
        initials = [word[0] for word in spelled]
        single = np.full(256, vocabulary[UNKNOWN], np.uint8)
        for character in CHARACTERS:
            single[ord(character)] = vocabulary[character]
        self._tables = (
            np.frombuffer(b"".join(spelled), np.uint8),
            np.cumsum([0, *map(len, spelled)]),
            np.searchsorted(initials, np.arange(257)),
            np.array([vocabulary[word.decode()] for word in spelled], np.uint8),
            single,
            single[0],
        )

    def __call__(self, text: str) -> np.ndarray:
        """(L,) uint8 ids."""
        codes = np.frombuffer(text.encode(), np.uint8)
        ids = np.empty(len(codes), np.uint8)
        return ids[: cut_words(codes, *self._tables, ids)]


@njit(cache=True)
def cut_words(text, words, starts, first, ids, single, unknown, out):
    """Cut UTF-8 `text` into words, at each place the first that fits, else one character; returns how many.

    Args:
        text: (L,) uint8.
        words, starts: bytes of all words, one after the other, and where each begins.
        first: (257,): words first[b] .. first[b + 1] - 1 begin with byte b, longest first.
        ids: id of each word. single: (256,) id of each ASCII character, or `unknown`.
        out: (L,) uint8 to fill.
    """
    at, made = 0, 0
    while at < len(text):
        byte = text[at]
        found = single[byte]
        width = 1
        if byte >= 0x80:  # all bytes of a character together are one unknown
            found = unknown
            while at + width < len(text) and text[at + width] & 0xC0 == 0x80:
                width += 1
        for w in range(first[byte], first[byte + 1]):
            size = starts[w + 1] - starts[w]
            if size > len(text) - at:
                continue
            same = 1
            while same < size and text[at + same] == words[starts[w] + same]:
                same += 1
            if same == size:
                found, width = ids[w], size
                break
        out[made] = found
        made += 1
        at += width
    return made
