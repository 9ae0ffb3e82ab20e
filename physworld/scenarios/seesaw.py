"""Planks on hinges and bodies that fall on both their arms: torque, and what one side does to the other."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, fitting, spots, uniform
from physworld.types import FIXED, Body, PivotJoint, Scene, Segment

CATEGORY = "constraint"
SEESAWS = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 3), 5: (2, 4)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    planks = min(int(rng.integers(SEESAWS[difficulty][0], SEESAWS[difficulty][1] + 1)), count // 2)
    slot = (right - left) / planks
    walls = list(room.walls)
    bodies: list[Body] = []
    joints: list[PivotJoint] = []
    for plank in range(planks):
        middle = left + slot * (plank + 0.5)
        length = min(slot - 30, float(rng.uniform(170, 380)))
        height, thickness, density, uneven = uniform(rng, (40, 90), (9, 13), (0.6, 1.5), (-0.12, 0.12))
        hinge = (middle + uneven * length, bottom + height)
        joints.append(PivotJoint(body_a=FIXED, body_b=len(bodies), anchor_a=hinge, anchor_b=(uneven * length, 0.0)))
        bodies.append(
            block((length, thickness), (middle, bottom + height), density=density, friction=0.7, restitution=0.2)
        )
        # The post ends 1 px below the plank, which keeps that distance from its hinge however it turns.
        walls.append(Segment(start=(hinge[0], bottom), end=(hinge[0], hinge[1] - thickness / 2 - 5), radius=4.0))
        share = (count - planks) // planks + (1 if plank < (count - planks) % planks else 0)
        box = (middle - length / 2 + 4, middle + length / 2 - 4, bottom + height + thickness / 2 + 4, top)
        reach = fitting(box, share, 22.0)
        heavy = float(rng.uniform(0.2, 5))  # density on the left arm over that on the right
        for x, y in spots(rng, box, share, reach):
            size, dense, friction, restitution = uniform(rng, (0.6, 1), (1, 2.5), (0.3, 0.9), (0.0, 0.4))
            surface: Matter = {
                "density": dense * (heavy if x < hinge[0] else 1.0),
                "friction": friction,
                "restitution": restitution,
            }
            if chance(rng, 0.5):
                side = 1.4 * size * reach
                bodies.append(block((side, side), (x, y), **surface))
            else:
                bodies.append(disc(size * reach, (x, y), **surface))
    scene = Scene(
        name="seesaw",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Seesaw: {counted(count - planks, 'body', 'bodies')} dropped on {counted(planks, 'hinged plank')}.",
        bodies=tuple(bodies),
        static=tuple(walls),
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)
