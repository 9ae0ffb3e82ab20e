"""A tower of alternating layers, three blocks or one plank, some missing, some being pulled out: what still holds?

Side view: a block that is pulled leaves to its side. Above 25 blocks there are two towers.
"""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, uniform
from physworld.types import Body, Scene

CATEGORY = "stacking"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.5, 1.0), restitution=(0.1, 0.4), radius=(12.0, 20.0))
    left, right, bottom, _ = room.inner
    count = draw_count(rng, difficulty)
    towers = 1 if count <= 25 else 2
    bodies: list[Body] = []
    for tower in range(towers):
        share = count // towers + (1 if tower < count % towers else 0)
        middle = left + (right - left) * (tower + float(rng.uniform(0.4, 0.6))) / towers
        bodies += _tower(rng, share, middle=middle, floor=bottom, hollow=difficulty >= 2)
    scene = Scene(
        name="jenga",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Jenga: {count} blocks in alternating layers, some of them being pulled out.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)


def _tower(rng: np.random.Generator, count: int, *, middle: float, floor: float, hollow: bool) -> list[Body]:
    """`count` blocks from the floor up, a side block of a low layer on its way out."""
    height, density, friction, restitution, speed = uniform(
        rng, (16, 22 if count > 14 else 30), (1, 3), (0.3, 0.8), (0.0, 0.25), (250, 650)
    )
    plank = height * float(rng.uniform(3.6, 5.0))
    apart = plank * float(rng.uniform(0.01, 0.06))
    small = (plank - 2 * apart) / 3
    # Layer by layer: the places of its blocks, from -1 to 1, or None for a plank across.
    layers: list[list[int] | None] = []
    while sum(1 if layer is None else len(layer) for layer in layers) < count:
        if len(layers) % 2:
            layers.append(None)
            continue
        missing = int(rng.integers(-1, 2)) if hollow and layers and chance(rng, 0.35) else None
        layers.append([place for place in (-1, 0, 1) if place != missing])
    spots = [(storey, place) for storey, layer in enumerate(layers) for place in (layer or [0])][:count]
    pulls: dict[tuple[int, int], float] = {}
    for _ in range(1 + (count > 8) + (count > 16)):
        side = 1 if chance(rng, 0.5) else -1
        low = int(rng.integers(0, max(1, len(layers) // 2))) // 2 * 2  # even layers have blocks
        pulls[max((spot for spot in spots if spot[0] == low), key=lambda spot: spot[1] * side)] = side * speed
    return [
        block(
            (plank if layers[storey] is None else small, height),
            (middle + place * (small + apart), floor + height * (storey + 0.5)),
            density=density,
            friction=friction,
            restitution=restitution,
            velocity=(pulls.get((storey, place), 0.0), 0.0),
        )
        for storey, place in spots
    ]
