"""Puzzles of other people as scenes: what may be done in them, and when they are solved.

I-PHYRE (Li et al. 2024, arXiv 2312.03009): 40 games in four splits of ten; grey blocks are taken away at chosen times,
so that every red ball falls into the abyss. Its package `iphyre` holds them as data in `games.py`, which is read here
as text and never run: its simulator needs pygame and breaks on Pymunk 7. Constants are those of its `simulator.py`.

Virtual Tools (Allen, Smith, Tenenbaum 2020, arXiv 1907.09620): `virtual_tools.py`.

Both have weak gravity, so that people can follow. Here time runs faster by `pace`, so that g is 9.81 m/s²: positions,
impacts and friction stay the same, and a model meets the gravity that it knows.
"""

from __future__ import annotations

import ast
import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.types import FIXED, Body, Part, PinJoint, Scene, Segment, Spring

STEP = 6  # frames between two moments at which something may be done
EARTH = 981.0  # px/s²
SPLITS = ("basic", "noisy", "compositional", "multi_ball")  # of I-PHYRE, ten games each
HIGH = 600.0  # px, height and width of an I-PHYRE game
THICK = 10.0  # px, half the thickness of its blocks
GRAVITY = 100.0  # px/s², its own
MATERIAL: dict[str, Any] = {"friction": 0.5, "restitution": 0.1}
LAST = 8.0  # s of its own time: nothing is taken away later
LEFT = 0.2  # how often a block stays, as in its `generate_actions`


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an action."""

    solved: bool
    frame: int  # at which it was solved; the last one where it was not
    nearness: float  # larger is nearer to the goal


Goal = Callable[[np.ndarray], Outcome]  # of positions (T, N, 2) px


@dataclass(frozen=True, kw_only=True)
class Action:
    """What is done in a puzzle, before and while it runs."""

    removed: tuple[tuple[int, int], ...] = ()  # (frame, index into Scene.static), in the order of frames
    added: Body | None = None  # at the beginning


@dataclass(frozen=True, kw_only=True, eq=False)
class Puzzle:
    """One level."""

    name: str
    scene: Scene
    goal: Goal
    draw: Callable[[np.random.Generator], Action]  # any action
    pace: float  # how much faster than the level's own time
    held: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # wall -> joints that go when it goes

    def world(self, action: Action, frame: int) -> Scene:
        """The scene as it is at a frame, its bodies where they begin."""
        gone = {wall for at, wall in action.removed if at <= frame}
        loose = {joint for wall in gone for joint in self.held.get(wall, ())}
        return replace(
            self.scene,
            bodies=self.scene.bodies if action.added is None else (*self.scene.bodies, action.added),
            static=tuple(part for k, part in enumerate(self.scene.static) if k not in gone),
            joints=tuple(joint for k, joint in enumerate(self.scene.joints) if k not in loose),
        )

    def frames(self, seconds: float) -> int:
        """How many frames that many seconds of the level's own time are."""
        return math.ceil(seconds / self.pace / self.scene.dt)


