"""Balls thrown at crates between walls: free flight, bounces and the first hits on piles at rest."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, disc_mass, draw_count, draw_room, is_clear, maybe_mirrored, rect_mass
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
    bodies += _crates(rng, count - len(bodies), bottom, right, small=small)
    scene = Scene(
        name="projectile",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Projectile: thrown balls ({balls}) and crates ({count - balls}) between walls.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)


def _crates(rng: np.random.Generator, count: int, bottom: float, right: float, *, small: bool) -> list[Body]:
    """Crates on the floor between x = 360 and the right wall, in columns."""
    widest = 34.0 if small else 48.0
    slots = rng.permutation(np.arange(360, right - widest - 4, widest + 8)).tolist()
    storeys = max(int(rng.integers(1, 4)), -(-count // len(slots)))
    bodies: list[Body] = []
    for place in range(count):
        column, storey = divmod(place, storeys)
        width, height = (rng.uniform(0.55, 1.0, 2) * widest).tolist()
        floor = bottom if storey == 0 else bodies[-1].position[1] + bodies[-1].size[1] / 2
        bodies.append(
            Body(
                shape="rect",
                size=(width, height),
                position=(slots[column] + widest / 2 + float(rng.uniform(-2, 2)), floor + height / 2),
                mass=rect_mass(width, height, float(rng.uniform(0.8, 3))),
                friction=float(rng.uniform(0.3, 0.9)),
                restitution=float(rng.uniform(0.0, 0.5)),
            )
        )
    return bodies
