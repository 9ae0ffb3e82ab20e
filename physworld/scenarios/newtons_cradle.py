"""Equal balls on rods, side by side, one or more lifted: a blow passes through balls that hardly move.

One cradle holds few balls, so difficulties 1 and 2 stay below the card's object counts; from 3 on there are several
cradles, each with its own balls, and some are lifted on both sides.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import CARD_COUNTS, chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Box, disc, uniform
from physworld.types import FIXED, Body, PinJoint, Scene

CATEGORY = "constraint"
COUNTS = CARD_COUNTS | {1: (2, 3), 2: (3, 4)}
Range = tuple[float, float]


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.9), restitution=(0.3, 0.7))
    count = draw_count(rng, difficulty, COUNTS)
    bodies: list[Body] = []
    rods: list[PinJoint] = []
    if difficulty <= 2:
        left, right, _, _ = room.inner
        lifted = _hang(
            rng, bodies, rods, count, (left, 400.0, right),
            radius=(12, 24), length=(150, 300), height=(430, 530), shift=20.0,
        )  # fmt: skip
    else:
        lifted = 0
        for balls, cell in _cells(rng, count, room.inner):
            wide, high = cell[1] - cell[0], cell[3] - cell[2]
            widest = min(20.0, 0.45 * wide / (2 * balls))  # px; the swing takes more than half of the cell
            longest = min(0.65 * wide, high - 2 * widest - 30)
            lifted += _hang(
                rng, bodies, rods, balls, (cell[0], (cell[0] + cell[1]) / 2, cell[1]),
                radius=(0.75 * widest, widest), length=(0.7 * longest, longest),
                height=(cell[3] - 20, cell[3] - 10), both_sides=0.5,
            )  # fmt: skip
    scene = Scene(
        name="newtons_cradle",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Newton's cradle: {count} balls on rods, {lifted} lifted.",
        bodies=tuple(bodies),
        static=room.walls,
        joints=tuple(rods),
    )
    return maybe_mirrored(rng, scene)


def _cells(rng: np.random.Generator, count: int, box: Box) -> list[tuple[int, Box]]:
    """How many balls each cradle has, 4-8, and the part of the room where it swings."""
    cradles = max(2, -(-count // int(rng.integers(5, 9))))
    rows = 1 if cradles <= 2 else 2 if cradles <= 6 else 3
    columns = -(-cradles // rows)
    left, right, bottom, top = box
    wide, high = (right - left) / columns, (top - bottom) / rows
    cells = []
    for place in range(cradles):
        row, column = divmod(place, columns)
        x, y = left + column * wide, top - row * high
        cells.append((count // cradles + (place < count % cradles), (x, x + wide, y - high, y)))
    return cells


def _hang(
    rng: np.random.Generator,
    bodies: list[Body],
    rods: list[PinJoint],
    count: int,
    across: tuple[float, float, float],
    *,
    radius: Range,
    length: Range,
    height: Range,
    shift: float = 0.0,
    both_sides: float = 0.0,
) -> int:
    """Hang up one cradle and return how many of its balls are lifted.

    Args:
        across: x of the place's left end, of the cradle's middle and of the place's right end, px.
        height: of the nails, px.
        shift: standard deviation of the middle, px.
        both_sides: probability that balls are lifted on the right, too.
    """
    size, rod, gap, nail = uniform(rng, radius, length, (0.0, 0.5), height)
    density, friction, restitution = uniform(rng, (1, 6), (0.0, 0.3), (0.9, 1.0))
    pitch, (left, middle, right) = 2 * size + gap, across
    start = middle - pitch * (count - 1) / 2 + float(rng.normal(0, 1)) * shift
    lifted = int(rng.integers(1, max(2, count // 2 + 1)))
    lifted_right = int(rng.integers(0, count - lifted)) if both_sides and chance(rng, both_sides) else 0
    # Neighbours lifted by one angle keep their distance; a lifted group only moves away from those at rest.
    pivots = [(start + pitch * place, nail) for place in range(count)]
    spaces = start - left - size - 2, right - pivots[-1][0] - size - 2  # px by which the outer balls may be lifted
    lift_left, lift_right = (min(float(rng.uniform(0.3, 1.1)), math.asin(min(1.0, space / rod))) for space in spaces)
    angles = [-lift_left] * lifted + [0.0] * (count - lifted - lifted_right) + [lift_right] * lifted_right
    for pivot, angle in zip(pivots, angles, strict=True):
        rods.append(PinJoint(body_a=FIXED, body_b=len(bodies), anchor_a=pivot, length=rod))
        at = (pivot[0] + rod * math.sin(angle), pivot[1] - rod * math.cos(angle))
        bodies.append(disc(size, at, density=density, friction=friction, restitution=restitution))
    return lifted + lifted_right
