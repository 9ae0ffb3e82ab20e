"""Physworld from Python: build a scene, simulate it, let a model go on from it, look, and compare.

    import physworld as pw

    floor = pw.Segment(start=(0, 50), end=(800, 50), radius=10)
    scene = pw.Scene(bodies=[pw.Body.circle(20, position=(150, 400), velocity=(200, 0))], static=[floor])
    truth = pw.simulate(scene, 100)
    guess = pw.load("shipped").rollout(scene, 100)
    pw.draw(truth, guess)                   # an animation, in a notebook
    print(pw.compare(truth, guess))

Frame 0 of a trajectory is the scene itself, so that row t of two of them is the same instant. Units are those of
`physworld.types`: px (100 px = 1 m), px/s, rad, s, kg.
"""

from __future__ import annotations

import base64
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from physworld.drawing.render import comparison, render
from physworld.errors import UserError, suggest
from physworld.io.images import gif_bytes, write_gif, write_mp4, write_png
from physworld.metrics.energy import linear_momentum, total_energy
from physworld.metrics.errors import angle_rmse, per_horizon, velocity_rmse
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.sim import pymunk_sim
from physworld.text import timestep
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.codecs.yaml_scene import is_by_hand, read_yaml, write_yaml
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.rollout import Sampling, rollout
from physworld.text.sources.files import Row, is_table
from physworld.text.sources.files import read_scene as read_trajectory
from physworld.types import PIXELS_PER_METRE, Scene, State, Trajectory
from physworld.types.limits import is_whole, range_fault, shown

__all__ = [
    "Animation",
    "Comparison",
    "Model",
    "Prediction",
    "compare",
    "draw",
    "load",
    "read_scene",
    "read_trajectory",
    "simulate",
    "write_yaml",
]
HORIZONS = (1, 10, 30, 60, 100)  # frames ahead that a comparison prints, and the last one


def _wanted(name: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds):
        names = " or a ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{name} must be a {names}, and {shown(value)} is none.")


def _wanted_number(name: str, value: float, *, positive: bool) -> None:
    fault = range_fault(value, positive=positive)
    if fault:
        raise UserError(f"{name}={shown(value)} cannot be used; {fault}.")


def _wanted_pace(truth: Trajectory, predicted: Trajectory) -> None:
    """Row t of both must be the same instant. A file may hold a rounded timestep, which is near enough."""
    steps = truth.scene.dt, predicted.scene.dt
    if not math.isclose(*steps, rel_tol=0.01):
        raise UserError(f"The two have timesteps of {steps[0]:.4g} and {steps[1]:.4g} s; give two of one timestep.")


def simulate(
    scene: Scene, num_frames: int, *, start: State | None = None, kicks: np.ndarray | None = None
) -> Trajectory:
    """Roll a scene forward with Pymunk; see `physworld.sim.pymunk_sim.simulate`.

    Raises:
        UserError: the scene is none, or num_frames is not a whole number from 1.
        ValueError: `start` or `kicks` are of another shape than the scene, or it has no bodies.
    """
    _wanted("scene", scene, Scene)
    if not is_whole(num_frames, 1, 2**53):
        raise UserError(f"num_frames={shown(num_frames)} must be a whole number, 1 or more.")
    return pymunk_sim.simulate(scene, num_frames, start=start, kicks=kicks)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction(Trajectory):
    """What a model makes of a scene: the frames it was given, then its own."""

    readable: int  # frames of its own before the first that made no sense; there the bodies stand still from then on


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A model that goes on from a scene."""

    name: str
    network: Any = field(repr=False)  # a Generator; None for a baseline
    codec: FrameCodec | None = field(repr=False)  # None for a baseline, which reads no text
    timesteps: tuple[float, ...] | None = None  # s, that it was trained on, where that is known

    def refuses(self, scene: Scene) -> str:
        """Why this model's text cannot hold a scene, as a sentence without its full stop; '' where it can."""
        return "" if self.codec is None else self.codec.unwritable(scene)

    def rollout(self, start: Scene | Trajectory, frames: int, *, temperature: float = 0.0, seed: int = 0) -> Prediction:
        """Go on from a scene on its own output.

        Args:
            start: a scene; or the frames that are known, of which the model reads the last ones.
            frames: of the result, which begins with what was given: a scene gives one frame, so `frames` - 1 are the
                model's own, as in `simulate`. A model that reads k frames of context gets the simulator's first k.
            temperature: 0 = what the model says without drawing; else its answers are drawn.
            seed: of that drawing.

        Raises:
            UserError: the model's text has no words for a thing in the scene, or there is no room for own frames.
        """
        _wanted("start", start, Scene, Trajectory)
        _wanted_number("temperature", temperature, positive=False)
        if not is_whole(seed, 0, 2**63 - 1):
            raise UserError(f"seed={shown(seed)} must be a whole number, 0 or more.")
        if temperature and self.codec is None:
            raise UserError(f"{self.name} is a baseline, which draws nothing; leave temperature= out.")
        if seed and not temperature:
            raise UserError(f"seed={seed} is of the drawing; give a temperature above 0, too, or leave it out.")
        scene = start if isinstance(start, Scene) else start.scene
        context = 1 if self.codec is None else self.codec.context_frames
        known = simulate(scene, context) if isinstance(start, Scene) else start
        if len(known) < context:
            raise UserError(f"{self.name} reads {context} frames, and {len(known)} are given.")
        if not is_whole(frames, len(known) + 1, 2**53):
            whose = "simulator makes of a scene" if isinstance(start, Scene) and context > 1 else "start gives"
            raise UserError(
                f"frames={shown(frames)} must be a whole number above {len(known)}, the frames that the {whose}."
            )
        own = frames - len(known)
        if self.codec is None:
            predicted, readable = BASELINES[self.name](known, own), own
        else:
            why = self.refuses(scene)
            if why:
                raise UserError(f"{self.name} cannot read this scene: {why}.")
            strange = timestep.warning([scene], self.timesteps)
            if strange:
                warnings.warn(f"{strange}.", stacklevel=2)
            drawn = Sampling(temperature=temperature, seed=seed) if temperature else None
            said = rollout(self.network, self.codec, [known], own, sampling=drawn)
            predicted, readable = said.predicted[0], said.parsed[0]
            if readable < own:
                warnings.warn(f"{self.name} stopped making sense after {readable} of {own} frames.", stacklevel=2)
        whole = known.then(predicted)
        return Prediction(
            scene=scene,
            position=whole.position,
            velocity=whole.velocity,
            angle=whole.angle,
            spin=whole.spin,
            readable=readable,
        )


