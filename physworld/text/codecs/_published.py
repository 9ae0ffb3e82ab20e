"""Scene of a Scene JSONL header's public keys, as published and as we extend them (`_public.py` writes them).

A key that is not known is refused, so that nothing is read past. Physics that a file leaves out gets the default that
docs/reference/file_formats.md names, and `note` is told so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from physworld.errors import FormatError
from physworld.text.codecs._public import ROUNDING, in_world
from physworld.text.codecs._scene_dict import (
    canvas,
    checked,
    choice,
    flag,
    integer,
    known_keys,
    limited,
    made,
    mapping,
    number,
    pair,
    points,
    read_fields,
    read_filter,
    read_parts,
    shown,
    text,
    xy,
)
from physworld.types import (
    FIXED,
    PIXELS_PER_METRE,
    Body,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
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
    State,
)

Note = Callable[[str], None]  # told what a file leaves out, and what is taken for it
HEADER = (
    "type", "seed", "description", "object_count", "gravity", "timestep", "objects", "scenario_type",
    "scenario_category", "difficulty", "static_geometry", "constraints", "fields", "canvas", "physworld_version",
    "physworld",
)  # fmt: skip
MATERIAL = ("mass", "friction", "elasticity", "density")
OBJECT = ("id", "type", "position", "material")
FORMS = {
    "circle": ("radius",), "rectangle": ("width", "height"), "polygon": ("vertices",), "compound": ("parts",)
}  # fmt: skip
SIZES = tuple(key for keys in FORMS.values() for key in keys)
OURS = ("body_type", "sensor", "filter")  # of an object
STATIC = {
    "segment": ("p1", "p2", "friction", "elasticity", "radius", "surface_speed", "one_way", "filter"),
    "circle": ("center", "radius", "friction", "elasticity", "filter"),
}
CONSTRAINTS = {
    "PinJoint": ("anchor_a", "anchor_b", "distance"),
    "PivotJoint": ("anchor_a", "anchor_b"),
    "SlideJoint": ("anchor_a", "anchor_b", "min", "max"),
    "DampedSpring": ("anchor_a", "anchor_b", "rest_length", "stiffness", "damping"),
    "SimpleMotor": ("rate", "max_force"),
    "GearJoint": ("phase", "ratio"),
    "GrooveJoint": ("groove_a", "groove_b", "anchor_b"),
    "RotaryLimitJoint": ("min", "max"),
    "DampedRotarySpring": ("rest_angle", "stiffness", "damping"),
    "RatchetJoint": ("phase", "ratchet"),
}


# Our name of a number -> that of the public keys, for messages.
PUBLIC_NAMES = {"restitution": "elasticity", "shortest": "min", "longest": "max", "lowest": "min", "highest": "max"}
_OWN_NAME = re.compile(rf"\b({'|'.join(PUBLIC_NAMES)})\b")


def _made(kind: Callable[..., Any], what: str, /, **values: Any) -> Any:
    """A part of a scene; a fault is told in the words of the file."""
    try:
        return made(kind, what, **values)
    except FormatError as error:
        raise FormatError(_OWN_NAME.sub(lambda found: PUBLIC_NAMES[found[1]], str(error))) from None


def check_keys(header: dict[str, Any]) -> None:
    """Refuse what would be read past, at every level of a header.

    Raises:
        FormatError: names the place, the key and the nearest that is known.
    """
    known_keys(header, HEADER, "the header")
    seed = header.get("seed")
    if seed is not None and type(seed) is not int:  # of any size
        raise FormatError(f"seed must be a whole number, got {shown(seed)}")
    for index, item in enumerate(header["objects"]):
        known_keys(mapping(item, "object"), (*OBJECT, *SIZES, *OURS), f"object {index}")
        known_keys(mapping(item.get("material", {}), "material"), MATERIAL, f"object {index} material")
    ends = ("type", "body_a", "body_b")
    for key, kinds, what, first in (
        ("static_geometry", STATIC, "static_geometry", ends[:1]),
        ("constraints", CONSTRAINTS, "constraint", ends),
    ):
        for index, entry in enumerate(limited(header.get(key) or [], key)):
            item = mapping(entry, what)
            kind = str(item.get("type"))
            if kind in kinds:
                known_keys(item, (*first, *kinds[kind]), f"{what} {index}, a {kind},")


def published_scene(header: dict[str, Any], ids: list[int], start: State, note: Note) -> Scene:
    """Scene of a header's public keys, whose bodies begin in the state `start` (the file's first frame)."""
    bodies = tuple(_read_body(mapping(o, "object"), i, start, note) for i, o in enumerate(header["objects"]))
    walls = limited(header.get("static_geometry") or [], "static_geometry")
    pins = limited(header.get("constraints") or [], "constraints")
    shown_area = {"canvas": canvas(header["canvas"], "canvas")} if "canvas" in header else {}
    scene: Scene = made(
        Scene,
        "the header",
        name=text(header.get("scenario_type", "unknown"), "scenario_type"),
        category=text(header.get("scenario_category", "unknown"), "scenario_category"),
        difficulty=integer(header.get("difficulty", 1), "difficulty"),
        text=text(header.get("description", ""), "description"),
        bodies=bodies,
        static=tuple(_read_static(w, f"static_geometry {i}", note) for i, w in enumerate(walls)),
        joints=tuple(_read_joint(p, f"constraint {i}", ids, start, note) for i, p in enumerate(pins)),
        fields=read_fields(header.get("fields") or [], "fields"),
        gravity=xy(header.get("gravity"), "gravity"),
        dt=number(header.get("timestep"), "timestep"),
        **shown_area,
    )
    return checked(scene)


def _read_body(item: dict[str, Any], index: int, start: State, note: Note) -> Body:
    what = f"object {index}"
    kind = text(item.get("type"), "object type")
    if kind not in FORMS:
        raise FormatError(f"{what} has type {shown(kind)}; choose circle or rectangle (or polygon or compound)")
    known_keys(item, (*OBJECT, *FORMS[kind], *OURS), f"{what}, a {kind},")
    xy(item.get("position"), f"{what} position")  # required, though the first frame's state is used
    form: dict[str, Any]
    if kind == "polygon":
        form = {"shape": kind, "vertices": points(item.get("vertices"), f"{what} vertices")}
    elif kind == "compound":
        form = {"shape": kind, "parts": read_parts(item.get("parts"), f"{what} parts")}
    else:
        size = tuple(number(item.get(key), f"{what} {key}") for key in FORMS[kind])
        form = {"shape": "rect" if kind == "rectangle" else kind, "size": size}
    if "body_type" in item:
        form["kind"] = choice("dynamic", "kinematic")(item["body_type"], f"{what} body_type")
    if "sensor" in item:
        form["sensor"] = flag(item["sensor"], f"{what} sensor")
    body: Body = _made(
        Body,
        what,
        **form,
        **_read_filter(item, what),
        position=(float(start.position[index, 0]), float(start.position[index, 1])),
        velocity=(float(start.velocity[index, 0]), float(start.velocity[index, 1])),
        angle=float(start.angle[index]),
        spin=float(start.spin[index]),
        **_surface(mapping(item.get("material", {}), "material"), what, "an object", note),
    )
    return _weighed(body, item.get("material", {}), what, note)


def _weighed(body: Body, material: dict[str, Any], what: str, note: Note) -> Body:
    """The body with the mass that its material says, as such or by a density in kg/m²."""
    mass = number(material["mass"], f"{what} mass") if "mass" in material else None
    if "density" in material:
        area = body.area / PIXELS_PER_METRE**2
        dense = number(material["density"], f"{what} density") * area
        if mass is not None and abs(dense - mass) > max(ROUNDING, 1e-3 * mass):
            raise FormatError(
                f"{what} has mass {mass:g} kg, and density and size make {dense:g} kg; give one of the two"
            )
        mass = dense if mass is None else mass
    if mass is None:
        note("an object has no mass, so 1 kg is taken")
        return body
    values = {name: getattr(body, name) for name in Body.__dataclass_fields__}
    weighed: Body = _made(Body, what, **(values | {"mass": mass}))
    return weighed


def _surface(data: dict[str, Any], what: str, who: str, note: Note) -> dict[str, float]:
    found = {}
    for key, name in (("friction", "friction"), ("elasticity", "restitution")):
        if key not in data:
            note(f"{who} has no {key}, so 0.5 is taken")
        found[name] = number(data.get(key, 0.5), f"{what} {key}")
    return found


def _read_filter(item: dict[str, Any], what: str) -> dict[str, Any]:
    return {"filter": read_filter(item["filter"], f"{what} filter")} if "filter" in item else {}


def _read_static(item: dict[str, Any], what: str, note: Note) -> Segment | Peg:
    kind = item.get("type")
    if kind not in ("segment", "circle"):
        raise FormatError(f"static_geometry has type {shown(kind)}; choose segment or circle")
    rest: dict[str, Any] = {**_surface(item, what, "static geometry", note), **_read_filter(item, what)}
    if "radius" in item or kind == "circle":
        rest["radius"] = number(item.get("radius"), f"{what} radius")
    part: Segment | Peg
    if kind == "circle":
        part = _made(Peg, what, center=xy(item.get("center"), f"{what} center"), **rest)
        return part
    if "surface_speed" in item:
        rest["surface_speed"] = number(item["surface_speed"], f"{what} surface_speed")
    if item.get("one_way") is not None:
        rest["one_way"] = xy(item["one_way"], f"{what} one_way")
    part = _made(Segment, what, start=xy(item.get("p1"), f"{what} p1"), end=xy(item.get("p2"), f"{what} p2"), **rest)
    return part


def _read_joint(item: dict[str, Any], what: str, ids: list[int], start: State, note: Note) -> Joint:
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in CONSTRAINTS:
        raise FormatError(f"a constraint has type {shown(kind)}; only {', '.join(CONSTRAINTS)} can be read")
    ends = []
    for key in ("body_a", "body_b"):
        name = item.get(key)
        if name != "static" and name not in ids:
            raise FormatError(f"a constraint has {key} {shown(name)}, which is no object of the header")
        ends.append(FIXED if name == "static" else ids.index(name))
    if ends == [FIXED, FIXED]:
        raise FormatError(f"{what} holds static at both ends; one of them must be an object")
    turned = ends[1] == FIXED  # we nail the first end
    if turned and kind in ("GearJoint", "GrooveJoint", "RatchetJoint"):
        raise FormatError(f"{what}, a {kind}, has body_b static, which cannot be read; name the moving body as body_b")
    names = {"body_a": ends[turned], "body_b": ends[not turned]}

    def value(key: str) -> float:
        if key not in item:
            raise FormatError(f'{what}, a {kind}, lacks the key "{key}"')
        return number(item[key], f"{what} {key}")

    def at(key: str) -> Point:
        if key not in item:
            note(f"a {kind} has no {key}, so (0, 0) is taken")
        return pair(item.get(key, [0.0, 0.0]), f"{what} {key}")

    def build(joint: type, **own: Any) -> Joint:
        made_joint: Joint = _made(joint, what, **names, **own)
        return made_joint

    sign = -1.0 if turned else 1.0
    match kind:
        case "SimpleMotor":
            return build(Motor, spin=-sign * value("rate"), torque=value("max_force"))
        case "GearJoint":
            return build(Gear, ratio=value("ratio"), phase=value("phase"))
        case "RatchetJoint":
            return build(Ratchet, ratchet=value("ratchet"), phase=value("phase"))
        case "RotaryLimitJoint":
            low, high = value("min"), value("max")
            return build(RotaryLimit, lowest=-high if turned else low, highest=-low if turned else high)
        case "DampedRotarySpring":
            own = {"stiffness": value("stiffness"), "damping": value("damping")}
            return build(RotarySpring, rest_angle=sign * value("rest_angle"), **own)
        case "GrooveJoint":
            groove = {"groove_start": at("groove_a"), "groove_end": at("groove_b")}
            return build(GrooveJoint, **groove, anchor_b=at("anchor_b"))
    anchors = [at("anchor_b"), at("anchor_a")] if turned else [at("anchor_a"), at("anchor_b")]
    points_at = {"anchor_a": anchors[0], "anchor_b": anchors[1]}
    worlds = [in_world(anchor, names[end], start) for anchor, end in zip(anchors, names, strict=True)]
    match kind:
        case "PivotJoint":  # a nailed pivot is where the body's own anchor is, whatever the file says of the nail
            return build(PivotJoint, **(points_at | ({"anchor_a": worlds[1]} if names["body_a"] == FIXED else {})))
        case "SlideJoint":
            shortest, longest = value("min"), value("max")
            if shortest == 0:
                return build(Rope, **points_at, length=longest)
            return build(SlideJoint, **points_at, shortest=shortest, longest=longest)
        case "DampedSpring":
            own = {"length": value("rest_length"), "stiffness": value("stiffness"), "damping": value("damping")}
            return build(Spring, **points_at, **own)
    return build(PinJoint, **points_at, length=value("distance") if "distance" in item else math.dist(*worlds))
