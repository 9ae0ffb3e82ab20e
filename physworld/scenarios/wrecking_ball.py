"""A heavy ball on a rod or a rope swings into piles of blocks: pendulum energy spent on collisions.

A rope may start slack; then the ball falls freely until it is taut.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, disc, uniform
from physworld.types import FIXED, Body, PinJoint, Rope, Scene

CATEGORY = "constraint"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.5, 1.0), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    blocks = count - 1
    piles = max(1, round(blocks / float(rng.uniform(7, 13))))
    # The swing's lowest point, above the floor: low enough to meet even a single block.
    radius, density, lean, height = uniform(
        rng, (20, 30), (6, 12), (0.8, 1.45), (4, max(6, min(60, 14 * blocks / piles)))
    )
    pivot = (float(rng.uniform(330, 400)), top - float(rng.uniform(5, 40)))
    length = min(pivot[1] - bottom - radius - height, pivot[0] - left - radius - 4)
    roped = chance(rng, 0.4)
    reach = length * (float(rng.uniform(0.8, 1.0)) if roped else 1.0)
    ball = disc(
        radius,
        (pivot[0] - reach * math.sin(lean), pivot[1] - reach * math.cos(lean)),
        density=density,
        friction=0.5,
        restitution=float(rng.uniform(0.1, 0.5)),
    )
    rope = (
        Rope(body_a=FIXED, body_b=0, anchor_a=pivot, length=length)
        if roped
        else PinJoint(body_a=FIXED, body_b=0, anchor_a=pivot, length=length)
    )
    bodies: list[Body] = [ball]
    # The first pile stands where the ball, on its way up again, still has most of its speed.
    face = pivot[0] + length * math.sin(float(rng.uniform(0.0, 0.12 if blocks < 4 else 0.35))) + radius
    pitch = min((right - 10 - face) / piles, float(rng.uniform(60, 110)))
    for pile in range(piles):
        share = blocks // piles + (1 if pile < blocks % piles else 0)
        storey, slender, heavy, friction, restitution = uniform(
            rng, (18, min(34, 400 / max(share, 1))), (1.3, 2.4), (0.8, 2.5), (0.4, 0.9), (0.0, 0.3)
        )
        width = min(storey * slender, pitch - 8)
        wobble = 0.05 * width
        bodies += [
            block(
                (width, storey),
                (
                    face + 6 + pitch * pile + width / 2 + float(rng.uniform(-wobble, wobble)),
                    bottom + storey * (place + 0.5),
                ),
                density=heavy,
                friction=friction,
                restitution=restitution,
            )
            for place in range(share)
        ]
    scene = Scene(
        name="wrecking_ball",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Wrecking ball: {ball.mass:.0f} kg on a {'rope' if roped else 'rod'}, "
        f"{counted(blocks, 'block')} in {counted(piles, 'pile')}.",
        bodies=tuple(bodies),
        static=room.walls,
        joints=(rope,),
    )
    return maybe_mirrored(rng, scene)
