"""What the public keys of a Scene JSONL header and of its frames say of a scene; read again by `_published.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from physworld.text.codecs._scene_dict import PYMUNK_NAMES, fields_to_list, part_to_dict
from physworld.types import (
    EVERYTHING,
    FIXED,
    Body,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
    Peg,
    PinJoint,
    Point,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    SlideJoint,
    Spring,
    State,
)

ROUNDING = 6e-5  # a public number may differ so much from the exact one: half of the fourth decimal
RADIUS = 2.0  # px: the published engine's walls, whose thickness is not in the files
# Public keys that may be left out, and what that means.
LEFT_OUT: dict[str, Any] = {"body_type": "dynamic", "sensor": False, "one_way": None}


def public_header(scene: Scene, start: State, *, full: bool = False) -> dict[str, Any]:
    """What the public keys of a header say of a scene and its frame 0.

    Args:
        full: also those that can be read, but are not written beside the exact scene.
    """
    places = np.round(start.position, 4).tolist()
    public = {
        "description": scene.text,
        "gravity": as_xy(scene.gravity),
        "timestep": scene.dt,
        "objects": [object_of(i, body, places[i]) | _form(body) for i, body in enumerate(scene.bodies)],
        "scenario_type": scene.name,
        "scenario_category": scene.category,
        "difficulty": scene.difficulty,
        "static_geometry": [_static(part, full) for part in scene.static],
        "constraints": [_constraint(joint, start) for joint in scene.joints],
    }
    if full:
        public |= {"fields": fields_to_list(scene.fields), "canvas": list(scene.canvas)}
    return public


def object_of(index: int, body: Body, position: list[float]) -> dict[str, Any]:
    """What header and frames say alike."""
    return {
        "id": index,
        "type": "rectangle" if body.shape == "rect" else body.shape,
        "position": as_xy(position),
        "material": {
            "mass": round(body.mass, 4),
            "friction": round(body.friction, 4),
            "elasticity": round(body.restitution, 4),
        },
    }


def _form(body: Body) -> dict[str, Any]:
    form: dict[str, Any]
    if body.shape == "polygon":
        form = {"vertices": [list(corner) for corner in body.vertices]}
    elif body.shape == "compound":
        form = {"parts": part_to_dict(body)["parts"]}
    else:
        form = dict(zip(("radius",) if body.shape == "circle" else ("width", "height"), body.size, strict=True))
    if body.kind != "dynamic":
        form["body_type"] = body.kind
    if body.sensor:
        form["sensor"] = True
    return form | _filter(body)


def _filter(part: Body | Segment | Peg) -> dict[str, Any]:
    return {} if part.filter == EVERYTHING else {"filter": dict(part.filter.__dict__)}


def _static(part: Segment | Peg, full: bool) -> dict[str, Any]:
    surface: dict[str, Any] = {"friction": part.friction, "elasticity": part.restitution, **_filter(part)}
    if isinstance(part, Peg):
        return {"type": "circle", "center": as_xy(part.center), "radius": part.radius, **surface}
    if full:
        surface |= {"radius": part.radius, "surface_speed": part.surface_speed}
    if part.one_way is not None:
        surface["one_way"] = as_xy(part.one_way)
    return {"type": "segment", "p1": as_xy(part.start), "p2": as_xy(part.end), **surface}


def _constraint(joint: Joint, start: State) -> dict[str, Any]:
    record: dict[str, Any] = {
        "type": PYMUNK_NAMES[type(joint)],
        "body_a": "static" if joint.body_a == FIXED else joint.body_a,
        "body_b": joint.body_b,
    }
    match joint:
        case Motor():
            return record | {"rate": -joint.spin, "max_force": joint.torque}
        case Gear():
            return record | {"phase": joint.phase, "ratio": joint.ratio}
        case RotaryLimit():
            return record | {"min": joint.lowest, "max": joint.highest}
        case RotarySpring():
            own = {"rest_angle": joint.rest_angle, "stiffness": joint.stiffness, "damping": joint.damping}
            return record | own
        case Ratchet():
            return record | {"phase": joint.phase, "ratchet": joint.ratchet}
        case GrooveJoint():
            ends = {"groove_a": list(joint.groove_start), "groove_b": list(joint.groove_end)}
            return record | ends | {"anchor_b": list(joint.anchor_b)}
    record |= {"anchor_a": list(joint.anchor_a), "anchor_b": list(joint.anchor_b)}
    match joint:
        case PinJoint():
            if abs(_span(joint, start) - joint.length) > ROUNDING:
                record["distance"] = joint.length
        case Rope():
            record |= {"min": 0.0, "max": joint.length}
        case SlideJoint():
            record |= {"min": joint.shortest, "max": joint.longest}
        case Spring():
            record |= {"rest_length": joint.length, "stiffness": joint.stiffness, "damping": joint.damping}
    return record


def as_xy(point: Any) -> dict[str, float]:
    return {"x": point[0], "y": point[1]}


def in_world(anchor: Point, end: int, start: State) -> Point:
    if end == FIXED:
        return anchor
    cosine, sine = math.cos(start.angle[end]), math.sin(start.angle[end])
    x, y = start.position[end]
    return x + cosine * anchor[0] - sine * anchor[1], y + sine * anchor[0] + cosine * anchor[1]


def _span(rod: PinJoint, start: State) -> float:
    """Distance of a rod's anchors, px."""
    return math.dist(in_world(rod.anchor_a, rod.body_a, start), in_world(rod.anchor_b, rod.body_b, start))
