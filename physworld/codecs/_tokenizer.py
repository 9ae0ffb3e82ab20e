"""L2: word tokenizers as real `PreTrainedTokenizerFast` objects.

A text is cut into the given fixed words (longest first) and, everywhere else, into single characters, so numbers
are spelled digit by digit. Every printable ASCII character and the newline is in the vocabulary: ASCII text never
meets the unknown token and `decode(encode(text)) == text`. The special tokens are written with characters outside
ASCII, so no scene description can spell one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, BEGIN, END = "⟨pad⟩", "⟨unknown⟩", "⟨begin⟩", "⟨end⟩"
CHARACTERS = ("\n", *(chr(code) for code in range(0x20, 0x7F)))


def word_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """Tokenizer whose vocabulary is the special tokens, the ASCII characters and `words`, in that order.

    It adds no special token by itself; codecs place begin and end.
    """
    longest_first = sorted(set(words) - set(CHARACTERS), key=lambda word: (-len(word), word))
    vocabulary = (PAD, UNKNOWN, BEGIN, END, *CHARACTERS, *longest_first)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
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
