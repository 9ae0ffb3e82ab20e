"""L2: reader of `impulse` prompts, text -> scene and state. The format is described, and owned, by impulse.py."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from physworld.codecs.numbers import number_index, number_values
from physworld.types import (
    FIXED,
    PIXELS_PER_METRE,
    Attractor,
    Body,
    Field,
    Joint,
    Motor,
    MutualGravity,
    Peg,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    Segment,
    Spring,
    Trajectory,
    Wind,
)

NUMBER = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,12})?")  # up to ±9999, as the format prints
VALUES = number_values()
# word -> which of its numbers must be > 0, and which must be >= 0
SIGNS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "world": ((2,), ()), "wall": ((), (4, 5, 6)), "peg": ((2,), (3, 4)), "field": ((), (3,)),
    "mutual": ((), (1,)), "wind": ((), (2,)), "pin": ((4,), ()), "rope": ((4,), ()), "spring": ((), (4, 5, 6)),
    "motor": ((), (1,)),
    "ball": ((6, 7), (8, 9)), "box": ((6, 7, 8), (9, 10)),
}  # fmt: skip


JOINTS = ("pin", "hinge", "rope", "spring", "motor")
FIELDS = ("field", "mutual", "wind")


class Line(NamedTuple):
    word: str
    names: list[str]
    numbers: list[float]


def read_prompt(text: str, layout: Mapping[str, tuple[int, int]], bodies: Collection[str]) -> Trajectory | None:
    """One frame, or None unless `text` is a prompt that describes a possible world.

    Lines that follow from the others (`self`, `touch`, `link`, `pull` and the like) are checked for their form only, as
    the codec works them out anew; they, and `next`, may be missing.

    Args:
        text: words and numbers.
        layout: word -> how many names, then numbers, follow it.
        bodies: all names a body may have.
    """
    lines = _lines(text.split(), layout, bodies)
    if not lines or not all(_possible(line) for line in lines):
        return None
    scene = _scene(lines)
    return None if scene is None else Trajectory.of(scene, [scene.state])


def _lines(tokens: list[str], layout: Mapping[str, tuple[int, int]], bodies: Collection[str]) -> list[Line] | None:
    """Words with what belongs to them; None where a word, a name or a number is none."""
    if tokens and tokens[-1] == "next":
        tokens = tokens[:-1]
    lines: list[Line] = []
    at = 0
    while at < len(tokens):
        word = tokens[at]
        if word not in layout:
            return None
        count, numbers = layout[word]
        first, end = at + 1 + count, at + 1 + count + numbers
        names, digits = tokens[at + 1 : first], tokens[first:end]
        if end > len(tokens) or not all(name == "fixed" or name in bodies for name in names):
            return None
        if not all(NUMBER.fullmatch(number) for number in digits):
            return None
        # Rounded as they print, so that what is checked here is what will be written.
        lines.append(Line(word, names, [float(VALUES[number_index(float(number))]) for number in digits]))
        at = end
    return lines


def _possible(line: Line) -> bool:
    positive, not_negative = SIGNS.get(line.word, ((), ()))
    numbers = line.numbers
    if line.word == "wall" and numbers[0:2] == numbers[2:4]:
        return False  # a wall without length has no direction
    return all(numbers[k] > 0 for k in positive) and all(numbers[k] >= 0 for k in not_negative)


def _scene(lines: list[Line]) -> Scene | None:
    """None unless there is one `world`, at the top, then bodies, each named once, and joints between such bodies."""
    world, *rest = lines
    if world.word != "world" or any(line.word == "world" for line in rest):
        return None
    solid = [line for line in rest if line.word in ("ball", "box")]
    index = {line.names[0]: k for k, line in enumerate(solid)}
    if not solid or len(index) < len(solid) or "fixed" in index:
        return None
    index["fixed"] = FIXED
    joints = [line for line in rest if line.word in JOINTS]
    if any(joint.names[1] == "fixed" or joint.names[0] == joint.names[1] for joint in joints):
        return None
    if not all(name in index for line in rest for name in line.names):
        return None
    gx, gy, milliseconds = world.numbers
    return Scene(
        name="prompt",
        category="prompt",
        difficulty=1,  # the text names neither type nor difficulty
        text="Read from impulse text.",
        bodies=tuple(_body(line) for line in solid),
        static=tuple(_wall(line) for line in rest if line.word in ("wall", "peg")),
        joints=tuple(_joint(joint, index) for joint in joints),
        fields=tuple(_field(line) for line in rest if line.word in FIELDS),
        gravity=(gx, gy),
        dt=_timestep(milliseconds),
    )


def _timestep(milliseconds: float) -> float:
    """s. 16.67 ms is 1/60 s: whole frames a second where they print as the same number."""
    rate = round(1000 / milliseconds)
    if rate and number_index(1 / rate * 1000) == number_index(milliseconds):
        return 1 / rate
    return milliseconds / 1000


def _body(line: Line) -> Body:
    x, y, angle, vx, vy, spin, *size, mass, friction, restitution = line.numbers
    return Body(
        shape="circle" if line.word == "ball" else "rect",
        size=tuple(size),
        position=(x, y),
        velocity=(vx, vy),
        angle=angle,
        spin=spin,
        mass=mass,
        friction=friction,
        restitution=restitution,
    )


def _wall(line: Line) -> Segment | Peg:
    if line.word == "peg":
        x, y, radius, friction, restitution = line.numbers
        return Peg(center=(x, y), radius=radius, friction=friction, restitution=restitution)
    ax, ay, bx, by, radius, friction, restitution, speed = line.numbers
    return Segment(
        start=(ax, ay), end=(bx, by), radius=radius, friction=friction, restitution=restitution, surface_speed=speed
    )


def _joint(line: Line, index: Mapping[str, int]) -> Joint:
    a, b = (index[name] for name in line.names)
    if line.word == "motor":
        spin, torque = line.numbers
        return Motor(body_a=a, body_b=b, spin=spin, torque=torque * PIXELS_PER_METRE**2)
    ax, ay, bx, by, *own = line.numbers
    ends: dict[str, Any] = {"body_a": a, "body_b": b, "anchor_a": (ax, ay), "anchor_b": (bx, by)}
    match line.word:
        case "pin":
            return PinJoint(**ends, length=own[0])
        case "hinge":
            return PivotJoint(**ends)
        case "rope":
            return Rope(**ends, length=own[0])
        case _:
            return Spring(**ends, length=own[0], stiffness=own[1], damping=own[2])


def _field(line: Line) -> Field:
    match line.word:
        case "field":
            x, y, strength, softening = line.numbers
            return Attractor(center=(x, y), strength=strength * 1e4, softening=softening)
        case "mutual":
            strength, softening = line.numbers
            return MutualGravity(strength=strength * 1e4, softening=softening)
        case _:
            x, y, drag = line.numbers
            return Wind(velocity=(x, y), drag=drag / PIXELS_PER_METRE)
