"""Bodies jump on springs: a plate on slanted legs, or a net of beads that springs tie together and to two posts."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import Matter, block, disc, fitting, spots, uniform
from physworld.types import FIXED, Body, Scene, Segment, Spring

CATEGORY = "ramp"
LONGEST_NET = 22  # beads


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    walls = list(room.walls)
    if count < 6 or chance(rng, 0.3):
        plates = min(int(rng.integers(1, 3)), count // 2)
        bodies, springs = _plates(rng, plates, left, right, bottom)
        spread = (left + 60, right - 60)
        kind = f"{counted(plates, 'plate')} on springs"
    else:
        beads = int(np.clip(round(count * float(rng.uniform(0.45, 0.65))), 4, LONGEST_NET))
        bodies, springs, posts = _net(rng, beads, bottom)
        walls += posts
        spread = (posts[0].start[0] + 15, posts[1].start[0] - 15)
        kind = f"a net of {beads} beads and springs"
    jumpers = count - len(bodies)
    highest = max(body.position[1] for body in bodies)
    box = (*spread, highest + 40, top)
    reach = fitting(box, jumpers, 22.0, gap=2.0)
    for place in spots(rng, box, jumpers, reach, gap=2.0):
        size, density, friction, restitution = uniform(rng, (0.7, 1), (1, 3.5), (0.2, 0.7), (0.2, 0.7))
        surface: Matter = {"density": density, "friction": friction, "restitution": restitution}
        if chance(rng, 0.7):
            bodies.append(disc(size * reach, place, spin=float(rng.normal(0, 2)), **surface))
        else:
            side = 1.4 * size * reach
            bodies.append(block((side, side), place, spin=float(rng.normal(0, 2)), **surface))
    scene = Scene(
        name="trampoline",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Trampoline: {counted(jumpers, 'body', 'bodies')} dropped on {kind}.",
        bodies=tuple(bodies),
        static=tuple(walls),
        joints=tuple(springs),
    )
    return maybe_mirrored(rng, scene)


def _plates(
    rng: np.random.Generator, count: int, left: float, right: float, floor: float
) -> tuple[list[Body], list[Spring]]:
    """Plates side by side, each on four legs: two that bear it and two, slanted outwards, that keep it in place."""
    bodies, springs = [], []
    slot = (right - left) / count
    for plate in range(count):
        middle = left + slot * (plate + 0.5)
        width, height, density, stiffness, damping = uniform(
            rng, (0.35 * slot, 0.6 * slot), (90, 150), (0.4, 1.0), (250, 700), (0.5, 6)
        )
        width = min(width, 260.0)
        bodies.append(block((width, 12.0), (middle, floor + height), density=density, friction=0.7, restitution=0.3))
        for side in (-1, 1):
            hook = (side * (width / 2 - 4), 0.0)
            for aside in (0.0, 60.0):
                foot = (middle + side * (width / 2 - 4 + aside), floor)
                springs.append(
                    Spring(
                        body_a=FIXED,
                        body_b=plate,
                        anchor_a=foot,
                        anchor_b=hook,
                        length=math.hypot(aside, height) * 1.02,
                        stiffness=stiffness,
                        damping=damping,
                    )
                )
    return bodies, springs


def _net(rng: np.random.Generator, beads: int, floor: float) -> tuple[list[Body], list[Spring], list[Segment]]:
    """Beads in a row between two posts, closer together than the bodies that fall on them are wide."""
    radius, height, stiffness, damping, tension = uniform(
        rng, (7, 9), (floor + 150, floor + 210), (700, 1400), (0.3, 3), (0.35, 0.7)
    )
    pitch = 2 * radius + 2
    first = 400 - pitch * (beads - 1) / 2 + float(rng.uniform(-60, 60))
    bodies = [
        disc(radius, (first + pitch * place, height), density=6.0, friction=0.5, restitution=0.3)
        for place in range(beads)
    ]
    ends = (first - pitch - 6, first + pitch * beads + 6)
    springs = []
    for place in range(beads + 1):
        nailed = place in (0, beads)
        springs.append(
            Spring(
                body_a=FIXED if nailed else place - 1,
                body_b=min(place, beads - 1),
                anchor_a=(ends[0] if place == 0 else ends[1], height) if nailed else (0.0, 0.0),
                length=(1 - tension) * pitch,  # shorter than at the start: the net is taut
                stiffness=stiffness,
                damping=damping,
            )
        )
    posts = [Segment(start=(x, floor), end=(x, height), radius=4.0, friction=0.5, restitution=0.3) for x in ends]
    return bodies, springs, posts
