"""Helpers that several scenario files share: counts, rooms, bodies, placing without overlap, mirroring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from physworld.errors import counted as counted  # for a scene's sentence
from physworld.types import (
    EVERYTHING,
    FIXED,
    Attractor,
    Body,
    Field,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
    MutualGravity,
    Part,
    Peg,
    Point,
    Ratchet,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    Wind,
)

# Objects per difficulty on the model card: 2-5, 5-15, 10-30, 20-40, 30-50+.
CARD_COUNTS = {1: (2, 5), 2: (5, 15), 3: (10, 30), 4: (20, 40), 5: (30, 50)}


def draw_count(rng: np.random.Generator, difficulty: int, ranges: dict[int, tuple[int, int]] | None = None) -> int:
    """How many bodies, uniform over the difficulty's range."""
    low, high = (ranges or CARD_COUNTS)[difficulty]
    return int(rng.integers(low, high + 1))


def chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def disc_mass(radius: float, density: float) -> float:
    """kg, from kg per 1000 px² (a ball of radius 15 px and density 2 weighs 1.4 kg), kept in 0.5-20."""
    return min(max(density * math.pi * radius**2 / 1000, 0.5), 20.0)


def rect_mass(width: float, height: float, density: float) -> float:
    """kg, from kg per 1000 px², kept in 0.5-20."""
    return min(max(density * width * height / 1000, 0.5), 20.0)


@dataclass(frozen=True, kw_only=True)
class Room:
    """Walls on the canvas's edge. The four lines are the wall's middle; `inner` is where bodies may be.

    Walls are thick (radius 5-8) because Chipmunk lets a disc through as soon as its centre crosses the middle line in
    one frame: a disc is safe below (disc radius + wall radius)·60 px/s.
    """

    left: float  # px
    right: float  # px
    floor: float  # px
    top: float  # px
    radius: float  # px
    friction: float
    restitution: float
    closed: bool  # whether there is a ceiling

    @property
    def inner(self) -> tuple[float, float, float, float]:
        """left, right, bottom, top of the free space, px."""
        return self.left + self.radius, self.right - self.radius, self.floor + self.radius, self.top - self.radius

    @property
    def walls(self) -> tuple[Segment, ...]:
        lines = [
            ((self.left, self.floor), (self.right, self.floor)),
            ((self.left, self.floor), (self.left, self.top)),
            ((self.right, self.floor), (self.right, self.top)),
        ]
        if self.closed:
            lines.append(((self.left, self.top), (self.right, self.top)))
        return tuple(
            Segment(start=start, end=end, radius=self.radius, friction=self.friction, restitution=self.restitution)
            for start, end in lines
        )


def draw_room(
    rng: np.random.Generator,
    *,
    friction: tuple[float, float],
    restitution: tuple[float, float],
    closed: bool = True,
    squeeze: float = 40.0,
    radius: tuple[float, float] = (5.0, 8.0),
) -> Room:
    """A room close to the canvas (10..790 × 50..590), each side moved inwards by up to `squeeze` px.

    Small or fast bodies want thicker walls, see `Room`; what is more than 8 px of radius grows outwards.
    """
    left, right, floor, top = rng.uniform(0, squeeze, 4).tolist()
    thickness = float(rng.uniform(*radius))
    out = max(0.0, thickness - 8)
    return Room(
        left=10 + left - out,
        right=790 - right + out,
        floor=50 + floor / 2 - out,
        top=590 - (top if closed else 0) + out,
        radius=thickness,
        friction=float(rng.uniform(*friction)),
        restitution=float(rng.uniform(*restitution)),
        closed=closed,
    )


def is_clear(body: Body, others: Sequence[Body], gap: float = 0.0) -> bool:
    """Whether the circle around `body` keeps `gap` px from the circles around `others`."""
    return all(math.dist(body.position, other.position) >= body.reach + other.reach + gap for other in others)


def turned(point: Point, angle: float) -> Point:
    """`point` turned about the origin."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * point[0] - sin * point[1], sin * point[0] + cos * point[1]


def maybe_mirrored(rng: np.random.Generator, scene: Scene) -> Scene:
    """The scene or, half of the time, its mirror image about the canvas's vertical middle line."""
    return mirrored(scene) if chance(rng, 0.5) else scene


def mirrored(scene: Scene) -> Scene:
    """Left and right exchanged, in bodies, walls, joints, fields and gravity."""
    width = scene.canvas[0]

    def flip(point: Point) -> Point:
        return width - point[0], point[1]

    def turn(vector: Point) -> Point:
        return -vector[0], vector[1]

    def outline(vertices: tuple[Point, ...]) -> tuple[Point, ...]:
        return tuple(turn(corner) for corner in reversed(vertices))  # still counter-clockwise

    def piece(part: Part) -> Part:
        return replace(part, vertices=outline(part.vertices), at=turn(part.at), angle=-part.angle)

    def body(b: Body) -> Body:  # `replace` takes three times as long, and this is called for most bodies there are
        if b.vertices or b.parts or b.sensor or b.kind != "dynamic" or b.filter is not EVERYTHING:
            moved = replace(b, position=flip(b.position), velocity=turn(b.velocity), angle=-b.angle, spin=-b.spin)
            return replace(moved, vertices=outline(b.vertices), parts=tuple(map(piece, b.parts)))
        return Body(
            shape=b.shape,
            size=b.size,
            position=flip(b.position),
            velocity=turn(b.velocity),
            angle=-b.angle,
            spin=-b.spin,
            mass=b.mass,
            friction=b.friction,
            restitution=b.restitution,
        )

    def wall(part: Segment | Peg) -> Segment | Peg:
        if isinstance(part, Segment):
            side = None if part.one_way is None else turn(part.one_way)
            return replace(part, start=flip(part.start), end=flip(part.end), one_way=side)
        return replace(part, center=flip(part.center))

    def link(joint: Joint) -> Joint:
        at_a = flip if joint.body_a == FIXED else turn
        match joint:
            case Motor():
                return replace(joint, spin=-joint.spin)
            case Gear():
                return replace(joint, phase=-joint.phase)
            case Ratchet():
                return replace(joint, phase=-joint.phase, ratchet=-joint.ratchet)
            case RotaryLimit():
                return replace(joint, lowest=-joint.highest, highest=-joint.lowest)
            case RotarySpring():
                return replace(joint, rest_angle=-joint.rest_angle)
            case GrooveJoint():
                start, end = at_a(joint.groove_start), at_a(joint.groove_end)
                return replace(joint, groove_start=start, groove_end=end, anchor_b=turn(joint.anchor_b))
        return replace(joint, anchor_a=at_a(joint.anchor_a), anchor_b=turn(joint.anchor_b))

    def field(part: Field) -> Field:
        match part:
            case Attractor():
                return replace(part, center=flip(part.center))
            case Wind():
                return replace(part, velocity=turn(part.velocity))
            case MutualGravity():
                return part

    return replace(
        scene,
        bodies=tuple(body(b) for b in scene.bodies),
        static=tuple(wall(part) for part in scene.static),
        joints=tuple(link(joint) for joint in scene.joints),
        fields=tuple(field(part) for part in scene.fields),
        gravity=turn(scene.gravity),
    )
