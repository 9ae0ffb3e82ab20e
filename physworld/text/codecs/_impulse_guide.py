"""The grammar of `impulse` and `plain` answers (see `physworld.protocols.Guide`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physworld.text.codecs._impulse_words import COAST, END, REST

_FREE, _NUMBER, _LAST, _NAME = 0, 1, 2, 3  # masks: a word or a number, a number, the end, the name of each body


def answer_masks(size: int, number_base: int, first_body: int, bodies: int) -> np.ndarray:
    """(C, V) bool: the tokens that may stand at each kind of place in an answer.

    Args:
        size: of the vocabulary, whose numbers begin at `number_base` and whose names at `first_body`.
        bodies: how many names there are.
    """
    masks = np.zeros((_NAME + bodies, size), bool)
    masks[[_FREE, _NUMBER], number_base:] = True
    masks[_FREE, [COAST, REST]] = True
    masks[_LAST, END] = True
    masks[_NAME + np.arange(bodies), first_body + np.arange(bodies)] = True
    return masks


class ImpulseGuide:
    """Answers name the listed bodies in order, each followed by one word or so many numbers, then `end`."""

    expressions = None

    def __init__(self, listed: Sequence[np.ndarray], masks: np.ndarray, numbers: int = 4) -> None:
        """
        Args:
            listed: the bodies that each prompt lists.
            masks: see `answer_masks`.
            numbers: of a line that says neither `coast` nor `rest`.
        """
        self._masks, self._numbers = masks, numbers
        self._only = masks.argmax(axis=1)  # the token of a mask that allows one
        self._begin = np.full((len(listed), max((len(bodies) for bodies in listed), default=0) + 1), _LAST)
        for row, bodies in enumerate(listed):
            self._begin[row, : len(bodies)] = _NAME + bodies
        self._line = np.zeros(len(listed), np.int64)
        self._written = np.full(len(listed), -1)  # tokens of the line behind its name; -1 = the name comes next

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        """The next line's name, or the end."""
        at = np.asarray(rows, np.int64)
        kind, due = self._next(at), self._written[at] < 0
        self._written[at[due & (kind != _LAST)]] = 0
        return [[token] if one else [] for token, one in zip(self._only[kind].tolist(), due.tolist(), strict=True)]

    def _next(self, at: np.ndarray) -> np.ndarray:
        """Masks of what begins the next line of these answers."""
        kinds: np.ndarray = self._begin[at, np.minimum(self._line[at], self._begin.shape[1] - 1)]
        return kinds

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        at = np.asarray(rows, np.int64)
        written = self._written[at]
        return self._masks, np.where(written < 0, self._next(at), np.minimum(written, _NUMBER))

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        at, token = np.asarray(rows, np.int64), np.asarray(tokens)
        written = self._written[at] + 1
        over = (written == self._numbers) | ((written == 1) & ((token == COAST) | (token == REST)))
        self._line[at] += over
        self._written[at] = np.where(over, -1, written)
