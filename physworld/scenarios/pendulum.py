"""Bobs on rods, alone or as chains: how a constraint turns gravity into swinging, and chaos in the chains.

A picture holds few rods, so the object count stays below the card's from difficulty 2 on.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import (
    chance,
    disc_mass,
    draw_count,
    draw_room,
    is_clear,
    maybe_mirrored,
    rect_mass,
    turned,
)
from physworld.types import FIXED, Body, PinJoint, Point, Scene

CATEGORY = "constraint"
COUNTS = {1: (1, 2), 2: (2, 4), 3: (3, 7), 4: (6, 10), 5: (8, 14)}
LONGEST_CHAIN = {1: 1, 2: 2, 3: 3, 4: 3, 5: 4}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.9), restitution=(0.3, 0.7))
    left, right, bottom, top = room.inner
    wanted = draw_count(rng, difficulty, COUNTS)
    chains: list[int] = []
    while sum(chains) < wanted:
        chains.append(min(int(rng.integers(1, LONGEST_CHAIN[difficulty] + 1)), wanted - sum(chains)))
    bodies: list[Body] = []
    joints: list[PinJoint] = []
    pitch = (right - left - 200) / len(chains)
    for place, links in enumerate(chains):
        pivot_x = left + 100 + pitch * (place + float(rng.uniform(0.2, 0.8)))
        pivot = (pivot_x, float(rng.uniform(top - 130, top - 20)))
        for _ in range(100):  # chains that would start inside another or outside the room are drawn again
            chain, rods = _chain(rng, pivot, links, drop=pivot[1] - bottom - 40, first=len(bodies))
            inside = all(
                left + b.reach < b.position[0] < right - b.reach and bottom + b.reach < b.position[1] < top - b.reach
                for b in chain
            )
            if inside and all(is_clear(body, bodies + chain[:i], 1.0) for i, body in enumerate(chain)):
                bodies += chain
                joints += rods
                break
    scene = Scene(
        name="pendulum",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Pendulum: {len(bodies)} bobs on rods let go from an angle.",
        bodies=tuple(bodies),
        static=room.walls,
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)


def _chain(
    rng: np.random.Generator, pivot: Point, links: int, *, drop: float, first: int
) -> tuple[list[Body], list[PinJoint]]:
    """One pendulum of `links` bobs that has `drop` px of height under `pivot`; its bodies count from `first`."""
    bodies: list[Body] = []
    joints: list[PinJoint] = []
    lean = float(rng.uniform(0.2, 1.4)) * (1 if chance(rng, 0.5) else -1)
    spin = float(rng.normal(0, 1.0)) if chance(rng, 0.3) else 0.0  # the whole chain turns about the pivot, rad/s
    length = float(rng.uniform(0.35, 0.95)) * drop / links
    parent, anchor_a, hook = FIXED, pivot, pivot
    for link in range(links):
        angle = lean + (float(rng.normal(0, 0.25)) if link else 0.0)
        bob = _bob(rng, angle)
        anchor_b = (0.0, bob.size[1] / 2) if bob.shape == "rect" else (0.0, 0.0)
        offset = turned(anchor_b, bob.angle)
        end = (hook[0] + length * math.sin(angle), hook[1] - length * math.cos(angle))
        center = (end[0] - offset[0], end[1] - offset[1])
        velocity = (-spin * (center[1] - pivot[1]), spin * (center[0] - pivot[0]))
        bodies.append(
            Body(
                shape=bob.shape,
                size=bob.size,
                position=center,
                velocity=velocity,
                angle=bob.angle,
                spin=spin,
                mass=bob.mass,
                friction=bob.friction,
                restitution=bob.restitution,
            )
        )
        joints.append(PinJoint(body_a=parent, body_b=first + link, anchor_a=anchor_a, anchor_b=anchor_b, length=length))
        parent, anchor_a, hook = first + link, (0.0, 0.0), center
    return bodies, joints


def _bob(rng: np.random.Generator, lean: float) -> Body:
    """A ball, or sometimes a plate that hangs from the middle of its upper edge along the rod."""
    friction, restitution, density = (
        float(rng.uniform(0.1, 0.5)),
        float(rng.uniform(0.2, 0.9)),
        float(rng.uniform(1, 6)),
    )
    if chance(rng, 0.2):
        width, height = float(rng.uniform(18, 30)), float(rng.uniform(24, 44))
        return Body(
            shape="rect",
            size=(width, height),
            position=(0, 0),
            angle=lean,
            mass=rect_mass(width, height, density),
            friction=friction,
            restitution=restitution,
        )
    radius = float(rng.uniform(10, 18))
    return Body(
        shape="circle",
        size=(radius,),
        position=(0, 0),
        mass=disc_mass(radius, density),
        friction=friction,
        restitution=restitution,
    )
