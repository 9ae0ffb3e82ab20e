"""Reader of `impulse` and `plain` prompts, text -> scene and state. The lines are described by impulse.py."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from physworld.text.codecs.numbers import number_index, number_values
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
    "mutual": ((), (1,)), "wind": ((), (2,)), "pin": ((), (4,)), "rope": ((), (4,)), "spring": ((), (4, 5, 6)),
    "motor": ((), (1,)),
    "ball": ((6, 7), (8, 9)), "box": ((6, 7, 8), (9, 10)),
}  # fmt: skip


JOINTS = ("pin", "hinge", "rope", "spring", "motor")
FIELDS = ("field", "mutual", "wind")


class NoPrompt(ValueError):
    """Text that is no prompt; one sentence that names the line (of the file, from 1) and what is wrong there."""


class Line(NamedTuple):
    row: int  # of the text, from 1
    word: str
    names: list[str]
    numbers: list[float]


class PromptReader:
    """What a codec's texts are read with that are scenes in such lines."""

    records: Mapping[str, tuple[int, int]]  # word -> how many names, then numbers, follow it
    body_names: Collection[str]  # all names a body may have

    def read_prompt(self, text: str) -> Trajectory | None:
        """The scene and the one frame that a prompt's text describes, or None: it is no prompt; never an exception."""
        try:
            return read_prompt(text, self.records, self.body_names)
        except NoPrompt:
            return None

    def why_no_prompt(self, text: str) -> str:
        """Line and word that make a text no prompt, or ''."""
        try:
            read_prompt(text, self.records, self.body_names)
        except NoPrompt as problem:
            return str(problem)
        return ""


def read_prompt(text: str, layout: Mapping[str, tuple[int, int]], bodies: Collection[str]) -> Trajectory:
    """The one frame that a prompt describes.

    Lines that follow from the others (`self`, `touch`, `link`, `pull` and the like) are checked for their form only, as
    the codec works them out anew; they, and `next`, may be missing.

    Args:
        text: words and numbers.
        layout: word -> how many names, then numbers, follow it.
        bodies: all names a body may have.

    Raises:
        NoPrompt: the text is none, or the world it describes is not possible.
    """
    tokens = [(row, token) for row, line in enumerate(text.split("\n"), start=1) for token in line.split()]
    lines = _lines(tokens, layout, bodies)
    for line in lines:
        _check(line)
    try:
        scene = _scene(lines)
    except NoPrompt:
        raise
    except ValueError as error:
        raise NoPrompt(str(error)) from None
    return Trajectory.of(scene, [scene.state])


def _lines(tokens: list[tuple[int, str]], layout: Mapping[str, tuple[int, int]], bodies: Collection[str]) -> list[Line]:
    """Words with what belongs to them."""
    if tokens and tokens[-1][1] == "next":
        tokens = tokens[:-1]
    if not tokens:
        raise NoPrompt("the text is empty")
    lines: list[Line] = []
    at = 0
    while at < len(tokens):
        row, word = tokens[at]
        if word not in layout:
            raise NoPrompt(f"line {row}: {_shown(word)} is unknown here; a line begins with {', '.join(layout)}")
        count, numbers = layout[word]
        rest = tokens[at + 1 : at + 1 + count + numbers]
        for k, (place, token) in enumerate(rest):
            if k < count and token != "fixed" and token not in bodies:
                raise NoPrompt(f"line {place}: {_shown(token)} stands where {word} names a body, o0 or o1 for example")
            if k >= count and not NUMBER.fullmatch(token):
                which = f"number {k - count + 1} of the {numbers} of {word}"
                raise NoPrompt(f"line {place}: {_shown(token)} stands where {which} belongs, such as -12.5")
        if len(rest) < count + numbers:
            raise NoPrompt(f"line {row}: {word} needs {count} names and {numbers} numbers, and the text ends before")
        # Rounded as they print, so that what is checked here is what will be written.
        values = [float(VALUES[number_index(float(token))]) for _, token in rest[count:]]
        lines.append(Line(row, word, [token for _, token in rest[:count]], values))
        at += 1 + count + numbers
    return lines


def _shown(token: str) -> str:
    return ascii(token if len(token) <= 40 else token[:37] + "...")


def _check(line: Line) -> None:
    positive, not_negative = SIGNS.get(line.word, ((), ()))
    numbers = line.numbers
    if line.word == "wall" and numbers[0:2] == numbers[2:4]:
        raise NoPrompt(f"line {line.row}: a wall without length has no direction")
    for k, value in enumerate(numbers):
        if (k in positive and value <= 0) or (k in not_negative and value < 0):
            least = "positive" if k in positive else "0 or more"
            raise NoPrompt(f"line {line.row}: number {k + 1} of {line.word} is {value:g}, it must be {least}")


def _scene(lines: list[Line]) -> Scene:
    """There is one `world`, at the top, then bodies, each named once, and joints between such bodies."""
    world, *rest = lines
    if world.word != "world":
        raise NoPrompt(f"line {world.row}: the text must begin with world, not with {world.word}")
    index: dict[str, int] = {}
    for line in rest:
        if line.word == "world":
            raise NoPrompt(f"line {line.row}: world is there twice")
        if line.word in ("ball", "box"):
            name = line.names[0]
            if name == "fixed":
                raise NoPrompt(f"line {line.row}: fixed stands where {line.word} names a body, o0 or o1 for example")
            if name in index:
                raise NoPrompt(f"line {line.row}: the body {name} is there twice")
            index[name] = len(index)
    if not index:
        raise NoPrompt("there is no ball and no box")
    index["fixed"] = FIXED
    solid = [line for line in rest if line.word in ("ball", "box")]
    joints = [line for line in rest if line.word in JOINTS]
    for line in rest:
        unknown = [name for name in line.names if name not in index]
        if unknown:
            raise NoPrompt(f"line {line.row}: {line.word} names {unknown[0]}, and no ball or box is called so")
        if line.word in JOINTS and (line.names[1] == "fixed" or line.names[0] == line.names[1]):
            raise NoPrompt(f"line {line.row}: {line.word} holds {line.names[0]} and {line.names[1]}, which it cannot")
    gx, gy, milliseconds = world.numbers
    return Scene(
        name="prompt",
        category="prompt",
        difficulty=1,  # the text names neither type nor difficulty
        text="Read from text.",
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
