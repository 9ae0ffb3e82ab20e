"""Equal balls fly about a box without gravity, spinning and rubbing: a gas in which spin and flight trade energy."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Box, disc, fitting, spots, uniform
from physworld.types import Peg, Scene

CATEGORY = "minigame"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.6), restitution=(0.85, 1.0), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    box: Box = (left, right, bottom, top)
    radius, speed, density, friction, restitution = uniform(rng, (10, 18), (120, 450), (1, 4), (0.0, 0.6), (0.85, 1.0))
    radius = fitting(box, count, radius, slack=2.0)
    posts = int(rng.integers(0, 4))
    places = spots(rng, box, count + posts, radius, gap=2.0)
    bodies = []
    for place in places[:count]:
        heading, pace = uniform(rng, (0, 2 * math.pi), (0.2, 1.0))
        bodies.append(
            disc(
                radius,
                place,
                density=density,
                friction=friction,
                restitution=restitution,
                velocity=(speed * pace * math.cos(heading), speed * pace * math.sin(heading)),
                spin=float(rng.normal(0, 5)),
            )
        )
    pegs = [
        Peg(center=place, radius=float(rng.uniform(0.5, 1.0)) * radius, friction=0.3, restitution=room.restitution)
        for place in places[count:]
    ]
    scene = Scene(
        name="zero_g_pool",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Zero-gravity pool: {count} equal balls fly about a box with {counted(posts, 'post')}.",
        bodies=tuple(bodies),
        static=(*room.walls, *pegs),
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)
