"""Convex shapes as plain numbers: area, centroid and moment about the origin. Lengths in px, angles in rad."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Point = tuple[float, float]


def edges(vertices: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Each corner with the next, the last with the first."""
    return list(pairwise([*vertices, vertices[0]]))


def cross(a: Point, b: Point) -> float:
    return a[0] * b[1] - a[1] * b[0]


def area(vertices: Sequence[Point]) -> float:
    """px²; positive counter-clockwise."""
    return sum(cross(a, b) for a, b in edges(vertices)) / 2


def centroid(vertices: Sequence[Point]) -> Point:
    """px; summed from the first corner on, so that a shape far from the origin loses nothing."""
    x, y = vertices[0]
    near = [(a - x, b - y) for a, b in vertices]
    weights = [(cross(a, b), a, b) for a, b in edges(near)]
    total = 3 * sum(weight for weight, *_ in weights)
    return (
        x + sum(w * (a[0] + b[0]) for w, a, b in weights) / total,
        y + sum(w * (a[1] + b[1]) for w, a, b in weights) / total,
    )


def gyration_squared(vertices: Sequence[Point]) -> float:
    """Moment about the origin over mass, px²: what `pymunk.moment_for_poly` gives for a mass of 1."""
    weights = [(cross(a, b), a, b) for a, b in edges(vertices)]
    dots = (w * (a[0] ** 2 + a[1] ** 2 + a[0] * b[0] + a[1] * b[1] + b[0] ** 2 + b[1] ** 2) for w, a, b in weights)
    return sum(dots) / (6 * sum(w for w, *_ in weights))


def placed(vertices: Sequence[Point], at: Point, angle: float) -> tuple[Point, ...]:
    """Corners turned by `angle` and then moved by `at`."""
    cos, sin = math.cos(angle), math.sin(angle)
    return tuple((at[0] + cos * x - sin * y, at[1] + sin * x + cos * y) for x, y in vertices)


def box(width: float, height: float) -> tuple[Point, ...]:
    """Corners of a rectangle about the origin, counter-clockwise."""
    x, y = width / 2, height / 2
    return (-x, -y), (x, -y), (x, y), (-x, y)


def fault(vertices: Sequence[Point]) -> str:
    """Why these corners are no convex polygon, or ''."""
    if len(vertices) < 3:
        return f"has {len(vertices)} corners; a polygon needs 3 or more"
    if len(set(vertices)) < len(vertices):
        return "names one corner twice"
    turned = area(vertices)
    if turned == 0:
        return "has no area"
    if turned < 0:
        return "runs clockwise; name its corners counter-clockwise"
    around = [(b[0] - a[0], b[1] - a[1]) for a, b in edges(vertices)]
    turns = [cross(a, b) for a, b in edges(around)]
    if min(turns) <= 1e-9 * turned:
        return "is not convex, or has a corner on a straight side; make a compound body of convex parts"
    # A star turns left at every corner too, and more than once round.
    total = sum(math.atan2(cross(a, b), a[0] * b[0] + a[1] * b[1]) for a, b in edges(around))
    return "" if abs(total - 2 * math.pi) < 1e-6 else "crosses itself"
