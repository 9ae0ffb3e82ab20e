"""Rows of dominos on shelves that wind down, as a spiral seen from the side; a ball carries the fall from row to row.

Each row's last domino pushes a ball off its shelf; a ramp turns the ball round and rolls it into the next row.
"""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, toppled, uniform
from physworld.types import Body, Scene, Segment

CATEGORY = "stacking"
TURNS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
WELL = 62.0  # px between a shelf's end and the wall, where the ball falls


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.6, 1.0), restitution=(0.0, 0.3), squeeze=15, radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    rows = TURNS[difficulty]
    storey = (top - bottom) / rows
    walls = list(room.walls)
    bodies: list[Body] = []
    height = min(float(rng.uniform(44, 64)), 0.5 * storey)
    width = height * float(rng.uniform(0.12, 0.17))
    density, friction, restitution = uniform(rng, (2, 4), (0.3, 0.7), (0.0, 0.2))
    # Large and close enough that a leaning domino pushes the ball's side instead of landing on it.
    radius, ball_density, ball_friction = uniform(rng, (0.28 * height, 0.35 * height), (1.5, 3), (0.1, 0.4))
    for row in range(rows):
        onward = 1 if row % 2 == 0 else -1  # the way the fall travels
        floor = bottom + storey * (rows - 1 - row)
        begin, end = (left, right - WELL) if onward > 0 else (right, left + WELL)
        last = row == rows - 1
        if not last:
            edge = room.left if onward > 0 else room.right
            walls.append(Segment(start=(edge, floor - 5), end=(end, floor - 5), radius=5.0, friction=0.8))
        if row:  # the ramp under the well above: what falls on it rolls onward
            edge = room.left if onward > 0 else room.right
            walls.append(
                Segment(
                    start=(edge, floor + 0.38 * storey),
                    end=(begin + onward * (WELL - 8), floor - 2),
                    radius=4.0,
                    friction=0.6,
                    restitution=0.1,
                )
            )
        share = count // rows + (1 if row < count % rows else 0)
        dominos = share if last else share - 1
        start = begin + onward * (WELL + 14 if row else 60)
        stop = end - onward * (4 if last else 1.3 * radius + 2 + width / 2)
        pitch = min(float(rng.uniform(0.42, 0.62)) * height, abs(stop - start) / dominos)
        first = stop - onward * pitch * (dominos - 1) if not last else start + onward * pitch
        surface: Matter = {"density": density, "friction": friction, "restitution": restitution}
        line = [
            block((width, height), (first + onward * pitch * place, floor + height / 2), **surface)
            for place in range(dominos)
        ]
        if not row and line:
            line[0] = toppled(line[0], float(rng.uniform(1.3, 2.5)))
        bodies += line
        if not last:
            bodies.append(
                disc(
                    radius,
                    (end - onward * 0.3 * radius, floor + radius),
                    density=ball_density,
                    friction=ball_friction,
                    restitution=0.2,
                )
            )
    scene = Scene(
        name="domino_spiral",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Domino spiral: {count} dominos and balls on {rows} winding shel{'ves' if rows > 1 else 'f'}.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)
