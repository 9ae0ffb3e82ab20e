"""Blocks piled up and a ball that hits them after a random time of flight: resting contact, friction, then collapse."""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import Room, counted, disc_mass, draw_count, draw_room, maybe_mirrored, rect_mass
from physworld.types import Body, Scene

CATEGORY = "stacking"
TOWERS = {1: 1, 2: 1, 3: 1, 4: 2, 5: 3}
DT = 1 / 60  # s


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.6, 1.0), restitution=(0.2, 0.5), closed=False)
    _, _, bottom, _ = room.inner
    blocks = draw_count(rng, difficulty) - 1
    towers = TOWERS[difficulty]
    tallest = -(-blocks // towers)
    height = min(float(rng.uniform(20, 40)), 420 / tallest)
    width = float(rng.uniform(1.6, 2.6)) * height if tallest <= 12 else float(rng.uniform(44, 60))
    friction, restitution = float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.0, 0.3))
    gap = float(rng.choice([0.0, rng.uniform(0.0, 0.5)]))
    wobble = float(rng.uniform(0.0, 0.04)) * width  # px, sideways misplacement of a block
    first_x = float(rng.uniform(380, 480)) - 50 * (towers - 1)
    pitch = width + float(rng.uniform(30, 60))
    bodies: list[Body] = []
    for tower in range(towers):
        storeys = blocks // towers + (1 if tower < blocks % towers else 0)
        for storey in range(storeys):
            bodies.append(
                Body(
                    shape="rect",
                    size=(width, height),
                    position=(
                        first_x + pitch * tower + float(rng.uniform(-wobble, wobble)),
                        bottom + height / 2 + storey * (height + gap),
                    ),
                    mass=rect_mass(width, height, float(rng.uniform(1, 3))),
                    friction=friction,
                    restitution=restitution,
                )
            )
    top = bottom + tallest * (height + gap)
    bodies.append(_toppler(rng, room, face_x=first_x - width / 2 - wobble, top=top))
    scene = Scene(
        name="tower",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Tower: {counted(blocks, 'block')} in {counted(towers, 'pile')}, with a ball on its way to topple them.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)


def _toppler(rng: np.random.Generator, room: Room, *, face_x: float, top: float) -> Body:
    """A thrown ball whose parabola, in Chipmunk's steps, meets the pile's left face at x = face_x below y = top."""
    left, _, bottom, _ = room.inner
    radius = float(rng.uniform(12, 20))
    fastest = 50 * (radius + room.radius)  # px/s, see Room
    while True:  # about every second draw is slow enough
        x = float(rng.uniform(left + radius + 2, face_x - radius - 20))
        y = float(rng.uniform(bottom + radius + 5, 420))
        aim_y = bottom + max(radius + 2, float(rng.uniform(0.3, 0.95)) * (top - bottom))
        steps = int(rng.integers(8, 75))
        # n steps of p += v·dt, v += g·dt move by v0·n·dt + g·dt²·n(n-1)/2.
        across = (face_x - radius - x) / (steps * DT)
        rise = (aim_y - y) / (steps * DT) + 981 * DT * (steps - 1) / 2
        if math.hypot(across, max(abs(rise), abs(rise - 981 * DT * steps))) < fastest:
            break
    return Body(
        shape="circle",
        size=(radius,),
        position=(x, y),
        velocity=(across, rise),
        mass=disc_mass(radius, float(rng.uniform(3, 9))),
        friction=float(rng.uniform(0.3, 0.7)),
        restitution=float(rng.uniform(0.2, 0.5)),
    )
