"""Bobs on rods, alone or as chains: how a constraint turns gravity into swinging, and chaos in the chains.

Difficulties 1 and 2 have a few long rods and stay below the card's object counts; from 3 on, rows of short chains that
all lean to one side at first meet the card's.
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
    rect_mass,
    turned,
)
from physworld.scenarios._place import Box
from physworld.types import FIXED, Body, PinJoint, Point, Scene

CATEGORY = "constraint"
COUNTS = CARD_COUNTS | {1: (1, 2), 2: (2, 4)}
LONGEST_CHAIN = {1: 1, 2: 2, 3: 4, 4: 5, 5: 6}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.9), restitution=(0.3, 0.7))
    left, right, bottom, top = room.inner
    wanted = draw_count(rng, difficulty, COUNTS)
    chains: list[int] = []
    while sum(chains) < wanted:
        chains.append(min(int(rng.integers(1, LONGEST_CHAIN[difficulty] + 1)), wanted - sum(chains)))
    bodies: list[Body] = []
    joints: list[PinJoint] = []
    lean = float(rng.uniform(0.3, 0.9)) * (1 if chance(rng, 0.5) else -1) if difficulty >= 3 else None
    nails = [] if lean is None else _rows(rng, len(chains), room.inner, lean)
    pitch = (right - left - 200) / len(chains)
    for place, links in enumerate(chains):
        if lean is None:
            pivot_x = left + 100 + pitch * (place + float(rng.uniform(0.2, 0.8)))
            pivot = (pivot_x, float(rng.uniform(top - 130, top - 20)))
            drop = pivot[1] - bottom - 40
        else:
            pivot, drop = nails[place]
        for _ in range(100):  # chains that would start inside another or outside the room are drawn again
            chain, rods = _chain(rng, pivot, links, drop=drop, first=len(bodies), lean=lean)
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
        text=f"Pendulum: {counted(len(bodies), 'bob')} on rods let go from an angle.",
        bodies=tuple(bodies),
        static=room.walls,
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)


def _rows(rng: np.random.Generator, count: int, box: Box, lean: float) -> list[tuple[Point, float]]:
    """Nails in one or two rows, each with the px of height under it, for chains that start at the angle `lean`."""
    left, right, bottom, top = box
    rows = 1 if count <= 5 else 2
    columns, high = -(-count // rows), (top - bottom) / rows
    drop = high - 35
    aside = drop * math.sin(lean)  # px that the chains need beside their nails
    first, last = left + 25 + max(0.0, -aside), right - 25 - max(0.0, aside)
    pitch = (last - first) / columns
    nails = []
    for place in range(count):
        row, column = divmod(place, columns)
        x = first + pitch * (column + float(rng.uniform(0.35, 0.65)))
        nails.append(((x, top - 15 - row * high - float(rng.uniform(0, 15))), drop))
    return nails


def _chain(
    rng: np.random.Generator, pivot: Point, links: int, *, drop: float, first: int, lean: float | None
) -> tuple[list[Body], list[PinJoint]]:
    """One pendulum of `links` bobs that has `drop` px of height under `pivot`; its bodies count from `first`.

    Args:
        lean: the angle that all chains of a crowd share, rad; None draws one, and bobs are larger.
    """
    bodies: list[Body] = []
    joints: list[PinJoint] = []
    if lean is None:
        lean, bend, scale = float(rng.uniform(0.2, 1.4)) * (1 if chance(rng, 0.5) else -1), 0.25, 1.0
    else:
        lean, bend, scale = lean * float(rng.uniform(0.9, 1.1)), 0.08, 0.55
    spin = float(rng.normal(0, 1.0)) if chance(rng, 0.3) else 0.0  # the whole chain turns about the pivot, rad/s
    length = float(rng.uniform(0.35, 0.95)) * drop / links
    parent, anchor_a, hook = FIXED, pivot, pivot
    for link in range(links):
        angle = lean + (float(rng.normal(0, bend)) if link else 0.0)
        bob = _bob(rng, angle, scale)
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


def _bob(rng: np.random.Generator, lean: float, scale: float) -> Body:
    """A ball, or sometimes a plate that hangs from the middle of its upper edge along the rod."""
    friction, restitution, density = (
        float(rng.uniform(0.1, 0.5)),
        float(rng.uniform(0.2, 0.9)),
        float(rng.uniform(1, 6)),
    )
    if chance(rng, 0.2):
        width, height = scale * float(rng.uniform(18, 30)), scale * float(rng.uniform(24, 44))
        return Body(
            shape="rect",
            size=(width, height),
            position=(0, 0),
            angle=lean,
            mass=rect_mass(width, height, density),
            friction=friction,
            restitution=restitution,
        )
    radius = scale * float(rng.uniform(10, 18))
    return Body(
        shape="circle",
        size=(radius,),
        position=(0, 0),
        mass=disc_mass(radius, density),
        friction=friction,
        restitution=restitution,
    )
