"""Scene <-> plain dictionary, exactly; and the checks that both ways of reading a scene share.

Every problem is a `FormatError` with one plain sentence; the caller adds file and line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from typing import Any

from physworld.errors import FormatError
from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Joint,
    Motor,
    MutualGravity,
    Peg,
    PinJoint,
    PivotJoint,
    Point,
    Rope,
    Scene,
    Segment,
    Spring,
    State,
    Wind,
)

MAX_BODIES = 4096  # also the limit for walls, joints and fields
STATIC = {"segment": Segment, "peg": Peg}
JOINTS = {"pin": PinJoint, "pivot": PivotJoint, "rope": Rope, "spring": Spring, "motor": Motor}
FIELDS = {"attractor": Attractor, "mutual_gravity": MutualGravity, "wind": Wind}
_NAMES = {kind: name for kinds in (STATIC, JOINTS, FIELDS) for name, kind in kinds.items()}
# Pymunk's class names, which published files and engine text use.
PYMUNK_NAMES: dict[type, str] = {
    PinJoint: "PinJoint",
    PivotJoint: "PivotJoint",
    Rope: "SlideJoint",
    Spring: "DampedSpring",
    Motor: "SimpleMotor",
}


def mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{what} must be a JSON object, got {shown(value)}")
    return value


def sequence(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise FormatError(f"{what} must be a list, got {shown(value)}")
    return list(value)


def number(value: Any, what: str) -> float:
    # bool is an int in Python and no number in a file
    if type(value) is not float and type(value) is not int:
        raise FormatError(f"{what} must be a number, got {shown(value)}")
    if not abs(value) < math.inf or abs(value) > 1e300:
        raise FormatError(f"{what} is not a finite number")
    return float(value)


def integer(value: Any, what: str) -> int:
    if type(value) is not int or abs(value) > 2**53:
        raise FormatError(f"{what} must be a whole number, got {shown(value)}")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{what} must be a text, got {shown(value)}")
    return value


def xy(value: Any, what: str) -> Point:
    """{"x": 1.0, "y": 2.0}"""
    point = mapping(value, what)
    return number(point.get("x"), f"{what} x"), number(point.get("y"), f"{what} y")


def numbers(value: Any, what: str) -> tuple[float, ...]:
    return tuple(number(v, what) for v in sequence(value, what))


def pair(value: Any, what: str) -> Point:
    """[1.0, 2.0]"""
    found = numbers(value, what)
    if len(found) != 2:
        raise FormatError(f"{what} must have 2 numbers, got {len(found)}")
    return found[0], found[1]


def _canvas(value: Any, what: str) -> tuple[int, int]:
    found = sequence(value, what)
    if len(found) != 2:
        raise FormatError(f"{what} must have 2 numbers, got {len(found)}")
    return integer(found[0], what), integer(found[1], what)


def shown(value: Any) -> str:
    """A value of a file, short enough for a sentence."""
    if value is None:
        return "nothing"
    word = repr(value) if isinstance(value, str | int | float) else type(value).__name__
    return word if len(word) <= 40 else word[:37] + "..."


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """The scene as JSON-ready data; floats keep every bit."""
    return asdict(scene) | {
        key: [{"type": _NAMES[type(part)]} | asdict(part) for part in getattr(scene, key)]
        for key in ("static", "joints", "fields")
    }


def scene_from_dict(data: Any) -> Scene:
    """Inverse of `scene_to_dict`.

    Raises:
        FormatError: a key is missing, unknown or wrong, or the scene cannot exist.
    """
    return checked(_build(Scene, data, "scene"))


def checked(scene: Scene) -> Scene:
    """The scene itself, when its numbers can be those of a world."""
    if not 1 <= len(scene.bodies) <= MAX_BODIES:
        raise FormatError(f"the scene has {len(scene.bodies)} bodies; 1 to {MAX_BODIES} can be read")
    if scene.dt <= 0:
        raise FormatError(f"the timestep is {scene.dt}, it must be positive")
    for index, body in enumerate(scene.bodies):
        if len(body.size) != (1 if body.shape == "circle" else 2) or min(body.size) <= 0:
            raise FormatError(f"object {index} is a {body.shape} of size {body.size}; sizes must be positive")
        if body.mass <= 0:
            raise FormatError(f"object {index} has mass {body.mass}, it must be positive")
    for index, joint in enumerate(scene.joints):
        ends = {joint.body_a, joint.body_b}
        if len(ends) < 2 or joint.body_b == FIXED or not ends <= {FIXED, *range(len(scene.bodies))}:
            raise FormatError(f"joint {index} holds bodies {joint.body_a} and {joint.body_b}, which it cannot")
        values = asdict(joint)
        for name in sorted(values.keys() & {"length", "stiffness", "damping", "torque"}):
            if values[name] < 0:
                raise FormatError(f"joint {index} has {name} {values[name]}, it must not be negative")
    for index, wind in enumerate(scene.fields):
        if isinstance(wind, Wind) and wind.drag < 0:
            raise FormatError(f"field {index} has drag {wind.drag}, it must not be negative")
    for index, belt in enumerate(scene.static):
        if isinstance(belt, Segment) and belt.surface_speed and belt.start == belt.end:
            raise FormatError(f"static {index} is a belt without length, so its surface has no direction to run in")
    return scene


def published_scene(header: dict[str, Any], ids: list[int], start: State) -> Scene:
    """Scene of a published header, whose bodies begin in the state `start` (the file's first frame)."""
    bodies = tuple(_published_body(mapping(o, "object"), i, start) for i, o in enumerate(header["objects"]))
    walls = _limited(header.get("static_geometry") or [], "static_geometry")
    pins = _limited(header.get("constraints") or [], "constraints")
    return checked(
        Scene(
            name=text(header.get("scenario_type", "unknown"), "scenario_type"),
            category=text(header.get("scenario_category", "unknown"), "scenario_category"),
            difficulty=integer(header.get("difficulty", 1), "difficulty"),
            text=text(header.get("description", ""), "description"),
            bodies=bodies,
            static=tuple(_published_static(mapping(w, "static_geometry")) for w in walls),
            joints=tuple(_published_joint(mapping(p, "constraint"), ids, start) for p in pins),
            gravity=xy(header.get("gravity"), "gravity"),
            dt=number(header.get("timestep"), "timestep"),
        )
    )


def _published_body(item: dict[str, Any], index: int, start: State) -> Body:
    shape = {"circle": "circle", "rectangle": "rect"}.get(text(item.get("type"), "object type"))
    if shape is None:
        raise FormatError(f"object {index} has type {shown(item['type'])}; choose circle or rectangle")
    xy(item.get("position"), f"object {index} position")  # required, though the first frame's state is used
    keys = ("radius",) if shape == "circle" else ("width", "height")
    material = mapping(item.get("material", {}), "material")
    return Body(
        shape=shape,  # type: ignore[arg-type]  # one of the two above
        size=tuple(number(item.get(key), f"object {index} {key}") for key in keys),
        position=(float(start.position[index, 0]), float(start.position[index, 1])),
        velocity=(float(start.velocity[index, 0]), float(start.velocity[index, 1])),
        angle=float(start.angle[index]),
        spin=float(start.spin[index]),
        mass=number(material.get("mass", 1.0), f"object {index} mass"),
        **_surface(material),
    )


def _surface(data: dict[str, Any]) -> dict[str, float]:
    return {
        "friction": number(data.get("friction", 0.5), "friction"),
        "restitution": number(data.get("elasticity", 0.5), "elasticity"),
    }


def _published_static(item: dict[str, Any]) -> Segment | Peg:
    kind = item.get("type")
    if kind == "segment":
        # wall thickness is not in the files: the engine's radius of 2 px, which is Segment's default
        return Segment(start=xy(item.get("p1"), "p1"), end=xy(item.get("p2"), "p2"), **_surface(item))
    if kind == "circle":
        return Peg(
            center=xy(item.get("center"), "center"), radius=number(item.get("radius"), "radius"), **_surface(item)
        )
    raise FormatError(f"static_geometry has type {shown(kind)}; choose segment or circle")


def _published_joint(item: dict[str, Any], ids: list[int], start: State) -> Joint:
    kind = item.get("type")
    if kind not in ("PinJoint", "PivotJoint"):  # the others' lengths and strengths are not in the files
        raise FormatError(f"a constraint has type {shown(kind)}; only PinJoint and PivotJoint can be read")
    ends = []
    for key in ("body_a", "body_b"):
        name = item.get(key)
        if name != "static" and name not in ids:
            raise FormatError(f"a constraint has {key} {shown(name)}, which is no object of the header")
        ends.append(FIXED if name == "static" else ids.index(name))
    anchors = [pair(item.get(key, [0.0, 0.0]), key) for key in ("anchor_a", "anchor_b")]
    if ends[1] == FIXED:  # we nail the first end
        ends.reverse()
        anchors.reverse()
    worlds = [_in_world(anchor, end, start) for anchor, end in zip(anchors, ends, strict=True)]
    if kind == "PivotJoint":  # a nailed pivot is where the body's own anchor is, whatever the file says of the nail
        anchor_a = worlds[1] if ends[0] == FIXED else anchors[0]
        return PivotJoint(body_a=ends[0], body_b=ends[1], anchor_a=anchor_a, anchor_b=anchors[1])
    return PinJoint(body_a=ends[0], body_b=ends[1], anchor_a=anchors[0], anchor_b=anchors[1], length=math.dist(*worlds))


def _in_world(anchor: Point, end: int, start: State) -> Point:
    if end == FIXED:
        return anchor
    cosine, sine = math.cos(start.angle[end]), math.sin(start.angle[end])
    x, y = start.position[end]
    return x + cosine * anchor[0] - sine * anchor[1], y + sine * anchor[0] + cosine * anchor[1]


def _limited(value: Any, what: str) -> list[Any]:
    found = sequence(value, what)
    if len(found) > MAX_BODIES:
        raise FormatError(f"{what} has {len(found)} entries; at most {MAX_BODIES} can be read")
    return found


def _shape(value: Any, what: str) -> str:
    if value not in ("circle", "rect"):
        raise FormatError(f"{what} is {shown(value)}; choose circle or rect")
    return value


def _one_of(kinds: dict[str, type]) -> Callable[[Any, str], Any]:
    """Reader of a part whose "type" names its kind."""

    def read(value: Any, what: str) -> Any:
        data = dict(mapping(value, what))
        kind = kinds.get(str(data.pop("type", None)))
        if kind is None:
            raise FormatError(f"{what} has an unknown type; choose {' or '.join(kinds)}")
        return _build(kind, data, what)

    return read


def _tuple(build: Callable[[Any, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    return lambda value, what: tuple(build(v, f"{what} {i}") for i, v in enumerate(_limited(value, what)))


def _of(kind: type) -> Callable[[Any, str], Any]:
    return lambda value, what: _build(kind, value, what)


# By the annotation in types.py: a new kind of field fails here with a KeyError in the tests, not silently in a file.
_READ: dict[str, Callable[[Any, str], Any]] = {
    "str": text,
    "int": integer,
    "float": number,
    "Point": pair,
    "tuple[float, ...]": numbers,
    "tuple[int, int]": _canvas,
    "Literal['circle', 'rect']": _shape,
    "tuple[Body, ...]": _tuple(_of(Body)),
    "tuple[Segment | Peg, ...]": _tuple(_one_of(STATIC)),
    "tuple[Joint, ...]": _tuple(_one_of(JOINTS)),
    "tuple[Field, ...]": _tuple(_one_of(FIELDS)),
}


def _build(kind: type, value: Any, what: str) -> Any:
    data = mapping(value, what)
    known = {f.name: f for f in fields(kind)}
    for key in data:
        if key not in known:
            raise FormatError(f"{what} has the unknown key {shown(key)}; choose one of {', '.join(known)}")
    for name, f in known.items():
        if name not in data and f.default is MISSING:
            raise FormatError(f'{what} lacks the key "{name}"')
    return kind(**{name: _READ[str(known[name].type)](item, f"{what} {name}") for name, item in data.items()})
