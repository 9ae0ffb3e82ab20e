"""Equal balls on rods, side by side, one or more lifted: a blow passes through balls that hardly move.

2-9 balls, because more do not fit the picture; difficulty adds balls, lifted balls and lifting on both sides.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, disc_mass, draw_count, draw_room, maybe_mirrored
from physworld.types import FIXED, Body, PinJoint, Scene

CATEGORY = "constraint"
COUNTS = {1: (2, 3), 2: (3, 4), 3: (4, 6), 4: (5, 7), 5: (6, 9)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.9), restitution=(0.3, 0.7))
    count = draw_count(rng, difficulty, COUNTS)
    radius = float(rng.uniform(12, 24))
    length = float(rng.uniform(150, 300))
    gap = float(rng.uniform(0.0, 0.5))
    height = float(rng.uniform(430, 530))
    mass, friction = disc_mass(radius, float(rng.uniform(1, 6))), float(rng.uniform(0.0, 0.3))
    restitution = float(rng.uniform(0.9, 1.0))

    pitch = 2 * radius + gap
    start_x = 400 - pitch * (count - 1) / 2 + float(rng.normal(0, 20))
    lifted = int(rng.integers(1, max(2, count // 2 + 1)))
    lifted_right = int(rng.integers(0, count - lifted)) if difficulty >= 4 and chance(rng, 0.5) else 0
    # Neighbours lifted by one angle keep their distance; a lifted group only moves away from those at rest.
    pivots = [(start_x + pitch * place, height) for place in range(count)]
    left, right, _, _ = room.inner
    rooms = (
        start_x - left - radius - 2,
        right - pivots[-1][0] - radius - 2,
    )  # px by which the outer balls may be lifted
    lift_left, lift_right = (min(float(rng.uniform(0.3, 1.1)), math.asin(min(1.0, space / length))) for space in rooms)
    angles = [-lift_left] * lifted + [0.0] * (count - lifted - lifted_right) + [lift_right] * lifted_right
    bodies = tuple(
        Body(
            shape="circle",
            size=(radius,),
            position=(pivot[0] + length * math.sin(angle), pivot[1] - length * math.cos(angle)),
            mass=mass,
            friction=friction,
            restitution=restitution,
        )
        for pivot, angle in zip(pivots, angles, strict=True)
    )
    rods = tuple(PinJoint(body_a=FIXED, body_b=i, anchor_a=pivot, length=length) for i, pivot in enumerate(pivots))
    scene = Scene(
        name="newtons_cradle",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Newton's cradle: {count} balls on rods, {lifted + lifted_right} lifted.",
        bodies=bodies,
        static=room.walls,
        joints=rods,
    )
    return maybe_mirrored(rng, scene)
