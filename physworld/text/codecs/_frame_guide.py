"""Guides that keep answers of plain text within their frame grammar (see `Guide` in physworld/types.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from physworld.text.codecs._frame_grammar import Graph, Piece, expression

KEPT = 256  # grammars kept ready; scenes of one type share theirs


def is_word_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a token is a whole word of a list, as in our own tokenizers."""
    return type(tokenizer.backend_tokenizer.model).__name__ == "WordLevel"


class Guides:
    """Makes guides for one tokenizer, and keeps what is slow to make."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_id: int) -> None:
        self.tokenizer, self.end_id = tokenizer, end_id
        self._ready: dict[tuple[Piece, ...], Any] = {}
        self._llguidance: Any = None

    def guide(self, answers: Sequence[tuple[Piece, ...]]) -> WordGuide | TokenGuide:
        if is_word_level(self.tokenizer):
            return WordGuide([self._graph(pieces) for pieces in answers], len(self.tokenizer), self.end_id)
        return TokenGuide([self._matcher(pieces) for pieces in answers], len(self.tokenizer), self.end_id, answers)

    def _graph(self, pieces: tuple[Piece, ...]) -> Graph:
        if pieces not in self._ready:
            self._make_room()
            self._ready[pieces] = Graph(pieces, self.tokenizer, self.end_id)
        graph: Graph = self._ready[pieces]
        return graph

    def _matcher(self, pieces: tuple[Piece, ...]) -> Any:
        """A fresh matcher at the answer's beginning."""
        from llguidance import LLMatcher
        from llguidance.hf import from_tokenizer

        if self._llguidance is None:
            tokenizer: Any = self.tokenizer
            self._llguidance = from_tokenizer(tokenizer, n_vocab=len(self.tokenizer), eos_token=self.end_id)
        if pieces not in self._ready:
            self._make_room()
            matcher = LLMatcher(self._llguidance, LLMatcher.grammar_from_regex(expression(pieces)))
            if matcher.is_error():
                raise ValueError(f"the frame grammar cannot be used with this tokenizer: {matcher.get_error()}")
            self._ready[pieces] = matcher
        return self._ready[pieces].deep_copy()

    def _make_room(self) -> None:
        if len(self._ready) >= KEPT:
            self._ready.clear()


class WordGuide:
    """A direct mask: every answer walks its graph of tokens."""

    def __init__(self, graphs: Sequence[Graph], size: int, end_id: int) -> None:
        self.graphs, self.end_id = graphs, end_id
        self._at = np.zeros(len(graphs), np.int64)
        # Nodes that allow the same tokens are one kind of place; a single token needs no kind.
        sets: dict[frozenset[int], int] = {}
        self._kinds: dict[int, list[int]] = {}
        self._only: dict[int, list[int]] = {}
        for graph in graphs:
            if id(graph) in self._kinds:
                continue
            kinds, only = [], []
            for node in graph.nodes:
                tokens = frozenset(node)
                free = len(tokens) > 1
                kinds.append(sets.setdefault(tokens, len(sets)) if free else -1)
                only.append(end_id if free or not tokens else next(iter(tokens)))
            self._kinds[id(graph)], self._only[id(graph)] = kinds, only
        self.kinds = np.zeros((max(1, len(sets)), size), bool)
        for tokens, kind in sets.items():
            self.kinds[kind, list(tokens)] = True

    def kind(self) -> np.ndarray:
        return np.array([self._kinds[id(g)][at] for g, at in zip(self.graphs, self._at, strict=True)], np.int64)

    def only(self) -> np.ndarray:
        return np.array([self._only[id(g)][at] for g, at in zip(self.graphs, self._at, strict=True)], np.int64)

    def advance(self, tokens: np.ndarray) -> None:
        for row, graph in enumerate(self.graphs):
            self._at[row] = graph.nodes[self._at[row]].get(int(tokens[row]), graph.final)


class TokenGuide:
    """Masks from llguidance, for tokenizers that cut text anywhere."""

    def __init__(
        self, matchers: Sequence[Any], size: int, end_id: int, answers: Sequence[tuple[Piece, ...]] = ()
    ) -> None:
        from llguidance.numpy import allocate_token_bitmask

        self.matchers, self.size, self.end_id, self.answers = matchers, size, end_id, answers
        self._bits = allocate_token_bitmask(len(matchers), size)

    @property
    def expressions(self) -> list[str]:
        """The grammars as regular expressions, for engines that keep answers within one themselves."""
        return [expression(pieces) for pieces in self.answers]

    def mask(self) -> np.ndarray:
        """(B, V) bool: tokens that may come next; only the end token once an answer is complete."""
        from llguidance.numpy import fill_next_token_bitmask

        for row, matcher in enumerate(self.matchers):
            if not matcher.is_stopped():
                fill_next_token_bitmask(matcher, self._bits, row)
        bits = np.unpackbits(self._bits.view(np.uint8), axis=1, bitorder="little")[:, : self.size].astype(bool)
        for row, matcher in enumerate(self.matchers):
            if matcher.is_stopped():
                bits[row] = False
                bits[row, self.end_id] = True
        return bits

    def advance(self, tokens: np.ndarray) -> None:
        for row, matcher in enumerate(self.matchers):
            if not matcher.is_stopped():
                matcher.consume_token(int(tokens[row]))
