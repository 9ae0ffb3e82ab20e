"""Pairs of answers to one payload: the engineer's, and the same with one rule broken."""

from __future__ import annotations

from typing import Any

from physworld.seeding import generator
from physworld.spatial.scene.breaking import break_one
from physworld.types import Sample


class PreferencePairs:
    """Sample 2k is sample k of the source, sample 2k + 1 its broken twin, so a batch of even size holds whole pairs."""

    def __init__(self, source: Any, *, seed: int, split: str) -> None:
        self.source, self.seed, self.split = source, seed, split

    def sample(self, index: int) -> Sample:
        good = self.source.sample(index // 2)
        if index % 2 == 0:
            return Sample(seed=index, given=good.given, target=good.target)
        rng = generator(self.seed, self.split, 7, index)
        return Sample(seed=index, given=good.given, target=break_one(good.target, good.given, rng))
