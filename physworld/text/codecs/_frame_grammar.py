"""The grammar of one frame of text: exactly these bodies, in order, with numbers in the format's own form.

An answer is a row of pieces. From them come a regular expression, for any tokenizer, and a graph over tokens, for ours.
Numbers have no leading zeros and at most six digits before the point, so whatever the grammar lets through can be read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


WHOLE = r"-?(?:0|[1-9][0-9]{0,5})"
DIGITS = "0123456789"


class Number(NamedTuple):
    """A decimal number with so many decimals."""

    decimals: int


class Count(NamedTuple):
    """A whole number with at most so many digits."""

    digits: int


class Choice(NamedTuple):
    """One of several rows of pieces; their first tokens differ."""

    options: tuple[tuple[Piece, ...], ...]


Piece = str | Number | Count | Choice


def expression(pieces: tuple[Piece, ...]) -> str:
    """A regular expression that matches exactly the answers."""
    parts = []
    for piece in pieces:
        match piece:
            case str():
                parts.append(re.escape(piece).replace(r"\ ", " ").replace("\\\n", r"\n"))
            case Number(decimals):
                parts.append(rf"{WHOLE}\.[0-9]{{{decimals}}}")
            case Count(digits):
                parts.append(rf"(?:0|[1-9][0-9]{{0,{digits - 1}}})")
            case Choice(options):
                parts.append("(?:" + "|".join(map(expression, options)) + ")")
    return "".join(parts)


Node = dict[int, int]  # token id -> number of the node behind it
ANY = -1  # in the place of an id: every number's token


class Graph:
    """Answers as paths of token ids from node 0; each ends with the end token, which leads to the last node.

    Where numbers are tokens, ANY stands for all of them: there are too many to list at every node.
    """

    def __init__(
        self, pieces: tuple[Piece, ...], tokenizer: PreTrainedTokenizerBase, end_id: int, *, by_value: bool = False
    ) -> None:
        self.tokenizer, self.by_value = tokenizer, by_value
        self.nodes: list[Node] = [{}]
        self._ids = {character: self._tokens(character)[0] for character in f"{DIGITS}.-"}
        # Choices make several open ends; a piece is appended to all of them at once.
        last = self._row(pieces, [0])
        self.final = self._new()
        for node in last:
            self.nodes[node][end_id] = self.final

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids

    def _new(self) -> int:
        self.nodes.append({})
        return len(self.nodes) - 1

    def _link(self, starts: list[int], tokens: list[int]) -> int:
        """One new node behind all the starts."""
        node = self._new()
        for start in starts:
            for token in tokens:
                if token in self.nodes[start]:
                    raise ValueError("two answers of one grammar begin alike")
                self.nodes[start][token] = node
        return node

    def _row(self, pieces: tuple[Piece, ...], starts: list[int]) -> list[int]:
        for piece in pieces:
            match piece:
                case str():
                    for token in self._tokens(piece):
                        starts = [self._link(starts, [token])]
                case Number(decimals):
                    starts = [self._number(starts, decimals)]
                case Count(digits):
                    starts = self._whole(starts, digits)
                case Choice(options):
                    starts = [end for option in options for end in self._row(option, starts)]
        return starts

    def _whole(self, starts: list[int], digits: int) -> list[int]:
        """Ends of 0 or a number without leading zeros."""
        if self.by_value:
            return [self._link(starts, [self._tokens(str(count))[0] for count in range(10**digits)])]
        ends = [self._link(starts, [self._ids["0"]])]
        node = self._link(starts, [self._ids[d] for d in DIGITS[1:]])
        ends.append(node)
        for _ in range(digits - 1):
            node = self._link([node], [self._ids[d] for d in DIGITS])
            ends.append(node)
        return ends

    def _number(self, starts: list[int], decimals: int) -> int:
        if self.by_value:
            return self._link(starts, [ANY])
        signed = self._link(starts, [self._ids["-"]])
        node = self._link(self._whole([*starts, signed], 6), [self._ids["."]])
        for _ in range(decimals):
            node = self._link([node], [self._ids[d] for d in DIGITS])
        return node
