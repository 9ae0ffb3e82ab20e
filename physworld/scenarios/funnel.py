"""A heap of balls runs through the neck of one or two funnels: bodies that hinder each other, sometimes a jam."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import chance, counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import disc, fitting, path, spots, uniform
from physworld.types import Scene

CATEGORY = "ramp"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.2, 0.6), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    stages = 2 if difficulty >= 2 and chance(rng, 0.5) else 1
    rim = top - float(rng.uniform(110, 150))
    box = (left + 2, right - 2, rim + 12, top - 2)
    reach = fitting(box, count, 17.0, slack=1.6)
    bodies = []
    density, friction, restitution = uniform(rng, (1, 4), (0.05, 0.6), (0.1, 0.6))
    for place in spots(rng, box, count, reach):
        size = float(rng.uniform(0.75, 1.0))
        bodies.append(disc(size * reach, place, density=density, friction=friction, restitution=restitution))
    # 2.4 ball diameters never jam for long; 1.3 often do.
    neck = 2 * reach * float(rng.uniform(1.3, 2.6))
    walls = list(room.walls)
    depth = (rim - bottom - 70) / stages
    for stage in range(stages):
        middle, fall = uniform(rng, (left + 260, right - 260), (0.55, 0.8))
        high = rim - stage * depth
        low = high - fall * depth
        wide = (room.left, room.right) if stage == 0 else (middle - 190, middle + 190)
        wall_friction = float(rng.uniform(0.1, 0.5))
        for edge, side in zip(wide, (-1, 1), strict=True):
            points = [(edge, high), (middle + side * (neck / 2 + 5), low), (middle + side * (neck / 2 + 5), low - 16)]
            walls += path(points, radius=5.0, friction=wall_friction, restitution=0.3)
    scene = Scene(
        name="funnel",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Funnel: {counted(count, 'ball')}, {counted(stages, 'funnel')} "
        f"with a neck {neck / reach / 2:.1f} balls wide.",
        bodies=tuple(bodies),
        static=tuple(walls),
    )
    return maybe_mirrored(rng, scene)
