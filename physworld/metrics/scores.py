"""Rollouts -> rows. A row is one method on one rollout, flat, so that it can be written as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from physworld.metrics.events import EventScore, score_events
from physworld.metrics.horizon import valid_prediction_time
from physworld.metrics.motion import copied, moves_right
from physworld.metrics.violations import escaped, joint_drift, penetration
from physworld.types import State, Trajectory

MODEL = "model"
BASELINES = ("copy_last", "linear", "ballistic")
PLACEBO = "placebo"  # random impulses: what an error of the right kind costs when it knows nothing
FLOOR = "floor"  # the simulator restarted from the state as the text rounds it: what no reader of the text can beat
METHODS = (MODEL, *BASELINES, PLACEBO, FLOOR)

HORIZON, ROLLOUT = "horizon", "rollout"  # when a metric is read: at each horizon, or once over the whole rollout


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of one rollout. An entry of METRICS is all that a new one needs: it is then a column of rows.jsonl, a
    figure of metrics.json, a row of the report and a curve in TensorBoard."""

    label: str  # in reports
    unit: str = ""
    function: Callable[..., float | None]  # (target, predicted) -> float; None = does not apply to this rollout
    when: str = HORIZON  # then target and predicted end at that frame; ROLLOUT: they end at the last horizon
    before: bool = False  # the function takes a third argument, the last given frame (State or None)
    interval: bool = False  # HORIZON only: shown with intervals, in a table of its own

    def __post_init__(self) -> None:
        if self.when not in (HORIZON, ROLLOUT):
            raise ValueError(f"when={self.when!r} of metric {self.label!r} must be {HORIZON!r} or {ROLLOUT!r}")
        if self.interval and self.when == ROLLOUT:
            raise ValueError(f"metric {self.label!r} is read once, so it has no table by horizon; leave interval out")

    @property
    def title(self) -> str:
        """`angle RMSE, rad`."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


# name -> metric, in the order of the report.
METRICS: dict[str, Metric] = {
    "rmse": Metric(label="position RMSE", unit="px", function=position_rmse, interval=True),
    "velocity_rmse": Metric(label="velocity RMSE", unit="px/s", function=velocity_rmse, interval=True),
    "energy_error": Metric(label="absolute error of total energy", unit="J", function=energy_error, interval=True),
    "valid_frames": Metric(label="valid frames", function=valid_prediction_time, when=ROLLOUT),
    "copied": Metric(label="moving bodies left where they were, share", function=copied, when=ROLLOUT, before=True),
    "moves_right": Metric(
        label="moving bodies moved about right, share", function=moves_right, when=ROLLOUT, before=True
    ),
    "event_velocity_rmse": Metric(
        label="velocity RMSE on event frames", unit="px/s", function=event_velocity_rmse, when=ROLLOUT, before=True
    ),
    "flight_momentum_error": Metric(
        label="velocity gained or lost in free flight",
        unit="px/s a frame",
        function=lambda t, p, before: flight_errors(t, p, before)[0],
        when=ROLLOUT,
        before=True,
    ),
    "flight_energy_error": Metric(
        label="energy gained or lost in free flight",
        unit="J a frame",
        function=lambda t, p, before: flight_errors(t, p, before)[1],
        when=ROLLOUT,
        before=True,
    ),
    "relative_energy_error": Metric(
        label="energy error / largest kinetic energy", function=lambda t, p: float(relative_energy_error(t, p)[-1])
    ),
    "relative_momentum_error": Metric(
        label="momentum error / largest carried momentum",
        function=lambda t, p: float(relative_momentum_error(t, p)[-1]),
    ),
    "position_mae": Metric(label="mean distance (MAE)", unit="px", function=position_mae),
    "velocity_mae": Metric(label="velocity MAE", unit="px/s", function=velocity_mae),
    "angle_rmse": Metric(label="angle RMSE", unit="rad", function=angle_rmse),
    "spin_rmse": Metric(label="spin RMSE", unit="rad/s", function=spin_rmse),
    "joint_drift": Metric(
        label="joint length drift", unit="px", function=lambda t, p: float(joint_drift(p.window(len(p) - 1, len(p)))[0])
    ),
    "penetration": Metric(
        label="deepest overlap", unit="px", function=lambda t, p: penetration(p.scene, p.frame(len(p) - 1))
    ),
    "escaped": Metric(label="escaped bodies", function=lambda t, p: float(escaped(t, p))),
}
# Counted while the model's text is read, not measured on trajectories: name -> label.
FAULTS = {
    "missing": "bodies missing from an unreadable frame",
    "drifted": "readable frames in another format",
}


class _Origin(TypedDict):
    index: int  # scene number in its split's stream
    start_frame: int  # first given frame
    seed: int  # root seed of the stream
    held_out: bool  # the scenario type was never trained on


class RolloutMeta(_Origin, total=False):
    """Where a rollout came from; scenario, category, difficulty and body count are read from its scene."""

    shift: str  # family@level of an out-of-distribution scene
    distance: float  # of that scene from the training range
    action: int  # of a puzzle: which one; actions of one puzzle are no more independent than moments of one scene
    told: bool  # False: a recorded scene that leaves out some of what moves its bodies


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
    """One row per rollout and method: who, where, parsed, each metric of METRICS (`name@h` at each horizon, or `name`),
    counts of onsets of contacts (`events_*`), and FAULTS of the model's text. A metric that does not apply is None.

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
    _check_frames(targets, predictions, max(horizons))
    rows = []
    for n, (target, about) in enumerate(zip(targets, meta, strict=True)):
        start = None if before is None else before[n]
        for method, trajectories in predictions.items():
            mine = method == MODEL
            missing, drifted = faults[n] if mine and faults is not None else (0, 0)
            row = {
                **described(target, about, method),
                "parsed": bool(parse_ok[n]) if mine else True,
                "missing": missing,
                "drifted": drifted,
            }
            rows.append(row | _errors(target, trajectories[n], horizons, start))
    return rows


def described(target: Trajectory, about: RolloutMeta, method: str) -> dict[str, Any]:
    """The part of a row that says who and where."""
    return {
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
        "told": about.get("told", True),
        **({"action": about["action"]} if "action" in about else {}),
        "method": method,
    }


def measured_columns(horizons: Sequence[int]) -> list[str]:
    """The part of a row that was measured, by name."""
    names = [
        f"{name}@{h}" if metric.when == HORIZON else name
        for name, metric in METRICS.items()
        for h in (horizons if metric.when == HORIZON else horizons[:1])
    ]
    return ["parsed", *FAULTS, *names, *(f"events_{name}" for name in EventScore.__annotations__)]


def _errors(target: Trajectory, predicted: Trajectory, horizons: Sequence[int], start: State | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    last = max(horizons)
    for name, metric in METRICS.items():
        given = (start,) if metric.before else ()
        for h in horizons if metric.when == HORIZON else (last,):
            error = metric.function(target.window(0, h), predicted.window(0, h), *given)
            row[f"{name}@{h}" if metric.when == HORIZON else name] = _worst(error)
    events = score_events(target.window(0, last), predicted.window(0, last), start)
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


def _check_frames(targets: Sequence[Trajectory], predictions: Mapping[str, Sequence[Trajectory]], last: int) -> None:
    """A window beyond the end would be shorter without a word."""
    shortest = min((len(t) for some in (targets, *predictions.values()) for t in some), default=last)
    if last > shortest:
        raise ValueError(f"horizon {last} is outside 1..{shortest}, the frames that target and prediction share")
