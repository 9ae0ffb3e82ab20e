"""What the numbers of a scene may be.

The classes look at the usual parts quickly by themselves, and come here when something is not plain. Each check raises
with one sentence: the thing, its value, the range.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsFloat

from physworld.types import shapes

MAX_CANVAS = 20_000  # px; a picture of a larger canvas would show nothing
LONGEST_STEP = 1.0  # s; milliseconds or frames per second, taken for seconds, are longer
MAX_CORNERS = 64  # of a polygon
MAX_PARTS = 64  # of a compound body
BITS = 2**32 - 1  # largest category, mask and group: Chipmunk keeps 32 bits
OFF_CENTRE = 0.01  # px by which rounded corners may move a body's centre of mass from its position
KINDS = ("dynamic", "kinematic")
SHAPES = ("circle", "rect", "polygon", "compound")


PLAIN = frozenset({float, int})  # types of a number that every file can hold
KEPT = frozenset({*PLAIN, str, bool, type(None), set, frozenset, dict})  # the last three have no order, so stay wrong


class Impossible(ValueError):
    """A part that no world can have. `what` follows its name: "has mass 0, it must be positive (kg)"."""

    def __init__(self, who: str, what: str) -> None:
        super().__init__(f"a {who} {what}")
        self.what = what


def shown(value: Any) -> str:
    """A value, short enough for a sentence."""
    word = repr(value)
    return word if len(word) <= 40 else word[:37] + "..."


def settle(part: Any, names: Iterable[str] | None = None) -> None:
    """Floats, whole numbers, texts and tuples in place of numpy's and of lists, so that every file can hold them."""
    own = part.__dict__
    for name in own if names is None else names:
        if name in own:
            own[name] = _plain(own[name])


def _plain(value: Any) -> Any:
    if type(value) in KEPT:
        return value
    if isinstance(value, str):
        return str(value)
    try:
        return tuple(map(_plain, value))
    except TypeError:  # no list; nor is an array of no dimensions
        pass
    try:
        return operator.index(value)
    except TypeError:
        return float(value) if isinstance(value, SupportsFloat) else value


def is_cut(word: str) -> bool:
    """Whether a text holds half a character (a surrogate without its other half), which no file can hold."""
    return any("\ud800" <= letter <= "\udfff" for letter in word)


def range_fault(value: Any, unit: str = "", *, positive: bool = False, signed: bool = False) -> str:
    """What a number must be that is not finite, or not positive (not negative, unless signed); '' where it is fine."""
    try:
        finite = math.isfinite(value) and not isinstance(value, bool)
        good = finite and (signed or value > 0 or (value == 0 and not positive))
    except (TypeError, ValueError, OverflowError):  # no number, or an integer that no float can hold
        good = finite = False
    if good:
        return ""
    asked = "it must be a finite number" if signed or not finite else "it must not be negative"
    return ("it must be positive" if positive and finite else asked) + (f" ({unit})" if unit else "")


def number(who: str, name: str, value: Any, unit: str = "", *, positive: bool = False, signed: bool = False) -> None:
    fault = range_fault(value, unit, positive=positive, signed=signed)
    if fault:
        raise Impossible(who, f"has {name} {shown(value)}, {fault}")


def point(who: str, name: str, value: Any, unit: str = "px") -> None:
    try:
        if isinstance(value, set | frozenset | dict):
            raise TypeError("it has no order")
        x, y = value
    except (TypeError, ValueError):
        raise Impossible(who, f"has {name} {shown(value)}, it must be two numbers ({unit})") from None
    number(who, f"{name} x", x, unit, signed=True)
    number(who, f"{name} y", y, unit, signed=True)


def is_whole(value: Any, low: int, high: int) -> bool:
    try:
        return low <= operator.index(value) <= high and not isinstance(value, bool)
    except TypeError:
        return False


