"""A scene that a person writes by hand, as YAML. Reading is lenient in form and strict in content.

    units: px                     # or m; every length below is in it, 100 px = 1 m
    gravity: [0, -981]            # px/s²
    bodies:
      - {name: ball, circle: 20, position: [150, 400], velocity: [200, 0]}
      - {box: [80, 30], position: [500, 75], mass: 2}
      - {polygon: [[0, 0], [60, 0], [30, 50]], position: [300, 60]}
    static:
      - {segment: [[0, 50], [800, 50]], radius: 10}
      - {peg: [400, 200], radius: 8}
    joints:
      - {spring: [world, ball], anchor_a: [100, 500], length: 80, stiffness: 30}
    fields:
      - {wind: [50, 0], drag: 0.002}

Keys are the fields of `physworld.types`: `Scene` at the top, `Body`, `Segment` and `Peg`, the joints and the fields
below. Short forms: `circle`, `box` and `polygon` in place of shape and size; `segment`, `peg`, a joint's or a field's
kind in place of `type`; a body's name, its number from 0, or `world` in a joint. A polygon's corners may be in any
frame; `position` is then where that frame begins. The anchors of a joint to the world default to where the body is, and
the length of a pin, rope or spring to the distance of its anchors.

The file is data: no tags, no anchors and aliases, no key twice, at most MAX_BYTES.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from physworld.errors import FormatError, first_line, suggest
from physworld.io.atomic import replacing
from physworld.io.plain_yaml import PlainLoader
from physworld.text.codecs._scene_dict import (
    FIELDS,
    JOINTS,
    known_keys,
    limited,
    made,
    mapping,
    number,
    pair,
    points,
    scene_from_dict,
    scene_to_dict,
    shown,
)
from physworld.types import FIXED, PIXELS_PER_METRE, Body, Point, Scene, shapes

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 2**20
TOP = ("units", "name", "category", "difficulty", "text", "bodies", "static", "joints", "fields", "gravity", "dt",
       "canvas")  # fmt: skip
SHORT_SHAPES = ("circle", "box", "polygon")
GRAVITY = 9.81  # m/s², down: what is taken where the file says nothing
# Powers of length in each number's unit; what is not here has none. `_POWERS_OF` differs by kind of part.
_POWERS = {
    "position": 1, "velocity": 1, "size": 1, "vertices": 1, "at": 1, "start": 1, "end": 1, "radius": 1, "center": 1,
    "surface_speed": 1, "anchor_a": 1, "anchor_b": 1, "groove_start": 1, "groove_end": 1, "length": 1, "shortest": 1,
    "longest": 1, "torque": 2, "softening": 1, "strength": 3, "drag": -1, "gravity": 1,
}  # fmt: skip
_PLACE = re.compile(r"\b(?:scene )?(object|bodies|static|joints|fields) (\d+)")
_WORDS = {"object": "body", "bodies": "body", "static": "wall", "joints": "joint", "fields": "field"}
_POWERS_OF = {"rotary_spring": {"stiffness": 2, "damping": 2}}


def is_by_hand(path: Path) -> bool:
    """Whether a file is such a scene, by its suffix in any case."""
    return path.suffix.lower() in SUFFIXES


def read_yaml(path: str | os.PathLike[str]) -> Scene:
    """The scene of a file.

    Raises:
        FormatError: names the file, the place in it and the problem, in the units of the file.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        if len(raw) > MAX_BYTES:
            raise FormatError(f"a scene by hand may have {MAX_BYTES} bytes, and this file has more")
        return parse_yaml(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise FormatError(f"{path}: this is not UTF-8 text") from None
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def parse_yaml(text: str) -> Scene:
    """The same of a text.

    Raises:
        FormatError: names the place and the problem.
    """
    try:
        data = yaml.load(text, _Loader)  # a SafeLoader: it makes nothing but plain data
    except FormatError:
        raise
    except yaml.YAMLError as error:
        raise FormatError(_why(error)) from None
    except RecursionError:
        raise FormatError("this YAML is nested too deeply") from None
    except ValueError as error:  # a date such as 2026-02-31, an integer of thousands of digits
        raise FormatError(f"this is not YAML ({error})") from None
    if not isinstance(data, dict):
        raise FormatError(f"this is no scene but {shown(data)}; it must have keys such as bodies")
    top = data
    known_keys(top, TOP, "the scene")
    units = top.get("units", "px")
    if units not in ("px", "m"):
        raise FormatError(f"units is {shown(units)}; choose px or m")
    try:
        return _scene(top, PIXELS_PER_METRE if units == "m" else 1.0)
    except FormatError as error:
        message = _PLACE.sub(lambda found: f"{_WORDS[found[1]]} {found[2]}", str(error))
        message = message.replace("a JSON object", "keys with values")
        raise FormatError(re.sub(r"\bpx(?![a-z])", "m", message) if units == "m" else message) from None


def write_yaml(path: str | os.PathLike[str], scene: Scene) -> None:
    """A scene as a file that `read_yaml` reads back as an equal one; it is whole or absent.

    Raises:
        ValueError: what is given is no scene, or the file has another suffix.
    """
    if not is_by_hand(Path(path)):
        raise ValueError(f"{path} must end in {' or '.join(SUFFIXES)}, or read_scene would not know it for a scene")
    if not isinstance(scene, Scene):
        raise ValueError(f"{shown(scene)} is no Scene, so it cannot be written; write_yaml(path, scene)")
    text = yaml.safe_dump(_plain(scene_to_dict(scene)), sort_keys=False, allow_unicode=True, default_flow_style=None)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """Lists in place of tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _why(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        problem = str(error.problem).replace("\n", " ")
        return f"line {error.problem_mark.line + 1}: this is not YAML ({problem})"
    return f"this is not YAML ({first_line(error)})"


class _Loader(PlainLoader):
    """Plain data without tags, each key once."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if not isinstance(event, yaml.AliasEvent) and event.tag is not None:
            raise FormatError(f"line {event.start_mark.line + 1}: tags (!!name) are not read; leave it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            raise FormatError(f"line {node.start_mark.line + 1}: the key {shown(twice)} is there twice")
        found = super().construct_mapping(node, deep)
        odd = next((key for key in found if not isinstance(key, str)), None)
        if odd is not None:
            raise FormatError(f"line {node.start_mark.line + 1}: {shown(odd)} is no name of a key")
        return found


# YAML 1.1 takes 1e3 for a text, 0150 for 104 and 1:30 for 90; people take only the first for a number.
_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$",
    "float": r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$"
    r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$",
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag.rpartition(":")[2] not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _form in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_form), list("-+.0123456789"))


