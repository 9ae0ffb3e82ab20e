"""Cue ball into a rack on a table without gravity: momentum passed on between many equal discs, and cushions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.types import Body, Scene

CATEGORY = "collision"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.1), restitution=(0.8, 1.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty) - 1
    radius = float(rng.uniform(11, 16) if count <= 15 else rng.uniform(9, 11.5))
    ball = Body(
        shape="circle",
        size=(radius,),
        position=(0.0, 0.0),
        mass=float(rng.uniform(0.5, 2.5)),
        friction=float(rng.uniform(0.0, 0.1)),
        restitution=float(rng.uniform(0.85, 1.0)),
    )
    gap = float(rng.uniform(0.2, 3.0))
    pitch = 2 * radius + gap
    rows = math.ceil((math.sqrt(8 * count + 1) - 1) / 2)
    apex_x = float(rng.uniform(380, right - radius - pitch * rows - 20))
    apex_y = float(
        np.clip(300 + rng.normal(0, 40), bottom + pitch * rows / 2 + radius, top - pitch * rows / 2 - radius)
    )
    spots = [
        (apex_x + pitch * row * math.sqrt(0.75), apex_y + pitch * (place - row / 2))
        for row in range(rows)
        for place in range(row + 1)
    ][:count]

    cue = (float(rng.uniform(left + radius + 5, 280)), float(rng.uniform(bottom + radius + 80, top - radius - 80)))
    aim = spots[0] if chance(rng, 0.7) else spots[int(rng.integers(len(spots)))]
    heading = math.atan2(aim[1] - cue[1], aim[0] - cue[0]) + float(rng.normal(0, 0.02))
    speed = float(rng.uniform(250, min(800, 48 * (radius + room.radius))))
    bodies = [replace(ball, position=spot) for spot in spots]
    bodies.append(replace(ball, position=cue, velocity=(speed * math.cos(heading), speed * math.sin(heading))))
    scene = Scene(
        name="billiards",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Billiards: a cue ball strikes a rack of {count} on a smooth table.",
        bodies=tuple(bodies),
        static=room.walls,
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)
