"""Pairs of answers to one payload: the engineer's, and the same with one rule broken."""

from __future__ import annotations

from typing import Any

import numpy as np

from physworld.seeding import generator
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.scene.breaking import break_one, other_layout
from physworld.types import Sample


class PreferencePairs:
    """Sample 2k is sample k of the source, sample 2k + 1 its broken twin, so a batch of even size holds whole pairs."""

    def __init__(self, source: Any, *, seed: int, split: str, codec: SceneCodec) -> None:
        """codec: what it does not write, no twin may differ in alone."""
        self.source, self.seed, self.split, self.codec = source, seed, split, codec

    def sample(self, index: int) -> Sample:
        good = self.source.sample(index // 2)
        if index % 2 == 0:
            return Sample(seed=index, given=good.given, target=good.target)
        rng = generator(self.seed, self.split, 7, index)
        twin = break_one(good.target, good.given, rng)
        said, meant = (self.codec.answer(scene, good.given)[0] for scene in (twin, good.target))
        if np.array_equal(said, meant):
            twin = other_layout(good.target, rng)
        return Sample(seed=index, given=good.given, target=twin)
