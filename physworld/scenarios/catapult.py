"""A lever throws a ball at crates: a falling weight or a stretched spring turns the arm, the floor stops it.

The arm turns on a hinge and lies on a post until it is thrown. Its short end hits the floor, which decides the angle;
a lip, held by two hinges and therefore rigid, keeps the ball from sliding off the long end before that.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, crate_piles, disc, uniform
from physworld.types import FIXED, Body, PivotJoint, Scene, Segment, Spring

CATEGORY = "collision"
# From 3, because arm, lip and ball make a catapult; to 46, because no more crates fit beside it.
COUNTS = {1: (3, 5), 2: (5, 15), 3: (10, 30), 4: (20, 40), 5: (30, 46)}
THICKNESS = 10.0  # px


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, _ = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    long, short, steep = uniform(rng, (130, 180), (60, 85), (0.65, 0.95))
    height = short * math.sin(steep)  # steep: the arm's angle when its short end hits the floor, rad
    hinge = (left + long + float(rng.uniform(15, 40)), bottom + height)
    arm = block(
        (long + short, THICKNESS),
        (hinge[0] + (short - long) / 2, hinge[1]),
        density=float(rng.uniform(0.6, 1.2)),
        friction=0.7,
        restitution=0.1,
    )
    top_face = hinge[1] + THICKNESS / 2
    radius, density, friction, restitution = uniform(rng, (9, 13), (1.2, 3), (0.4, 0.9), (0.1, 0.5))
    lip_size = (8.0, 1.6 * radius)
    lip = block(lip_size, (hinge[0] - long + 4.0, top_face + 0.8 * radius), density=1.0, friction=0.3, restitution=0.1)
    ball = disc(
        radius,
        (hinge[0] - long + 8.0 + radius, top_face + radius),
        density=density,
        friction=friction,
        restitution=restitution,
    )
    post_x = hinge[0] - long * float(rng.uniform(0.5, 0.9))
    post = Segment(start=(post_x, bottom), end=(post_x, hinge[1] - THICKNESS / 2 - 4), radius=4.0, restitution=0.1)
    bodies: list[Body] = [arm, lip, ball]
    tip = -(long + short) / 2 + 4.0  # px, the lip's middle along the arm
    joints: list[PivotJoint | Spring] = [
        PivotJoint(body_a=FIXED, body_b=0, anchor_a=hinge, anchor_b=((long - short) / 2, 0.0)),
        *(
            PivotJoint(
                body_a=0,
                body_b=1,
                anchor_a=(tip, THICKNESS / 2 + rise),
                anchor_b=(0.0, rise - lip_size[1] / 2),
            )
            for rise in (0.0, lip_size[1])
        ),
    ]
    by_spring = count < 4 or chance(rng, 0.4)
    if by_spring:
        stretch = float(rng.uniform(0.3, 0.7))  # the spring's own length over its length at the start
        end = (hinge[0] + short - 4, bottom + 2.0)
        joints.append(
            Spring(
                body_a=FIXED,
                body_b=0,
                anchor_a=end,
                anchor_b=((long + short) / 2 - 4, 0.0),
                length=stretch * (height - 2.0),
                stiffness=float(rng.uniform(500, 1300)),
                damping=float(rng.uniform(0.0, 2.0)),
            )
        )
    else:
        weight, drop = uniform(rng, (16, 22), (5, 90))
        bodies.append(
            disc(
                weight,
                (hinge[0] + short - weight * float(rng.uniform(0.6, 1.2)), top_face + weight + drop),
                density=float(rng.uniform(7, 12)),
                friction=0.6,
                restitution=float(rng.uniform(0.0, 0.2)),
            )
        )
    crates = count - len(bodies)
    bodies += crate_piles(
        rng,
        crates,
        left=hinge[0] + short + float(rng.uniform(60, 130)),
        right=right,
        floor=bottom,
        widest=26.0 if crates > 14 else 44.0,
    )
    how = "spring" if by_spring else "falling weight"
    scene = Scene(
        name="catapult",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Catapult: a {how} throws a ball from a lever at crates ({crates}).",
        bodies=tuple(bodies),
        static=(*room.walls, post),
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)
