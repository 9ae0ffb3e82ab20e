"""Balls thrown in high arcs at a hoop: rim, backboard and net decide what goes in, other balls get in the way."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import aimed, disc, fastest_on_the_way, fitting, path, spots, uniform
from physworld.types import Body, Peg, Scene, Segment

CATEGORY = "minigame"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.4, 0.9), restitution=(0.5, 0.85), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    box = (left + 5, 340.0, bottom + 5, 370.0)
    radius = fitting(box, count, float(rng.uniform(11, 15)), slack=1.5)
    rim_y, hoop, reach = uniform(rng, (270, 380), (3.4, 4.6), (30, 130))
    board_x = right - reach
    rim_x = board_x - 12 - hoop * radius  # px, the hoop's near end
    walls: list[Segment | Peg] = [*room.walls, *_hoop(rng, board_x, rim_x, rim_y)]
    middle = (rim_x + board_x) / 2
    density, friction, restitution = uniform(rng, (1, 3), (0.3, 0.8), (0.6, 0.9))
    thrown = max(1, round(count * float(rng.uniform(0.5, 1.0))))
    skill = float(rng.uniform(0.3, 1.5)) * hoop * radius  # px, spread of the throws
    bodies: list[Body] = []
    for place in spots(rng, box, count, radius, gap=2.0):
        velocity, spin = (0.0, 0.0), 0.0
        if len(bodies) < thrown:
            for _ in range(20):  # most draws are slow enough; the rest stays with the balls that only fall
                steps = int(rng.integers(55, 85))
                target = (middle + float(rng.normal(0, 1)) * skill, rim_y + 10)
                pace = aimed(place, target, steps)
                if fastest_on_the_way(pace, steps) < 54 * (radius + 5) and _peak(place, pace) < top - radius:
                    velocity, spin = pace, float(rng.uniform(-2, 8))
                    break
        bodies.append(
            disc(
                radius,
                place,
                density=density,
                friction=friction,
                restitution=restitution,
                velocity=velocity,
                spin=spin,
            )
        )
    flying = sum(body.velocity != (0.0, 0.0) for body in bodies)
    scene = Scene(
        name="basketball",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Basketball: {flying} of {count} balls thrown at a hoop.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)


def _peak(start: tuple[float, float], velocity: tuple[float, float]) -> float:
    """Height of a throw's highest point, px."""
    return start[1] + max(velocity[1], 0.0) ** 2 / (2 * 981)


def _hoop(rng: np.random.Generator, board_x: float, rim_x: float, rim_y: float) -> list[Segment | Peg]:
    """Backboard, the two ends of the rim and, mostly, a net that narrows below it."""
    restitution = float(rng.uniform(0.4, 0.8))
    parts: list[Segment | Peg] = [
        Segment(start=(board_x, rim_y - 25), end=(board_x, rim_y + 85), radius=5.0, restitution=restitution),
        Peg(center=(rim_x, rim_y), radius=4.0, restitution=restitution),
        Segment(start=(board_x, rim_y), end=(board_x - 10, rim_y), radius=3.0, restitution=restitution),
    ]
    if chance(rng, 0.7):
        narrow = 0.1 * (board_x - rim_x)
        for x, aside in ((rim_x, narrow), (board_x - 10, -narrow)):
            parts += path([(x, rim_y), (x + aside, rim_y - 40)], radius=2.5, friction=0.6, restitution=0.1)
    return parts
