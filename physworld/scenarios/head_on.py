"""Balls that run at each other in lanes: momentum exchange between unequal masses, floating or on a floor.

On a floor (difficulty 1 and 2) there is one lane, so at most 8 balls."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, disc_mass, draw_count, draw_room, maybe_mirrored
from physworld.types import Body, Scene

CATEGORY = "collision"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    on_floor = difficulty <= 2 and chance(rng, 0.4)
    room = draw_room(rng, friction=(0.1, 0.8), restitution=(0.6, 1.0))
    left, right, bottom, top = room.inner
    count = min(draw_count(rng, difficulty), 8 if on_floor else 50)
    lanes = 1 if on_floor else max(1, math.ceil(count / rng.uniform(2, 5.5)))
    lane_height = (top - bottom) / lanes
    largest = min(28.0, lane_height / 2 - 4)
    bodies: list[Body] = []
    for lane in range(lanes):
        share = count // lanes + (1 if lane < count % lanes else 0)
        slot = (right - left) / share
        split = share // 2 if share % 2 == 0 or chance(rng, 0.5) else share // 2 + 1
        for place in range(share):
            radius = float(rng.uniform(min(10.0, largest), largest))
            margin = slot / 2 - radius - 1
            x = left + slot * (place + 0.5) + float(rng.uniform(-margin, margin))
            y = bottom + radius
            if not on_floor:
                # Off the lane's middle by up to a ball's radius, so that many hits are oblique.
                off = min(lane_height / 2 - radius - 1, radius)
                y = bottom + lane_height * (lane + 0.5) + float(rng.uniform(-off, off))
            speed = float(rng.uniform(60, 450)) * (1 if place < split else -1)
            rolls = on_floor and chance(rng, 0.5)
            bodies.append(
                Body(
                    shape="circle",
                    size=(radius,),
                    position=(x, y),
                    velocity=(speed, 0.0),
                    spin=-speed / radius if rolls else 0.0,
                    mass=disc_mass(radius, float(rng.uniform(1, 8))),
                    friction=float(rng.uniform(0.0, 0.7)),
                    restitution=float(rng.uniform(0.6, 1.0)),
                )
            )
    where = "on a floor" if on_floor else "in a box without gravity"
    scene = Scene(
        name="head_on",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Head-on: {count} balls run at each other {where}.",
        bodies=tuple(bodies),
        static=room.walls,
        gravity=(0.0, -981.0) if on_floor else (0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)
