"""What each text has no words for, and the sentence that says so."""

from __future__ import annotations

import math

import numpy as np

from physworld.text.codecs.numbers import LARGEST, number_indices
from physworld.types import Peg, Scene, features
from physworld.types.features import COMPOUND, FILTER, JOINTS, KINEMATIC, ONE_WAY, POINT_WALL, POLYGON, SENSOR

SMALLEST = 0.0005  # what prints as 0: texts of lines have three decimals
COARSEST = 2.0  # px; what is further apart never prints alike: from 1000 on numbers print whole
_NEVER = frozenset({KINEMATIC, SENSOR, FILTER, ONE_WAY})
_SHAPES = frozenset({POLYGON, COMPOUND})
# Engine text says nothing of any shape and names each joint by Pymunk's word for it; card text has neither.
LACKS: dict[str, frozenset[str]] = {
    "impulse": frozenset({*_NEVER, *_SHAPES, *JOINTS.values(), POINT_WALL}),
    "islands": frozenset({*_NEVER, *_SHAPES, *JOINTS.values(), POINT_WALL}),
    "plain": frozenset({*_NEVER, *_SHAPES, *JOINTS.values(), POINT_WALL}),
    "engine": _NEVER,
    "card": frozenset({*_NEVER, *_SHAPES, *JOINTS.values()}),
}


def refusal(scene: Scene, codec: str) -> str:
    """Why the text `codec` cannot hold this scene, as a sentence without its full stop; else ''."""
    lacking = features(scene) & LACKS[codec]
    if not lacking:
        return ""
    what = min(lacking)
    able = [name for name, lacks in LACKS.items() if what not in lacks]
    return (
        f"{what} cannot be written as {codec} text; codecs that can: {', '.join(able) or 'none, only scene files can'}"
    )


def check_range(scene: Scene, numbers: np.ndarray, codec: str) -> None:
    """Whether the text `codec`, one of those of lines, can print these numbers of a header (M,), in its own units.

    Raises:
        ValueError: one is larger than any it has, one that must be positive prints as 0, or a wall as a point.
    """
    largest = max(np.abs(numbers).max(), np.abs(scene.state.position).max(initial=0.0))
    if largest > LARGEST + 0.5:
        raise ValueError(
            f"the number {largest:g} cannot be written as {codec} text, whose numbers end at {LARGEST:g} (the scene's "
            "numbers in the text's units); codecs that can: engine, card"
        )
    pegs = (part.radius for part in scene.static if isinstance(part, Peg))
    smallest = min([scene.dt * 1000, *(min(*body.size, body.mass) for body in scene.bodies), *pegs])
    if smallest < SMALLEST:
        raise ValueError(
            f"the time step, size or mass {smallest:g} cannot be written as {codec} text, where it would print as 0; "
            "codecs that can: engine, card"
        )
    for wall in scene.static:
        if isinstance(wall, Peg) or math.dist(wall.start, wall.end) > COARSEST:
            continue
        if (number_indices(np.array(wall.start)) == number_indices(np.array(wall.end))).all():
            raise ValueError(
                f"the wall from {wall.start} to {wall.end} cannot be written as {codec} text, where it would print as "
                "a point; codecs that can: engine, card"
            )
