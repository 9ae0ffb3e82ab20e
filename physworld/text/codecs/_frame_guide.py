"""Guides that keep answers of plain text within their frame grammar (see `physworld.protocols.Guide`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from physworld.lm.guides import MatcherGuide
from physworld.text.codecs._frame_grammar import ANY, Graph, Piece, expression

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEPT = 256  # grammars kept ready; scenes of one type share theirs


def is_word_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a token is a whole word of a list, as in our own tokenizers."""
    return type(tokenizer.backend_tokenizer.model).__name__ == "WordLevel"


class Guides:
    """Makes guides for one tokenizer, and keeps what is slow to make."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_id: int, *, numbers: np.ndarray | None = None) -> None:
        """numbers: ids of number tokens, where the tokenizer has some; all else of a frame is words then."""
        self.tokenizer, self.end_id, self.numbers = tokenizer, end_id, numbers
        self._ready: dict[tuple[Piece, ...], Any] = {}
        self._llguidance: Any = None

    def guide(self, answers: Sequence[tuple[Piece, ...]]) -> WordGuide | MatcherGuide:
        if is_word_level(self.tokenizer) or self.numbers is not None:
            graphs = [self._graph(pieces) for pieces in answers]
            return WordGuide(graphs, len(self.tokenizer), self.end_id, answers=answers, numbers=self.numbers)
        matchers, expressions = [self._matcher(pieces) for pieces in answers], list(map(expression, answers))
        return MatcherGuide(matchers, len(self.tokenizer), self.end_id, expressions=expressions)

    def _graph(self, pieces: tuple[Piece, ...]) -> Graph:
        if pieces not in self._ready:
            self._make_room()
            by_value = self.numbers is not None
            self._ready[pieces] = Graph(pieces, self.tokenizer, self.end_id, by_value=by_value)
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

    def __init__(
        self,
        graphs: Sequence[Graph],
        size: int,
        end_id: int,
        *,
        answers: Sequence[tuple[Piece, ...]],
        numbers: np.ndarray | None = None,
    ) -> None:
        """size: V. numbers: ids that ANY stands for."""
        self.graphs, self._answers = graphs, answers
        self._at = [0] * len(graphs)
        sets: dict[frozenset[int], int] = {}  # nodes that allow the same tokens share a mask
        self._masks_of: dict[int, list[int]] = {}
        for graph in graphs:
            if id(graph) not in self._masks_of:
                allowed = [frozenset(node) or frozenset([end_id]) for node in graph.nodes]
                self._masks_of[id(graph)] = [sets.setdefault(tokens, len(sets)) for tokens in allowed]
        self._masks = np.zeros((len(sets), size), bool)
        for tokens, mask in sets.items():
            self._masks[mask, list(tokens - {ANY})] = True
            if ANY in tokens and numbers is not None:
                self._masks[mask, numbers] = True

    @property
    def expressions(self) -> list[str]:
        return list(map(expression, self._answers))

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        return [self._forced(row) for row in rows]

    def _forced(self, row: int) -> list[int]:
        nodes, tokens = self.graphs[row].nodes, []
        while len(node := nodes[self._at[row]]) == 1 and ANY not in node:
            ((token, self._at[row]),) = node.items()
            tokens.append(token)
        return tokens

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        which = [self._masks_of[id(self.graphs[row])][self._at[row]] for row in rows]
        return self._masks, np.array(which, np.int64)

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        for row, token in zip(rows, tokens, strict=True):
            graph = self.graphs[row]
            node = graph.nodes[self._at[row]]
            self._at[row] = node.get(int(token), node.get(ANY, graph.final))
