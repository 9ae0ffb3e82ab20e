"""Bodies that all pull one another: a heavy star or a pair of them, planets, moons. Nothing is nailed down.

More than about 16 bodies only collide, so counts stay below the card's. A box catches what is flung out.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import uniform
from physworld.types import Body, MutualGravity, Scene

CATEGORY = "complex"
COUNTS = {1: (2, 3), 2: (3, 5), 3: (5, 8), 4: (7, 12), 5: (10, 16)}
STAR_MASS = 20.0  # kg


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.0, 0.3), restitution=(0.7, 1.0), squeeze=10, radius=(16.0, 20.0))
    _, _, bottom, top = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    center = (float(rng.uniform(385, 415)), (bottom + top) / 2)
    period, softening = uniform(rng, (2.5, 5.0), (3, 8))
    pull = MutualGravity(strength=(2 * math.pi / period) ** 2 * 130**3 / STAR_MASS, softening=softening)
    turn = -1.0 if chance(rng, 0.5) else 1.0
    binary = count >= 3 and chance(rng, 0.4)
    bodies = _stars(rng, center, pull, turn, binary=binary)
    middle = sum(body.mass for body in bodies)
    innermost = (95.0 if binary else 60.0) + max(body.size[0] for body in bodies)
    outermost = (top - bottom) / 2 - 14
    planets = count - len(bodies)
    moons = int(rng.integers(0, planets // 2 + 1)) if planets >= 3 and not binary else 0
    lanes = max(planets - moons, 1)
    lane = (outermost - innermost) / lanes
    for place in range(planets - moons):
        distance = innermost + lane * (place + 0.5) + float(rng.uniform(-0.2, 0.2)) * lane
        radius, mass, angle, haste = uniform(rng, (5, 9), (0.5, 1.2), (0, 2 * math.pi), (0.97, 1.05))
        planet = _around(center, (0.0, 0.0), middle, pull, distance, angle, turn * haste, radius=radius, mass=mass)
        bodies.append(planet)
    hosts = bodies[-(planets - moons) :]
    for moon in range(moons):
        # A moon keeps to its planet only well inside the sphere where the planet's pull wins; hosts are made heavier.
        host = hosts[moon % len(hosts)]
        place = bodies.index(host)
        heavy = replace(host, mass=3.0)
        distance = 4.0 + host.size[0] + float(rng.uniform(9, 13))
        bodies[place] = hosts[moon % len(hosts)] = heavy
        bodies.append(
            _around(
                host.position,
                host.velocity,
                heavy.mass,
                pull,
                distance,
                float(rng.uniform(0, 2 * math.pi)),
                turn,
                radius=3.5,
                mass=0.5,
            )
        )
    bodies = _balanced(_apart(bodies))
    scene = Scene(
        name="planetary_rotation",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Planetary rotation: {len(bodies)} bodies that pull one another, {'two stars' if binary else 'one star'} "
        "among them.",
        bodies=tuple(bodies),
        static=room.walls,
        fields=(pull,),
        gravity=(0.0, 0.0),
    )
    return maybe_mirrored(rng, scene)


def _stars(
    rng: np.random.Generator, center: tuple[float, float], pull: MutualGravity, turn: float, *, binary: bool
) -> list[Body]:
    """One star at rest, or two of half its mass that circle their middle."""
    if not binary:
        return [_disc(center, (0.0, 0.0), radius=float(rng.uniform(18, 28)), mass=STAR_MASS)]
    half, radius, angle = uniform(rng, (36, 48), (11, 16), (0, math.pi))
    mass = STAR_MASS / 2
    # Each feels the other at distance 2·half and goes round at half.
    speed = turn * math.sqrt(half * pull.strength * mass * 2 * half / (4 * half**2 + pull.softening**2) ** 1.5)
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        _disc(
            (center[0] + side * half * cos, center[1] + side * half * sin),
            (-side * speed * sin, side * speed * cos),
            radius=radius,
            mass=mass,
        )
        for side in (-1, 1)
    ]


def _around(
    center: tuple[float, float],
    drift: tuple[float, float],
    attracting: float,
    pull: MutualGravity,
    distance: float,
    angle: float,
    haste: float,
    *,
    radius: float,
    mass: float,
) -> Body:
    """A body that circles `attracting` kg at `center`, which itself moves with `drift`; haste 1 is circular."""
    speed = haste * distance * math.sqrt(pull.strength * attracting / (distance**2 + pull.softening**2) ** 1.5)
    cos, sin = math.cos(angle), math.sin(angle)
    return _disc(
        (center[0] + distance * cos, center[1] + distance * sin),
        (drift[0] - speed * sin, drift[1] + speed * cos),
        radius=radius,
        mass=mass,
    )


def _disc(position: tuple[float, float], velocity: tuple[float, float], *, radius: float, mass: float) -> Body:
    return Body(
        shape="circle",
        size=(radius,),
        position=position,
        velocity=velocity,
        mass=mass,
        friction=0.2,
        restitution=0.6,
    )


def _apart(bodies: list[Body]) -> list[Body]:
    """Without those that would start inside an earlier one."""
    kept: list[Body] = []
    for body in bodies:
        if all(math.dist(body.position, other.position) > body.reach + other.reach + 2 for other in kept):
            kept.append(body)
    return kept


def _balanced(bodies: list[Body]) -> list[Body]:
    """The same seen from where all momentum together is zero, so that the system stays in the picture."""
    total = sum(body.mass for body in bodies)
    drift = tuple(sum(body.mass * body.velocity[axis] for body in bodies) / total for axis in (0, 1))
    return [replace(b, velocity=(b.velocity[0] - drift[0], b.velocity[1] - drift[1])) for b in bodies]
