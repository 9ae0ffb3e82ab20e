"""Guides over llguidance matchers: the grammars of answers whose tokens cut text anywhere.

See `physworld.protocols.Guide`. Shapes: b answers that are asked about, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from physworld.protocols import Guide


class MatcherGuide:
    """Each answer has a matcher of its own."""

    def __init__(
        self,
        matchers: Sequence[Any],  # llguidance.LLMatcher
        size: int,
        end_id: int,
        *,
        expressions: Sequence[str] | None = None,
        fast_forward: bool = False,
        preferred: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            size: V.
            fast_forward: tokens that must come are taken without a pass of the network.
            preferred: (V,) bool, the tokens to use wherever they will do: those that a model was trained to generate.
        """
        from llguidance.numpy import allocate_token_bitmask

        self.expressions = expressions
        self._matchers, self._size, self._end = matchers, size, end_id
        self._fast_forward, self._preferred = fast_forward, preferred
        self._bits = allocate_token_bitmask(len(matchers), size)
        self.fast_forwarded = 0  # tokens that needed no pass of the network

    @property
    def fault(self) -> str:
        """Why the grammar could not be followed to its end; '' while it can. Its answers end there all the same."""
        return next((str(m.get_error()).strip().splitlines()[0] for m in self._matchers if m.is_error()), "")

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        if not self._fast_forward:
            return [[] for _ in rows]
        found = [self._forced(row) for row in rows]
        self.fast_forwarded += sum(map(len, found))
        return found

    def _forced(self, row: int) -> list[int]:
        matcher = self._matchers[row]
        if self._preferred is None:
            tokens = list(map(int, matcher.compute_ff_tokens()))
            if tokens:
                matcher.consume_tokens(tokens)
            return tokens
        tokens = []
        while not matcher.is_stopped():  # llguidance would spell in tokens that are not preferred
            choices = np.flatnonzero(self.allowed([row])[0][0])
            if len(choices) != 1:
                break
            tokens.append(int(choices[0]))
            matcher.consume_token(tokens[-1])
        return tokens

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        from llguidance.numpy import fill_next_token_bitmask

        for place, row in enumerate(rows):
            if not self._matchers[row].is_stopped():
                fill_next_token_bitmask(self._matchers[row], self._bits, place)
        bits = self._bits[: len(rows)].view(np.uint8)
        found = np.unpackbits(bits, axis=1, bitorder="little")[:, : self._size].astype(bool)
        for place, row in enumerate(rows):
            if self._matchers[row].is_stopped():
                found[place] = False
                found[place, self._end] = True
            elif self._preferred is not None and (found[place] & self._preferred).any():
                found[place] &= self._preferred
        return found, np.arange(len(rows))

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        for row, token in zip(rows, tokens, strict=True):
            if not self._matchers[row].is_stopped():
                self._matchers[row].consume_token(int(token))


def guide_mask(guide: Guide, rows: Sequence[int]) -> np.ndarray:
    """(b, V) bool: the tokens that may come next in these answers."""
    masks, which = guide.allowed(rows)
    found: np.ndarray = masks[which]
    return found
