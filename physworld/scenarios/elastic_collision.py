"""Lossless, frictionless hits in lanes without gravity: momentum and energy alone decide, at mass ratios up to 16.

Masses do not follow sizes here, so that nobody can read one off the other.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import uniform
from physworld.types import Body, Scene

CATEGORY = "collision"
RATIOS = (0.25, 0.5, 1.0, 1.0, 2.0, 4.0)


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.0), restitution=(1.0, 1.0), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    lanes = max(1, math.ceil(count / float(rng.uniform(2, 5.5))))
    lane_height = (top - bottom) / lanes
    largest = min(26.0, lane_height / 2 - 3)
    mass = float(rng.uniform(2, 5))
    central = chance(rng, 0.6)  # all on one line, or oblique
    bodies: list[Body] = []
    for lane in range(lanes):
        share = count // lanes + (1 if lane < count % lanes else 0)
        slot = (right - left) / share
        target = chance(rng, 0.5)  # one striker and bodies at rest, or all moving
        middle = bottom + lane_height * (lane + 0.5)
        square = chance(rng, 0.2)
        for place in range(share):
            radius = float(rng.uniform(min(9.0, largest), min(largest, slot / 2 - 2)))
            spare = slot / 2 - radius - 1
            off = 0.0 if central else min(lane_height / 2 - radius - 1, 0.8 * radius)
            aside, shift, speed = uniform(rng, (-spare, spare), (-off, off), (80, 340))
            pace = speed * (1 if place < share / 2 else -1)
            if target and place:
                pace = 0.0
            bodies.append(
                Body(
                    shape="rect" if square else "circle",
                    size=(1.4 * radius, 1.4 * radius) if square else (radius,),
                    position=(left + slot * (place + 0.5) + aside, middle + shift),
                    velocity=(pace, 0.0),
                    mass=mass * float(rng.choice(RATIOS)),
                    friction=0.0,
                    restitution=1.0,
                )
            )
    scene = Scene(
        name="elastic_collision",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Elastic collision: {count} bodies of different mass in {counted(lanes, 'lane')}, all lossless.",
        bodies=tuple(bodies),
        static=room.walls,
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)
