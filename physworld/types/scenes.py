"""A world and its state at one instant.

Units: length px with 100 px = 1 m, time s, velocity px/s, angle rad, spin rad/s, mass kg, acceleration px/s².
x points right, y points up. A number that no world can have is a ValueError that names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np

from physworld.types import limits
from physworld.types.bodies import Body, Peg, Segment
from physworld.types.joints import Field, Joint
from physworld.types.shapes import Point

PARTS: tuple[tuple[str, set[type]], ...] = (
    ("bodies", {Body}),
    ("static", {Segment, Peg}),
    ("joints", set(get_args(Joint))),
    ("fields", set(get_args(Field))),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """All bodies at one instant, float64, unrounded."""

    position: np.ndarray  # (N, 2) px
    velocity: np.ndarray  # (N, 2) px/s
    angle: np.ndarray  # (N,) rad
    spin: np.ndarray  # (N,) rad/s


@dataclass(frozen=True, kw_only=True, eq=True)
class Scene:
    """A world and its initial state: pure data that can be saved, compared, drawn and simulated anywhere."""

    name: str = "own"  # scenario type, the file name under physworld/scenarios
    category: str = "own"
    difficulty: int = 1  # 1-5
    text: str = ""  # one English sentence
    bodies: tuple[Body, ...]
    static: tuple[Segment | Peg, ...] = ()
    joints: tuple[Joint, ...] = ()
    fields: tuple[Field, ...] = ()
    gravity: Point = (0.0, -981.0)  # px/s²
    dt: float = 1 / 60  # s, one frame
    canvas: tuple[int, int] = (800, 600)  # px, what a picture shows

    def __post_init__(self) -> None:
        for name in ("bodies", "static", "joints", "fields"):  # a person writes lists
            if type(self.__dict__.get(name, ())) is list:
                self.__dict__[name] = tuple(self.__dict__[name])
        try:
            (x, y), dt, count = self.gravity, self.dt, len(self.bodies)
            plain = (dt + x + y) * 0.0 == 0.0 < dt <= limits.LONGEST_STEP and type(self.gravity) is tuple
            plain = plain and limits.PLAIN.issuperset(map(type, (dt, x, y))) and self.canvas == (800, 600)
            plain = plain and type(self.canvas) is tuple and set(map(type, self.canvas)) == {int}
            plain = plain and type(self.difficulty) is int and 1 <= self.difficulty <= 5
            plain = plain and all(
                type(word) is str and word.isascii() for word in (self.name, self.category, self.text)
            )
            plain = plain and all({type(part) for part in self.__dict__[name]} <= kinds for name, kinds in PARTS)
            if plain and all(
                j.body_a < count > j.body_b and self.bodies[j.body_b].kind == "dynamic" for j in self.joints
            ):
                return
        except (TypeError, ValueError, OverflowError, IndexError):
            pass
        limits.parts(self, PARTS)
        limits.scene(self)

    @cached_property
    def state(self) -> State:
        """The bodies' initial state as arrays."""
        bodies = self.bodies
        return State(
            position=np.array([b.position for b in bodies], dtype=np.float64).reshape(-1, 2),
            velocity=np.array([b.velocity for b in bodies], dtype=np.float64).reshape(-1, 2),
            angle=np.array([b.angle for b in bodies], dtype=np.float64),
            spin=np.array([b.spin for b in bodies], dtype=np.float64),
        )
