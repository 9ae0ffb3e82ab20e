"""A row of thin blocks, the first one pushed, tilted or hit: a fall that travels through contacts and friction.

At most 40 at difficulty 5: more would be too thin to collide well.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import disc_mass, draw_count, draw_room, maybe_mirrored, rect_mass
from physworld.types import Body, Scene

CATEGORY = "stacking"
COUNTS = {1: (2, 5), 2: (5, 15), 3: (10, 25), 4: (20, 35), 5: (30, 40)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.6, 1.0), restitution=(0.0, 0.4), closed=False, squeeze=20)
    left, right, bottom, _ = room.inner
    start = str(rng.choice(["push", "tilt", "ball"]))
    count = draw_count(rng, difficulty, COUNTS)
    dominos = count - (start == "ball")
    lane = right - left - 130  # px kept for the row; the rest is for the ball and for the last one to fall into
    pitch = min(lane / dominos, float(rng.uniform(24, 60)))
    # Slender and close enough that each one, falling, carries the next over its balance.
    height = pitch * float(rng.uniform(1.5, 2.4))
    width = height * float(rng.uniform(0.11, 0.16))
    clearance = pitch - width  # px between two faces
    first_x = left + 90 + float(rng.uniform(0, 1)) * (lane - pitch * dominos)
    density, friction = float(rng.uniform(1.5, 4)), float(rng.uniform(0.3, 0.8))
    restitution = float(rng.uniform(0.0, 0.3))

    def domino(
        center: tuple[float, float], velocity: tuple[float, float] = (0.0, 0.0), angle: float = 0.0, spin: float = 0.0
    ) -> Body:
        return Body(
            shape="rect",
            size=(width, height),
            position=center,
            velocity=velocity,
            angle=angle,
            spin=spin,
            mass=rect_mass(width, height, density),
            friction=friction,
            restitution=restitution,
        )

    bodies = [domino((first_x + pitch * place, bottom + height / 2)) for place in range(dominos)]
    if start == "push":
        # Turning about its lower right corner with more energy than lifting the centre over that corner takes.
        diagonal = math.hypot(width, height)
        lift = (diagonal - height) / 2
        about_corner = bodies[0].moment / bodies[0].mass + (diagonal / 2) ** 2  # px²
        spin = -float(rng.uniform(1.3, 3)) * math.sqrt(2 * 981 * lift / about_corner)
        bodies[0] = domino((first_x, bottom + height / 2), velocity=(-spin * height / 2, -spin * width / 2), spin=spin)
    elif start == "tilt":
        # Past its balance, but short of its neighbour, standing on its lower right corner.
        balance, touching = math.atan(width / height), math.asin(min(1.0, clearance / height))
        tilt = balance + float(rng.uniform(0.2, 0.8)) * max(0.0, touching - balance)
        cos, sin = math.cos(tilt), math.sin(tilt)
        corner_x = first_x + width / 2
        bodies[0] = domino(
            (corner_x - cos * width / 2 + sin * height / 2, bottom + sin * width / 2 + cos * height / 2), angle=-tilt
        )
    else:
        radius = float(rng.uniform(10, 16))
        x = float(rng.uniform(left + radius + 2, first_x - width / 2 - radius - 4))
        speed = float(rng.uniform(200, 500))
        bodies.append(
            Body(
                shape="circle",
                size=(radius,),
                position=(x, bottom + float(rng.uniform(max(radius, 0.5 * height), max(radius, height) + 5))),
                velocity=(speed, 0.0),
                mass=disc_mass(radius, float(rng.uniform(3, 8))),
                friction=float(rng.uniform(0.2, 0.6)),
                restitution=float(rng.uniform(0.1, 0.5)),
            )
        )
    how = {"push": "the first one pushed", "tilt": "the first one falling", "ball": "a ball on its way to the first"}[
        start
    ]
    scene = Scene(
        name="dominos",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Dominos: {dominos} in a row, {how}.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)
