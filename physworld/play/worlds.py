"""The simulator and a model on one scene, frame by frame, with a hand that reaches into both.

Both worlds wait for each other, so frame t is the same instant in both however slow the model is. A hand that holds a
body puts it where the pointer is, with the pointer's velocity, in both worlds alike. What happened before is kept, so
that one can go back and go on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.metrics.energy import linear_momentum, total_energy
from physworld.metrics.errors import position_rmse
from physworld.play.limits import GONE, MAX_BODIES, MAX_FRAMES, MAX_SPEED
from physworld.play.reading import Recorder, Said
from physworld.science import Model
from physworld.sim.pymunk_sim import Live
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.rollout import rollout
from physworld.types import Scene, State, Trajectory


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A body that is held, and where."""

    body: int
    x: float  # px
    y: float  # px


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """One frame of both worlds."""

    truth: State
    guess: State | None  # None without a model, or since its answer made no sense
    scene: Scene  # it may change on the way: gravity, friction
    said: Said | None = None  # what the model read and answered to come here
    touched: bool = False  # a hand held a body
    since: int = 0  # first frame of this scene


class Worlds:
    """A scene in both worlds."""

    def __init__(self, scene: Scene, model: Model | None, start: State | None = None) -> None:
        """
        Raises:
            UserError: there are too many bodies, or the model cannot read the scene.
        """
        if len(scene.bodies) > MAX_BODIES:
            raise UserError(f"This scene has {len(scene.bodies)} bodies; the page takes at most {MAX_BODIES}.")
        self.scene, self.model = scene, model
        self.hand: Hand | None = None
        state = scene.state if start is None else start
        self.moments = [Moment(truth=state, guess=None if model is None else state, scene=scene)]
        self.live = Live(scene, state)
        self.why = "" if model is None else model.refuses(scene)
        if self.why:
            self.moments[0] = replace(self.moments[0], guess=None)

    @property
    def now(self) -> Moment:
        return self.moments[-1]

    def back_to(self, frame: int) -> None:
        """Forget what came after a frame; the next step goes on from there.

        A state alone does not hold what the solver remembers of each contact, so the simulator comes here again from
        where it began, hands included: bit for bit the same way.
        """
        if not 0 <= frame < len(self.moments) - 1:
            return
        del self.moments[frame + 1 :]
        self.scene, first = self.now.scene, self.now.since
        self.live = Live(self.scene, self.moments[first].truth)
        for moment in self.moments[first + 1 :]:
            self.live.step()
            if moment.touched:
                self._put(moment.truth)

    def choose(self, model: Model | None) -> None:
        """Another model goes on from where the truth is."""
        self.model = model
        self.why = "" if model is None else model.refuses(self.scene)
        guess = None if model is None or self.why else self.now.truth
        self.moments[-1] = replace(self.now, guess=guess, said=None)

    def change(self, gravity: tuple[float, float] | None, friction: float | None, restitution: float | None) -> None:
        """Another gravity (px/s²), or one friction or restitution for all, from now on."""
        surface: Any = {
            key: value for key, value in (("friction", friction), ("restitution", restitution)) if value is not None
        }
        scene = self.scene
        self._begin(
            replace(
                scene,
                gravity=scene.gravity if gravity is None else gravity,
                bodies=tuple(replace(body, **surface) for body in scene.bodies),
                static=tuple(replace(part, **surface) for part in scene.static),
            )
        )

    def _begin(self, scene: Scene) -> None:
        self.scene = scene
        self.moments[-1] = replace(self.now, scene=scene, since=len(self.moments) - 1)
        self.live = Live(scene, self.now.truth)

    def step(self) -> Moment:
        """The next frame of both.

        Raises:
            UserError: the run is as long as is kept, or a body has flown off.
        """
        if len(self.moments) >= MAX_FRAMES:
            raise UserError(f"{MAX_FRAMES} frames are kept; rewind, or begin again, to go on.")
        before = self.now
        held = None if self.hand is None else self._held(self.hand, before)
        self.live.step()
        truth, guess, said = self.live.state, None, None
        if held is not None:
            truth = _with(truth, *held)
            self._put(truth)
        if not np.abs(truth.position).max(initial=0.0) < GONE or not _is_finite(truth):
            raise UserError("A body has left this world for good; rewind to see it again.")
        if self.model is not None and before.guess is not None:
            guess, said = self._ask(self.model, before.guess)
            if guess is not None and not _is_finite(guess):
                guess = None
            if guess is not None and held is not None:
                guess = _with(guess, *held)
        moment = Moment(
            truth=truth, guess=guess, scene=self.scene, said=said, touched=held is not None, since=before.since
        )
        self.moments.append(moment)
        return moment

    def _put(self, state: State) -> None:
        self.live.put(np.column_stack([state.position, state.angle, state.velocity, state.spin]))

    def _ask(self, model: Model, before: State) -> tuple[State | None, Said | None]:
        given = Trajectory.of(self.scene, [before])
        if model.codec is None:
            return BASELINES[model.name](given, 1).frame(0), None
        context = model.codec.context_frames
        if context > 1:  # texts of several frames read what this world showed last
            known = [m.guess for m in self.moments[-model.codec.history_frames :] if m.guess is not None]
            known = [known[0]] * (context - len(known)) + known
            given = Trajectory.of(self.scene, known)
        recorder = Recorder(model.network)
        answered = rollout(recorder, model.codec, [given], 1)
        said = Said(prompts=recorder.prompts, answers=recorder.answers)
        return (answered.predicted[0].frame(0) if answered.parsed[0] else None), said

    def _held(self, hand: Hand, before: Moment) -> tuple[int, float, float, float, float]:
        """(body, x, y, vx, vy) that the hand gives: it moves no faster than MAX_SPEED."""
        x, y = before.truth.position[hand.body]
        velocity = np.array([hand.x - x, hand.y - y]) / self.scene.dt
        size = float(np.hypot(*velocity))
        velocity *= min(1.0, MAX_SPEED / max(size, 1e-9))
        return hand.body, x + velocity[0] * self.scene.dt, y + velocity[1] * self.scene.dt, *velocity.tolist()

    def hold(self, hand: Hand | None) -> None:
        """Take hold of a body, or let go.

        Raises:
            UserError: there is no such body.
        """
        if hand is not None and not 0 <= hand.body < len(self.scene.bodies):
            raise UserError(f"There is no body {hand.body}; the scene has 0 to {len(self.scene.bodies) - 1}.")
        self.hand = hand


