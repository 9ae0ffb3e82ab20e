"""Weights fall on a bridge: planks hung on rods between two cliffs, or beams laid on pillars of blocks."""

from __future__ import annotations

import itertools
import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored, turned
from physworld.scenarios._place import Matter, block, disc, fitting, path, sagging, spots, uniform
from physworld.types import FIXED, Body, PinJoint, Point, Scene

CATEGORY = "stacking"
# From 3, because two planks and a weight make a bridge.
COUNTS = {1: (3, 5), 2: (5, 15), 3: (10, 30), 4: (20, 40), 5: (30, 50)}
GAP = 7.0  # px between hung planks, so that they can turn against each other


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.5, 1.0), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    walls = list(room.walls)
    joints: list[PinJoint] = []
    hung = chance(rng, 0.5)
    if hung:
        planks = int(np.clip(round(count * float(rng.uniform(0.35, 0.6))), 2, 12))
        level, ends, half_angle = uniform(rng, (bottom + 150, 330), (60, 110), (0.1, 0.4))
        span = min(right - left - 2 * ends, 90.0 * planks)
        shore = 400 - span / 2, 400 + span / 2
        for edge, x in ((room.left, shore[0]), (room.right, shore[1])):
            walls += path([(edge, level), (x, level), (x, bottom)], radius=6.0, friction=0.7, restitution=0.2)
        bodies, joints = _hung(rng, (shore[0], level), (shore[1], level), planks, half_angle)
        deck = level
    else:
        bodies, deck = _laid(rng, count, left, right, bottom)
        shore = bodies[0].position[0], bodies[-1].position[0] + 60
    weights = count - len(bodies)
    box = (max(left, shore[0] + 5), min(right, shore[1] - 5), deck + 25, top)
    reach = fitting(box, weights, 20.0)
    for place in spots(rng, box, weights, reach):
        size, density, friction, restitution = uniform(rng, (0.6, 1), (0.4, 2.5), (0.3, 0.8), (0.1, 0.5))
        if chance(rng, 0.6):
            bodies.append(disc(size * reach, place, density=density, friction=friction, restitution=restitution))
        else:
            side = 1.4 * size * reach
            bodies.append(block((side, side), place, density=density, friction=friction, restitution=restitution))
    kind = "planks hung between two cliffs" if hung else "beams on pillars of blocks"
    scene = Scene(
        name="bridge",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Bridge: {kind}, and {counted(weights, 'weight')} that fall{'s' * (weights == 1)} on it.",
        bodies=tuple(bodies),
        static=tuple(walls),
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)


def _hung(
    rng: np.random.Generator, start: Point, end: Point, planks: int, half_angle: float
) -> tuple[list[Body], list[PinJoint]]:
    """Planks along a sagging arc, a short rod from end to end."""
    inset = 6.0 + 2 + GAP / 2  # the cliffs' edges are round, and the first plank hangs clear of them
    points = sagging((start[0] + inset, start[1]), (end[0] - inset, end[1]), planks, half_angle)
    thickness, density, friction = uniform(rng, (8, 12), (4, 8), (0.5, 0.9))
    bodies, joints = [], []
    hook, hook_body, hook_anchor = start, FIXED, start
    for index, (a, b) in enumerate(itertools.pairwise(points)):
        width = math.dist(a, b) - GAP
        angle = math.atan2(b[1] - a[1], b[0] - a[0])
        center = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        bodies.append(
            block((width, thickness), center, density=density, friction=friction, restitution=0.1, angle=angle)
        )
        along = turned((width / 2, 0.0), angle)
        near, far = (center[0] - along[0], center[1] - along[1]), (center[0] + along[0], center[1] + along[1])
        joints.append(
            PinJoint(
                body_a=hook_body,
                body_b=index,
                anchor_a=hook_anchor,
                anchor_b=(-width / 2, 0.0),
                length=math.dist(hook, near),
            )
        )
        hook, hook_body, hook_anchor = far, index, (width / 2, 0.0)
    joints.append(
        PinJoint(
            body_a=FIXED,
            body_b=planks - 1,
            anchor_a=end,
            anchor_b=hook_anchor,
            length=math.dist(hook, end),
        )
    )
    return bodies, joints


def _laid(rng: np.random.Generator, count: int, left: float, right: float, floor: float) -> tuple[list[Body], float]:
    """Pillars and beams of at most count - 1 blocks, and the deck's height."""
    pillars = int(np.clip(count // 5, 2, 6)) if count >= 4 else 1
    storeys = max(1, min(5, (count - 1 - (pillars - 1)) // pillars - 1)) if pillars > 1 else 1
    pitch = min(float(rng.uniform(100, 150)), (right - left - 120) / pillars)
    width, height, friction, density = uniform(rng, (26, 36), (22, 34), (0.6, 0.9), (1, 3))
    first = (left + right - pitch * (pillars - 1)) / 2
    surface: Matter = {"density": density, "friction": friction, "restitution": 0.1}
    bodies = [
        block((width, height), (first + pitch * pillar, floor + height * (storey + 0.5)), **surface)
        for pillar in range(pillars)
        for storey in range(storeys)
    ]
    deck = floor + height * storeys
    thickness = float(rng.uniform(9, 14))
    beams = [(first + pitch * (beam + 0.5), pitch - 1.0) for beam in range(pillars - 1)]
    if count - len(bodies) >= 2 and not beams:
        beams = [(first, pitch)]
    bodies += [block((length, thickness), (x, deck + thickness / 2), **surface) for x, length in beams]
    return bodies, deck + thickness