def load(name: str | os.PathLike[str] = "shipped", *, device: str = "cpu") -> Model:
    """A model by name.

    Args:
        name: shipped or solver, which come with the package; last, the last finished run; a run directory, or a run's
            name below outputs/; or a baseline: copy_last, linear, ballistic.

    Raises:
        UserError: there is no such model, or it is not one of text physics.
    """
    chosen = str(name)
    if chosen in BASELINES:
        return Model(name=chosen, network=None, codec=None)
    place = runs.find_named(chosen) if chosen else None
    if place is None:
        known = (*runs.NAMED, *BASELINES)
        raise UserError(
            f"{chosen or repr(chosen)} is no model.{suggest(chosen, known)} "
            f"Give a run directory, the name of a run under outputs/, or {', '.join(known)}."
        )
    try:
        where = torch.device(device)
    except (RuntimeError, TypeError):
        raise UserError(f"device={shown(device)} is none; choose cpu, cuda, or cuda:1 and so on.") from None
    try:
        torch.zeros(1, device=where).cpu()
    except (RuntimeError, AssertionError):  # the latter of a torch without CUDA
        raise UserError(f"device={shown(device)} is not there; choose cpu, or a GPU that is.") from None
    run = runs.find_run(str(place), "")
    task = runs.task_of(run)
    if task != "text":
        raise UserError(f"{chosen} is a {task} run; scenes of bodies go on with runs of text physics.")
    network, codec, config = load_model(run, where)
    return Model(name=chosen, network=network, codec=codec, timesteps=timestep.of_run(run, config))


def read_scene(path: str | os.PathLike[str], *, row: int = 0) -> Scene:
    """The scene of a file: YAML by hand, Scene JSONL (also .gz, .zst), or a row of Parquet.

    Args:
        row: of a Parquet file, from 0.

    Raises:
        FormatError: names the file, the place in it and the problem.
        UserError: `path` is none, or `row` is not a whole number, or is that of a file of one scene.
    """
    _wanted("path", path, str, os.PathLike)
    if not is_whole(row, 0, 2**53):
        raise UserError(f"row={shown(row)} must be a whole number, 0 or more.")
    file = Path(path)
    if row and not is_table(file):
        raise UserError(f"row={row} is for Parquet files; {file} holds one scene, so leave it out.")
    if is_by_hand(file):
        return read_yaml(file)
    return read_trajectory(Row(file, row) if is_table(file) else file).scene


