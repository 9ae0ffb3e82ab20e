"""Planets on nearly circular orbits of their own, and a belt of asteroids on a shared one: Kepler's third law.

Nothing meets, so there are no walls. A picture holds few orbits: what is more goes into the belt.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, maybe_mirrored
from physworld.scenarios._place import disc, uniform
from physworld.types import Attractor, Body, Peg, Scene

CATEGORY = "complex"
# Together the card's counts: 2-5, 5-15, 10-30, 20-40, 30-50.
PLANETS = {1: (2, 5), 2: (5, 8), 3: (5, 8), 4: (5, 9), 5: (5, 9)}
BELT = {1: (0, 0), 2: (0, 7), 3: (5, 22), 4: (15, 31), 5: (25, 41)}
OUTERMOST = 285.0  # px


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    planets = int(rng.integers(PLANETS[difficulty][0], PLANETS[difficulty][1] + 1))
    asteroids = int(rng.integers(BELT[difficulty][0], BELT[difficulty][1] + 1))
    center = (float(rng.uniform(380, 420)), 300.0)
    sun, period, direction = uniform(rng, (18, 30), (2.5, 6.0), (-1, 1))
    strength = (2 * math.pi / period) ** 2 * 150**3  # px³/s², so that 150 px takes `period` s
    turn = math.copysign(1.0, direction)
    # One lane for each planet and one, somewhere among them, for the belt.
    lanes = planets + (asteroids > 0)
    inner = sun + 30
    lane = (OUTERMOST - inner) / lanes
    belt = int(rng.integers(lanes // 2, lanes)) if asteroids else -1
    bodies: list[Body] = []
    for place in range(lanes):
        middle = inner + lane * (place + 0.5)
        if place == belt:
            radius = min(4.0, 0.45 * 2 * math.pi * middle / asteroids / 2)
            start = float(rng.uniform(0, 2 * math.pi))
            bodies += [
                _planet(rng, center, strength, middle, start + 2 * math.pi * k / asteroids, turn, radius, 0.0)
                for k in range(asteroids)
            ]
            continue
        radius = min(float(rng.uniform(4, 11)), lane / 2 - 3)
        # As eccentric as its lane is wide: aphelion and perihelion stay inside it.
        free = (lane / 2 - radius - 1.5) / middle
        eccentricity = float(rng.uniform(0, max(free, 0.0)))
        bodies.append(
            _planet(rng, center, strength, middle, float(rng.uniform(0, 2 * math.pi)), turn, radius, eccentricity)
        )
    scene = Scene(
        name="solar_system",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Solar system: {counted(planets, 'planet')} and {counted(asteroids, 'asteroid')} round a sun that pulls.",
        bodies=tuple(bodies),
        static=(Peg(center=center, radius=sun, friction=0.3, restitution=0.5),),
        fields=(Attractor(center=center, strength=strength),),
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)


def _planet(
    rng: np.random.Generator,
    center: tuple[float, float],
    strength: float,
    axis: float,
    angle: float,
    turn: float,
    radius: float,
    eccentricity: float,
) -> Body:
    """A body at perihelion or aphelion of an orbit with half axis `axis` px."""
    sign = -1 if chance(rng, 0.5) else 1
    distance = axis * (1 + sign * eccentricity)
    speed = turn * math.sqrt(strength * (2 / distance - 1 / axis))
    cos, sin = math.cos(angle), math.sin(angle)
    return disc(
        radius,
        (center[0] + distance * cos, center[1] + distance * sin),
        density=float(rng.uniform(3, 12)),
        friction=0.2,
        restitution=0.5,
        velocity=(-speed * sin, speed * cos),
        spin=float(rng.normal(0, 2)),
    )
