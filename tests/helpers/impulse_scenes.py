"""EvalCases of every scenario type in the impulse text, and the same worlds turned and mirrored."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from physworld import scenarios
from physworld.scenarios._parts import mirrored
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs import impulse
from physworld.text.codecs._impulse_words import RECORDS
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.types import (
    FIXED,
    Attractor,
    Field,
    Joint,
    Motor,
    Peg,
    Segment,
    State,
    Trajectory,
    Wind,
)

CODEC = ImpulseCodec(shuffle_names=False)
VALUES = CODEC.vocabulary.values
DIFFICULTIES = (1, 3, 5)
# Lines in a body's own frame.
OWN = ("self", "link", "tie", "hold", "coil", "drive", "touch", "touch2", "pull", "air")


@functools.cache
def path(name: str, difficulty: int, frames: int = 90) -> Trajectory:
    return simulate(scenarios.build(name, generator(0, "test", 11), difficulty), frames)


def cases(name: str, difficulty: int) -> list[tuple[Trajectory, State]]:
    """(given frame, true next state) from the first frame, the middle, and wherever most bodies are hit."""
    run = path(name, difficulty)
    jump = np.abs(np.diff(run.velocity, axis=0) - np.array(run.scene.gravity) * run.scene.dt).max(axis=2)
    busy = np.argsort((jump > impulse.EVENT_SPEED).sum(axis=1))[-4:]
    return [(run.window(t, t + 1), run.frame(t + 1)) for t in (0, 40, *busy.tolist())]


def true_answer(now: Trajectory) -> np.ndarray:
    """What Pymunk does from here, as ids."""
    then = simulate(now.scene, 2, start=now.frame(-1)).frame(1)
    _, listed, frames = CODEC._views(now)
    return CODEC.answer(now.scene, listed, frames, now.frame(-1), then)[0]


def own_lines(now: Trajectory) -> list[tuple[str, list[str], np.ndarray]]:
    """(word, names, numbers) of the lines that are in a body's own frame, without that frame itself."""
    lines = []
    for line in CODEC.text(CODEC.prompt(now)).split("\n"):
        word, *items = line.split(" ")
        if word in OWN:
            words = RECORDS[word][0]
            values = np.array([float(item) for item in items[words:]])
            if word == "self":
                values = values[3:]
            lines.append((word, items[:words], values))
    return lines


def turned(now: Trajectory, angle: float) -> Trajectory:
    """The same world seen from elsewhere, turned about the canvas's middle."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array([400.0, 300.0])

    def place(point: Sequence[float]) -> tuple[float, float]:
        x, y = turn @ (np.asarray(point) - middle) + middle
        return float(x), float(y)

    def way(vector: Sequence[float]) -> tuple[float, float]:
        x, y = turn @ vector
        return float(x), float(y)

    def part(shape: Segment | Peg) -> Segment | Peg:
        if isinstance(shape, Peg):
            return replace(shape, center=place(shape.center))
        return replace(shape, start=place(shape.start), end=place(shape.end))

    def joint(one: Joint) -> Joint:
        if isinstance(one, Motor) or one.body_a != FIXED:
            return one
        return replace(one, anchor_a=place(one.anchor_a))

    def field(one: Field) -> Field:
        match one:
            case Attractor():
                return replace(one, center=place(one.center))
            case Wind():
                return replace(one, velocity=way(one.velocity))
            case _:
                return one

    scene, state = now.scene, now.frame(0)
    other = replace(
        scene,
        static=tuple(part(shape) for shape in scene.static),
        joints=tuple(joint(one) for one in scene.joints),
        fields=tuple(field(one) for one in scene.fields),
        gravity=way(scene.gravity),
    )
    return Trajectory.of(
        other,
        [
            State(
                position=(state.position - middle) @ turn.T + middle,
                velocity=state.velocity @ turn.T,
                angle=state.angle + angle,
                spin=state.spin,
            )
        ],
    )


def mirror_image(now: Trajectory) -> Trajectory:
    state, width = now.frame(0), now.scene.canvas[0]
    flip = np.array([-1.0, 1.0])
    return Trajectory.of(
        mirrored(now.scene),
        [
            State(
                position=state.position * flip + (width, 0),
                velocity=state.velocity * flip,
                angle=-state.angle,
                spin=-state.spin,
            )
        ],
    )


def stirred(now: Trajectory, seed: int) -> Trajectory:
    """Small random speeds, so that no slip is exactly zero (then HAND would be a matter of rounding)."""
    rng = np.random.default_rng(seed)
    state = now.frame(0)
    return Trajectory.of(
        now.scene,
        [
            State(
                position=state.position + rng.normal(0, 0.02, state.position.shape),
                velocity=state.velocity + rng.normal(0, 3, state.velocity.shape),
                angle=state.angle + rng.normal(0, 0.002, state.angle.shape),
                spin=state.spin + rng.normal(0, 0.1, state.spin.shape),
            )
        ],
    )


def step(value: np.ndarray) -> np.ndarray:
    """Distance to the next number, a little more for the rounding of the sum."""
    return np.select([np.abs(value) < 10, np.abs(value) < 100, np.abs(value) < 1000], [0.001, 0.01, 0.1], 1.0) * 1.01


def rounding(speed: np.ndarray) -> np.ndarray:
    """px/s: largest error of saying this speed on the grid: half a step of 10^(1/384) and half a last digit."""
    last_digit = np.select([speed < 10, speed < 100, speed < 1000], [0.001, 0.01, 0.1], 1.0)
    return np.where(speed < 0.1, 0.025, 0.00301 * speed + last_digit / 2) + 1e-9
