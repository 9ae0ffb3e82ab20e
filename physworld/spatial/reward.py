"""The rule checker as a reward."""

from __future__ import annotations

from typing import Any

from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.scene.brief import Brief
from physworld.spatial.scene.rules import check


class RuleReward:
    """How well an answer does, 0-1: it can be read, keeps the contract, keeps rules, keeps everything and says so.

    An answer that leaves stems out does not keep everything, however few rules the rest can break.
    """

    def __init__(self, source: Any, codec: SceneCodec) -> None:
        self.source, self.codec = source, codec

    def __call__(self, indices: list[int], answers: list[Any]) -> list[float]:
        return [self._one(self.source.sample(i).given, answer) for i, answer in zip(indices, answers, strict=True)]

    def _one(self, brief: Brief, answer: Any) -> float:
        data = self.codec.decode(answer, brief)
        if data is None:
            return 0.0
        report = check(data, brief.payload, brief)
        if report.contract:
            return 0.1
        kept = [v.status != "fail" for v in report.verdicts]
        share = sum(kept) / len(kept) if kept else 1.0
        whole = report.obeys and not report.missing
        return 0.2 + 0.3 * share + 0.3 * whole + 0.2 * (whole and not report.honesty)

    def limits(self, indices: list[int]) -> list[int]:
        return [self.codec.max_new_tokens(self.source.sample(i).given) for i in indices]
