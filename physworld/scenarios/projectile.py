"""Balls thrown at crates between walls: free flight, bounces and the first hits on piles at rest."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, disc_mass, draw_count, draw_room, is_clear, maybe_mirrored
from physworld.scenarios._place import crate_piles
from physworld.types import Body, Scene

CATEGORY = "collision"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.3, 0.8))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    balls = max(1, round(count * float(rng.uniform(0.3, 0.7))))
    small = count > 15
    bodies: list[Body] = []
    for _ in range(2000):
        if len(bodies) == balls:
            break
        radius = float(rng.uniform(10, 14 if small else 20))
        heading, speed = float(rng.uniform(0.1, 1.2)), float(rng.uniform(250, 600))
        ball = Body(
            shape="circle",
            size=(radius,),
            position=(
                float(rng.uniform(left + radius + 1, 330)),
                float(rng.uniform(bottom + radius + 1, top - radius - 60)),
            ),
            velocity=(speed * math.cos(heading), speed * math.sin(heading)),
            spin=float(rng.normal(0, 4)) if chance(rng, 0.3) else 0.0,
            mass=disc_mass(radius, float(rng.uniform(1, 6))),
            friction=float(rng.uniform(0.2, 0.8)),
            restitution=float(rng.uniform(0.4, 0.95)),
        )
        if is_clear(ball, bodies, 1.0):
            bodies.append(ball)
    bodies += crate_piles(rng, count - len(bodies), left=360, right=right, floor=bottom, widest=34.0 if small else 48.0)
    scene = Scene(
        name="projectile",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Projectile: thrown balls ({balls}) and crates ({count - balls}) between walls.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)