def _with(state: State, body: int, x: float, y: float, vx: float, vy: float) -> State:
    position, velocity, spin = state.position.copy(), state.velocity.copy(), state.spin.copy()
    position[body], velocity[body], spin[body] = (x, y), (vx, vy), 0.0
    return State(position=position, velocity=velocity, angle=state.angle, spin=spin)


def _is_finite(state: State) -> bool:
    return all(bool(np.isfinite(part).all()) for part in (state.position, state.velocity, state.angle, state.spin))


def figures(moment: Moment) -> dict[str, Any]:
    """RMSE in px, energy in J and size of the momentum in kg·m/s of [truth, guess] of one frame.

    None where the sum has no finite value, which JSON cannot say.
    """
    true = Trajectory.of(moment.scene, [moment.truth])
    worlds = [true] if moment.guess is None else [true, Trajectory.of(moment.scene, [moment.guess])]
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "rmse": _finite(position_rmse(true, worlds[1])) if len(worlds) == 2 else None,
            "energy": [_finite(total_energy(world)[0]) for world in worlds],
            "momentum": [_finite(np.linalg.norm(linear_momentum(world)[0])) for world in worlds],
        }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def packed(moment: Moment, frame: int) -> dict[str, Any]:
    """One frame as the page wants it: rows of x, y, angle, vx, vy, spin; since: the first frame of its scene."""
    return {
        "kind": "frame",
        "t": frame,
        "since": moment.since,
        "truth": _rows(moment.truth),
        "guess": None if moment.guess is None else _rows(moment.guess),
        **figures(moment),
    }


def _rows(state: State) -> list[list[float]]:
    rows = np.column_stack([state.position, state.angle, state.velocity, state.spin])
    return [[round(value, 8) for value in row] for row in rows.tolist()]  # a scene file has up to 6 decimals


def state_of(rows: Any, count: int) -> State:
    """A state of rows of x, y, angle, vx, vy, spin.

    Raises:
        UserError: it is not one of `count` bodies, or not finite.
    """
    try:
        table = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError):
        table = np.zeros(0)
    if table.shape != (count, 6) or not np.isfinite(table).all():
        raise UserError(f"A state must be {count} rows of six finite numbers.")
    return State(position=table[:, :2], velocity=table[:, 3:5], angle=table[:, 2], spin=table[:, 5])