def _scene(top: dict[str, Any], scale: float) -> Scene:
    own = {key: value for key, value in top.items() if key not in ("units", "bodies", "static", "joints", "fields")}
    if "bodies" not in top:
        raise FormatError('the scene lacks the key "bodies"')
    given = [dict(mapping(entry, f"body {k}")) for k, entry in enumerate(limited(top["bodies"], "bodies"))]
    names = _names(given)
    bodies = [_body(entry, f"body {k}") for k, entry in enumerate(given)]
    places = [pair(body.get("position"), f"body {k} position") for k, body in enumerate(bodies)]
    own["bodies"] = bodies
    angles = [number(body.get("angle", 0.0), f"body {k} angle") for k, body in enumerate(bodies)]
    turned = list(zip(places, angles, strict=True))
    for key, short in (("static", _static), ("joints", _joint(names, turned)), ("fields", _field)):
        what = {"static": "wall", "joints": "joint", "fields": "field"}[key]
        entries = limited(top.get(key, []), key)
        own[key] = [short(dict(mapping(entry, f"{what} {k}")), f"{what} {k}") for k, entry in enumerate(entries)]
    own.setdefault("gravity", [0.0, -GRAVITY * PIXELS_PER_METRE / scale])
    own.setdefault("name", "own")
    own["canvas"] = _canvas(own.get("canvas"), scale)
    scene_from_dict(own)  # every problem is told in the units of the file
    return scene_from_dict(_scaled(own, scale) if scale != 1.0 else own)


def _canvas(value: Any, scale: float) -> list[int]:
    if value is None:
        return [800, 600]
    wide, high = pair(value, "canvas")
    return [round(wide * scale), round(high * scale)]


def _names(bodies: list[dict[str, Any]]) -> dict[str, int]:
    names: dict[str, int] = {}
    for k, body in enumerate(bodies):
        name = body.pop("name", None)
        if name is None:
            continue
        if not isinstance(name, str) or name == "world":
            raise FormatError(f"body {k} has the name {shown(name)}; a name is a text other than world")
        if name in names:
            raise FormatError(f"bodies {names[name]} and {k} are both named {shown(name)}")
        names[name] = k
    return names


def _body(body: dict[str, Any], what: str) -> dict[str, Any]:
    short = [key for key in SHORT_SHAPES if key in body]
    if "shape" in body or not short:
        if not short and "shape" not in body:
            raise FormatError(f"{what} has no shape; give one of {', '.join(SHORT_SHAPES)}")
        if short:
            raise FormatError(f"{what} has both shape and {short[0]}; leave one out")
        return body
    if len(short) > 1:
        raise FormatError(f"{what} has both {short[0]} and {short[1]}; a body has one shape")
    value = _short(body, short[0], ("vertices" if short[0] == "polygon" else "size",), what)
    if "position" not in body:
        near = difflib.get_close_matches("position", map(str, body), n=1)
        raise FormatError(f'{what} lacks the key "position"' + (f"; is {shown(near[0])} meant for it?" if near else ""))
    if short[0] == "circle":
        return {"shape": "circle", "size": [number(value, f"{what} circle")], **body}
    if short[0] == "box":
        return {"shape": "rect", "size": list(pair(value, f"{what} box")), **body}
    where, turned = pair(body.pop("position"), f"{what} position"), number(body.pop("angle", 0.0), f"{what} angle")
    corners = points(value, f"{what} polygon")
    whole = made(lambda **frame: Body.polygon(corners, **frame), what, position=where, angle=turned)
    about = {"vertices": [list(corner) for corner in whole.vertices], "position": list(whole.position)}
    return {"shape": "polygon", **about, "angle": whole.angle, **body}


