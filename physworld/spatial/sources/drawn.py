"""A seed becomes a payload and the scene that the rule-based engineer writes for it."""

from __future__ import annotations

from physworld.seeding import generator
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.counted import draw_counted
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import AXES, draw_payload
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.people import draw_people
from physworld.types import Sample

# axes beside those of draw.AXES
PEOPLE, MIXED, COUNTED, NEW_STYLE, PRACTICE = "people", "mixed", "counted", "new_style", "practice"
EVERY = (*AXES, PEOPLE, MIXED, COUNTED, NEW_STYLE, PRACTICE)
STREAM = 100  # of generators, beyond every axis of draw.AXES


class SpatialSource:
    """Payloads drawn while training goes on; everything is a function of (seed, split, axis, index)."""

    def __init__(self, *, seed: int, split: str, axis: str = "seen") -> None:
        """
        Args:
            axis: `seen` is what training meets; the others of draw.AXES are new in one respect; `people` draws payloads
                in the style of people (physworld/spatial/scene/people.py), `mixed` one of either kind in turn;
                `practice` is mixed, but one in three of its training payloads has rules that are rare otherwise;
                `counted` has a collection's bands (scene/counted.py) in all styles but two, `new_style` in those two.
        """
        if axis not in EVERY:
            raise ValueError(f"axis {axis!r} is unknown; choose one of {', '.join(EVERY)}")
        self.seed, self.split, self.axis = seed, split, axis

    def payload(self, index: int) -> Payload:
        if self.axis == PRACTICE and self.split == "train":
            if index % 3 == 2:
                return draw_people(generator(self.seed, self.split, STREAM + 3, index), rare=True)
            people = index % 3 == 1
        else:
            people = self.axis == PEOPLE or (self.axis in (MIXED, PRACTICE) and index % 2 == 1)
        if people:
            return draw_people(generator(self.seed, self.split, STREAM, index))
        if self.axis in (COUNTED, NEW_STYLE):
            stream = STREAM + 1 + (COUNTED, NEW_STYLE).index(self.axis)
            return draw_counted(generator(self.seed, self.split, stream, index), new=self.axis == NEW_STYLE)
        if self.axis in (MIXED, PRACTICE):
            return draw_payload(generator(self.seed, self.split, AXES.index("seen"), index))
        return draw_payload(generator(self.seed, self.split, AXES.index(self.axis), index), self.axis)

    def sample(self, index: int) -> Sample:
        payload = self.payload(index)
        brief = resolve(payload)
        return Sample(seed=index, given=brief, target=engineer(payload, brief))
