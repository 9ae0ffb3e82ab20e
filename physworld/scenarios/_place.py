"""Helpers that place things: bodies in cells and piles, throws that arrive, walls along curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from physworld.scenarios._parts import disc_mass, rect_mass
from physworld.types import Body, Point, Segment

DT = 1 / 60  # s
GRAVITY = 981.0  # px/s²
Box = tuple[float, float, float, float]  # left, right, bottom, top, px


class Matter(TypedDict):
    """What `disc` and `block` want to know of a body's substance."""

    density: float  # kg per 1000 px²
    friction: float
    restitution: float


def disc(
    radius: float,
    position: Point,
    *,
    density: float,
    friction: float,
    restitution: float,
    velocity: Point = (0.0, 0.0),
    spin: float = 0.0,
) -> Body:
    """A ball; density in kg per 1000 px²."""
    return Body(
        shape="circle",
        size=(radius,),
        position=position,
        velocity=velocity,
        spin=spin,
        mass=disc_mass(radius, density),
        friction=friction,
        restitution=restitution,
    )


def block(
    size: tuple[float, float],
    position: Point,
    *,
    density: float,
    friction: float,
    restitution: float,
    velocity: Point = (0.0, 0.0),
    angle: float = 0.0,
    spin: float = 0.0,
) -> Body:
    """A rectangle (width, height); density in kg per 1000 px²."""
    return Body(
        shape="rect",
        size=size,
        position=position,
        velocity=velocity,
        angle=angle,
        spin=spin,
        mass=rect_mass(*size, density),
        friction=friction,
        restitution=restitution,
    )


def uniform(rng: np.random.Generator, *ranges: tuple[float, float]) -> list[float]:
    """One plain float from each range."""
    shares = rng.random(len(ranges)).tolist()
    return [low + (high - low) * share for (low, high), share in zip(ranges, shares, strict=True)]


def spots(
    rng: np.random.Generator, box: Box, count: int, reach: float, *, gap: float = 1.0, packed: bool = False
) -> list[Point]:
    """`count` places at least 2·reach + gap apart and reach + gap/2 inside `box`: jittered cells of a grid.

    Args:
        packed: fill the lowest rows without jitter, instead of cells drawn from the whole box.

    Raises:
        ValueError: the box is too small; the scenario that asked is wrong.
    """
    left, right, bottom, top = box
    pitch = 2 * reach + gap
    across, up = int((right - left) / pitch), int((top - bottom) / pitch)
    if across * up < count:
        raise ValueError(
            f"{count} bodies of reach {reach:.1f} px do not fit {right - left:.0f} x {top - bottom:.0f} px"
        )
    width = (right - left) / across
    if packed:
        chosen, height = np.arange(count), pitch
        shift = np.zeros((count, 2))
    else:
        chosen, height = rng.permutation(across * up)[:count], (top - bottom) / up
        shift = rng.uniform(-0.5, 0.5, (count, 2)) * (width - pitch, height - pitch)
    row, column = np.divmod(chosen, across)
    x = left + (column + 0.5) * width + shift[:, 0]
    y = bottom + (row + 0.5) * height + shift[:, 1]
    return list(zip(x.tolist(), y.tolist(), strict=True))


def fitting(box: Box, count: int, largest: float, *, gap: float = 1.0, slack: float = 1.3) -> float:
    """The largest reach, at most `largest`, of which `spots` can place slack·count in `box`."""
    left, right, bottom, top = box
    if not count:
        return largest
    reach = min(largest, (math.sqrt((right - left) * (top - bottom) / (slack * count)) - gap) / 2)
    while int((right - left) / (2 * reach + gap)) * int((top - bottom) / (2 * reach + gap)) < count:
        reach *= 0.95
    return reach


def aimed(start: Point, target: Point, steps: int, gravity: float = GRAVITY) -> Point:
    """Velocity that brings a body from start to target in `steps` frames, in Chipmunk's steps.

    n steps of p += v·dt, v += g·dt move by v0·n·dt + g·dt²·n(n-1)/2.
    """
    across = (target[0] - start[0]) / (steps * DT)
    rise = (target[1] - start[1]) / (steps * DT) + gravity * DT * (steps - 1) / 2
    return across, rise


def fastest_on_the_way(velocity: Point, steps: int, gravity: float = GRAVITY) -> float:
    """Largest speed within `steps` frames of a throw, px/s."""
    return max(math.hypot(*velocity), math.hypot(velocity[0], velocity[1] - gravity * DT * steps))


def crate_piles(
    rng: np.random.Generator, count: int, *, left: float, right: float, floor: float, widest: float
) -> list[Body]:
    """Crates in columns on the floor between left and right."""
    slots = rng.permutation(np.arange(left, right - widest - 4, widest + 8)).tolist()
    storeys = max(int(rng.integers(1, 4)), -(-count // len(slots)))
    bodies: list[Body] = []
    for place in range(count):
        column, storey = divmod(place, storeys)
        width, height = (rng.uniform(0.55, 1.0, 2) * widest).tolist()
        base = floor if storey == 0 else bodies[-1].position[1] + bodies[-1].size[1] / 2
        bodies.append(
            Body(
                shape="rect",
                size=(width, height),
                position=(slots[column] + widest / 2 + float(rng.uniform(-2, 2)), base + height / 2),
                mass=rect_mass(width, height, float(rng.uniform(0.8, 3))),
                friction=float(rng.uniform(0.3, 0.9)),
                restitution=float(rng.uniform(0.0, 0.5)),
            )
        )
    return bodies


def toppled(body: Body, strength: float) -> Body:
    """A standing block that turns about its lower right corner, with `strength`² times the energy to fall over."""
    width, height = body.size
    diagonal = math.hypot(width, height)
    lift = (diagonal - height) / 2
    about_corner = body.gyration**2 + (diagonal / 2) ** 2  # px²
    spin = -strength * math.sqrt(2 * GRAVITY * lift / about_corner)
    return Body(
        shape=body.shape,
        size=body.size,
        position=body.position,
        velocity=(-spin * height / 2, -spin * width / 2),
        spin=spin,
        mass=body.mass,
        friction=body.friction,
        restitution=body.restitution,
    )


def arc(center: Point, radius: float, start: float, end: float, count: int) -> list[Point]:
    """`count` + 1 points on a circle from angle start to end, rad."""
    turns = [start + (end - start) * k / count for k in range(count + 1)]
    return [(center[0] + radius * math.cos(turn), center[1] + radius * math.sin(turn)) for turn in turns]


def path(points: Sequence[Point], *, radius: float, friction: float, restitution: float) -> list[Segment]:
    """Walls from each point to the next."""
    return [
        Segment(start=start, end=end, radius=radius, friction=friction, restitution=restitution)
        for start, end in itertools.pairwise(points)
    ]


def sagging(left: Point, right: Point, count: int, half_angle: float) -> list[Point]:
    """`count` + 1 points, equally far apart, on the hanging circular arc between two points of equal height.

    Args:
        half_angle: rad; the arc's slope at its ends, 0 = straight.
    """
    span = right[0] - left[0]
    radius = span / (2 * math.sin(half_angle))
    center = (left[0] + span / 2, left[1] + radius * math.cos(half_angle))
    return arc(center, radius, -math.pi / 2 - half_angle, -math.pi / 2 + half_angle, count)
