"""A heap of balls and boxes lets go on a steep slope: what slides, what rolls, and how the heap spreads below."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, uniform
from physworld.types import Body, Peg, Scene, Segment

CATEGORY = "complex"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.1, 0.4), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    steep, high, wall, friction = uniform(rng, (0.5, 0.85), (top - 190, top - 120), (5, 8), (0.1, 0.5))
    foot = left + (high - bottom) / math.tan(steep)
    if foot > right - 120:  # leave ground to come to rest on
        foot = right - 120
        steep = math.atan2(high - bottom, foot - left)
    slope = Segment(start=(left, high), end=(foot, bottom), radius=wall, friction=friction, restitution=0.2)
    largest = 17.0 if count <= 12 else 12.0 if count <= 28 else 9.5
    pitch = 2 * largest + 1
    along, up = (math.cos(steep), -math.sin(steep)), (math.sin(steep), math.cos(steep))
    run = math.hypot(foot - left, high - bottom)
    layers = min(1 + count // 6, 5)
    slots = -(-count // layers)
    first = 30 + layers * pitch * math.tan(max(0.0, steep - 0.3))  # the heap's back stays clear of the wall
    spread = min(float(rng.uniform(1.0, 1.4)), (run - first - 60) / (slots * pitch))
    boxes, cohesion = uniform(rng, (0.1, 0.7), (0.0, 0.7))
    bodies: list[Body] = []
    for place in range(count):
        layer, slot = divmod(place, slots)
        size, density, grip, restitution = uniform(rng, (0.7, 1), (1, 5), (cohesion, cohesion + 0.3), (0.0, 0.3))
        is_box = chance(rng, boxes)
        half = size * largest * (0.72 if is_box else 1.0)
        reach = first + pitch * max(spread, 1.0) * (slot + 0.5)
        lift = wall + largest + 0.5 + layer * pitch if layer else wall + half + 0.1
        position = (left + reach * along[0] + lift * up[0], high + reach * along[1] + lift * up[1])
        surface: Matter = {"density": density, "friction": grip, "restitution": restitution}
        if is_box:
            bodies.append(block((2 * half, 2 * half), position, angle=-steep, **surface))
        else:
            bodies.append(disc(half, position, **surface))
    rocks = [
        Peg(center=(float(rng.uniform(foot + 40, right - 40)), bottom), radius=float(rng.uniform(12, 34)), friction=0.8)
        for _ in range(int(rng.integers(0, 3)))
    ]
    scene = Scene(
        name="avalanche",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Avalanche: {count} balls and boxes let go on a slope of {math.degrees(steep):.0f} degrees.",
        bodies=tuple(bodies),
        static=(*room.walls, slope, *rocks),
    )
    return maybe_mirrored(rng, scene)
