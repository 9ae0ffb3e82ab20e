"""Reads a `card` prompt back as a scene: all that its text says, which is not everything (see `card`).

Walls are counted there, not placed: they come back as points at the origin, which no text of this format tells apart.
Turns and spins begin at 0. Joints cannot be read: whom they hold is not in the text.
"""

from __future__ import annotations

import math
import re

import numpy as np

from physworld.text.codecs._text import LARGEST, NUMBER
from physworld.types import PIXELS_PER_METRE, Body, Scene, Segment, State, Trajectory

WHOLE = "[0-9]{1,6}"  # longer ones count nothing that a text can hold
_SCENE = re.compile(rf"Scene: ({WHOLE}) objects? \(.*\)\. Gravity: \({NUMBER}, {NUMBER}\)\. Timestep: {NUMBER}\.")
_SCENARIO = re.compile(rf"Scenario: (.*) \((.*)\), difficulty: ({WHOLE})")
_OBJECT = re.compile(
    rf"  obj_({WHOLE}): (?:circle r={NUMBER}|rect {NUMBER}x{NUMBER}) at \({NUMBER}, {NUMBER}\), "
    rf"density={NUMBER}, friction={NUMBER}"
)
_WALLS = re.compile(rf"Static geometry: ({WHOLE}) segments \(walls\)")
_JOINTS = re.compile(rf"Constraints: (none|{WHOLE} joints)")
_TITLE = re.compile(rf"Frame ({WHOLE}): {WHOLE} of {WHOLE} objects moving\.")
_BODY = re.compile(rf"  obj_({WHOLE}): pos=\({NUMBER}, {NUMBER}\), vel=\({NUMBER}, {NUMBER}\)")
_CUE = re.compile(rf"Frame ({WHOLE}):")
MOST_WALLS = 1000


class NoCard(ValueError):
    """A text that is no prompt; the message names its line."""


class _Lines:
    """The lines of a text, one after another; empty ones stand between parts and say nothing."""

    def __init__(self, text: str) -> None:
        self.rows = [(number, row.rstrip()) for number, row in enumerate(text.split("\n"), start=1) if row.strip()]
        self.at = 0

    def next(self, form: re.Pattern[str], what: str) -> re.Match[str]:
        if self.at == len(self.rows):
            raise NoCard(f"it ends where {what} should follow")
        number, row = self.rows[self.at]
        found = form.fullmatch(row)
        if found is None:
            raise NoCard(f"line {number} is {row[:60]!r} where {what} should be")
        self.at += 1
        return found

    def is_next(self, form: re.Pattern[str]) -> bool:
        return self.at < len(self.rows) and form.fullmatch(self.rows[self.at][1]) is not None

    def refuse(self, why: str) -> NoCard:
        return NoCard(f"line {self.rows[self.at - 1][0]} {why}")


def read_card(text: str) -> Trajectory:
    """Scene and frames of a prompt.

    Raises:
        NoCard: a line is not what the format has there, or says something impossible.
    """
    lines = _Lines(text)
    head = lines.next(_SCENE, "`Scene: N objects (...). Gravity: (X, Y). Timestep: T.`")
    count, gravity, dt = int(head[1]), (float(head[2]), float(head[3])), float(head[4])
    if count < 1:
        raise lines.refuse("has no object, so nothing moves")
    about = lines.next(_SCENARIO, "`Scenario: NAME (CATEGORY), difficulty: D`")
    lines.next(re.compile("Objects:"), "`Objects:`")
    bodies = []
    for index in range(count):
        found = lines.next(_OBJECT, f"the line of obj_{index} (`  obj_K: circle r=R at (X, Y), density=D, friction=F`)")
        if int(found[1]) != index:
            raise lines.refuse(f"names obj_{found[1]} where obj_{index} should be")
        try:
            bodies.append(_body(found))
        except ValueError as error:
            raise lines.refuse(f"is no body ({error})") from None
    walls = int(lines.next(_WALLS, "`Static geometry: K segments (walls)`")[1])
    if walls > MOST_WALLS:
        raise lines.refuse(f"has more than {MOST_WALLS} walls")
    if lines.next(_JOINTS, "`Constraints: none`")[1] != "none":
        raise lines.refuse("has joints, and the text does not say whom they hold; give the scene as JSONL")
    try:
        scene = Scene(
            name=about[1], category=about[2], difficulty=int(about[3]), text="", bodies=tuple(bodies),
            static=(Segment(start=(0.0, 0.0), end=(0.0, 0.0), radius=0.0),) * walls, gravity=gravity, dt=dt,
        )  # fmt: skip
    except ValueError as error:
        raise NoCard(f"its header is of no scene ({error})") from None
    return Trajectory.of(scene, _frames(lines, count))


def _body(found: re.Match[str]) -> Body:
    numbers = [None if group is None else float(group) for group in found.groups()[1:]]
    radius, width, height, x, y, density, friction = numbers
    assert x is not None and y is not None and density is not None and friction is not None
    if radius is not None:
        area, shape = math.pi * radius**2, {"shape": "circle", "size": (radius,)}
    else:
        assert width is not None and height is not None
        area, shape = width * height, {"shape": "rect", "size": (width, height)}
    mass = density * area / PIXELS_PER_METRE**2
    return Body(position=(x, y), mass=mass, friction=friction, **shape)  # type: ignore[arg-type]


def _frames(lines: _Lines, count: int) -> list[State]:
    states: list[State] = []
    while lines.is_next(_TITLE):
        if int(lines.next(_TITLE, "")[1]) != len(states) + 1:
            raise lines.refuse(f"is not frame {len(states) + 1}, which should follow")
        numbers = np.zeros((count, 4))
        for index in range(count):
            found = lines.next(_BODY, f"`  obj_{index}: pos=(X, Y), vel=(X, Y)`")
            if int(found[1]) != index:
                raise lines.refuse(f"names obj_{found[1]} where obj_{index} should be")
            numbers[index] = [float(group) for group in found.groups()[1:]]
        if np.abs(numbers).max(initial=0.0) > LARGEST:
            raise lines.refuse("or one above it has a number out of range")
        still = np.zeros(count)
        states.append(State(position=numbers[:, :2], velocity=numbers[:, 2:], angle=still, spin=still))
    if not states:
        lines.next(_TITLE, "`Frame 1: M of N objects moving.`")
    cue = lines.next(_CUE, f"`Frame {len(states) + 1}:`, the cue for the answer")
    if int(cue[1]) != len(states) + 1 or lines.at != len(lines.rows):
        raise lines.refuse(f"should be `Frame {len(states) + 1}:` and the last one")
    return states