def _short(part: dict[str, Any], short: str, sets: tuple[str, ...], what: str) -> Any:
    """Take a short form out of a part, which may not have what the short form sets as well."""
    both = next((key for key in sets if key in part), None)
    if both is not None:
        raise FormatError(f"{what} has both {short} and {both}; leave one out")
    return part.pop(short)


def _static(part: dict[str, Any], what: str) -> dict[str, Any]:
    if "segment" in part:
        ends = points(_short(part, "segment", ("type", "start", "end", "peg"), what), f"{what} segment")
        if len(ends) != 2:
            raise FormatError(f"{what} segment must be two points, start and end, got {len(ends)}")
        return {"type": "segment", "start": list(ends[0]), "end": list(ends[1]), **part}
    if "peg" in part:
        center = pair(_short(part, "peg", ("type", "center"), what), f"{what} peg")
        return {"type": "peg", "center": list(center), **part}
    if "type" not in part:
        raise FormatError(f"{what} is neither a segment nor a peg")
    return part


def _joint(names: dict[str, int], places: list[tuple[Point, float]]) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    def end(value: Any, what: str) -> int:
        if isinstance(value, str) and value != "world":
            if value not in names:
                known = ", ".join(["world", *names])
                raise FormatError(f"{what} names the body {shown(value)}; there are {known}{suggest(value, names)}")
            return names[value]
        if value == "world":
            return FIXED
        if type(value) is not int or not FIXED <= value < len(places):
            raise FormatError(f"{what} holds body {shown(value)}; give world, a name, or 0 to {len(places) - 1}")
        return value

    def read(joint: dict[str, Any], what: str) -> dict[str, Any]:
        # A ratchet's own number has the name of its kind.
        kind = next((kind for kind in JOINTS if kind in joint and (kind != "ratchet" or "type" not in joint)), None)
        if kind is None:
            kind, ends = joint.pop("type", None), [joint.pop("body_a", "world"), joint.pop("body_b", None)]
            if kind not in JOINTS:
                raise FormatError(f"{what} has no known kind; choose one of {', '.join(JOINTS)}")
        else:
            others = (other for other in JOINTS if other != kind)
            ends = _short(joint, kind, ("type", "body_a", "body_b", *others), what)
            if not isinstance(ends, list) or len(ends) != 2:
                raise FormatError(f"{what} {kind} must be two bodies, such as [world, 0], got {shown(ends)}")
        a, b = (end(value, what) for value in ends)
        if a >= 0 and b == FIXED:
            raise FormatError(f"{what} holds the world second; write [world, ...], the world comes first")
        made = {"type": kind, "body_a": a, "body_b": b, **joint}
        fields = {field.name for field in dataclasses.fields(JOINTS[kind])}
        if "anchor_a" in fields and "anchor_a" not in made:
            made["anchor_a"] = list(places[b][0]) if a == FIXED else [0.0, 0.0]
        if "length" in fields and "length" not in made:
            made["length"] = _apart(made, places, what)
        return made

    return read


def _apart(joint: dict[str, Any], places: list[tuple[Point, float]], what: str) -> float:
    """Distance of the two anchors in the world."""

    def world(body: int, anchor: Point) -> Point:
        return anchor if body == FIXED else shapes.placed([anchor], *places[body])[0]

    a = world(joint["body_a"], pair(joint["anchor_a"], f"{what} anchor_a"))
    return math.dist(a, world(joint["body_b"], pair(joint.get("anchor_b", [0.0, 0.0]), f"{what} anchor_b")))


def _field(field: dict[str, Any], what: str) -> dict[str, Any]:
    short = next((kind for kind in FIELDS if kind in field), None)
    if short is not None:
        own = {"wind": "velocity", "attractor": "center", "mutual_gravity": "strength"}[short]
        value = _short(field, short, ("type", own, *(other for other in FIELDS if other != short)), what)
        if short != "mutual_gravity":
            value = list(pair(value, f"{what} {short}"))
        return {"type": short, own: value, **field}
    if field.get("type") not in FIELDS:
        raise FormatError(f"{what} has no known kind; choose one of {', '.join(FIELDS)}")
    return field


def _scaled(value: Any, scale: float) -> Any:
    """Every number of a checked scene in px."""
    if not isinstance(value, dict):
        return [_scaled(item, scale) for item in value] if isinstance(value, list) else value
    powers = _POWERS | _POWERS_OF.get(str(value.get("type")), {})
    return {
        key: _times(item, scale ** powers[key]) if key in powers else _scaled(item, scale)
        for key, item in value.items()
    }


def _times(value: Any, factor: float) -> Any:
    return [_times(item, factor) for item in value] if isinstance(value, list) else value * factor
