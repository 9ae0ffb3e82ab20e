"""Marbles leave a hopper one by one and run down curved tracks that turn back and forth to the floor."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import disc, fitting, path, spots, uniform
from physworld.types import Scene

CATEGORY = "ramp"
TRACKS = {1: (2, 3), 2: (2, 3), 3: (2, 4), 4: (3, 4), 5: (3, 4)}
PIECES = 6  # straight walls in one curved track


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.2, 0.5), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    tracks = int(rng.integers(TRACKS[difficulty][0], TRACKS[difficulty][1] + 1))
    hopper = 46.0 + 1.6 * count  # px of height for the hopper
    box = (left + 6, left + 250, top - hopper, top - 2)
    reach = fitting(box, count, 13.0, slack=1.5)
    density, friction, restitution = uniform(rng, (1.5, 6), (0.2, 0.7), (0.1, 0.5))
    bodies = [
        disc(reach * float(rng.uniform(0.85, 1.0)), place, density=density, friction=friction, restitution=restitution)
        for place in spots(rng, box, count, reach)
    ]
    mouth = 2 * reach * float(rng.uniform(1.9, 2.8))
    spout = (left + float(rng.uniform(60, 140)), top - hopper - 60)
    walls = [
        *room.walls,
        *path([(room.left, top - hopper - 10), spout], radius=4.0, friction=0.3, restitution=0.2),
        *path(
            [(spout[0] + mouth + 8, spout[1]), (left + 256, top - hopper - 10), (left + 256, top)],
            radius=4.0,
            friction=0.3,
            restitution=0.2,
        ),
    ]
    hole = 2 * reach + float(rng.uniform(26, 40))
    shelf = (spout[1] - 12 - bottom) / tracks
    for track in range(tracks):
        onward = 1 if track % 2 == 0 else -1
        dip, fall, wall_friction = uniform(rng, (0.0, 0.25), (0.6, 0.95), (0.2, 0.8))
        begin, end = (left, right - hole) if onward > 0 else (right, left + hole)
        high = spout[1] - 12 - shelf * track - 2 * reach
        drop = fall * (shelf - 2 * reach - 12)
        points = [
            (
                begin + (end - begin) * k / PIECES,
                # downhill, and sagging in the middle so that a marble gathers speed and climbs out again
                high - drop * k / PIECES - dip * drop * math.sin(math.pi * k / PIECES),
            )
            for k in range(PIECES + 1)
        ]
        walls += path(points, radius=5.0, friction=wall_friction, restitution=0.2)
    scene = Scene(
        name="marble_run",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Marble run: {count} marbles from a hopper down {tracks} curved tracks.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)
