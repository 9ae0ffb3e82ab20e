"""Rollouts -> rows. A row is one method on one rollout, flat, so that it can be written as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from physworld.metrics.conservation import flight_errors, relative_energy_error, relative_momentum_error
from physworld.metrics.energy import energy_error
from physworld.metrics.errors import (
    angle_rmse,
    event_velocity_rmse,
    position_mae,
    position_rmse,
    spin_rmse,
    velocity_mae,
    velocity_rmse,
)
from physworld.metrics.events import score_events
from physworld.metrics.horizon import valid_prediction_time
from physworld.metrics.violations import escaped, joint_drift, penetration
from physworld.types import State, Trajectory

MODEL = "model"
BASELINES = ("copy_last", "linear", "ballistic")
PLACEBO = "placebo"  # random impulses: what an error of the right kind costs when it knows nothing
FLOOR = "floor"  # the simulator restarted from the state as the text rounds it: what no reader of the text can beat
METHODS = (MODEL, *BASELINES, PLACEBO, FLOOR)

# (target, predicted, horizon) -> float, read at each horizon
QUANTITIES: dict[str, Callable[[Trajectory, Trajectory, int], float]] = {
    "rmse": position_rmse,  # px
    "velocity_rmse": velocity_rmse,  # px/s
    "energy_error": energy_error,  # J
}
DETAILS: dict[str, Callable[[Trajectory, Trajectory, int], float]] = {
    "position_mae": position_mae,  # px
    "velocity_mae": velocity_mae,  # px/s
    "angle_rmse": angle_rmse,  # rad
    "spin_rmse": spin_rmse,  # rad/s
    "relative_energy_error": lambda t, p, h: float(relative_energy_error(t.window(0, h), p.window(0, h))[-1]),
    "relative_momentum_error": lambda t, p, h: float(relative_momentum_error(t.window(0, h), p.window(0, h))[-1]),
    "joint_drift": lambda t, p, h: float(joint_drift(p.window(h - 1, h))[0]),  # px
    "penetration": lambda t, p, h: penetration(p.scene, p.frame(h - 1)),  # px
    "escaped": lambda t, p, h: float(escaped(t, p, h)),  # bodies
}
WHOLE = ("valid_frames", "event_velocity_rmse", "flight_momentum_error", "flight_energy_error", "missing", "drifted")


class _Origin(TypedDict):
    index: int  # scene number in its split's stream
    start_frame: int  # first given frame
    seed: int  # root seed of the stream
    held_out: bool  # the scenario type was never trained on


class RolloutMeta(_Origin, total=False):
    """Where a rollout came from; scenario, category, difficulty and body count are read from its scene."""

    shift: str  # family@level of an out-of-distribution scene
    distance: float  # of that scene from the training range


def score_rollouts(
    targets: Sequence[Trajectory],
    predictions: Mapping[str, Sequence[Trajectory]],
    parse_ok: Sequence[bool],
    horizons: Sequence[int],
    meta: Sequence[RolloutMeta],
    *,
    before: Sequence[State | None] | None = None,
    faults: Sequence[tuple[int, int]] | None = None,
) -> list[dict[str, Any]]:
    """One row per rollout and method: who, where, parsed, per horizon h each of QUANTITIES and DETAILS as `name@h`,
    and over the whole rollout: `valid_frames`; `events_*`; `event_velocity_rmse` px/s over the target's event frames
    and `flight_momentum_error` px/s, `flight_energy_error` J off them (None without such frames); `missing` bodies and
    `drifted` frames of the model's text.

    Args:
        targets: the true frames after the given ones, at least max(horizons) each.
        predictions: method name -> trajectories aligned with `targets`; "model" and at least one baseline.
        parse_ok: whether the model's output parsed through the whole rollout; baselines always do.
        horizons: frames ahead, counted from 1.
        meta: one per target.
        before: the last given frame of each; without it the first frame can hold no event.
        faults: (missing bodies, drifted frames) of each of the model's rollouts.
    """
    _check(targets, predictions, parse_ok, horizons, meta)
    rows = []
    for n, (target, about) in enumerate(zip(targets, meta, strict=True)):
        start = None if before is None else before[n]
        for method, trajectories in predictions.items():
            mine = method == MODEL
            missing, drifted = faults[n] if mine and faults is not None else (0, 0)
            row: dict[str, Any] = {
                "scenario": target.scene.name,
                "category": target.scene.category,
                "difficulty": target.scene.difficulty,
                "objects": len(target.scene.bodies),
                "index": about["index"],
                "start_frame": about["start_frame"],
                "seed": about["seed"],
                "held_out": about["held_out"],
                "shift": about.get("shift", ""),
                "distance": about.get("distance", 0.0),
                "method": method,
                "parsed": bool(parse_ok[n]) if mine else True,
                "missing": missing,
                "drifted": drifted,
            }
            rows.append(row | _errors(target, trajectories[n], horizons, start))
    return rows


def _errors(target: Trajectory, said: Trajectory, horizons: Sequence[int], start: State | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for h in horizons:
        for name, measure in (QUANTITIES | DETAILS).items():
            row[f"{name}@{h}"] = _worst(measure(target, said, h))
    last = max(horizons)
    true, guess = target.window(0, last), said.window(0, last)
    row["valid_frames"] = valid_prediction_time(true, guess)
    row["event_velocity_rmse"] = _worst(event_velocity_rmse(true, guess, start))
    momentum, energy = flight_errors(true, guess, start)
    row["flight_momentum_error"], row["flight_energy_error"] = _worst(momentum), _worst(energy)
    events = score_events(true, guess, start)
    return row | {f"events_{name}": count for name, count in vars(events).items()}


def _worst(error: float | None) -> Any:
    """A prediction that is not a number is infinitely wrong, not missing."""
    return np.inf if error is not None and np.isnan(error) else error


def _check(targets: Any, predictions: Any, parse_ok: Any, horizons: Any, meta: Any) -> None:
    if not horizons or min(horizons) < 1:
        raise ValueError(f"horizons must be frame numbers >= 1, got {list(horizons)}")
    unknown = sorted(set(predictions) - set(METHODS))
    if unknown or MODEL not in predictions or not set(BASELINES) & set(predictions):
        raise ValueError(
            f"predictions must hold 'model' and at least one of {', '.join(BASELINES)} (and may hold 'placebo' and "
            f"'floor'), got {', '.join(predictions) or 'nothing'}"
        )
    lengths = {"parse_ok": len(parse_ok), "meta": len(meta), **{m: len(p) for m, p in predictions.items()}}
    for name, length in lengths.items():
        if length != len(targets):
            raise ValueError(f"{len(targets)} targets but {length} entries in {name}")
    for ok in parse_ok:  # a count of parsed frames would read as True however early the output broke
        if not isinstance(ok, bool | np.bool_):
            raise ValueError(f"parse_ok takes True or False per rollout, got {ok!r}; compare the count with the frames")
    for about in meta:
        missing = sorted(set(_Origin.__annotations__) - set(about))
        if missing:
            raise ValueError(f"rollout meta lacks {', '.join(missing)}")
