"""Grains run through the waist of a glass into its lower bulb: flow, arching and jams between converging walls."""

from __future__ import annotations

import numpy as np

from physworld.scenarios._parts import draw_count, maybe_mirrored
from physworld.scenarios._place import disc, fitting, path, spots, uniform
from physworld.types import Scene

CATEGORY = "complex"


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    count = draw_count(rng, difficulty)
    middle, half, waist_y, bulb, thickness = uniform(rng, (330, 470), (140, 210), (285, 335), (90, 150), (13, 17))
    bottom, top = 40.0, 580.0
    box = (middle - half + thickness, middle + half - thickness, waist_y + bulb + 8, top - thickness)
    largest, neck_share, friction, restitution, density = uniform(
        rng, (10, 15), (1.5, 3.2), (0.0, 0.5), (0.1, 0.5), (1, 5)
    )
    reach = fitting(box, count, largest, slack=1.25)
    neck = neck_share * reach + thickness  # px, half the waist between the walls' middle lines
    wall_friction, wall_restitution = uniform(rng, (0.1, 0.6), (0.1, 0.5))
    outline = [
        (middle - half, bottom),
        (middle - half, waist_y - bulb),
        (middle - neck, waist_y),
        (middle - half, waist_y + bulb),
        (middle - half, top),
        (middle + half, top),
        (middle + half, waist_y + bulb),
        (middle + neck, waist_y),
        (middle + half, waist_y - bulb),
        (middle + half, bottom),
        (middle - half, bottom),
    ]
    bodies = [
        disc(
            reach * float(rng.uniform(0.8, 1.0)),
            place,
            density=density,
            friction=friction,
            restitution=restitution,
        )
        for place in spots(rng, box, count, reach)
    ]
    scene = Scene(
        name="hourglass",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Hourglass: {count} grains above a waist {neck_share:.1f} grains wide.",
        bodies=tuple(bodies),
        static=tuple(path(outline, radius=thickness, friction=wall_friction, restitution=wall_restitution)),
    )
    return maybe_mirrored(rng, scene)
