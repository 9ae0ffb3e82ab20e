"""Numbers by value in the tokenizer of pretrained weights: one added token for each number of `numbers`.

The format's fixed words become tokens too, so that a body's line is nine tokens whatever its numbers are. All of them
are ordinary added tokens, which the tokenizer itself finds in a text, the longest first: who has the tokenizer needs
nothing of physworld. What weights have a token for already, such as a digit, keeps its id.

Numbers are written as the nearest one of the list, in its shortest form: `395`, not `395.0000`. Losses: four
significant digits, at most three decimals, and nothing beyond ±9999.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from tokenizers import AddedToken

from physworld.text.codecs.numbers import number_index, number_indices, number_texts, number_values

_NUMERAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_RAREST = "-9999"  # no tokenizer has it as one token, unless it was added

_texts = functools.cache(number_texts)
_values = functools.cache(number_values)


def round_numbers(text: str) -> str:
    """The text with every number as the nearest of the list, in its shortest form."""
    return _NUMERAL.sub(lambda found: _texts()[number_index(float(found[0]))], text)


def nearest(values: np.ndarray) -> np.ndarray:
    """The nearest number of the list to each of `values`."""
    close: np.ndarray = _values()[number_indices(np.ascontiguousarray(values, np.float64).ravel())]
    return close.reshape(values.shape)


def extended(tokenizer: Any, words: Iterable[str]) -> tuple[Any, dict[int, tuple[int, ...]]]:
    """(a copy of the tokenizer with a token for each number and word, id of a new word -> ids that spelled it).

    Raises:
        ValueError: it has number tokens already.
    """
    if number_ids(tokenizer) is not None:
        raise ValueError("the weights have number tokens already; leave model.network.numbers=digits")
    words, size = list(dict.fromkeys(words)), len(tokenizer)
    spelled = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (*words, *_texts())])
    ids = tokenizer.convert_tokens_to_ids(words)
    return tokenizer, {id: tuple(old) for id, old in zip(ids, spelled, strict=True) if id >= size}


def number_ids(tokenizer: Any) -> np.ndarray | None:
    """(73999,) int64: id of each number's token, by its index; None where the tokenizer has no number tokens."""
    if _RAREST not in tokenizer.get_added_vocab():
        return None
    return np.array(tokenizer.convert_tokens_to_ids(list(_texts())), np.int64)


def values_of_numbers() -> np.ndarray:
    """(73999,) float64, by index."""
    return _values()
