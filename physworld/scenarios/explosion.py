"""A packed heap flies apart from its centre: many radial velocities at once, then walls, floor and gravity sort it."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, disc, uniform
from physworld.types import Body, Peg, Scene

CATEGORY = "collision"
GOLDEN = math.pi * (3 - math.sqrt(5))  # rad, angle between neighbours of a sunflower: even packing at any count


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.4, 0.8), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    reach = 16.0 if count <= 15 else 12.0
    pitch = (2 * reach + 1) / 1.5
    outermost = pitch * math.sqrt(count) + reach
    center = (
        float(rng.uniform(left + outermost + 60, right - outermost - 60)),
        float(rng.uniform(bottom + outermost, top - outermost)),
    )
    speed, spread, turn, twist = uniform(rng, (250, 560), (0.0, 0.25), (0, 2 * math.pi), (-6, 6))
    even = chance(rng, 0.5)  # all equally fast, or faster further out as in a shell
    bodies: list[Body] = []
    for place in range(count):
        distance, angle = pitch * math.sqrt(place + 0.5), turn + GOLDEN * place
        share, aside, size, density, friction, restitution = uniform(
            rng, (1 - spread, 1), (-spread, spread), (0.6, 1), (1, 6), (0.2, 0.8), (0.3, 0.85)
        )
        pace = speed * share * (1.0 if even else distance / (pitch * math.sqrt(count)))
        position = (center[0] + distance * math.cos(angle), center[1] + distance * math.sin(angle))
        velocity = (pace * math.cos(angle + aside), pace * math.sin(angle + aside))
        if chance(rng, 0.3):
            half = size * reach
            corner = float(rng.uniform(0.5, 1.0))  # rad, of the diagonal
            bodies.append(
                block(
                    (2 * half * math.cos(corner), 2 * half * math.sin(corner)),
                    position,
                    density=density,
                    friction=friction,
                    restitution=restitution,
                    velocity=velocity,
                    angle=angle,
                    spin=twist,
                )
            )
        else:
            bodies.append(
                disc(
                    size * reach,
                    position,
                    density=density,
                    friction=friction,
                    restitution=restitution,
                    velocity=velocity,
                    spin=twist,
                )
            )
    pegs = _pegs(rng, int(rng.integers(0, 4)), center, outermost, room.inner)
    floats = chance(rng, 0.25)
    scene = Scene(
        name="explosion",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Explosion: {count} pieces fly apart from one point{' without gravity' if floats else ''}.",
        bodies=tuple(bodies),
        static=(*room.walls, *pegs),
        gravity=(0.0, 0.0) if floats else (0.0, -981.0),
    )
    return maybe_mirrored(rng, scene)


def _pegs(
    rng: np.random.Generator,
    count: int,
    center: tuple[float, float],
    outermost: float,
    inner: tuple[float, float, float, float],
) -> list[Peg]:
    """Obstacles outside the heap; those that would be inside it are left out."""
    left, right, bottom, top = inner
    pegs = []
    for _ in range(count):
        x, y, radius, restitution = uniform(rng, (left + 40, right - 40), (bottom + 40, top - 40), (12, 30), (0.4, 0.9))
        if math.dist((x, y), center) > outermost + radius + 5:
            pegs.append(Peg(center=(x, y), radius=radius, friction=0.5, restitution=restitution))
    return pegs
