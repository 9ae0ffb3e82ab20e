"""Pendulums of graded length on one nail, let go together: they drift apart into waves and, in time, back together.

Bobs at different distances from their nail never meet. Up to 18 share a nail; more need further fans.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from physworld.scenarios._parts import counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import disc, uniform
from physworld.types import FIXED, Body, PinJoint, Scene

CATEGORY = "constraint"
LARGEST_FAN = 18


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.9), restitution=(0.3, 0.7), squeeze=15)
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    fans = max(-(-count // LARGEST_FAN), int(rng.integers(1, 1 + (difficulty > 2) + 1)))
    slot = (right - left) / fans
    nail_y = top - float(rng.uniform(5, 30))
    longest = nail_y - bottom - 25
    lean_max = min(1.3, math.asin(min(1.0, (slot / 2 - 14) / longest)))
    lean, density, friction, restitution = uniform(rng, (0.4 * lean_max, lean_max), (3, 8), (0.0, 0.3), (0.3, 0.8))
    beats = int(rng.integers(8, 20))  # swings of the longest one until all are together again
    bodies: list[Body] = []
    joints: list[PinJoint] = []
    for fan in range(fans):
        share = count // fans + (1 if fan < count % fans else 0)
        nail = (left + slot * (fan + 0.5), nail_y)
        side = -1 if fan % 2 else 1
        lengths = _lengths(share, longest, beats)
        closest = min((long - short for long, short in itertools.pairwise(lengths)), default=30.0)
        radius = min(12.0, closest / 2 - 0.8)
        for length in lengths:
            joints.append(PinJoint(body_a=FIXED, body_b=len(bodies), anchor_a=nail, length=length))
            bodies.append(
                disc(
                    radius,
                    (nail[0] + side * length * math.sin(lean), nail[1] - length * math.cos(lean)),
                    density=density,
                    friction=friction,
                    restitution=restitution,
                )
            )
    scene = Scene(
        name="pendulum_wave",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Pendulum wave: {count} pendulums of graded length on {counted(fans, 'nail')}, let go together.",
        bodies=tuple(bodies),
        static=room.walls,
        joints=tuple(joints),
    )
    return maybe_mirrored(rng, scene)


def _lengths(count: int, longest: float, beats: int) -> list[float]:
    """Pendulum k makes beats + k swings while the longest makes `beats`: length falls with the square, px.

    Where that would bring neighbours closer than 12 px, they are spread evenly instead.
    """
    wave = [longest * (beats / (beats + k)) ** 2 for k in range(count)]
    step = max(12.0, (longest - 90) / max(count, 6))
    if all(long - short >= 12 for long, short in itertools.pairwise(wave)) and wave[-1] > 50:
        return wave
    return [longest - step * k for k in range(count)]
