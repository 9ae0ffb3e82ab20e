"""Dominos down a staircase, a ball at its foot, dominos back along the floor into a heap: one push starts it all."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, crate_piles, disc, toppled, uniform
from physworld.types import Body, Scene, Segment

CATEGORY = "complex"
STEPS = {1: (1, 2), 2: (2, 4), 3: (3, 5), 4: (4, 7), 5: (5, 8)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.6, 1.0), restitution=(0.0, 0.3), squeeze=15, radius=(16.0, 20.0))
    left, right, bottom, _ = room.inner
    count = draw_count(rng, difficulty)
    returning = difficulty >= 3  # a second row runs back under the stairs
    below = round(count * float(rng.uniform(0.3, 0.45))) if returning else 0
    crates = min(below // 3, 6)
    stairs = count - below - 1
    steps = min(int(rng.integers(STEPS[difficulty][0], STEPS[difficulty][1] + 1)), max(1, stairs))
    run = right - left - 110.0
    pitch = min(float(rng.uniform(30, 44)), run / stairs)
    height = pitch * float(rng.uniform(1.6, 2.2))
    width = max(3.5, height * 0.13)
    drop = min(height * float(rng.uniform(0.25, 0.6)), 200.0 / steps)
    base = bottom + (2.2 * height + 45 if returning else 0.0)
    begin = (
        left + float(rng.uniform(0.2, 1.0)) * (run - pitch * stairs) if not returning else right - 95 - pitch * stairs
    )
    density, friction, restitution = uniform(rng, (2, 4), (0.3, 0.7), (0.0, 0.2))
    surface: Matter = {"density": density, "friction": friction, "restitution": restitution}
    walls = list(room.walls)
    bodies: list[Body] = []
    placed = 0
    for step in range(steps):
        share = stairs // steps + (1 if step < stairs % steps else 0)
        floor = base + drop * (steps - 1 - step)
        start, end = begin + pitch * placed, begin + pitch * (placed + share)
        if floor > bottom + 1:
            # Its end lies just past its last domino, so that this one falls over the edge onto the next step.
            start_x = max(room.left, start - 40) if step == 0 else start - 0.45 * pitch
            walls.append(
                Segment(start=(start_x, floor - 4), end=(end - 0.45 * pitch, floor - 4), radius=4.0, friction=0.8)
            )
        bodies += [
            block((width, height), (start + pitch * (place + 0.25), floor + height / 2), **surface)
            for place in range(share)
        ]
        placed += share
    bodies[0] = toppled(bodies[0], float(rng.uniform(1.3, 2.5)))
    radius = float(rng.uniform(9, 13))
    foot = begin + pitch * (stairs + 0.05) + radius
    bodies.append(disc(radius, (foot, base + radius), density=6.0, friction=0.4, restitution=0.2))
    if returning:
        # The ball's ledge ends behind it; it falls into the well and a ramp sends it back along the floor.
        ledge = walls[-1]
        walls[-1] = Segment(start=ledge.start, end=(foot + 2, ledge.end[1]), radius=4.0, friction=0.8)
        walls.append(
            Segment(start=(room.right, bottom + 0.9 * (base - bottom)), end=(right - 60, bottom - 2), radius=4.0)
        )
        back = below - crates
        back_pitch = min(pitch, (right - 190 - left) / max(back + 2, 1))
        bodies += [
            block((width, height), (right - 95 - back_pitch * place, bottom + height / 2), **surface)
            for place in range(back)
        ]
        heap = right - 95 - back_pitch * back
        if crates:
            bodies += crate_piles(
                rng, crates, left=max(left + 4, heap - 120), right=heap - 10, floor=bottom, widest=24.0
            )
    scene = Scene(
        name="chain_reaction",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Chain reaction: {counted(count - crates - 1, 'domino')}, {counted(steps, 'step')}, a ball, "
        f"{counted(crates, 'crate')}.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)
