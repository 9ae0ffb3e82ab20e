"""Balls and boxes let go on slopes: rolling against sliding, friction against gravity, and the drop at the end."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, disc_mass, draw_count, draw_room, maybe_mirrored, rect_mass
from physworld.types import Body, Scene, Segment

CATEGORY = "ramp"
RAMPS = {1: (1, 1), 2: (1, 2), 3: (2, 3), 4: (2, 3), 5: (3, 4)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.2, 0.6), closed=True)
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    ramps = int(rng.integers(RAMPS[difficulty][0], RAMPS[difficulty][1] + 1))
    shelf = (top - bottom - 20) / ramps  # px of height for each ramp
    largest = 20.0 if count <= 12 else 12.0
    walls = list(room.walls)
    bodies: list[Body] = []
    for ramp in range(ramps):
        # Zigzag: each ramp's low end leaves a hole for what rolls off, above the next ramp's high end.
        sign = 1 if ramp % 2 == 0 else -1
        run = float(rng.uniform(0.62, 0.8)) * (right - left)
        drop = min(float(rng.uniform(0.12, 0.5)) * run, shelf - 2 * largest - 25)
        high_y = top - shelf * ramp - 2 * largest - 20
        start_x = left if sign > 0 else right
        high, low = (start_x, high_y), (start_x + sign * run, high_y - drop)
        slope = Segment(
            start=high,
            end=low,
            radius=float(rng.uniform(4, 7)),
            friction=float(rng.uniform(0.2, 1.0)),
            restitution=float(rng.uniform(0.1, 0.5)),
        )
        walls.append(slope)
        share = count // ramps + (1 if ramp < count % ramps else 0)
        bodies += _row(rng, slope, share, largest, run=math.hypot(run, drop))
    scene = Scene(
        name="ramp_roll",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Ramp: {count} balls and boxes let go on {counted(ramps, 'slope')}.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)


def _row(rng: np.random.Generator, slope: Segment, count: int, largest: float, *, run: float) -> list[Body]:
    """`count` bodies side by side on the upper side of a slope that falls from its start over `run` px."""
    along = ((slope.end[0] - slope.start[0]) / run, (slope.end[1] - slope.start[1]) / run)
    up = (-along[1], along[0]) if along[0] > 0 else (along[1], -along[0])
    angle = math.atan2(-up[0], up[1])
    slot = (run - 40) / max(count, 3)
    bodies = []
    for place in range(count):
        radius = float(rng.uniform(9.0, max(9.5, min(largest, slot / 2 - 1))))
        is_box = chance(rng, 0.35)
        half = (
            (radius * float(rng.uniform(0.8, 1.0)), radius * float(rng.uniform(0.7, 1.0)))
            if is_box
            else (radius, radius)
        )
        spare = slot / 2 - half[0] - 0.2
        reach = 25 + slot * (place + 0.5) + float(rng.uniform(-spare, spare))
        lift = slope.radius + half[1] + float(rng.uniform(0.0, 0.5))
        bodies.append(
            Body(
                shape="rect" if is_box else "circle",
                size=(2 * half[0], 2 * half[1]) if is_box else (radius,),
                position=(
                    slope.start[0] + reach * along[0] + lift * up[0],
                    slope.start[1] + reach * along[1] + lift * up[1],
                ),
                angle=angle if is_box else 0.0,
                mass=(
                    rect_mass(2 * half[0], 2 * half[1], float(rng.uniform(1, 5)))
                    if is_box
                    else disc_mass(radius, float(rng.uniform(1, 5)))
                ),
                friction=float(rng.uniform(0.1, 0.9)),
                restitution=float(rng.uniform(0.0, 0.6)),
            )
        )
    return bodies
