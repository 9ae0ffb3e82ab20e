"""The rule checker, and what can be heard of every object, as a reward."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from physworld.settings.checks import share
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.scene.brief import Brief
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import scene_from
from physworld.spatial.scene.rules import check
from physworld.spatial.sound.clarity import clarity
from physworld.spatial.sound.made import made_powers

PAYLOADS = 64  # whose sound is kept


class RuleReward:
    """How well an answer does, 0-1: it can be read, keeps the contract, keeps rules, keeps everything and says so.

    An answer that leaves stems out does not keep everything, however few rules the rest can break.
    """

    def __init__(self, source: Any, codec: SceneCodec, *, clarity: float = 0.0) -> None:
        """
        Args:
            clarity: 0-1, the share of the reward that listens: what of its objects can be heard through the others
                (`sound.clarity`), for an answer that keeps its rules; 0 for any other.

        Raises:
            UserError: clarity is no share.
        """
        share("reward.clarity", clarity)
        self.source, self.codec, self.clarity = source, codec, clarity
        self._powers = functools.lru_cache(PAYLOADS)(lambda index: made_powers(self.source.sample(index).given.payload))

    def __call__(self, indices: list[int], answers: list[Any]) -> list[float]:
        return [self._one(index, answer) for index, answer in zip(indices, answers, strict=True)]

    def _one(self, index: int, answer: Any) -> float:
        brief = self.source.sample(index).given
        data = self.codec.decode(answer, brief)
        kept, whole = self._rules(brief, data)
        if not self.clarity:
            return kept
        heard = listened(scene_from(data), brief, self._powers(index)) if whole else 0.0
        return (1 - self.clarity) * kept + self.clarity * heard

    @staticmethod
    def _rules(brief: Brief, data: Any) -> tuple[float, bool]:
        """(how well rules are kept, 0-1; whether everything is kept)."""
        if data is None:
            return 0.0, False
        report = check(data, brief.payload, brief)
        if report.contract:
            return 0.1, False
        kept = [v.status != "fail" for v in report.verdicts]
        part = sum(kept) / len(kept) if kept else 1.0
        whole = report.obeys and not report.missing
        return 0.2 + 0.3 * part + 0.3 * whole + 0.2 * (whole and not report.honesty), whole

    def limits(self, indices: list[int]) -> list[int]:
        return [self.codec.max_new_tokens(self.source.sample(i).given) for i in indices]


def listened(scene: SpatialScene, brief: Brief, powers: dict[str, np.ndarray]) -> float:
    """Mean clarity of a scene's objects, 0-1; stems that are no objects play from the bed."""
    objects = {thing.id for thing in scene.objects}
    bed = [stem.id for stem in brief.payload.stems if stem.id not in objects]
    return clarity(scene, powers, bed).mean
