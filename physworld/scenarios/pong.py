"""Balls between heavy drifting paddles without gravity: nearly lossless bounces off walls, pegs and moving faces."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, disc_mass, draw_count, draw_room, is_clear, maybe_mirrored
from physworld.types import Body, Peg, Scene, Segment

CATEGORY = "minigame"
PADDLE_MASS = 20.0  # kg, 10-40 times a ball's, so that a paddle is hardly pushed back


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.2), restitution=(0.95, 1.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    static_side = chance(rng, 0.2)  # the right paddle is a fixed wall instead
    pegs: list[Peg] = []
    for _ in range(int(rng.integers(0, difficulty)) if difficulty >= 3 else 0):
        peg = Peg(
            center=(float(rng.uniform(250, 550)), float(rng.uniform(150, 490))),
            radius=float(rng.uniform(12, 30)),
            restitution=1.0,
        )
        if all(math.dist(peg.center, other.center) > peg.radius + other.radius + 40 for other in pegs):
            pegs.append(peg)
    walls = list(room.walls)
    bodies: list[Body] = []
    for x in (left + float(rng.uniform(25, 60)), right - float(rng.uniform(25, 60))):
        width, height = float(rng.uniform(14, 24)), float(rng.uniform(70, 140))
        y = float(rng.uniform(bottom + height, top - height))
        if static_side and x > 400:
            span = height / 2
            walls.append(
                Segment(start=(x, y - span), end=(x, y + span), radius=width / 2, friction=0.1, restitution=1.0)
            )
            continue
        bodies.append(
            Body(
                shape="rect",
                size=(width, height),
                position=(x, y),
                velocity=(0.0, float(rng.uniform(-180, 180))),
                mass=PADDLE_MASS,
                friction=float(rng.uniform(0.0, 0.3)),
                restitution=float(rng.uniform(0.95, 1.0)),
            )
        )
    radius_top = 14.0 if count <= 15 else 10.0
    restitution = float(rng.uniform(0.97, 1.0))
    taken = len(bodies)
    for _ in range(3000):
        if len(bodies) == max(count, taken + 1):
            break
        radius, heading, speed = (
            float(rng.uniform(8, radius_top)),
            float(rng.uniform(-1.1, 1.1)),
            float(rng.uniform(150, 450)),
        )
        ball = Body(
            shape="circle",
            size=(radius,),
            position=(float(rng.uniform(left + 90, right - 90)), float(rng.uniform(bottom + 20, top - 20))),
            velocity=((1 if chance(rng, 0.5) else -1) * speed * math.cos(heading), speed * math.sin(heading)),
            mass=disc_mass(radius, float(rng.uniform(1.5, 3))),
            friction=float(rng.uniform(0.0, 0.2)),
            restitution=restitution,
        )
        free = all(math.dist(ball.position, peg.center) > radius + peg.radius + 2 for peg in pegs)
        if free and is_clear(ball, bodies[taken:], 2.0):
            bodies.append(ball)
    balls = len(bodies) - taken
    scene = Scene(
        name="pong",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Pong: {counted(balls, 'ball')} between two paddles, {counted(len(pegs), 'peg')}.",
        bodies=tuple(bodies),
        static=(*walls, *pegs),
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)
