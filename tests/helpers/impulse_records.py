"""Records of the impulse text as numbers, and what the simulator does with the same state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs._impulse_words import RECORDS
from physworld.types import (
    FIXED,
    Body,
    MutualGravity,
    Scene,
    Spring,
    Trajectory,
)

from impulse_scenes import CODEC, step
from worlds import disc, world

DT = 1 / 60


DOWN = (0.0, -981.0)


SOLVER = 1e-6  # px/s: ten iterations of Chipmunk's solver on a single joint


LINK = ("SHARE", "CN", "CT", "STRETCH", "VN", "VT", "AN", "BN")


POINT = ("GAP", "NEXT", "VN", "VT", "AN", "AT", "BN", "BT")


COLUMNS = {
    "self": ("NX", "NY", "HAND", "VN", "VT", "VS", "GN", "GT"),
    "link": LINK,
    "tie": LINK,
    "hold": ("SHARE", "EN", "ET", "VN", "VT", "AN", "AT", "BN", "BT"),
    "coil": ("SHARE", "CN", "CT", "KICK", "DAMP", "VN", "VT", "AN", "BN"),
    "drive": ("SHARE", "LACK", "MOST"),
    "touch": ("E", "MU", "SHARE", "CN", "CT", *POINT),
    "pull": ("CN", "CT", "DISTANCE", "SOFTENING", "STRENGTH"),
    "air": ("WN", "WT", "RATE"),
}


Record = dict[str, float]


Vector = Sequence[float] | np.ndarray


def box(x: float, y: float, **rest) -> Body:
    return Body(shape="rect", size=(60.0, 20.0), position=(x, y), **rest)


def lines(now: Trajectory, word: str) -> list[str]:
    return [line for line in CODEC.text(CODEC.prompt(now)).split("\n") if line.split(" ")[0] == word]


def records(now: Trajectory, word: str, body: int = 0) -> list[Record]:
    """The lines that start with `word oBODY`, by the names of the format's description."""
    found = []
    for line in lines(now, word):
        name, *items = line.split(" ")[1:]
        if name == f"o{body}":
            values = [float(item) for item in items[RECORDS[word][0] - 1 :]]
            found.append(dict(zip(COLUMNS[word], values, strict=True)))
    return found


def own(now: Trajectory, word: str, body: int = 0) -> Record:
    """The body's only such line, with the gravity of its `self` line."""
    (one,) = records(now, word, body)
    (me,) = records(now, "self", body)
    return one | {"GN": me["GN"], "GT": me["GT"]}


def change(now: Trajectory, body: int = 0) -> np.ndarray:
    """(3,) px/s: what Pymunk's next step does to the body beyond gravity, in its own frame (n, t, gyration)."""
    then = simulate(now.scene, 2, start=now.frame(0)).frame(1)
    _, listed, frames = CODEC._views(now)
    return CODEC._impulses(now.scene, listed, frames, now.frame(0), then)[0][listed.tolist().index(body)]


def agree(law: Callable[[list[Record]], Vector], said: list[Record], truth: Vector) -> None:
    """law(said) is `truth` to what half a last digit of every number in `said` can change."""
    value = np.asarray(law(said), float)
    slack = np.full(value.shape, SOLVER)
    for k, record in enumerate(said):
        for name, number in record.items():
            if name == "SHARE" and number == 1:
                continue  # what is fixed: not a rounded number
            half = float(step(np.array(number))) / 2
            for sign in (-1, 1):
                moved = [*said[:k], record | {name: number + sign * half}, *said[k + 1 :]]
                slack += np.abs(np.asarray(law(moved)) - value) / 2 * 1.05
    assert (np.abs(value - truth) <= slack).all(), (value, truth, slack)
    assert (slack < 0.05 + 0.02 * np.abs(truth).max()).all(), "such numbers say nothing"


def start(scene: Scene) -> Trajectory:
    return simulate(scene, 1)


def partners(record: Record) -> float:
    """Body's mass over its partner's, 0 for what is fixed."""
    return 1 / record["SHARE"] - 1


SPRING = Spring(body_a=FIXED, body_b=0, anchor_a=(310.0, 255.0), anchor_b=(12.0, 5.0), length=80.0, stiffness=120.0)
PAIR = replace(SPRING, body_a=1, anchor_a=(-9.0, 6.0))
MOVING = box(390, 300, velocity=(40, -70), angle=0.4, spin=1.5, mass=2.0)
OTHER = box(260, 230, velocity=(-30, 20), angle=-0.7, spin=-2.0, mass=3.0)


def along(record: Record, impulse: float) -> tuple[float, float, float]:
    """An impulse j/m along the partner's normal, as a change (n, t, gyration) of the body."""
    return impulse * record["CN"], impulse * record["CT"], impulse * record["AN"]


def cluster(count: int) -> Scene:
    """Bodies of many masses on a spiral, none near another."""
    bodies = [
        disc(
            400 + (60 + 24 * k) * math.cos(1.3 * k),
            300 + (60 + 24 * k) * math.sin(1.3 * k),
            radius=5.0,
            mass=0.5 + (7 * k % 5),
            velocity=(20.0 * (k % 3), -30.0 + 9 * k),
        )
        for k in range(count)
    ]
    return world(*bodies, fields=(MutualGravity(strength=3e6, softening=15.0),))
