"""Balls rain through an irregular field of pegs, past cups that catch them and wheels that motors turn."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, disc, fitting, path, spots, uniform
from physworld.types import FIXED, Body, Joint, Motor, Peg, PivotJoint, Point, Scene, Segment

CATEGORY = "minigame"
ENERGY_SOURCES = ("motor",)
WHEELS = {1: (0, 1), 2: (0, 2), 3: (1, 2), 4: (1, 3), 5: (1, 3)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.2, 0.7), restitution=(0.3, 0.6), radius=(16.0, 20.0), squeeze=20)
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    wheels = min(int(rng.integers(WHEELS[difficulty][0], WHEELS[difficulty][1] + 1)), count - 1)
    cups = int(rng.integers(1, 4))
    pegs = int(rng.integers(40, 64))
    # Large cells for wheels and cups first; pegs go into small cells that are clear of them.
    field = (left + 12, right - 12, bottom + 70, top - 105)
    large = spots(rng, field, wheels + cups, 55.0)
    bodies: list[Body] = []
    joints: list[Joint] = []
    walls: list[Segment | Peg] = [*room.walls]
    for hub in large[:wheels]:
        length, spin, torque = uniform(rng, (64, 96), (2, 8), (1e5, 3e5))
        joints.append(PivotJoint(body_a=FIXED, body_b=len(bodies), anchor_a=hub))
        joints.append(
            Motor(body_a=FIXED, body_b=len(bodies), spin=spin * (1 if chance(rng, 0.5) else -1), torque=torque)
        )
        bodies.append(
            block((length, 9.0), hub, density=1.5, friction=0.4, restitution=0.4, angle=float(rng.uniform(0, math.pi)))
        )
    for cup in large[wheels:]:
        walls += _cup(rng, cup)
    balls = count - wheels
    box = (left + 150, right - 150, top - 88, top - 2)
    reach = fitting(box, balls, 10.0 if balls <= 15 else 7.0, slack=1.2)
    peg_restitution, peg_friction = uniform(rng, (0.4, 0.8), (0.1, 0.5))
    for place in spots(rng, field, pegs, 1.5 * reach + 7, gap=0.0):
        if all(math.dist(place, spot) > 50 + 2 * reach + 8 for spot in large):
            walls.append(
                Peg(
                    center=place,
                    radius=float(rng.uniform(3.5, 7)),
                    friction=peg_friction,
                    restitution=peg_restitution,
                )
            )
    density, friction, restitution = uniform(rng, (2, 6), (0.1, 0.5), (0.3, 0.8))
    for place in spots(rng, box, balls, reach):
        bodies.append(
            disc(
                reach * float(rng.uniform(0.85, 1)),
                place,
                density=density,
                friction=friction,
                restitution=restitution,
                velocity=(float(rng.normal(0, 40)), 0.0),
            )
        )
    scene = Scene(
        name="pachinko",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Pachinko: {counted(balls, 'ball')}, {sum(isinstance(w, Peg) for w in walls)} pegs, "
        f"{counted(cups, 'cup')}, {counted(wheels, 'turning wheel')}.",
        bodies=tuple(bodies),
        static=tuple(walls),
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)


def _cup(rng: np.random.Generator, center: Point) -> list[Segment]:
    """A small bowl, open above."""
    x, y = center
    half, deep = uniform(rng, (20, 30), (18, 30))
    points = [(x - half, y + deep), (x - 0.6 * half, y), (x + 0.6 * half, y), (x + half, y + deep)]
    return path(points, radius=3.0, friction=0.5, restitution=0.2)