def iphyre_games(place: str | Path) -> dict[str, dict[str, Any]]:
    """The games as plain data, from the installed package or from a folder that holds its games.py.

    Raises:
        UserError: neither is there, or the file is not as expected.
    """
    if place == "iphyre":
        spec = importlib.util.find_spec("iphyre")  # finds it without running it
        if spec is None or spec.origin is None:
            raise UserError(
                "suite.puzzles=iphyre needs the package iphyre; install with: pip install 'physworld[planning]', "
                "or give suite.puzzles=FOLDER with its games.py."
            )
        file = Path(spec.origin).parent / "games.py"
    else:
        file = Path(place) / "games.py"
    try:
        found = [
            ast.literal_eval(node.value)
            for node in ast.parse(file.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["PARAS"]
        ]
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as the games of I-PHYRE ({str(error)[:80]}).") from None
    if len(found) != 1 or not isinstance(found[0], dict) or not found[0]:
        raise UserError(f"{file} holds no PARAS, the games of I-PHYRE.")
    return found[0]


def iphyre(place: str | Path, *, boxes: bool) -> list[Puzzle]:
    """The games of I-PHYRE.

    Args:
        boxes: moving blocks are rectangles without their round ends, which every text can say.
    """
    games = iphyre_games(place)
    found = []
    for number, (name, game) in enumerate(games.items()):
        try:
            found.append(_game(name, SPLITS[min(number // 10, 3)], game, boxes))
        except (KeyError, TypeError, ValueError, ArithmeticError, IndexError) as error:
            raise UserError(
                f"The game {name} of I-PHYRE is not as expected ({type(error).__name__}: {error})."
            ) from None
    return found


def _game(name: str, split: str, game: Mapping[str, Any], boxes: bool) -> Puzzle:
    pace = math.sqrt(EARTH / GRAVITY)
    blocks = [tuple((float(x), HIGH - float(y)) for x, y in block) for block in game["block"]]
    moving, removable = game["dynamic"], game["eli"]
    if len(moving) != len(removable) or len(moving) != len(blocks) + len(game["ball"]):
        raise ValueError("`eli` and `dynamic` must have an entry for each block and ball")
    bodies: list[Body] = []
    walls: list[Segment] = []
    place: list[tuple[int, int]] = []  # of each block and ball: (index of its body or -1, index of its wall or -1)
    for block, dynamic in zip(blocks, moving, strict=False):
        (ax, ay), (bx, by) = block
        if dynamic:
            place.append((len(bodies), -1))
            bodies.append(_block(block, boxes))
        else:
            place.append((-1, len(walls)))
            walls.append(Segment(start=(ax, ay), end=(bx, by), radius=THICK, **MATERIAL))
    for x, y, radius in game["ball"]:
        place.append((len(bodies), -1))
        bodies.append(Body.circle(float(radius), position=(float(x), HIGH - float(y)), **MATERIAL))
    centres = [_middle(block) for block in blocks] + [(float(x), HIGH - float(y)) for x, y, _ in game["ball"]]
    joints: list[PinJoint | Spring] = []
    held: dict[int, tuple[int, ...]] = {}
    for kind in ("joint", "spring"):
        for pair in game.get(kind, []):
            a, b = sorted(pair, key=lambda one: place[one][0])  # the fixed end first
            if place[b][0] < 0:
                raise ValueError(f"the {kind} {pair} holds no moving body")
            if place[a][1] >= 0:
                held[place[a][1]] = (*held.get(place[a][1], ()), len(joints))
            anchors: dict[str, Any] = {
                "body_a": place[a][0] if place[a][0] >= 0 else FIXED, "body_b": place[b][0],
                "anchor_a": (0.0, 0.0) if place[a][0] >= 0 else centres[a],
            }  # fmt: skip
            joints.append(
                PinJoint(length=math.dist(centres[a], centres[b]), **anchors)
                if kind == "joint"
                else Spring(length=20.0, stiffness=pace**2, damping=0.3 * pace, **anchors)
            )
    balls = tuple(range(len(bodies) - len(game["ball"]), len(bodies)))
    scene = Scene(
        name=f"iphyre_{split}", category="puzzles", text=f"The game {name} of I-PHYRE.", bodies=tuple(bodies),
        static=tuple(walls), joints=tuple(joints), gravity=(0.0, -EARTH), canvas=(int(HIGH), int(HIGH)),
    )  # fmt: skip
    grey = tuple(place[k][1] for k in range(len(blocks)) if removable[k] and place[k][1] >= 0)
    latest = int(LAST / pace / scene.dt) // STEP

    def draw(rng: np.random.Generator) -> Action:
        when = [(STEP * int(rng.integers(1, latest + 1)), wall) for wall in grey if rng.random() >= LEFT]
        return Action(removed=tuple(sorted(when)))

    return Puzzle(name=name, scene=scene, goal=Abyss(balls), draw=draw, pace=pace, held=held)


def _middle(block: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    (ax, ay), (bx, by) = block
    return (ax + bx) / 2, (ay + by) / 2


def _block(block: tuple[tuple[float, float], ...], boxes: bool) -> Body:
    """A bar with round ends of 1 kg. Its moment is that of its shape; I-PHYRE gives each that of a bar of no length."""
    (ax, ay), (bx, by) = block
    long = math.hypot(bx - ax, by - ay)
    about: dict[str, Any] = {"position": _middle(block), "angle": math.atan2(by - ay, bx - ax), "mass": 1.0, **MATERIAL}
    if boxes:
        return Body.box(long + 2 * THICK, 2 * THICK, **about)
    ends = [Part(shape="circle", size=(THICK,), at=(side * long / 2, 0.0)) for side in (-1, 1)]
    return Body.compound([Part(shape="rect", size=(long, 2 * THICK)), *ends], **about)


@dataclass(frozen=True)
class Abyss:
    """Solved when every ball is below the floor of the picture."""

    balls: tuple[int, ...]

    def __call__(self, position: np.ndarray) -> Outcome:
        height = position[:, self.balls, 1]
        below = (height < 0).all(axis=1)
        lowest = float(height.min(axis=0).max())  # of the ball that stayed highest
        frame = int(below.argmax()) if below.any() else len(position) - 1
        return Outcome(solved=bool(below.any()), frame=frame, nearness=-lowest)