def one_of(who: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Impossible(who, f"has {name} {shown(value)}; choose {', '.join(choices[:-1])} or {choices[-1]}")


def surface(who: str, part: Any) -> None:
    number(who, "friction", part.friction)
    number(who, "restitution", part.restitution)


def several(who: str, name: str, value: Any, of: str) -> None:
    """Refuse what is no list."""
    try:
        ordered = len(value) >= 0 and not isinstance(value, set | frozenset | dict)
    except TypeError:
        ordered = False
    if not ordered:
        raise Impossible(who, f"has {name} {shown(value)}, it must be a list of {of}")


def of_kind(who: str, name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise Impossible(who, f"has {name} {shown(value)}, it must be a {kind.__name__}")


def filter_of(chosen: Any) -> None:
    settle(chosen)
    for name in ("group", "categories", "mask"):
        value = getattr(chosen, name)
        if not is_whole(value, 0, BITS):
            raise Impossible("filter", f"has {name} {shown(value)}, it must be a whole number from 0 to {BITS}")


def form(who: str, part: Any, kinds: tuple[str, ...]) -> None:
    """Shape, size and corners of a body or of a part of one."""
    one_of(who, "shape", part.shape, kinds)
    named = {"circle": ("radius",), "rect": ("width", "height")}.get(part.shape, ())
    several(who, "size", part.size, "numbers (px)")
    several(who, "vertices", part.vertices, "points (px)")
    if len(part.size) != len(named):
        wanted = f"a size of {' and '.join(named)} (px)" if named else "no size"
        raise Impossible(who, f"is a {part.shape} of size {shown(part.size)}; it must have {wanted}")
    if any(range_fault(value, positive=True) for value in part.size):
        raise Impossible(who, f"is a {part.shape} of size {shown(part.size)}; sizes must be positive and finite (px)")
    if part.shape != "polygon":
        if part.vertices:
            raise Impossible(who, f"is a {part.shape} and has vertices, which only a polygon may have")
        return
    if len(part.vertices) > MAX_CORNERS:
        raise Impossible(who, f"is a polygon of {len(part.vertices)} corners; at most {MAX_CORNERS} are possible")
    for index, corner in enumerate(part.vertices):
        point(who, f"corner {index}", corner)
    why = shapes.fault(part.vertices)
    if why:
        raise Impossible(who, f"is a polygon that {why}")


def part(part: Any) -> None:
    settle(part)
    form("part", part, SHAPES[:3])
    point("part", "at", part.at)
    number("part", "angle", part.angle, "rad", signed=True)
    number("part", "density", part.density, positive=True)


def body(body: Any) -> None:
    settle(body)
    form("body", body, SHAPES)
    point("body", "position", body.position)
    point("body", "velocity", body.velocity, "px/s")
    number("body", "angle", body.angle, "rad", signed=True)
    number("body", "spin", body.spin, "rad/s", signed=True)
    number("body", "mass", body.mass, "kg", positive=True)
    surface("body", body)
    one_of("body", "kind", body.kind, KINDS)
    if body.sensor is not True and body.sensor is not False:
        raise Impossible("body", f"has sensor {shown(body.sensor)}, it must be true or false")
    count = len(body.parts)
    if (body.shape == "compound") != bool(count):
        raise Impossible("body", f"is a {body.shape} of {count} parts; a compound body has 1 or more, others have none")
    if count > MAX_PARTS:
        raise Impossible("body", f"is a compound of {count} parts; at most {MAX_PARTS} are possible")
    try:
        _weighed(body)
    except OverflowError:  # of a square that no float can hold
        raise Impossible(
            "body", "is too large: its moment of inertia (mass times size squared) has no number"
        ) from None


def _weighed(body: Any) -> None:
    if body.shape in SHAPES[2:]:
        x, y = body.centre
        if not math.hypot(x, y) <= OFF_CENTRE:
            raise Impossible(
                "body",
                f"is a {body.shape} with its centre of mass at ({x:g}, {y:g}) px of its own frame, it must be at "
                f"(0, 0), because position is the centre of mass; Body.{body.shape}() moves it there",
            )
    number("body", "a moment of inertia (mass times size squared) of", body.moment, "kg·px²", positive=True)


def segment(wall: Any) -> None:
    settle(wall)
    point("wall", "start", wall.start)
    point("wall", "end", wall.end)
    number("wall", "radius", wall.radius, "px")
    surface("wall", wall)
    number("wall", "surface_speed", wall.surface_speed, "px/s", signed=True)
    if wall.start == wall.end and wall.surface_speed:
        raise Impossible("wall", "is a belt without length, so its surface has no direction to run in")
    if wall.one_way is not None:
        point("wall", "one_way", wall.one_way, "any length")
        along = wall.end[0] - wall.start[0], wall.end[1] - wall.start[1]
        if not abs(shapes.cross(along, wall.one_way)) > 1e-9 * math.hypot(*along) * math.hypot(*wall.one_way):
            raise Impossible(
                "wall", f"has one_way {wall.one_way}, it must point to one side of it (and the wall must have a length)"
            )


def peg(peg: Any) -> None:
    settle(peg)
    point("peg", "center", peg.center)
    number("peg", "radius", peg.radius, "px", positive=True)
    surface("peg", peg)


# Name of a joint's or field's number -> unit, and whether it may be negative.
NUMBERS: dict[str, tuple[str, bool]] = {
    "length": ("px", False),
    "shortest": ("px", False),
    "longest": ("px", False),
    "stiffness": ("", False),
    "damping": ("", False),
    "torque": ("kg·px²/s²", False),
    "spin": ("rad/s", True),
    "phase": ("rad", True),
    "ratio": ("", True),
    "ratchet": ("rad", True),
    "lowest": ("rad", True),
    "highest": ("rad", True),
    "rest_angle": ("rad", True),
    "strength": ("", True),
    "softening": ("px", False),
    "drag": ("kg/(s·px)", False),
}


def joint(joint: Any, points: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    settle(joint)
    ends = joint.body_a, joint.body_b
    if not is_whole(ends[0], -1, 2**53) or not is_whole(ends[1], 0, 2**53) or ends[0] == ends[1]:
        raise Impossible(
            "joint",
            f"holds bodies {shown(ends[0])} and {shown(ends[1])}, which it cannot: they must be two whole numbers from "
            "0 on, and only body_a may be -1, the world",
        )
    acting("joint", joint, points, numbers)
    for low, high in (("shortest", "longest"), ("lowest", "highest")):
        if low in numbers and getattr(joint, low) > getattr(joint, high):
            both = getattr(joint, low), getattr(joint, high)
            raise Impossible("joint", f"has {low} {both[0]:g}, it must not be above {high}, which is {both[1]:g}")
    for name in ("ratio", "ratchet"):
        if name in numbers and getattr(joint, name) == 0:
            raise Impossible("joint", f"has {name} 0, it must be another number")
    if "groove_start" in points and joint.groove_start == joint.groove_end:
        raise Impossible("joint", "has a groove without length; groove_start and groove_end must differ")


def field(field: Any, points: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    settle(field)
    acting("field", field, points, numbers)


def acting(who: str, part: Any, points: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    for name in points:
        point(who, name, getattr(part, name), "px/s" if name == "velocity" else "px")
    for name in numbers:
        unit, signed = NUMBERS[name]
        number(who, name, getattr(part, name), unit, signed=signed)


def parts(scene: Any, allowed: Iterable[tuple[str, set[type]]]) -> None:
    """What a scene holds are lists, each of parts of its own kinds."""
    for name, kinds in allowed:
        names = " or ".join(sorted(kind.__name__ for kind in kinds))
        held = getattr(scene, name)
        if not isinstance(held, tuple):
            raise Impossible("scene", f"has {name} {shown(held)}, it must be a list of {names}")
        for index, part in enumerate(held):
            if type(part) not in kinds:
                raise Impossible("scene", f"has {shown(part)} as number {index} of its {name}; each must be {names}")


def scene(scene: Any) -> None:
    settle(scene, ("name", "category", "difficulty", "text", "gravity", "dt", "canvas"))
    for name in ("name", "category", "text"):
        word = getattr(scene, name)
        if not isinstance(word, str):
            raise Impossible("scene", f"has {name} {shown(word)}, it must be a text")
        if is_cut(word):
            raise Impossible("scene", f"has {name} {shown(word)}, it holds half a character")
    fault = range_fault(scene.dt, "s", positive=True)
    if fault or scene.dt > LONGEST_STEP:
        raise ValueError(f"the timestep is {shown(scene.dt)}, {fault or f'it must be at most {LONGEST_STEP:g} (s)'}")
    point("scene", "gravity", scene.gravity, "px/s²")
    sides = scene.canvas
    if type(sides) not in (tuple, list) or len(sides) != 2 or not all(is_whole(side, 1, MAX_CANVAS) for side in sides):
        raise ValueError(
            f"the canvas is {shown(sides)}, it must be width and height, whole numbers from 1 to {MAX_CANVAS} (px)"
        )
    if not is_whole(scene.difficulty, 1, 5):
        raise ValueError(f"the difficulty is {shown(scene.difficulty)}, it must be a whole number from 1 to 5")
    count = len(scene.bodies)
    for index, held in enumerate(scene.joints):
        both = f"joint {index} holds bodies {held.body_a} and {held.body_b}, which it cannot"
        if held.body_a >= count or held.body_b >= count:
            raise ValueError(f"{both}: the scene has bodies 0 to {count - 1}")
        if all(scene.bodies[end].kind == "kinematic" for end in (held.body_a, held.body_b) if end >= 0):
            raise ValueError(f"{both}: one of them must be dynamic")
