"""What each text has no words for, and the sentence that says so."""

from __future__ import annotations

from physworld.types import Scene, features
from physworld.types.features import COMPOUND, FILTER, JOINTS, KINEMATIC, ONE_WAY, POINT_WALL, POLYGON, SENSOR

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
