"""Balls and boxes fall towards one to three soft wells and swing through them, colliding: gravity that has a place."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, fitting, spots, uniform
from physworld.types import Attractor, Body, Scene

CATEGORY = "complex"
WELLS = {1: (1, 1), 2: (1, 2), 3: (1, 2), 4: (1, 3), 5: (1, 3)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.1, 0.6), restitution=(0.3, 0.8), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    wells = int(rng.integers(WELLS[difficulty][0], WELLS[difficulty][1] + 1))
    poles = [_well(rng, place) for place in spots(rng, (left + 60, right - 60, bottom + 50, top - 50), wells, 85.0)]
    box = (left, right, bottom, top)
    reach = fitting(box, count, 18.0, slack=2.0)
    drift, twist = uniform(rng, (0, 160), (-4, 4))
    bodies: list[Body] = []
    for place in spots(rng, box, count, reach):
        size, density, friction, restitution, heading = uniform(
            rng, (0.6, 1), (1, 5), (0.0, 0.6), (0.2, 0.8), (0, 2 * math.pi)
        )
        velocity = (drift * math.cos(heading), drift * math.sin(heading))
        surface: Matter = {"density": density, "friction": friction, "restitution": restitution}
        if chance(rng, 0.3):
            side = 1.4 * size * reach
            bodies.append(block((side, side), place, velocity=velocity, spin=twist, **surface))
        else:
            bodies.append(disc(size * reach, place, velocity=velocity, spin=twist, **surface))
    scene = Scene(
        name="gravity_well",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Gravity well: {count} bodies and {counted(wells, 'point')} that pull{'s' * (wells == 1)}.",
        bodies=tuple(bodies),
        static=room.walls,
        fields=tuple(poles),
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)


def _well(rng: np.random.Generator, center: tuple[float, float]) -> Attractor:
    """Soft enough that nothing is flung out: the pull is strongest at softening/√2 and falls to zero at the centre."""
    softening, pull = uniform(rng, (60, 120), (250, 700))  # px, px/s² at that distance
    strongest = softening**2 / (math.sqrt(0.5) / 1.5**1.5)
    return Attractor(center=center, strength=pull * strongest, softening=softening)
