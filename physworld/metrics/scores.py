"""Rollouts -> rows -> summary. A row is one method on one rollout, flat, so that it can be written as CSV.

Two yardsticks stand beside every model figure: the *best single baseline* (the one of copy_last, linear, ballistic
with the lowest mean over scenario types) and the stricter *best baseline per scenario* (chosen again for each type).
Both are chosen on the very rollouts that are scored, which favours the baselines, never the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypedDict

import numpy as np

from physworld.metrics.bootstrap import bootstrap_mean, paired_ratio
from physworld.metrics.energy import energy_error
from physworld.metrics.errors import event_velocity_rmse, position_rmse, velocity_rmse
from physworld.types import Interval, Trajectory

MODEL = "model"
BASELINES = ("copy_last", "linear", "ballistic")
FLOOR = "floor"  # the simulator restarted from the state as the text rounds it: what no reader of the text can beat
METHODS = (MODEL, *BASELINES, FLOOR)


class RolloutMeta(TypedDict):
    """Where a rollout came from; scenario and difficulty are read from its scene."""

    index: int  # scene number in its split's stream
    start_frame: int  # first given frame
    seed: int  # root seed of the stream
    held_out: bool  # the scenario type was never trained on


def score_rollouts(
    targets: Sequence[Trajectory],
    predictions: Mapping[str, Sequence[Trajectory]],
    parse_ok: Sequence[bool],
    horizons: Sequence[int],
    meta: Sequence[RolloutMeta],
) -> list[dict[str, Any]]:
    """One row per rollout and method: who, where, parsed, and per horizon h `rmse@h` px, `velocity_rmse@h` px/s,
    `energy_error@h` J; `event_velocity_rmse` px/s over the target's event frames (None without events).

    Args:
        targets: the true frames after the given ones, at least max(horizons) each.
        predictions: method name -> trajectories aligned with `targets`; "model" and at least one baseline.
        parse_ok: whether the model's output parsed through the whole rollout; baselines always do.
        horizons: frames ahead, counted from 1.
        meta: one per target.
    """
    _check(targets, predictions, parse_ok, horizons, meta)
    rows = []
    for n, (target, about) in enumerate(zip(targets, meta, strict=True)):
        for method, trajectories in predictions.items():
            said = trajectories[n]
            row: dict[str, Any] = {
                "scenario": target.scene.name,
                "difficulty": target.scene.difficulty,
                "index": about["index"],
                "start_frame": about["start_frame"],
                "seed": about["seed"],
                "held_out": about["held_out"],
                "method": method,
                "parsed": bool(parse_ok[n]) if method == MODEL else True,
            }
            for h in horizons:
                row[f"rmse@{h}"] = _worst(position_rmse(target, said, h))
                row[f"velocity_rmse@{h}"] = _worst(velocity_rmse(target, said, h))
                row[f"energy_error@{h}"] = _worst(energy_error(target, said, h))
            last = max(horizons)
            row["event_velocity_rmse"] = _worst(event_velocity_rmse(target.window(0, last), said.window(0, last)))
            rows.append(row)
    return rows


def _worst(error: float | None) -> Any:
    """A prediction that is not a number is infinitely wrong, not missing."""
    return np.inf if error is not None and np.isnan(error) else error


def _check(targets: Any, predictions: Any, parse_ok: Any, horizons: Any, meta: Any) -> None:
    if not horizons or min(horizons) < 1:
        raise ValueError(f"horizons must be frame numbers >= 1, got {list(horizons)}")
    unknown = sorted(set(predictions) - set(METHODS))
    if unknown or MODEL not in predictions or not set(BASELINES) & set(predictions):
        raise ValueError(
            f"predictions must hold 'model' and at least one of {', '.join(BASELINES)} (and may hold 'floor'), "
            f"got {', '.join(predictions) or 'nothing'}"
        )
    lengths = {"parse_ok": len(parse_ok), "meta": len(meta), **{m: len(p) for m, p in predictions.items()}}
    for name, length in lengths.items():
        if length != len(targets):
            raise ValueError(f"{len(targets)} targets but {length} entries in {name}")
    for ok in parse_ok:  # a count of parsed frames would read as True however early the output broke
        if not isinstance(ok, bool | np.bool_):
            raise ValueError(f"parse_ok takes True or False per rollout, got {ok!r}; compare the count with the frames")
    for about in meta:
        missing = sorted(RolloutMeta.__required_keys__ - set(about))
        if missing:
            raise ValueError(f"rollout meta lacks {', '.join(missing)}")


class _Table:
    """Rows turned round: for each method and column one array (n,) over the same n rollouts."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        keys = ("scenario", "index", "start_frame", "seed")
        by_method: dict[str, dict[tuple[Any, ...], Mapping[str, Any]]] = {}
        for row in rows:
            known = by_method.setdefault(row["method"], {})
            key = tuple(row[k] for k in keys)
            if key in known:
                raise ValueError(f"rollout {dict(zip(keys, key, strict=True))} is scored twice for {row['method']}")
            known[key] = row
        self.methods = tuple(m for m in METHODS if m in by_method)
        self.baselines = tuple(m for m in BASELINES if m in by_method)
        if MODEL not in by_method or not self.baselines:
            wanted, got = ", ".join(BASELINES), ", ".join(by_method)
            raise ValueError(f"rows must hold 'model' and at least one of {wanted}, got {got}")
        self.rollouts = sorted(by_method[MODEL])
        for method in self.methods:
            if set(by_method[method]) != set(self.rollouts):
                raise ValueError(f"method {method} is scored on other rollouts than the model: pairs are needed")
        self.ordered = {m: [by_method[m][key] for key in self.rollouts] for m in self.methods}
        first = self.ordered[MODEL]
        self.scenario = np.array([row["scenario"] for row in first])
        self.held_out = np.array([row["held_out"] for row in first])
        self.parsed = np.array([row["parsed"] for row in first])
        self.horizons = sorted(int(c.removeprefix("rmse@")) for c in first[0] if c.startswith("rmse@"))

    def column(self, method: str, name: str) -> np.ndarray:
        """(n,) float64; None becomes NaN."""
        return np.array([row[name] for row in self.ordered[method]], dtype=np.float64)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None  # JSON has no infinity


