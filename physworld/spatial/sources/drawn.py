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
PEOPLE, RARE, MIXED, PRACTICE = "people", "rare", "mixed", "practice"
COUNTED, NEW_STYLE = "counted", "new_style"
EVERY = (*AXES, PEOPLE, RARE, MIXED, PRACTICE, COUNTED, NEW_STYLE)
STREAM = 100  # of generators, beyond every axis of draw.AXES


class SpatialSource:
    """Payloads drawn while training goes on; everything is a function of (seed, split, axis, index)."""

    def __init__(self, *, seed: int, split: str, axis: str = "seen") -> None:
        """
        Args:
            axis: `seen` is what training meets; the others of draw.AXES are new in one respect; `people` draws payloads
                in the style of people (physworld/spatial/scene/people.py), `rare` such as have rules that are rare
                there, `mixed` tidy ones and people's in turn, `practice` the same with rare ones in training;
                `counted` has a collection's bands (scene/counted.py) in all styles but two, `new_style` in those two.
        """
        if axis not in EVERY:
            raise ValueError(f"axis {axis!r} is unknown; choose one of {', '.join(EVERY)}")
        self.seed, self.split, self.axis = seed, split, axis

    def payload(self, index: int) -> Payload:
        turns = 3 if self.axis == PRACTICE and self.split == "train" else 2
        mixed = self.axis in (MIXED, PRACTICE)
        if self.axis == RARE or (mixed and index % turns == 2):
            return draw_people(generator(self.seed, self.split, STREAM + 3, index), rare=True)
        if self.axis == PEOPLE or (mixed and index % turns == 1):
            return draw_people(generator(self.seed, self.split, STREAM, index))
        if self.axis in (COUNTED, NEW_STYLE):
            stream = STREAM + 1 + (COUNTED, NEW_STYLE).index(self.axis)
            return draw_counted(generator(self.seed, self.split, stream, index), new=self.axis == NEW_STYLE)
        if mixed:
            return draw_payload(generator(self.seed, self.split, AXES.index("seen"), index))
        return draw_payload(generator(self.seed, self.split, AXES.index(self.axis), index), self.axis)

    def sample(self, index: int) -> Sample:
        payload = self.payload(index)
        brief = resolve(payload)
        return Sample(seed=index, given=brief, target=engineer(payload, brief))
