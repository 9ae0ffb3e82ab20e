"""Balls drop through a regular lattice of pegs into bins: many glancing bounces, each of which decides the next."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import disc, fitting, spots, uniform
from physworld.types import Peg, Scene, Segment

CATEGORY = "ramp"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.2, 0.7), restitution=(0.2, 0.6), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    largest = 11.0 if count <= 15 else 7.0
    peg_radius, peg_restitution, peg_friction, center = uniform(rng, (4, 9), (0.3, 0.8), (0.1, 0.6), (340, 460))
    columns = int(rng.integers(6, 10))
    pitch = (right - left) / columns
    pitch = max(pitch, 2 * (peg_radius + largest) + 8)
    rows = int(rng.integers(4, 8))
    highest, lowest = top - 90, bottom + 110
    pegs = []
    for row in range(rows):
        y = highest - (highest - lowest) * row / (rows - 1)
        x = left + pitch * (0.5 if row % 2 else 1.0)
        while x < right - peg_radius - 4:
            if x > left + peg_radius + 4:
                pegs.append(Peg(center=(x, y), radius=peg_radius, friction=peg_friction, restitution=peg_restitution))
            x += pitch
    dividers = [
        Segment(start=(left + pitch * bin_, bottom), end=(left + pitch * bin_, bottom + 60), radius=3.0)
        for bin_ in range(1, int((right - left) / pitch) + 1)
        if left + pitch * bin_ < right - 2 * largest - 4
    ]
    chute = max(45.0, 2.4 * largest * (1 + count / 8))
    box = (center - chute, center + chute, highest + peg_radius + 8, top - 2)
    reach = fitting(box, count, largest, slack=1.15)
    density, friction, restitution = uniform(rng, (1, 5), (0.1, 0.6), (0.3, 0.8))
    bodies = [
        disc(
            reach * float(rng.uniform(0.85, 1.0)),
            place,
            density=density,
            friction=friction,
            restitution=restitution,
            velocity=(float(rng.normal(0, 20)), 0.0),
        )
        for place in spots(rng, box, count, reach)
    ]
    scene = Scene(
        name="plinko",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Plinko: {count} balls drop through {len(pegs)} pegs into {len(dividers) + 1} bins.",
        bodies=tuple(bodies),
        static=(*room.walls, *pegs, *dividers),
    )
    return maybe_mirrored(rng, scene)
