"""Satellites around a fixed star that pulls: a force that depends on place; in crowds they also collide.

One and two satellites, alone, show the orbit itself, so difficulties 1 and 2 start below the card's object counts.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import (
    CARD_COUNTS,
    chance,
    counted,
    disc_mass,
    draw_count,
    draw_room,
    is_clear,
    maybe_mirrored,
)
from physworld.types import Attractor, Body, Peg, Scene

CATEGORY = "complex"
COUNTS = CARD_COUNTS | {1: (1, 3), 2: (3, 8)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.3), restitution=(0.7, 1.0), squeeze=10)
    _, _, bottom, top = room.inner
    center = (float(rng.uniform(385, 415)), (bottom + top) / 2)
    outermost = (top - bottom) / 2 - 20
    star = Peg(center=center, radius=float(rng.uniform(16, 30)), friction=0.3, restitution=float(rng.uniform(0.5, 0.9)))
    period = float(rng.uniform(3.0, 6.0))  # s at 150 px
    pole = Attractor(
        center=center, strength=(2 * math.pi / period) ** 2 * 150**3, softening=float(rng.choice([0.0, 10.0]))
    )
    wanted = draw_count(rng, difficulty, COUNTS)
    against = {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.1, 5: 0.25}[difficulty]  # share that runs against the others
    smallest, largest = (5.0, 12.0) if wanted <= 8 else (5.0, 8.0) if wanted <= 20 else (4.0, 6.0)  # px
    bodies: list[Body] = []
    for _ in range(4000):
        if len(bodies) == wanted:
            break
        satellite = _satellite(rng, pole, float(rng.uniform(smallest, largest)), star.radius, outermost, against)
        if is_clear(satellite, bodies, 4.0):
            bodies.append(satellite)
    scene = Scene(
        name="orbit",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Orbit: {counted(len(bodies), 'satellite')} around a star that pulls, in a box.",
        bodies=tuple(bodies),
        static=(*room.walls, star),
        fields=(pole,),
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)


def _satellite(
    rng: np.random.Generator, pole: Attractor, radius: float, star: float, outermost: float, against: float
) -> Body:
    """A body at an apsis of an orbit that stays between the star and `outermost` px."""
    eccentricity = float(rng.uniform(0.0, 0.3))
    near = star + radius + 25
    at_far_end = chance(rng, 0.5)
    ratio = (1 + eccentricity) / (1 - eccentricity)
    if at_far_end:
        distance = float(rng.uniform(near * ratio, outermost - radius))
        factor = math.sqrt(1 - eccentricity)
    else:
        distance = float(rng.uniform(near, (outermost - radius) / ratio))
        factor = math.sqrt(1 + eccentricity)
    speed = factor * math.sqrt(pole.strength * distance**2 / (distance**2 + pole.softening**2) ** 1.5)
    speed *= -1 if chance(rng, against) else 1
    turn = float(rng.uniform(0, 2 * math.pi))
    cos, sin = math.cos(turn), math.sin(turn)
    return Body(
        shape="circle",
        size=(radius,),
        position=(pole.center[0] + distance * cos, pole.center[1] + distance * sin),
        velocity=(-speed * sin, speed * cos),
        mass=disc_mass(radius, float(rng.uniform(2, 12))),
        friction=float(rng.uniform(0.0, 0.3)),
        restitution=float(rng.uniform(0.5, 1.0)),
    )
