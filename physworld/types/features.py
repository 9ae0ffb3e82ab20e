"""What a scene has beyond what every text can say, in words."""

from __future__ import annotations

from physworld.types.bodies import EVERYTHING, Peg
from physworld.types.joints import Gear, GrooveJoint, Ratchet, RotaryLimit, RotarySpring, SlideJoint
from physworld.types.scenes import Scene

POLYGON, COMPOUND, KINEMATIC, SENSOR = "a polygon", "a compound body", "a kinematic body", "a sensor"
FILTER, ONE_WAY, POINT_WALL = "a collision filter", "a one-way wall", "a wall without length"
JOINTS: dict[type, str] = {
    SlideJoint: "a slide joint",
    GrooveJoint: "a groove joint",
    Gear: "a gear joint",
    RotaryLimit: "a rotary limit joint",
    RotarySpring: "a rotary spring",
    Ratchet: "a ratchet joint",
}


def features(scene: Scene) -> frozenset[str]:
    """Names of what is more than dynamic circles and boxes, walls, pegs, rods, hinges, ropes, springs and motors."""
    found = set()
    for body in scene.bodies:
        if body.shape == "polygon":
            found.add(POLYGON)
        elif body.shape == "compound":
            found.add(COMPOUND)
        if body.kind != "dynamic":
            found.add(KINEMATIC)
        if body.sensor:
            found.add(SENSOR)
        if body.filter != EVERYTHING:
            found.add(FILTER)
    for part in scene.static:
        if part.filter != EVERYTHING:
            found.add(FILTER)
        if not isinstance(part, Peg):
            if part.one_way is not None:
                found.add(ONE_WAY)
            if part.start == part.end:
                found.add(POINT_WALL)
    for joint in scene.joints:
        if type(joint) in JOINTS:
            found.add(JOINTS[type(joint)])
    return frozenset(found)
