"""Fireworks: rings of small particles burst from a few points and the air slows them, the light ones first.

Drag in still air takes energy and never gives it. A burst needs a few particles, so counts start above the card's.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.scenarios._parts import counted, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import disc, spots, uniform
from physworld.types import Body, Scene, Wind

CATEGORY = "complex"
COUNTS = {1: (4, 8), 2: (8, 16), 3: (14, 30), 4: (24, 40), 5: (34, 50)}
BURSTS = {1: (1, 1), 2: (1, 2), 3: (1, 3), 4: (2, 4), 5: (2, 5)}


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.3, 0.8), restitution=(0.3, 0.7), radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    bursts = int(rng.integers(BURSTS[difficulty][0], BURSTS[difficulty][1] + 1))
    share = -(-count // bursts)
    pitch = 13.0  # px between neighbours on the first ring
    rings = 1 if share <= 10 else 2
    reach = pitch * (share / rings) / (2 * math.pi) + 14 * rings + 6
    centers = spots(rng, (left + 60, right - 60, bottom + 120, top - 10), bursts, min(reach + 4, 110.0))
    drag, pull = uniform(rng, (0.02, 0.12), (150, 981))
    bodies: list[Body] = []
    for burst, center in enumerate(centers):
        members = count // bursts + (1 if burst < count % bursts else 0)
        speed, density, turn = uniform(rng, (250, 640), (4, 12), (0, 2 * math.pi))
        friction, restitution = uniform(rng, (0.1, 0.6), (0.3, 0.8))
        inner = -(-members // rings)
        for place in range(members):
            ring, slot = divmod(place, inner)
            radius, pace = uniform(rng, (4.5, 5.8), (0.9, 1.0))
            angle = turn + 2 * math.pi * (slot + 0.5 * ring) / min(inner, members - ring * inner)
            distance = max(9.0, pitch * inner / (2 * math.pi)) + 14.0 * ring
            cos, sin = math.cos(angle), math.sin(angle)
            pace *= speed * (0.6 + 0.4 * (ring + 1) / rings)
            bodies.append(
                disc(
                    radius,
                    (center[0] + distance * cos, center[1] + distance * sin),
                    density=density,
                    friction=friction,
                    restitution=restitution,
                    velocity=(pace * cos, pace * sin),
                )
            )
    scene = Scene(
        name="particle_explosion",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Particle explosion: {count} particles burst from {counted(bursts, 'point')} into still air.",
        bodies=tuple(bodies),
        static=room.walls,
        fields=(Wind(velocity=(0.0, 0.0), drag=drag),),
        gravity=(0.0, -pull),
    )
    return maybe_mirrored(rng, scene)
