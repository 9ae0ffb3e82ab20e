"""Stacks that lean too far to stand: nothing hits them, gravity tips the part above a block over that block's edge."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, uniform
from physworld.types import Body, Scene

CATEGORY = "stacking"
TALLEST = 13  # blocks in one stack


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.5, 1.0), restitution=(0.1, 0.5), radius=(12.0, 20.0))
    left, right, bottom, _ = room.inner
    count = draw_count(rng, difficulty)
    stacks = max(-(-count // TALLEST), min(int(rng.integers(1, difficulty + 1)), count // 2))
    slot = (right - left) / stacks
    bodies: list[Body] = []
    for stack in range(stacks):
        share = count // stacks + (1 if stack < count % stacks else 0)
        bodies += _stack(rng, share, middle=left + slot * (stack + 0.5), slot=slot, floor=bottom)
    scene = Scene(
        name="stack_collapse",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Stack collapse: {count} blocks in {counted(stacks, 'leaning stack')}.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)


def _stack(rng: np.random.Generator, count: int, *, middle: float, slot: float, floor: float) -> list[Body]:
    """`count` blocks, each set off from the one below by a little more than the whole can bear."""
    broadest, friction, density = uniform(rng, (50, 80), (0.4, 0.9), (1, 3))
    width = min(broadest, slot / 3)
    tallest = min(30.0 if count > 4 else 55.0, 420 / count)
    # n equal blocks, each s further out than the one below, tip over the lowest one's edge when s > width / n.
    lean = width / count * float(rng.uniform(1.35, min(1.8, 0.8 * count))) * (1 if chance(rng, 0.5) else -1)
    noise = 0.15 * abs(lean)
    bodies: list[Body] = []
    y = floor
    for storey in range(count):
        broad, height, heavy, shift = uniform(rng, (0.9, 1.1), (0.6 * tallest, tallest), (0.8, 1.2), (-noise, noise))
        bodies.append(
            block(
                (width * broad, height),
                (middle + lean * (storey - (count - 1) / 2) + shift, y + height / 2),
                density=density * heavy,
                friction=friction,
                restitution=0.1,
            )
        )
        y += height
    return bodies
