"""Balls shot up a sloping table among bumpers, a driven spinner and two sprung flippers that keep throwing them back.

Gravity is what a tilted table leaves of it. A flipper hangs on a hinge between a spring that lifts it and a rope that
stops it.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored, turned
from physworld.scenarios._place import block, disc, fitting, path, spots, uniform
from physworld.types import FIXED, Body, Joint, Motor, Peg, PivotJoint, Rope, Scene, Segment, Spring

CATEGORY = "minigame"
ENERGY_SOURCES = ("motor",)
# From 4, because two flippers, a spinner and a ball make a table.
COUNTS = {1: (4, 5), 2: (5, 15), 3: (10, 30), 4: (20, 40), 5: (30, 50)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.1, 0.4), restitution=(0.5, 0.9), squeeze=20, radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    tilt = float(rng.uniform(200, 520))  # px/s²
    walls: list[Segment | Peg] = [*room.walls]
    for side in (-1, 1):  # rounded upper corners
        edge = room.left if side < 0 else room.right
        walls += path(
            [(edge, room.top - 90), (edge - side * 26, room.top - 26), (edge - side * 90, room.top)],
            radius=5.0,
            friction=0.2,
            restitution=0.7,
        )
    bodies: list[Body] = []
    joints: list[Joint] = []
    _flippers(rng, bottom, bodies, joints)
    spinners = 1 if count < 8 else int(rng.integers(1, 3))
    hubs = [(400.0, float(rng.uniform(330, 430)))] if spinners == 1 else [(270.0, 380.0), (530.0, 380.0)]
    for hub in hubs:
        length, spin, torque = uniform(rng, (80, 130), (3, 9), (1e5, 4e5))
        joints.append(PivotJoint(body_a=FIXED, body_b=len(bodies), anchor_a=hub))
        joints.append(
            Motor(body_a=FIXED, body_b=len(bodies), spin=spin * (1 if chance(rng, 0.5) else -1), torque=torque)
        )
        bodies.append(block((length, 10.0), hub, density=1.5, friction=0.3, restitution=0.6))
    balls = count - len(bodies)
    box = (left + 20, right - 20, bottom + 130, bottom + 200)
    reach = fitting(box, balls, 11.0, slack=1.2)
    density, friction, restitution, speed = uniform(rng, (2, 5), (0.0, 0.3), (0.6, 0.9), (350, 560))
    for place in spots(rng, box, balls, reach):
        pace, aside = uniform(rng, (0.5, 1.0), (-0.5, 0.5))
        velocity = (speed * pace * math.sin(aside), speed * pace * math.cos(aside))
        bodies.append(
            disc(reach, place, density=density, friction=friction, restitution=restitution, velocity=velocity)
        )
    for x, y in spots(rng, (left + 60, right - 60, bottom + 225, top - 70), int(rng.integers(5, 13)), 38.0):
        bumper = float(rng.uniform(12, 26))
        if all(math.dist((x, y), hub) > 70 + bumper + 2 * reach for hub in hubs):
            walls.append(Peg(center=(x, y), radius=bumper, friction=0.2, restitution=float(rng.uniform(0.8, 1.0))))
    scene = Scene(
        name="pinball",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Pinball: {counted(balls, 'ball')} among bumpers, {counted(spinners, 'spinner')}"
        " and two flippers on a sloping table.",
        bodies=tuple(bodies),
        static=tuple(walls),
        joints=tuple(joints),
        gravity=(0.0, -tilt),
    )
    return maybe_mirrored(rng, scene)


def _flippers(rng: np.random.Generator, floor: float, bodies: list[Body], joints: list[Joint]) -> None:
    """Two bars that slope down towards a gap in the middle, each on a hinge, a spring and a rope."""
    length, droop, stiffness, damping = uniform(rng, (150, 200), (0.25, 0.45), (150, 500), (0.5, 5))
    for side in (-1, 1):
        hinge = (400 - side * (length + 35), floor + 105)
        angle = -side * droop
        along = turned((side * length, 0.0), angle)
        index = len(bodies)
        bodies.append(
            block(
                (length, 12.0),
                (hinge[0] + along[0] / 2, hinge[1] + along[1] / 2),
                density=0.8,
                friction=0.3,
                restitution=0.7,
                angle=angle,
            )
        )
        tip = (side * (length / 2 - 6), 0.0)
        offset = turned(tip, angle)
        end = (bodies[-1].position[0] + offset[0], bodies[-1].position[1] + offset[1])
        above, below = (end[0], end[1] + 90), (end[0], floor + 4)
        joints += [
            PivotJoint(body_a=FIXED, body_b=index, anchor_a=hinge, anchor_b=(-side * length / 2, 0.0)),
            Spring(
                body_a=FIXED,
                body_b=index,
                anchor_a=above,
                anchor_b=tip,
                length=60.0,
                stiffness=stiffness,
                damping=damping,
            ),
            Rope(body_a=FIXED, body_b=index, anchor_a=below, anchor_b=tip, length=math.dist(below, end)),
        ]
