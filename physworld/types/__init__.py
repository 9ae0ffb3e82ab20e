"""What every part of physworld passes around. Frozen, keyword-only, numpy only.

Units (two-dimensional worlds): length px with 100 px = 1 m, time s, velocity px/s, angle rad, spin rad/s,
mass kg, acceleration px/s². x points right, y points up. Shapes: T frames, N bodies, B batch, L tokens.
A part of a world whose numbers no world can have is never made: ValueError, one sentence.
"""

from physworld.types.bodies import EVERYTHING, PIXELS_PER_METRE, Body, Filter, Part, Peg, Segment
from physworld.types.features import features
from physworld.types.joints import (
    FIXED,
    Anchored,
    Attractor,
    Field,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
    MutualGravity,
    PinJoint,
    PivotJoint,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    SlideJoint,
    Spring,
    Wind,
)
from physworld.types.learning import Batch, ClipBatch, Encoded, Interval, Sample, TokenFamily, Vocabulary
from physworld.types.limits import Impossible
from physworld.types.scenes import Scene, State
from physworld.types.shapes import Point
from physworld.types.states import Trajectory

__all__ = [
    "EVERYTHING",
    "FIXED",
    "PIXELS_PER_METRE",
    "Anchored",
    "Attractor",
    "Batch",
    "Body",
    "ClipBatch",
    "Encoded",
    "Field",
    "Filter",
    "Gear",
    "GrooveJoint",
    "Impossible",
    "Interval",
    "Joint",
    "Motor",
    "MutualGravity",
    "Part",
    "Peg",
    "PinJoint",
    "PivotJoint",
    "Point",
    "Ratchet",
    "Rope",
    "RotaryLimit",
    "RotarySpring",
    "Sample",
    "Scene",
    "Segment",
    "SlideJoint",
    "Spring",
    "State",
    "TokenFamily",
    "Trajectory",
    "Vocabulary",
    "Wind",
    "features",
]
