"""The same world turned: whatever is right physics stays so, because gravity, walls and joints turn with the bodies."""

from __future__ import annotations

import math
from dataclasses import replace

from physworld.types import (
    FIXED,
    Anchored,
    Attractor,
    Body,
    Field,
    Gear,
    GrooveJoint,
    Joint,
    Peg,
    Point,
    Ratchet,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    Wind,
)


def turned(scene: Scene, angle: float) -> Scene:
    """A scene turned by `angle` (rad, to the left) about the middle of its canvas."""
    cos, sin = math.cos(angle), math.sin(angle)
    middle = scene.canvas[0] / 2, scene.canvas[1] / 2

    def way(vector: Point) -> Point:
        return cos * vector[0] - sin * vector[1], sin * vector[0] + cos * vector[1]

    def place(point: Point) -> Point:
        x, y = way((point[0] - middle[0], point[1] - middle[1]))
        return x + middle[0], y + middle[1]

    def body(one: Body) -> Body:
        return replace(one, position=place(one.position), velocity=way(one.velocity), angle=one.angle + angle)

    def part(shape: Segment | Peg) -> Segment | Peg:
        if isinstance(shape, Peg):
            return replace(shape, center=place(shape.center))
        side = None if shape.one_way is None else way(shape.one_way)
        return replace(shape, start=place(shape.start), end=place(shape.end), one_way=side)

    def joint(one: Joint) -> Joint:
        if isinstance(one, Gear):  # ratio·b - a = phase; body_a turns too, but for the world
            return replace(one, phase=one.phase + (one.ratio - (one.body_a != FIXED)) * angle)
        if one.body_a != FIXED:
            return one
        match one:  # body_b turns against the world, whose angle stays 0
            case GrooveJoint():
                return replace(one, groove_start=place(one.groove_start), groove_end=place(one.groove_end))
            case Ratchet():
                return replace(one, phase=one.phase + angle)
            case RotaryLimit():
                return replace(one, lowest=one.lowest + angle, highest=one.highest + angle)
            case RotarySpring():
                return replace(one, rest_angle=one.rest_angle - angle)
            case Anchored():
                return replace(one, anchor_a=place(one.anchor_a))
        return one

    def field(one: Field) -> Field:
        match one:
            case Attractor():
                return replace(one, center=place(one.center))
            case Wind():
                return replace(one, velocity=way(one.velocity))
        return one

    return replace(
        scene,
        bodies=tuple(map(body, scene.bodies)),
        static=tuple(map(part, scene.static)),
        joints=tuple(map(joint, scene.joints)),
        fields=tuple(map(field, scene.fields)),
        gravity=way(scene.gravity),
    )