def _plain(interval: Interval) -> dict[str, Any]:
    return {k: v if k == "count" else _number(v) for k, v in asdict(interval).items()}


def _means(values: dict[str, np.ndarray], groups: np.ndarray) -> dict[str, Any]:
    """Per method: mean over scenario types of per-type means with interval, and the median over rollouts."""
    means = {}
    for method, column in values.items():
        kept = ~np.isnan(column)
        if kept.any():
            interval = bootstrap_mean(column[kept], groups=groups[kept])
            means[method] = {**_plain(interval), "median": _number(float(np.median(column[kept])))}
    return means


def _ratio(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> dict[str, Any] | None:
    return _plain(paired_ratio(a, b, groups=groups)) if b.any() else None


def _block(table: _Table, mask: np.ndarray) -> dict[str, Any]:
    """Everything about the rollouts in `mask` (n,); group means are taken over the scenario types among them."""
    groups = table.scenario[mask]
    types = np.unique(groups)
    horizons: dict[str, Any] = {}
    for h in table.horizons:
        rmse = {m: table.column(m, f"rmse@{h}")[mask] for m in table.methods}
        by_type = {m: np.array([rmse[m][groups == t].mean() for t in types]) for m in table.baselines}
        best = min(table.baselines, key=lambda m: by_type[m].mean())
        chosen = {t: min(table.baselines, key=lambda m: by_type[m][k]) for k, t in enumerate(types)}
        strict = np.array([rmse[chosen[t]][n] for n, t in enumerate(groups)])
        horizons[str(h)] = {
            "rmse": _means({**rmse, "best_per_scenario": strict}, groups),
            "velocity_rmse": _means({m: table.column(m, f"velocity_rmse@{h}")[mask] for m in table.methods}, groups),
            "energy_error": _means({m: table.column(m, f"energy_error@{h}")[mask] for m in table.methods}, groups),
            "best_baseline": best,
            "ratio": {m: _ratio(rmse[MODEL], rmse[m], groups) for m in table.baselines},
            "ratio_best": _ratio(rmse[MODEL], rmse[best], groups),
            "ratio_best_per_scenario": _ratio(rmse[MODEL], strict, groups),
        }
    return {
        "rollouts": int(mask.sum()),
        "scenarios": [str(t) for t in types],
        "fewest": int(min((groups == t).sum() for t in types)),  # rollouts of the rarest type
        "parse_rate": float(table.parsed[mask].mean()),
        "horizons": horizons,
        "event_velocity_rmse": _means({m: table.column(m, "event_velocity_rmse")[mask] for m in table.methods}, groups),
    }


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of `score_rollouts` -> plain JSON data, the content of metrics.json (an infinite figure is None).

    Keys: counts and `parse_rate`; `all`, `seen`, `held_out`: one block each (None if empty); `scenarios`: a block per
    type. A block holds per horizon, as text, the intervals of `rmse` (with `median`), `velocity_rmse`, `energy_error`,
    the `best_baseline` and the ratios model / baseline, all paired. `headline`: a flat dict of the main numbers.
    """
    if not rows:
        raise ValueError("there are no rollouts to summarise; evaluate at least one scene")
    table = _Table(rows)
    everything = np.ones(len(table.rollouts), dtype=bool)
    blocks = {"all": everything, "seen": ~table.held_out, "held_out": table.held_out}
    summary: dict[str, Any] = {
        "methods": list(table.methods),
        "horizons": table.horizons,
        "rollouts": len(table.rollouts),
        "scenes": len({(scenario, index, seed) for scenario, index, _, seed in table.rollouts}),
        "seeds": sorted({int(seed) for *_, seed in table.rollouts}),
        "start_frames": sorted({int(start) for _, _, start, _ in table.rollouts}),
        "parse_rate": float(table.parsed.mean()),
        **{name: _block(table, mask) if mask.any() else None for name, mask in blocks.items()},
        "scenarios": {
            str(t): {"held_out": bool(table.held_out[table.scenario == t][0]), **_block(table, table.scenario == t)}
            for t in np.unique(table.scenario)
        },
    }
    summary["headline"] = _headline(summary)
    return summary


def main_block(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The block that the headline speaks of: the seen types, or the held-out ones when nothing else was scored."""
    block: dict[str, Any] = summary["seen"] or summary["held_out"]
    return block


def _headline(summary: Mapping[str, Any]) -> dict[str, float]:
    """Flat numbers for TensorBoard and `compare`; what is infinite is left out."""
    flat: dict[str, float | None] = {"parse_rate": summary["parse_rate"]}
    for h, part in main_block(summary)["horizons"].items():
        flat.update({f"rmse@{h}/{m}": part["rmse"][m]["mean"] for m in summary["methods"]})
        for name in ("ratio_best", "ratio_best_per_scenario"):
            flat[f"{name}@{h}"] = part[name]["mean"] if part[name] else None
    return {key: value for key, value in flat.items() if value is not None}
