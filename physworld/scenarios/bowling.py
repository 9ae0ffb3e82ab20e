"""A heavy ball slides or rolls along a lane into standing pins: friction starts the roll, then one mass against many.

Side view. More than 14 bodies need further lanes, one above the other.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, disc, uniform
from physworld.types import Body, Scene, Segment

CATEGORY = "collision"
LONGEST = 14  # bodies on one lane


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.2, 0.5), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    lanes = math.ceil(count / LONGEST)
    storey = (top - bottom) / lanes
    walls = list(room.walls)
    bodies: list[Body] = []
    for lane in range(lanes):
        floor = bottom + lane * storey
        if lane:
            walls.append(
                Segment(
                    start=(room.left, floor - 6),
                    end=(right - float(rng.uniform(60, 110)), floor - 6),  # what is pushed over the end falls a storey
                    radius=6.0,
                    friction=room.friction,
                    restitution=room.restitution,
                )
            )
        share = count // lanes + (1 if lane < count % lanes else 0)
        bodies += _lane(rng, share, left=left, right=right, floor=floor, storey=storey)
    scene = Scene(
        name="bowling",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Bowling: a heavy ball against {counted(count - lanes, 'pin')}"
        + (f", on {lanes} lanes." if lanes > 1 else ", on one lane."),
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)


def _lane(
    rng: np.random.Generator, count: int, *, left: float, right: float, floor: float, storey: float
) -> list[Body]:
    """One ball and count - 1 pins that stand on `floor`."""
    tallest = min(50.0, storey - 30)
    radius, height, slender, speed, density = uniform(
        rng, (13, min(24.0, tallest / 2)), (0.6 * tallest, tallest), (0.2, 0.32), (280, 680), (7, 14)
    )
    x = left + radius + float(rng.uniform(4, 90))
    # Released sliding, rolling, or with any spin between back spin and too much.
    roll = 0.0 if chance(rng, 0.4) else 1.0 if chance(rng, 0.5) else float(rng.uniform(-0.6, 1.6))
    friction, restitution, pin_density = uniform(rng, (0.2, 0.7), (0.1, 0.4), (1, 2))
    ball = disc(
        radius,
        (x, floor + radius),
        density=density,
        friction=friction,
        restitution=restitution,
        velocity=(speed, 0.0),
        spin=-roll * speed / radius,
    )
    pins = count - 1
    first = float(rng.uniform(300, 420))
    pitch = min(float(rng.uniform(0.6, 1.4)) * height, (right - 100 - first) / pins)
    width = min(slender * height, pitch - 3)
    pin_friction, pin_restitution = uniform(rng, (0.3, 0.7), (0.1, 0.5))
    return [
        ball,
        *(
            block(
                (width, height),
                (first + pitch * place + float(rng.uniform(-1, 1)), floor + height / 2),
                density=pin_density,
                friction=pin_friction,
                restitution=pin_restitution,
            )
            for place in range(pins)
        ),
    ]
