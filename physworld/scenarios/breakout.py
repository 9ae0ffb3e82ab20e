"""Balls shot from a drifting paddle into a wall of loose blocks without gravity: one hit sets many things adrift."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, disc, uniform
from physworld.types import Body, Scene

CATEGORY = "minigame"
BALLS = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 4), 5: (2, 5)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.3), restitution=(0.8, 1.0), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    balls = min(int(rng.integers(BALLS[difficulty][0], BALLS[difficulty][1] + 1)), count - 1)
    paddle = int(count - balls >= 2)
    blocks = count - balls - paddle
    columns = min(blocks, max(int(rng.integers(3, 6 + difficulty)), -(-blocks // 10)))
    rows = -(-blocks // columns)
    apart, height, width = uniform(rng, (3, 14), (14, min(26, 220 / rows)), (40, 76))
    width = min(width, (right - left - 30) / columns - apart)
    density, friction, restitution = uniform(rng, (0.5, 1.5), (0.0, 0.3), (0.6, 1.0))
    first_x = left + 15 + float(rng.uniform(0, 1)) * (right - left - 30 - columns * (width + apart))
    first_y = top - float(rng.uniform(10, 60))
    bodies: list[Body] = [
        block(
            (width, height),
            (
                first_x + (place % columns + 0.5) * (width + apart),
                first_y - (place // columns + 0.5) * (height + apart),
            ),
            density=density,
            friction=friction,
            restitution=restitution,
        )
        for place in range(blocks)
    ]
    paddle_x, paddle_speed = uniform(rng, (left + 130, right - 130), (-160, 160))
    paddle_y = bottom + float(rng.uniform(14, 40))
    if paddle:
        bodies.append(
            Body(
                shape="rect",
                size=(float(rng.uniform(80, 140)), 14.0),
                position=(paddle_x, paddle_y),
                velocity=(paddle_speed, 0.0),
                mass=20.0,
                friction=0.2,
                restitution=1.0,
            )
        )
    radius, ball_density = uniform(rng, (8, 12), (3, 8))
    for ball in range(balls):
        speed, heading = uniform(rng, (260, 500), (0.5, math.pi - 0.5))
        start = (paddle_x + (2 * radius + 4) * (ball - (balls - 1) / 2), paddle_y + 30 + radius)
        if ball == 0 and chance(rng, 0.8):  # one ball is mostly aimed at the blocks
            target = bodies[int(rng.integers(blocks))].position
            heading = math.atan2(target[1] - start[1], target[0] - start[0])
        bodies.append(
            disc(
                radius,
                start,
                density=ball_density,
                friction=0.1,
                restitution=float(rng.uniform(0.9, 1.0)),
                velocity=(speed * math.cos(heading), speed * math.sin(heading)),
            )
        )
    scene = Scene(
        name="breakout",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Breakout: {counted(balls, 'ball')} shot at {counted(blocks, 'loose block')}, no gravity.",
        bodies=tuple(bodies),
        static=room.walls,
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)
