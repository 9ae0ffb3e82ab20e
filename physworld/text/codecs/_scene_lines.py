"""A scene's own lines, from `world` to `box`, as the ids of one token per word and per number: see impulse.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from physworld.text.codecs._refusal import check_range
from physworld.text.codecs.numbers import LARGEST, number_indices
from physworld.types import (
    FIXED,
    PIXELS_PER_METRE,
    Attractor,
    Motor,
    MutualGravity,
    Peg,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    Spring,
    Wind,
)

_NUMBERS = (-1,) * 16  # stand for numbers until all are turned into ids at once
_STATE = (0.0,) * 6


def scene_lines(
    scene: Scene, word: Mapping[str, int], number_base: int, first_body: int, codec: str
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of everything that does not change, up to the bodies' lines; and where in them each body's state belongs.

    Args:
        word: ids of the words.
        number_base: id of the first number.
        first_body: id of the first body's name, which those of the others follow.
        codec: what the text is called.

    Raises:
        ValueError: a number is larger than the text can say, or one that must be positive prints as 0.
    """
    ids: list[int] = []
    values: list[float] = []

    def line(name: str, *numbers: float, ends: tuple[int, ...] = ()) -> None:
        ids.append(word[name])
        ids.extend(ends)
        ids.extend(_NUMBERS[: len(numbers)])
        values.extend(numbers)

    line("world", *scene.gravity, scene.dt * 1000)
    for shape in scene.static:
        if isinstance(shape, Peg):
            line("peg", *shape.center, shape.radius, shape.friction, shape.restitution)
        else:
            surface = (shape.radius, shape.friction, shape.restitution, shape.surface_speed)
            line("wall", *shape.start, *shape.end, *surface)
    for field in scene.fields:
        match field:
            case Attractor():
                line("field", *field.center, field.strength / 1e4, field.softening)
            case MutualGravity():
                line("mutual", field.strength / 1e4, field.softening)
            case Wind():
                line("wind", *field.velocity, field.drag * PIXELS_PER_METRE)
    for joint in scene.joints:
        ends = (word["fixed"] if joint.body_a == FIXED else first_body + joint.body_a, first_body + joint.body_b)
        match joint:
            case PinJoint():
                line("pin", *joint.anchor_a, *joint.anchor_b, joint.length, ends=ends)
            case PivotJoint():
                line("hinge", *joint.anchor_a, *joint.anchor_b, ends=ends)
            case Rope():
                line("rope", *joint.anchor_a, *joint.anchor_b, joint.length, ends=ends)
            case Spring():
                own = (joint.length, joint.stiffness, joint.damping)
                line("spring", *joint.anchor_a, *joint.anchor_b, *own, ends=ends)
            case Motor():
                most = joint.torque / PIXELS_PER_METRE**2  # a larger one is as good as no limit
                line("motor", joint.spin, min(most, LARGEST), ends=ends)
    slots = []
    for index, body in enumerate(scene.bodies):
        slots.append(len(ids) + 2)
        ids += (word["ball" if body.shape == "circle" else "box"], first_body + index)
        numbers = (*_STATE, *body.size, body.mass, body.friction, body.restitution)
        ids += _NUMBERS[: len(numbers)]
        values += numbers
    exact = np.array(values, np.float64)
    check_range(scene, exact, codec)
    header = np.array(ids, np.int64)
    header[header < 0] = number_base + number_indices(exact)
    return header, np.array(slots, np.int64)


def as_lines(ids: Sequence[int], words: Sequence[str], starts: Collection[int], names: range, ends_prompt: int) -> str:
    """Tokens as text.

    Args:
        words: text of each token.
        starts: ids that begin a line.
        names: ids of bodies' names, which begin one behind the prompt.
        ends_prompt: id of the prompt's last word.
    """
    lines: list[str] = []
    answering = False
    for token, word in zip(ids, words, strict=True):
        new = token in starts or (answering and token in names)
        answering |= token == ends_prompt
        if new or not lines:
            lines.append(word)
        else:
            lines[-1] += " " + word
    return "\n".join(lines)
