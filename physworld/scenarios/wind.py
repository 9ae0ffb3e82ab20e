"""Balls and boxes of very different weight in a steady wind: drag grows with size, what it does with lightness."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, fitting, spots, uniform
from physworld.types import Body, Peg, Scene, Wind

CATEGORY = "complex"
ENERGY_SOURCES = ("wind",)


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.3, 0.7), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    speed, drag = uniform(rng, (150, 700), (0.02, 0.08))
    # Mostly along the ground; at times an updraft that carries what is light.
    heading = float(rng.uniform(-0.15, 0.35)) if chance(rng, 0.7) else float(rng.uniform(1.0, 1.6))
    wind = Wind(velocity=(speed * math.cos(heading), speed * math.sin(heading)), drag=drag)
    box = (left, right, bottom + 10, top)
    pegs = int(rng.integers(0, 4))
    reach = fitting(box, count + pegs, float(rng.uniform(16, 26)), slack=1.8)
    places = spots(rng, box, count + pegs, reach)
    bodies: list[Body] = []
    for place in places[:count]:
        size, weight, friction, restitution = uniform(rng, (0.5, 1), (-0.7, 1.6), (0.2, 0.8), (0.2, 0.8))
        surface: Matter = {"density": math.exp(weight), "friction": friction, "restitution": restitution}
        velocity = (float(rng.normal(0, 60)), float(rng.normal(0, 60)))
        if chance(rng, 0.5):
            corner = float(rng.uniform(0.5, 1.05))  # rad, of the diagonal
            sides = (2 * size * reach * math.cos(corner), 2 * size * reach * math.sin(corner))
            bodies.append(block(sides, place, angle=float(rng.uniform(0, 3)), velocity=velocity, **surface))
        else:
            bodies.append(disc(size * reach, place, velocity=velocity, **surface))
    rocks = [Peg(center=place, radius=reach * float(rng.uniform(0.6, 1)), restitution=0.5) for place in places[count:]]
    scene = Scene(
        name="wind",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Wind: {count} balls and boxes in a wind of {speed / 100:.1f} m/s.",
        bodies=tuple(bodies),
        static=(*room.walls, *rocks),
        fields=(wind,),
    )
    return maybe_mirrored(rng, scene)
