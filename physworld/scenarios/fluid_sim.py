"""A dam breaks: a column of smooth small balls collapses and runs over steps, posts and sills like a liquid.

A few balls are no liquid, so counts start above the card's.
"""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import disc, spots, uniform
from physworld.types import Peg, Scene, Segment

CATEGORY = "complex"
COUNTS = {1: (5, 9), 2: (9, 16), 3: (15, 30), 4: (25, 40), 5: (36, 50)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.15), restitution=(0.0, 0.3), radius=(16.0, 20.0))
    left, right, bottom, _ = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    radius, friction, restitution, density, across = uniform(
        rng, (9, 13 if count > 20 else 17), (0.0, 0.05), (0.0, 0.25), (1, 3), (0.12, 0.35)
    )
    columns = max(2, round((across * count) ** 0.5 * 1.2))
    pitch = 2 * radius + 0.5
    rows = -(-count // columns)
    ledge = float(rng.uniform(0, 120)) if chance(rng, 0.5) else 0.0  # px, the column may stand on a step
    walls: list[Segment | Peg] = [*room.walls]
    base = bottom
    if ledge > 25:
        base = bottom + ledge
        edge = left + pitch * columns + float(rng.uniform(4, 60))
        for start, end in (((room.left, base - 8), (edge, base - 8)), ((edge, base - 8), (edge, bottom))):
            walls.append(Segment(start=start, end=end, radius=8.0, friction=0.05, restitution=0.1))
    bodies = []
    box = (left + 1, left + 1 + pitch * columns + 0.01, base, base + pitch * (rows + 0.01))
    for x, y in spots(rng, box, count, radius, gap=0.5, packed=True):
        # Every second row shifted, as a heap of balls settles; the jitter keeps it from standing on its points.
        row = round((y - base) / pitch - 0.5)
        shift = (0.45 if row % 2 else 0.0) * radius + float(rng.uniform(0.0, 0.2))
        size = float(rng.uniform(0.96, 1.0)) * radius
        bodies.append(disc(size, (x + shift, y), density=density, friction=friction, restitution=restitution))
    first = left + pitch * (columns + 2) + (80 if ledge > 25 else 20)
    for _ in range(int(rng.integers(0, 5))):
        x, height, size = uniform(rng, (first, right - 30), (20, 120), (14, 34))
        if chance(rng, 0.5):
            walls.append(Segment(start=(x, bottom), end=(x, bottom + height / 2), radius=5.0, friction=0.05))
        else:
            walls.append(Peg(center=(x, bottom + height), radius=size, friction=0.05, restitution=0.1))
    scene = Scene(
        name="fluid_sim",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Fluid: a column of {count} smooth balls collapses and flows past {counted(len(walls) - 4, 'obstacle')}.",
        bodies=tuple(bodies),
        static=tuple(walls),
        gravity=(0.0, -981.0),
    )
    return maybe_mirrored(rng, scene)