@dataclass(frozen=True, kw_only=True, eq=False)
class Animation:
    """Pictures in a row, which a notebook shows and `save` writes."""

    frames: np.ndarray = field(repr=False)  # (T, H, W, 3) uint8
    fps: float  # pictures a second

    def _repr_html_(self) -> str:
        data = base64.b64encode(gif_bytes(self.frames, self.fps)).decode("ascii")
        return f'<img alt="{len(self.frames)} frames of a scene" src="data:image/gif;base64,{data}">'

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write .gif, .mp4, or .png (the last picture).

        Raises:
            UserError: the suffix is another one.
        """
        file = Path(path)
        match file.suffix.lower():
            case ".gif":
                return write_gif(file, self.frames, self.fps)
            case ".mp4":
                return write_mp4(file, self.frames, self.fps)
            case ".png":
                return write_png(file, self.frames[-1])
        raise UserError(f"{file} has no suffix of a picture; choose .gif, .mp4 or .png.")


def draw(
    what: Scene | Trajectory,
    predicted: Trajectory | None = None,
    *,
    size: tuple[int, int] = (400, 300),
    every: int = 2,
    speed: float = 1.0,
) -> Animation:
    """A scene, a trajectory, or a trajectory beside a prediction of it and both laid over each other.

    Args:
        size: (width, height) of one panel, px.
        every: frames of the trajectory to each picture.
        speed: 1 = as fast as in the world; a GIF shows at most 50 pictures a second.

    Raises:
        UserError: what is given is none of these, or the two have other timesteps.
        ValueError: the two have other bodies.
    """
    _wanted("the first argument", what, Scene, Trajectory)
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(is_whole(side, 16, 2**16) for side in size):
        raise UserError(f"size={shown(size)} must be (width, height), whole numbers from 16 (px).")
    if not is_whole(every, 1, 2**53):
        raise UserError(f"every={shown(every)} must be a whole number, 1 or more.")
    _wanted_number("speed", speed, positive=True)
    trajectory = Trajectory.of(what, [what.state]) if isinstance(what, Scene) else what
    fps = speed / trajectory.scene.dt / every
    if predicted is None:
        return Animation(frames=render(trajectory, size=size, every=every), fps=fps)
    _wanted("predicted", predicted, Trajectory)
    _wanted_pace(trajectory, predicted)
    shared = min(len(trajectory), len(predicted))
    pictures = comparison(trajectory.window(0, shared), predicted.window(0, shared), size=size, every=every)
    return Animation(frames=pictures, fps=fps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Errors of a prediction by frame; row t is the state after t steps. `print` shows a table."""

    units: str  # px or m, of position and of velocity (per s)
    position: np.ndarray  # (T,) RMSE over the bodies
    velocity: np.ndarray  # (T,) RMSE, per s
    angle: np.ndarray  # (T,) RMSE rad, the shorter way round
    energy: np.ndarray  # (T, 2) J: of the truth, of the prediction
    momentum: np.ndarray  # (T, 2, 2) kg·m/s: of the truth, of the prediction

    def __str__(self) -> str:
        last = len(self.position) - 1
        rows = [h for h in HORIZONS if h < last] + [last]
        head = f"{'frame':>5} {'position':>12} {'velocity':>12} {'angle':>10} {'energy, J':>22} {'momentum':>14}"
        unit = f"{'':>5} {self.units:>12} {self.units + '/s':>12} {'rad':>10} {'truth':>11}{'model':>11}"
        unit += f" {'off, kg·m/s':>14}"
        lines = [head, unit]
        for t in rows:
            off = float(np.linalg.norm(self.momentum[t, 1] - self.momentum[t, 0]))
            lines.append(
                f"{t:>5} {self.position[t]:>12.4g} {self.velocity[t]:>12.4g} {self.angle[t]:>10.3g} "
                f"{self.energy[t, 0]:>11.4g}{self.energy[t, 1]:>11.4g} {off:>14.3g}"
            )
        return "\n".join(lines)

    __repr__ = __str__


def compare(truth: Trajectory, predicted: Trajectory, *, units: str = "px") -> Comparison:
    """How far a prediction is from the truth, frame by frame, for the frames that both have.

    Args:
        units: px, or m, of lengths in the result.

    Raises:
        UserError: other units, one of the two is no trajectory, or their timesteps differ.
        ValueError: the two have other bodies.
    """
    if units not in ("px", "m"):
        raise UserError(f"units={units} is unknown; choose px or m.")
    _wanted("truth", truth, Trajectory)
    _wanted("predicted", predicted, Trajectory)
    _wanted_pace(truth, predicted)
    metre = PIXELS_PER_METRE if units == "m" else 1.0
    shared = min(len(truth), len(predicted))
    true, guess = truth.window(0, shared), predicted.window(0, shared)
    horizons: Sequence[int] = range(1, shared + 1)  # of arrays: horizon h is row h - 1
    return Comparison(
        units=units,
        position=np.asarray(per_horizon(true, guess)) / metre,
        velocity=np.array([velocity_rmse(true, guess, h) for h in horizons]) / metre,
        angle=np.array([angle_rmse(true, guess, h) for h in horizons]),
        energy=np.stack([total_energy(true), total_energy(guess)], axis=1),
        momentum=np.stack([linear_momentum(true), linear_momentum(guess)], axis=1),
    )
