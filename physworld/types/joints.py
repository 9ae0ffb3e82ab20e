"""What acts between bodies, and on them from afar. The numbers are checked where the parts are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from physworld.types import limits
from physworld.types.shapes import Point

FIXED = -1  # a joint's `body_a` when that end is nailed to the world


@dataclass(frozen=True, kw_only=True)
class Jointed:
    """What acts between two bodies, or between a body and the world. Bodies that it holds still collide."""

    body_a: int  # index into Scene.bodies, or FIXED
    body_b: int  # index into Scene.bodies

    POINTS: ClassVar[tuple[str, ...]] = ()
    NUMBERS: ClassVar[tuple[str, ...]] = ()
    PLAIN: ClassVar[bool] = True  # nothing but signs and two bodies is to be checked

    def __post_init__(self) -> None:
        values, total, least = self.__dict__, 0.0, 0.0
        try:  # quickly: a chain has many joints
            plain = self.PLAIN
            for name in self.POINTS:
                x, y = point = values[name]
                total += x + y
                plain = plain and type(point) is tuple and type(x) in limits.PLAIN and type(y) in limits.PLAIN
            for name in self.NUMBERS:
                value = values[name]
                total += value
                least = min(least, value)
                plain = plain and type(value) in limits.PLAIN
            whole = type(self.body_a) is int is type(self.body_b) and -1 <= self.body_a != self.body_b >= 0
            if whole and plain and total * 0.0 == 0.0 == least:
                return
        except (TypeError, ValueError, OverflowError):
            pass
        limits.joint(self, self.POINTS, self.NUMBERS)


@dataclass(frozen=True, kw_only=True)
class Anchored(Jointed):
    """What ties a point of one end to a point of the other."""

    anchor_a: Point  # px, in body_a's frame; world coordinates when body_a is FIXED
    anchor_b: Point = (0.0, 0.0)  # px, in body_b's frame

    POINTS = ("anchor_a", "anchor_b")


@dataclass(frozen=True, kw_only=True)
class PinJoint(Anchored):
    """Massless rod of constant length between two anchors; the ends turn freely."""

    length: float  # px

    NUMBERS = ("length",)


@dataclass(frozen=True, kw_only=True)
class PivotJoint(Anchored):
    """Hinge: the two anchors stay on one point; the ends turn freely."""


@dataclass(frozen=True, kw_only=True)
class Rope(Anchored):
    """Massless string: the anchors come no further apart than `length`; nearer, it is slack and does nothing."""

    length: float  # px

    NUMBERS = ("length",)


@dataclass(frozen=True, kw_only=True)
class SlideJoint(Anchored):
    """Telescope: the anchors stay at least `shortest` and at most `longest` apart."""

    shortest: float  # px
    longest: float  # px

    NUMBERS = ("shortest", "longest")
    PLAIN = False


@dataclass(frozen=True, kw_only=True)
class GrooveJoint(Jointed):
    """A pin of body_b that slides along a straight groove in body_a."""

    groove_start: Point  # px, in body_a's frame; world coordinates when body_a is FIXED
    groove_end: Point  # px, the same
    anchor_b: Point = (0.0, 0.0)  # px, in body_b's frame

    POINTS = ("groove_start", "groove_end", "anchor_b")
    PLAIN = False


@dataclass(frozen=True, kw_only=True)
class Spring(Anchored):
    """Massless; anchors at distance d are pushed apart with stiffness·(length - d) - damping·(rate of d) kg·px/s²."""

    length: float  # px, at rest
    stiffness: float  # kg/s²
    damping: float = 0.0  # kg/s

    NUMBERS = ("length", "stiffness", "damping")


@dataclass(frozen=True, kw_only=True)
class RotarySpring(Jointed):
    """Turns body_a's angle minus body_b's towards `rest_angle` with stiffness·difference, damped."""

    rest_angle: float  # rad
    stiffness: float  # kg·px²/s²
    damping: float = 0.0  # kg·px²/s

    NUMBERS = ("rest_angle", "stiffness", "damping")


@dataclass(frozen=True, kw_only=True)
class RotaryLimit(Jointed):
    """Keeps body_b's angle minus body_a's from `lowest` to `highest`."""

    lowest: float  # rad
    highest: float  # rad

    NUMBERS = ("lowest", "highest")
    PLAIN = False


@dataclass(frozen=True, kw_only=True)
class Gear(Jointed):
    """Keeps body_b's angle times `ratio` minus body_a's at `phase`, so body_a spins `ratio` times as fast."""

    ratio: float
    phase: float = 0.0  # rad

    NUMBERS = ("ratio", "phase")
    PLAIN = False


@dataclass(frozen=True, kw_only=True)
class Ratchet(Jointed):
    """Lets body_b turn against body_a in the direction of `ratchet`, and back at most to the last multiple of it."""

    ratchet: float  # rad, the angle between two clicks
    phase: float = 0.0  # rad

    NUMBERS = ("ratchet", "phase")
    PLAIN = False


@dataclass(frozen=True, kw_only=True)
class Motor(Jointed):
    """Turns body_b against body_a at `spin`, with no more than `torque`; it holds neither in place."""

    spin: float  # rad/s
    torque: float  # kg·px²/s²

    NUMBERS = ("spin", "torque")


@dataclass(frozen=True, kw_only=True)
class Attractor:
    """Pulls every body towards `center` with strength·d / (d² + softening²)^1.5 px/s² at distance d."""

    center: Point  # px
    strength: float  # px³/s²
    softening: float = 0.0  # px

    def __post_init__(self) -> None:
        limits.field(self, ("center",), ("strength", "softening"))


@dataclass(frozen=True, kw_only=True)
class MutualGravity:
    """Every body pulls every other with strength·mass·d / (d² + softening²)^1.5 px/s² at distance d."""

    strength: float  # px³/(kg·s²)
    softening: float = 0.0  # px

    def __post_init__(self) -> None:
        limits.field(self, (), ("strength", "softening"))


@dataclass(frozen=True, kw_only=True)
class Wind:
    """Moving air (or, at velocity 0, still air): drag·2·reach·(velocity - the body's own velocity) kg·px/s².

    Over one step it acts as the exact solution for drag alone: the share 1 - exp(-drag·2·reach/mass·dt) of the
    difference in velocity is lost, so no mass and no step makes it unstable.
    """

    velocity: Point  # px/s
    drag: float  # kg/(s·px)

    def __post_init__(self) -> None:
        limits.field(self, ("velocity",), ("drag",))


Joint = (
    PinJoint
    | PivotJoint
    | Rope
    | Spring
    | Motor
    | SlideJoint
    | GrooveJoint
    | Gear
    | RotaryLimit
    | RotarySpring
    | Ratchet
)
Field = Attractor | MutualGravity | Wind
