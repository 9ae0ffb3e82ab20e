"""Balls and boxes race down a straight run, through a curve and off its lip: friction first, then free flight."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, arc, block, disc, path, uniform
from physworld.types import Body, Scene, Segment

CATEGORY = "ramp"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.2, 0.6), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    steep, lip, curve, low = uniform(
        rng, (0.65, 0.95), (0.1, 0.6), (70, 130), (bottom + 25, bottom + 150)
    )  # rad, rad, px, px
    wall = float(rng.uniform(4, 6))
    # The curve's lowest point is at height `low`; the straight run reaches up to the room's top, less a ball's room.
    summit = top - 70
    foot = low + curve * (1 - math.cos(steep))
    run = (summit - foot) / math.sin(steep)
    start = (left + 8, summit)
    bend = (start[0] + run * math.cos(steep), foot)
    center = (bend[0] + curve * math.sin(steep), low + curve)
    points = [start, *arc(center, curve, -math.pi / 2 - steep, -math.pi / 2 + lip, 6)]
    friction, restitution = uniform(rng, (0.1, 0.6), (0.0, 0.3))
    walls = [*room.walls, *path(points, radius=wall, friction=friction, restitution=restitution)]
    if chance(rng, 0.5) and points[-1][0] + 110 < right - 60:  # a landing hill
        hill_x, hill_y = uniform(rng, (points[-1][0] + 110, right - 60), (bottom + 40, bottom + 130))
        walls.append(Segment(start=(hill_x, bottom), end=(room.right, hill_y), radius=5.0, friction=0.5))
    bodies = _field(rng, count, start, steep, run, wall)
    scene = Scene(
        name="ski_jump",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Ski jump: {count} balls and boxes down a slope and off its lip.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)


def _field(
    rng: np.random.Generator, count: int, start: tuple[float, float], steep: float, run: float, wall: float
) -> list[Body]:
    """`count` bodies on the upper side of the straight run, in as many layers as they need."""
    along, up = (math.cos(steep), -math.sin(steep)), (math.sin(steep), math.cos(steep))
    largest = 15.0 if count <= 8 else 10.0 if count <= 20 else 7.5
    pitch = 2 * largest + 1
    slots = int((run - 40) / pitch)
    spread = max(1.0, min(slots / count, float(rng.uniform(1.0, 2.5))))  # gaps in the queue
    bodies = []
    for place in range(count):
        layer, slot = divmod(place, slots)
        size, density, friction, restitution = uniform(rng, (0.75, 1), (1, 5), (0.0, 0.6), (0.0, 0.4))
        is_box = chance(rng, 0.3)
        half = size * largest * (0.7 if is_box else 1.0)  # a box stays within its cell
        reach = 20 + pitch * (slot * spread + 0.5)
        lift = wall + (half if layer == 0 else largest) + 0.2 + layer * pitch
        position = (start[0] + reach * along[0] + lift * up[0], start[1] + reach * along[1] + lift * up[1])
        surface: Matter = {"density": density, "friction": friction, "restitution": restitution}
        if is_box:
            bodies.append(block((2 * half, 2 * half), position, angle=-steep, **surface))
        else:
            bodies.append(disc(half, position, **surface))
    return bodies
