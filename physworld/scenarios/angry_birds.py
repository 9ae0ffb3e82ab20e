"""Birds thrown at a frame of pillars and planks with balls inside: a parabola that ends in a collapse."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import aimed, block, disc, fastest_on_the_way, uniform
from physworld.types import Body, Scene

CATEGORY = "minigame"
BIRDS = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 4), 5: (3, 5)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.5, 0.9), restitution=(0.2, 0.5), radius=(12.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty)
    birds = min(int(rng.integers(BIRDS[difficulty][0], BIRDS[difficulty][1] + 1)), count - 1)
    built = count - birds
    bays = 1 if built < 6 else 2 if built < 16 else int(rng.integers(3, 5))
    bay, storey, pillar, thickness = uniform(rng, (52, 66), (36, 50), (10, 15), (8, 12))
    start_x = float(rng.uniform(430, right - 25 - bay * bays))
    density, friction, restitution = uniform(rng, (0.8, 2.5), (0.5, 0.9), (0.0, 0.3))
    bodies: list[Body] = []
    floor = bottom
    # From the ground up, so that a frame cut short at `built` bodies still stands.
    while len(bodies) < built:
        ball = float(rng.uniform(0.22, 0.4)) * min(bay - pillar, storey)
        storey_parts = [
            block(
                (pillar, storey),
                (start_x + bay * place, floor + storey / 2),
                density=density,
                friction=friction,
                restitution=restitution,
            )
            for place in range(bays + 1)
        ]
        storey_parts += [
            block(
                (bay - 0.6, thickness),
                (start_x + bay * (place + 0.5), floor + storey + thickness / 2),
                density=density,
                friction=friction,
                restitution=restitution,
            )
            for place in range(bays)
        ]
        storey_parts += [
            disc(
                ball,
                (start_x + bay * (place + 0.5), floor + ball),
                density=density,
                friction=friction,
                restitution=restitution,
            )
            for place in range(bays)
        ]
        bodies += storey_parts[: built - len(bodies)]
        floor += storey + thickness
    peak = max(body.position[1] + body.reach for body in bodies)
    for bird in range(birds):
        bodies.append(_bird(rng, bird, left, bottom, face=start_x - pillar / 2, peak=min(peak, top - 60)))
    scene = Scene(
        name="angry_birds",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Angry birds: {counted(birds, 'bird')} thrown at a frame of {counted(built, 'part')}.",
        bodies=tuple(bodies),
        static=room.walls,
    )
    return maybe_mirrored(rng, scene)


def _bird(rng: np.random.Generator, place: int, left: float, floor: float, *, face: float, peak: float) -> Body:
    """Thrown from its own spot on the left so that it arrives at the frame's left face."""
    radius, density, friction, restitution = uniform(rng, (11, 15), (4, 10), (0.3, 0.7), (0.2, 0.5))
    for _attempt in range(60):  # about every second draw is slow enough; the last one is a slow drop beside the frame
        start = (left + 20 + 36 * place + float(rng.uniform(0, 3)), floor + radius + float(rng.uniform(1, 200)))
        aim = (face - radius, floor + radius + float(rng.uniform(0.1, 0.95)) * (peak - floor))
        steps = int(rng.integers(25, 70))
        velocity = aimed(start, aim, steps)
        if fastest_on_the_way(velocity, steps) < 50 * (radius + 5):
            break
    else:
        velocity = (300.0, 200.0)
    return disc(radius, start, density=density, friction=friction, restitution=restitution, velocity=velocity)
