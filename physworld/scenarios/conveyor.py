"""Boxes and balls on running belts that hand them down from one to the next: friction that drives instead of brakes."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, uniform
from physworld.types import Body, Scene, Segment

CATEGORY = "complex"
ENERGY_SOURCES = ("belt",)
BELTS = {1: (1, 2), 2: (1, 3), 3: (2, 3), 4: (2, 4), 5: (3, 4)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.1, 0.4), radius=(16.0, 20.0), squeeze=20)
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    belts = int(rng.integers(BELTS[difficulty][0], BELTS[difficulty][1] + 1))
    storey = (top - bottom - 30) / (belts + 0.6)
    walls = list(room.walls)
    bodies: list[Body] = []
    for belt in range(belts):
        onward = 1 if belt % 2 == 0 else -1
        speed, climb, well, grip = uniform(rng, (70, 260), (-0.06, 0.1), (75, 130), (0.6, 1.0))
        length = (right - left) * float(rng.uniform(0.7, 0.78)) - 20
        begin = left + 20 if onward > 0 else right - 20
        if well + length + 40 < right - left and chance(rng, 0.5):
            begin += onward * float(rng.uniform(0, 30))
        end = begin + onward * length
        y = bottom + storey * (belts - belt) - 0.3 * storey
        walls.append(
            Segment(
                start=(begin, y - climb * length / 2),
                end=(end, y + climb * length / 2),
                radius=9.0,
                friction=grip,
                restitution=0.1,
                surface_speed=speed,
            )
        )
        share = count // belts + (1 if belt < count % belts else 0)
        bodies += _load(rng, share, walls[-1], headroom=storey - 40)
    if chance(rng, 0.3):  # the floor runs, too
        walls[0] = Segment(
            start=walls[0].start,
            end=walls[0].end,
            radius=room.radius,
            friction=room.friction,
            restitution=room.restitution,
            surface_speed=float(rng.uniform(-150, 150)),
        )
    scene = Scene(
        name="conveyor",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Conveyor: {count} boxes and balls on {counted(belts, 'running belt')}.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)


def _load(rng: np.random.Generator, count: int, belt: Segment, *, headroom: float) -> list[Body]:
    """`count` bodies side by side on the belt, or above it and falling, in two layers when there are many."""
    (ax, ay), (bx, by) = belt.start, belt.end
    layers = 1 if count <= 9 else 2
    slots = -(-count // layers)
    pitch = (abs(bx - ax) - 40) / slots
    largest = min(22.0, pitch / 2 - 1, headroom / (2 * layers) - 2)
    bodies = []
    for place in range(count):
        layer, slot = divmod(place, slots)
        share = (20 + pitch * (slot + 0.5)) / abs(bx - ax)
        size, density, friction, restitution = uniform(rng, (0.6, 1), (0.8, 3), (0.3, 0.9), (0.0, 0.4))
        is_box = chance(rng, 0.6)
        half = size * largest * (0.7 if is_box else 1.0)
        lift = belt.radius + 2.5 + (half if layer == 0 else 3 * largest + 4) + float(rng.uniform(0, 3))
        position = (ax + share * (bx - ax), ay + share * (by - ay) + lift)
        surface: Matter = {"density": density, "friction": friction, "restitution": restitution}
        if is_box:
            bodies.append(block((2 * half, float(rng.uniform(1.4, 2)) * half), position, **surface))
        else:
            bodies.append(disc(half, position, **surface))
    return bodies
