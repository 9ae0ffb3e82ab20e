"""Rows of blocks, each one shorter, and a ball thrown at them or dropped on them: loads spread, then give way."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import aimed, block, disc, fastest_on_the_way, uniform
from physworld.types import Body, Scene

CATEGORY = "stacking"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.6, 1.0), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    piles = 2 if difficulty >= 4 and chance(rng, 0.5) else 1
    blocks = count - piles
    base = math.ceil((math.sqrt(8 * math.ceil(blocks / piles) + 1) - 1) / 2)
    apart, height, slender = uniform(rng, (0, 4), (18, min(40, 330 / base)), (1.0, 1.9))
    width = min(height * slender, 380 / (base * piles) - apart)
    pitch = width + apart
    friction, restitution, density = uniform(rng, (0.5, 0.9), (0.0, 0.3), (1, 3))
    wobble = float(rng.uniform(0.0, 0.5)) * apart
    bodies: list[Body] = []
    for pile in range(piles):
        share = blocks // piles + (1 if pile < blocks % piles else 0)
        spots = [(row, place) for row in range(base) for place in range(base - row)][:share]
        start_x = float(rng.uniform(300, right - 40 - pitch * base)) if piles == 1 else 260 + 270 * pile
        bodies += [
            block(
                (width, height),
                (
                    start_x + pitch * (place + row / 2 + 0.5) + float(rng.uniform(-wobble, wobble)) * (row > 0),
                    bottom + height * (row + 0.5),
                ),
                density=density * float(rng.uniform(0.7, 1.3)),
                friction=friction,
                restitution=restitution,
            )
            for row, place in spots
        ]
        peak = bottom + height * (spots[-1][0] + 1)
        middle = start_x + pitch * base / 2
        bodies.append(_ball(rng, pile, left, top, middle=middle, half=pitch * base / 2, floor=bottom, peak=peak))
    scene = Scene(
        name="pyramid",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Pyramid: {counted(blocks, 'block')} in rows on a base of {base}, and a ball that hits them.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)


def _ball(
    rng: np.random.Generator,
    pile: int,
    left: float,
    top: float,
    *,
    middle: float,
    half: float,
    floor: float,
    peak: float,
) -> Body:
    """Dropped from above, or thrown so that it arrives at the pile's left flank."""
    radius, density, friction, restitution = uniform(rng, (13, 22), (5, 13), (0.3, 0.7), (0.2, 0.5))
    position = (middle + float(rng.uniform(-0.6, 0.6)) * half, float(rng.uniform(peak + radius + 5, top - radius - 5)))
    velocity = (float(rng.normal(0, 40)), -float(rng.uniform(0, 250)))
    if chance(rng, 0.6):
        aim = (
            middle - half * float(rng.uniform(0.3, 1.0)),
            floor + radius + float(rng.uniform(0, 0.8)) * (peak - floor),
        )
        for _ in range(20):  # nearly every second draw is slow enough; a drop stands in for twenty failures
            low = floor + radius + 4 + 180 * pile  # each pile's ball from its own height
            thrown = (float(rng.uniform(left + radius + 3, left + 120)), float(rng.uniform(low, low + 130)))
            steps = int(rng.integers(20, 70))
            pace = aimed(thrown, aim, steps)
            if fastest_on_the_way(pace, steps) < 50 * (radius + 5):
                position, velocity = thrown, pace
                break
    return disc(radius, position, density=density, friction=friction, restitution=restitution, velocity=velocity)
