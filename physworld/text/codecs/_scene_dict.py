"""Scene <-> plain dictionary, exactly; and the checks that both ways of reading a scene share.

Every problem is a `FormatError` with one plain sentence; the caller adds file and line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import MISSING, asdict, fields
from typing import Any

from physworld.errors import FormatError, suggest
from physworld.types import (
    Attractor,
    Body,
    Filter,
    Gear,
    GrooveJoint,
    Impossible,
    Motor,
    MutualGravity,
    Part,
    Peg,
    PinJoint,
    PivotJoint,
    Point,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    SlideJoint,
    Spring,
    Wind,
    limits,
)

MAX_BODIES = 4096  # also the limit for walls, joints and fields
STATIC = {"segment": Segment, "peg": Peg}
JOINTS = {
    "pin": PinJoint, "pivot": PivotJoint, "rope": Rope, "spring": Spring, "motor": Motor, "slide": SlideJoint,
    "groove": GrooveJoint, "gear": Gear, "rotary_limit": RotaryLimit, "rotary_spring": RotarySpring,
    "ratchet": Ratchet,
}  # fmt: skip
FIELDS = {"attractor": Attractor, "mutual_gravity": MutualGravity, "wind": Wind}
_NAMES = {kind: name for kinds in (STATIC, JOINTS, FIELDS) for name, kind in kinds.items()}
# Pymunk's class names, which published files and engine text use.
PYMUNK_NAMES: dict[type, str] = {
    PinJoint: "PinJoint",
    PivotJoint: "PivotJoint",
    Rope: "SlideJoint",
    Spring: "DampedSpring",
    Motor: "SimpleMotor",
    SlideJoint: "SlideJoint",
    GrooveJoint: "GrooveJoint",
    Gear: "GearJoint",
    RotaryLimit: "RotaryLimitJoint",
    RotarySpring: "DampedRotarySpring",
    Ratchet: "RatchetJoint",
}
# Left out where they say nothing: files of plain scenes stay as they always were.
UNSAID: dict[type, tuple[str, ...]] = {
    Body: ("vertices", "parts", "kind", "sensor", "filter"),
    Segment: ("one_way", "filter"),
    Peg: ("filter",),
}
SINGULAR = re.compile("^scene (bodies|static|joints|fields)(?= )")
# Keys for remarks, which say nothing of the physics.
REMARKS = frozenset({"note", "notes", "comment", "comments", "metadata"})
# What people write who think of Pymunk's or of the other form's names.
_MEANT = {
    "body_type": "kind", "kind": "body_type", "elasticity": "restitution", "restitution": "elasticity",
    "bounce": "restitution", "angular_velocity": "spin", "spin": "angular_velocity", "rest_length": "length",
    "dt": "timestep", "timestep": "dt", "walls": "static_geometry", "joints": "constraints", "bodies": "objects",
    "thickness": "radius", "surface_velocity": "surface_speed", "distance": "length", "max_force": "torque",
}  # fmt: skip


def mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormatError(f"{what} must be a JSON object, got {shown(value)}")
    return value


def sequence(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise FormatError(f"{what} must be a list, got {shown(value)}")
    return list(value)


def is_remark(key: str) -> bool:
    return key in REMARKS or key.startswith(("_", "x_"))


def known_keys(data: dict[str, Any], known: Collection[str], what: str, kind: str = "key") -> None:
    """Refuse a key that would be read past; remarks may stay.

    Raises:
        FormatError: names the key and the nearest that is known.
    """
    for key in data:
        if key not in known and not is_remark(key):
            meant = _MEANT.get(key, "")
            near = f" Did you mean {meant}?" if meant in known else suggest(key, known)
            tail = f"; did{near.removeprefix(' Did')}" if near else ""
            raise FormatError(f"{what} has the unknown {kind} {shown(key)}; choose one of {', '.join(known)}{tail}")


def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads`: an object, unless it names a key twice.

    Raises:
        FormatError: names the key.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"the key {shown(twice)} is there twice in one object")
    return found


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


def flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise FormatError(f"{what} must be true or false, got {shown(value)}")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{what} must be a text, got {shown(value)}")
    if limits.is_cut(value):
        raise FormatError(f"{what} holds half a character ({shown(value)})")
    return value


def xy(value: Any, what: str) -> Point:
    """{"x": 1.0, "y": 2.0}"""
    point = mapping(value, what)
    if len(point) > 2:
        known_keys(point, ("x", "y"), what)
    return number(point.get("x"), f"{what} x"), number(point.get("y"), f"{what} y")


def numbers(value: Any, what: str) -> tuple[float, ...]:
    return tuple(number(v, what) for v in sequence(value, what))


def pair(value: Any, what: str) -> Point:
    """[1.0, 2.0]"""
    found = numbers(value, what)
    if len(found) != 2:
        raise FormatError(f"{what} must have 2 numbers, got {len(found)}")
    return found[0], found[1]


def points(value: Any, what: str) -> tuple[Point, ...]:
    """[[1.0, 2.0], ...]"""
    return tuple(pair(v, f"{what} {i}") for i, v in enumerate(limited(value, what)))


def canvas(value: Any, what: str) -> tuple[int, int]:
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


def limited(value: Any, what: str) -> list[Any]:
    found = sequence(value, what)
    if len(found) > MAX_BODIES:
        raise FormatError(f"{what} has {len(found)} entries; at most {MAX_BODIES} can be read")
    return found


def made(kind: Callable[..., Any], what: str, /, **values: Any) -> Any:
    """A part of a scene; what no world can have is a problem of the file."""
    try:
        return kind(**values)
    except Impossible as error:
        raise FormatError(f"{SINGULAR.sub(_singular, what)} {error.what}") from None
    except ValueError as error:
        raise FormatError(str(error)) from None


def _singular(found: re.Match[str]) -> str:
    """scene joints 3 -> joint 3"""
    return {"bodies": "object", "joints": "joint", "fields": "field"}.get(found[1], found[1])


def part_to_dict(part: Any) -> dict[str, Any]:
    """A body, wall, joint or field as JSON-ready data."""
    data = asdict(part)
    for name in UNSAID.get(type(part), ()):
        if getattr(part, name) == _DEFAULTS[type(part)][name]:
            del data[name]
    if isinstance(part, Body) and not part.size:
        del data["size"]
    if isinstance(part, Body) and part.parts:
        data["parts"] = [_part_of_body(piece) for piece in part.parts]
    return data


def _part_of_body(piece: Part) -> dict[str, Any]:
    return {key: value for key, value in asdict(piece).items() if value != ()}


_DEFAULTS = {kind: {f.name: f.default for f in fields(kind)} for kind in UNSAID}


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """The scene as JSON-ready data; floats keep every bit."""
    own = {f.name: getattr(scene, f.name) for f in fields(scene)}
    own["bodies"] = tuple(part_to_dict(body) for body in scene.bodies)
    return own | {key: fields_to_list(getattr(scene, key)) for key in ("static", "joints", "fields")}


def fields_to_list(parts: Collection[Any]) -> list[dict[str, Any]]:
    """Walls, joints or fields, each with its "type"."""
    return [{"type": _NAMES[type(part)]} | part_to_dict(part) for part in parts]


def scene_from_dict(data: Any) -> Scene:
    """Inverse of `scene_to_dict`.

    Raises:
        FormatError: a key is missing, unknown or wrong, or the scene cannot exist.
    """
    return checked(_build(Scene, data, "scene"))


def checked(scene: Scene) -> Scene:
    """The scene itself, when it has as many bodies as can be read."""
    if not 1 <= len(scene.bodies) <= MAX_BODIES:
        raise FormatError(f"the scene has {len(scene.bodies)} bodies; 1 to {MAX_BODIES} can be read")
    return scene


def choice(*names: str) -> Callable[[Any, str], str]:
    def read(value: Any, what: str) -> str:
        if value not in names:
            raise FormatError(f"{what} is {shown(value)}; choose {', '.join(names[:-1])} or {names[-1]}")
        return str(value)

    return read


def one_of(kinds: dict[str, type]) -> Callable[[Any, str], Any]:
    """Reader of a part whose "type" names its kind."""

    def read(value: Any, what: str) -> Any:
        data = dict(mapping(value, what))
        kind = kinds.get(str(data.pop("type", None)))
        if kind is None:
            raise FormatError(f"{what} has an unknown type; choose {' or '.join(kinds)}")
        return _build(kind, data, what)

    return read


def _tuple(build: Callable[[Any, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    return lambda value, what: tuple(build(v, f"{what} {i}") for i, v in enumerate(limited(value, what)))


def _of(kind: type) -> Callable[[Any, str], Any]:
    return lambda value, what: _build(kind, value, what)


def _body(value: Any, what: str) -> Any:
    data = mapping(value, what)
    if data.get("shape") in ("circle", "rect") and "size" not in data:
        raise FormatError(f'{what} lacks the key "size"')
    return _build(Body, data, what)


read_filter, read_fields = _of(Filter), _tuple(one_of(FIELDS))
read_parts = _tuple(_of(Part))
# By the annotation in types/: a new kind of field fails here with a KeyError in the tests, not silently in a file.
_READ: dict[str, Callable[[Any, str], Any]] = {
    "str": text,
    "int": integer,
    "float": number,
    "bool": flag,
    "Point": pair,
    "Point | None": lambda value, what: None if value is None else pair(value, what),
    "tuple[float, ...]": numbers,
    "tuple[int, int]": canvas,
    "tuple[Point, ...]": points,
    "tuple[Part, ...]": read_parts,
    "Literal['circle', 'rect', 'polygon']": choice("circle", "rect", "polygon"),
    "Literal['circle', 'rect', 'polygon', 'compound']": choice("circle", "rect", "polygon", "compound"),
    "Literal['dynamic', 'kinematic']": choice("dynamic", "kinematic"),
    "Filter": read_filter,
    "tuple[Body, ...]": _tuple(_body),
    "tuple[Segment | Peg, ...]": _tuple(one_of(STATIC)),
    "tuple[Joint, ...]": _tuple(one_of(JOINTS)),
    "tuple[Field, ...]": read_fields,
}


def _build(kind: type, value: Any, what: str) -> Any:
    data = mapping(value, what)
    known = {f.name: f for f in fields(kind)}
    known_keys(data, known, what)
    for name, f in known.items():
        if name not in data and f.default is MISSING:
            raise FormatError(f'{what} lacks the key "{name}"')
    read = {name: _READ[str(known[name].type)](item, f"{what} {name}") for name, item in data.items() if name in known}
    return made(kind, what, **read)
