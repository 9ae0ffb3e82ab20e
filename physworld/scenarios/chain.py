"""Chains of discs or bars on short rods or ropes: let go from one end, or hung between two nails with a load on top.

Ten links at most: Chipmunk's ten iterations leave longer chains elastic, and pulling them back to length adds energy.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored, turned
from physworld.scenarios._place import Matter, block, disc, fitting, sagging, spots, uniform
from physworld.types import FIXED, Body, Joint, PinJoint, Point, Rope, Scene

CATEGORY = "constraint"
LONGEST = 10  # links


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.9), restitution=(0.2, 0.6), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    bodies: list[Body] = []
    joints: list[Joint] = []
    loads = 0
    if count < 5 or chance(rng, 0.6):
        chains = max(1, min(count // 3, int(rng.integers(1, difficulty + 1)), 5))
        chains = max(chains, -(-count // LONGEST))
        lean = float(rng.uniform(0.2, 1.3 if chains == 1 else 0.9))
        for chain in range(chains):
            links = count // chains + (1 if chain < count % chains else 0)
            # From a nail at the top, straight down to the right; parallel chains do not meet before they move.
            reach = min(float(rng.uniform(150, 420)), (top - bottom - 60) / max(math.cos(lean), 0.3), 45.0 * links + 60)
            reach = min(reach, (right - left - 120) / (chains * 0.4 + math.sin(lean)))
            run = right - left - 60 - reach * math.sin(lean)
            nail = (left + 30 + run * (chain + 0.5) / chains, top - 20)
            points = [
                (nail[0] + reach * math.sin(lean) * k / links, nail[1] - reach * math.cos(lean) * k / links)
                for k in range(links + 1)
            ]
            _links(rng, points, bodies, joints, nail_end=False)
        how = f"{chains} hung from one end and let go"
    else:
        loads = int(rng.integers(1, max(2, count // 3)))
        links = min(count - loads, LONGEST)
        loads = count - links
        height, half_angle = uniform(rng, (bottom + 230, bottom + 330), (0.3, 1.1))
        span = min(right - left - 80, 60.0 * links * math.sin(half_angle) / half_angle)
        points = sagging((400 - span / 2, height), (400 + span / 2, height), links + 1, half_angle)
        _links(rng, points, bodies, joints, nail_end=True)
        box = (max(left, 400 - span / 2), min(right, 400 + span / 2), height + 15, top)
        size = fitting(box, loads, 18.0)
        for place in spots(rng, box, loads, size):
            share, density, friction, restitution = uniform(rng, (0.7, 1), (0.5, 3), (0.3, 0.8), (0.1, 0.5))
            bodies.append(disc(share * size, place, density=density, friction=friction, restitution=restitution))
        how = f"hung between two nails, {counted(loads, 'ball')} to fall on it"
    scene = Scene(
        name="chain",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Chain: {counted(count - loads, 'link')}, {how}.",
        bodies=tuple(bodies),
        static=room.walls,
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)


def _links(
    rng: np.random.Generator, points: list[Point], bodies: list[Body], joints: list[Joint], *, nail_end: bool
) -> None:
    """Add a chain along `points`, whose first (and last) is a nail and whose others are the links' centres."""
    pitch = math.dist(points[0], points[1])
    radius, slender, density, friction = uniform(rng, (5, 8), (0.55, 0.75), (3, 8), (0.2, 0.6))
    radius = min(radius, pitch / 2 - 1.5)
    bars = chance(rng, 0.4) and pitch > 16
    roped = chance(rng, 0.35)
    weight = 1.0 if nail_end or chance(rng, 0.5) else float(rng.uniform(1.2, 1.6))  # a larger last link
    weight = min(weight, (pitch - 1.5) / radius - 1)
    last = len(points) - (2 if nail_end else 1)
    parent, anchor, hook = FIXED, points[0], points[0]
    for index in range(1, last + 1):
        here, ahead = points[index], points[index - 1]
        angle = math.atan2(here[1] - ahead[1], here[0] - ahead[0])
        surface: Matter = {"density": density, "friction": friction, "restitution": 0.2}
        if bars and not (index == last and weight > 1):
            size = (pitch * slender, 6.0)
            link = block(size, here, angle=angle, **surface)
            front, back = (-size[0] / 2, 0.0), (size[0] / 2, 0.0)
        else:
            link = disc(radius * (weight if index == last else 1.0), here, **surface)
            front = back = (0.0, 0.0)
        offset = turned(front, link.angle)
        end = (here[0] + offset[0], here[1] + offset[1])
        joints.append(_tie(roped, parent, len(bodies), anchor, front, math.dist(hook, end)))
        offset = turned(back, link.angle)
        parent, anchor, hook = len(bodies), back, (here[0] + offset[0], here[1] + offset[1])
        bodies.append(link)
    if nail_end:
        joints.append(_tie(roped, FIXED, parent, points[-1], anchor, math.dist(hook, points[-1])))


def _tie(roped: bool, a: int, b: int, anchor_a: Point, anchor_b: Point, length: float) -> Joint:
    kind = Rope if roped else PinJoint
    return kind(body_a=a, body_b=b, anchor_a=anchor_a, anchor_b=anchor_b, length=length)
