"""A seed becomes a payload and the scene that the rule-based engineer writes for it."""

from __future__ import annotations

from physworld.seeding import generator
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import AXES, draw_payload
from physworld.spatial.scene.engineer import engineer
from physworld.types import Sample


class SpatialSource:
    """Payloads drawn while training goes on; everything is a function of (seed, split, axis, index)."""

    def __init__(self, *, seed: int, split: str, axis: str = "seen") -> None:
        """axis: `seen` is what training meets; the others are new in one respect (physworld/spatial/scene/draw.py)."""
        if axis not in AXES:
            raise ValueError(f"axis {axis!r} is unknown; choose one of {', '.join(AXES)}")
        self.seed, self.split, self.axis = seed, split, axis

    def payload(self, index: int) -> Payload:
        return draw_payload(generator(self.seed, self.split, AXES.index(self.axis), index), self.axis)

    def sample(self, index: int) -> Sample:
        payload = self.payload(index)
        brief = resolve(payload)
        return Sample(seed=index, given=brief, target=engineer(payload, brief))
