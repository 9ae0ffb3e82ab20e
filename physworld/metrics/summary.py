"""Rows of `scores.score_rollouts` -> summary: means, intervals, ratios, breakdowns. Plain JSON data.

Two yardsticks stand beside every model figure: the *best single baseline* (the one of copy_last, linear, ballistic
with the lowest mean over scenario types) and the stricter *best baseline per scenario* (chosen again for each type).
Both are chosen on the very rollouts that are scored, which favours the baselines, never the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from physworld.metrics.bootstrap import bootstrap_mean, paired_ratio, varies
from physworld.metrics.events import EventScore
from physworld.metrics.scores import BASELINES, FAULTS, HORIZON, METHODS, METRICS, MODEL, ROLLOUT
from physworld.types import Interval

# Bins of body counts, by their first and last number; the curriculum's stages have 2-5, 5-15, 10-30, 20-40, 30-50+.
OBJECTS = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 10_000))

EVENT_SHARES = ("precision", "recall", "impulse_precision", "impulse_recall", "timing")  # properties of EventScore

APART = {"shift": ("",), "told": ("all",)}  # breakdowns of all rollouts, and where there is nothing to break down

ROUNDING = 1e-6  # px (and other units): a smaller mean error is that of floating point


def ordinary(rollouts: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(n,) bool: the rollouts (rows, or `RolloutMeta`) that figures are over.

    Scenes shifted out of distribution are copies of scenes that count already, and what a recorded scene leaves out is
    not held against a model: both are reported apart. Where there is nothing else, they count.
    """
    plain = np.array([not about.get("shift") for about in rollouts])
    plain = plain if plain.any() else ~plain
    told = np.array([about.get("told", True) for about in rollouts])
    return plain & told if (plain & told).any() else plain


class RolloutTable:
    """Rows turned round: for each method and column one array (n,) over the same n rollouts."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        keys = ("scenario", "index", "start_frame", "seed", "shift", "action")
        by_method: dict[str, dict[tuple[Any, ...], Mapping[str, Any]]] = {}
        for row in rows:
            known = by_method.setdefault(row["method"], {})
            key = (*(row[k] for k in keys[:5]), row.get("action", 0))
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
        scenes: dict[tuple[Any, ...], int] = {}  # several rollouts of one scene are not independent: they share a unit
        self.unit = np.array([scenes.setdefault((*key[:2], *key[3:5]), len(scenes)) for key in self.rollouts])
        self.horizons = sorted(int(c.removeprefix("rmse@")) for c in first[0] if c.startswith("rmse@"))
        self.column = cache(self._column)  # every block asks for the same ones

    def _column(self, method: str, name: str) -> np.ndarray:
        """(n,) float64; None, what does not apply, becomes NaN, and NaN, what went wrong, infinity."""
        column = [row[name] for row in self.ordered[method]]
        found = np.array([np.nan if v is None else np.inf if v != v else v for v in column], dtype=np.float64)
        found.flags.writeable = False
        return found

    def of(self, mask: np.ndarray) -> _Scenes:
        """The scenes that rollouts in `mask` (n,) are of."""
        _, first, place = np.unique(self.unit[mask], return_index=True, return_inverse=True)
        return _Scenes(self, mask, place, self.scenario[mask][first])


class _Scenes(NamedTuple):
    """Some rollouts, by scene: S scenes."""

    table: RolloutTable
    mask: np.ndarray  # (n,) bool
    place: np.ndarray  # (k,) scene of each of the k rollouts in the mask
    types: np.ndarray  # (S,) scenario type

    def mean(self, method: str, name: str) -> np.ndarray:
        """(S,) float64: a column's mean over the rollouts of each scene, NaN left out."""
        values = self.table.column(method, name)[self.mask]
        known = ~np.isnan(values)
        counts = np.bincount(self.place[known], minlength=len(self.types))
        with np.errstate(invalid="ignore"):
            return np.bincount(self.place[known], values[known], minlength=len(self.types)) / counts


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None  # JSON has no infinity


def _fair(interval: Interval, groups: np.ndarray) -> dict[str, Any]:
    """Without bounds where every type has a single scene: resampling one scene gives the same one again and again."""
    return interval.to_dict(bounded=varies(groups))


def _means(values: dict[str, np.ndarray], groups: np.ndarray) -> dict[str, Any]:
    """Per method: mean over scenario types of per-type means with interval, and the median over rollouts."""
    means = {}
    for method, column in values.items():
        kept = ~np.isnan(column)
        if kept.any():
            interval = bootstrap_mean(column[kept], groups=groups[kept])
            means[method] = {**_fair(interval, groups[kept]), "median": _number(float(np.median(column[kept])))}
    return means


def _ratio(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> dict[str, Any] | None:
    """None beside what makes no error: a ratio to rounding says nothing."""
    return _fair(paired_ratio(a, b, groups=groups), groups) if np.abs(b).mean() > ROUNDING else None


def _block(table: RolloutTable, mask: np.ndarray) -> dict[str, Any]:
    """Everything about the rollouts in `mask` (n,); group means are taken over the scenario types among them."""
    scenes = table.of(mask)
    groups = scenes.types
    types = np.unique(groups)
    with_interval = [name for name, metric in METRICS.items() if metric.interval and name != "rmse"]
    horizons: dict[str, Any] = {}
    for h in table.horizons:
        rmse = {m: scenes.mean(m, f"rmse@{h}") for m in table.methods}
        by_type = {m: np.array([rmse[m][groups == t].mean() for t in types]) for m in table.baselines}
        best = min(table.baselines, key=lambda m: by_type[m].mean())
        chosen = {t: min(table.baselines, key=lambda m: by_type[m][k]) for k, t in enumerate(types)}
        strict = np.array([rmse[chosen[t]][n] for n, t in enumerate(groups)])
        horizons[str(h)] = {
            **{
                name: _means({m: scenes.mean(m, f"{name}@{h}") for m in table.methods}, groups)
                for name in with_interval
            },
            "rmse": _means({**rmse, "best_per_scenario": strict}, groups),
            "best_baseline": best,
            "ratio": {m: _ratio(rmse[MODEL], rmse[m], groups) for m in table.baselines},
            "ratio_best": _ratio(rmse[MODEL], rmse[best], groups),
            "ratio_best_per_scenario": _ratio(rmse[MODEL], strict, groups),
        }
    jumps = {m: scenes.mean(m, "event_velocity_rmse") for m in table.methods}
    return {
        "rollouts": int(mask.sum()),
        "scenes": len(groups),
        "events": _events(table, mask),
        "details": _details(table, mask),
        "scenarios": [str(t) for t in types],
        "fewest": int(min((groups == t).sum() for t in types)),  # scenes of the rarest type
        "parse_rate": float(table.parsed[mask].mean()),
        **_not_finite(table, mask),
        "horizons": horizons,
        "event_velocity_rmse": _means(jumps, groups),
    }


def _not_finite(table: RolloutTable, mask: np.ndarray) -> dict[str, Any]:
    """How many rollouts of each method have no finite position RMSE at the last horizon; nothing where none has."""
    last = table.horizons[-1]
    counts = {m: int((~np.isfinite(table.column(m, f"rmse@{last}")[mask])).sum()) for m in table.methods}
    return {"not_finite": counts} if any(counts.values()) else {}


def _details(table: RolloutTable, mask: np.ndarray) -> dict[str, Any]:
    """Quantities that need no interval, by horizon where they have one: {name: {method: {mean, median}}}."""
    names = table.scenario[mask]
    types = [np.flatnonzero(names == name) for name in np.unique(names)]
    at_horizons = [name for name, metric in METRICS.items() if metric.when == HORIZON and not metric.interval]
    whole = [name for name, metric in METRICS.items() if metric.when == ROLLOUT]
    keys = [*(f"{name}@{h}" for name in at_horizons for h in table.horizons), *whole, *FAULTS]
    found: dict[str, Any] = {}
    for key in keys:
        for method in table.methods:
            column = table.column(method, key)[mask]
            known = ~np.isnan(column)
            if known.any():
                by_type = [column[rows][known[rows]] for rows in types]
                mean = float(np.mean([values.mean() for values in by_type if values.size]))
                figures = {"mean": _number(mean), "median": _number(float(np.median(column[known])))}
                found.setdefault(key, {})[method] = figures
    return found


def _events(table: RolloutTable, mask: np.ndarray) -> dict[str, Any]:
    """Onsets of contacts over all rollouts of each method, added up before they are divided."""
    found = {}
    for method in table.methods:
        sums = {name: table.column(method, f"events_{name}")[mask].sum() for name in EventScore.__annotations__}
        counts = {name: float(sum_) if name.endswith("_impulse") else int(sum_) for name, sum_ in sums.items()}
        score = EventScore(**counts)  # type: ignore[arg-type]
        found[method] = {**counts, **{name: getattr(score, name) for name in EVENT_SHARES}}
    return found


def _breakdown(table: RolloutTable, labels: np.ndarray, counted: np.ndarray) -> dict[str, Any]:
    """For each label, over the rollouts in `counted` (n,): RMSE at the last horizon, the model's ratio to the best."""
    found = {}
    last = table.horizons[-1]
    for label in sorted(set(labels[counted].tolist()), key=lambda text: (len(text.split("-")[0]), text)):
        mask = counted & (labels == label)
        scenes = table.of(mask)
        groups = scenes.types
        rmse = {m: scenes.mean(m, f"rmse@{last}") for m in table.methods}
        by_type = {m: np.mean([rmse[m][groups == t].mean() for t in np.unique(groups)]) for m in table.baselines}
        best = min(table.baselines, key=lambda m: by_type[m])
        found[str(label)] = {
            "rollouts": int(mask.sum()),
            "parse_rate": float(table.parsed[mask].mean()),
            "rmse": _means(rmse, groups),
            "best_baseline": best,
            "ratio_best": _ratio(rmse[MODEL], rmse[best], groups),
        }
    return found


def _object_bin(count: int) -> str:
    low, high = next((low, high) for low, high in OBJECTS if low <= count <= high)
    return f"{low}-{high}" if high < OBJECTS[-1][1] else f"{low}+"


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of `score_rollouts` -> plain JSON data, the content of metrics.json (an infinite figure is None).

    Keys: counts and `parse_rate`; `all`, `seen`, `held_out`: one block each (None if empty); `scenarios`: a block per
    type. A block holds per horizon, as text, the intervals (with `median`) of METRICS that have them, the
    `best_baseline` and the ratios model / baseline, all paired; `events`: precision, recall, timing,
    and the first two by impulse; `details`: all
    other METRICS, by name@horizon or name. `breakdown`: by category, difficulty, objects and, where scenes were
    shifted out of distribution, shift, and `told` where recorded scenes leave out what moves them; only the last two
    speak of these. `headline`: a flat dict of the main numbers.
    """
    if not rows:
        raise ValueError("there are no rollouts to summarise; evaluate at least one scene")
    table = RolloutTable(rows)
    plain = ordinary(table.ordered[MODEL])
    blocks = {"all": plain, "seen": plain & ~table.held_out, "held_out": plain & table.held_out}
    summary: dict[str, Any] = {
        "methods": list(table.methods),
        "horizons": table.horizons,
        "rollouts": len(table.rollouts),
        "scenes": len(set(table.unit)),
        "seeds": sorted({int(key[3]) for key in table.rollouts}),
        "start_frames": sorted({int(key[2]) for key in table.rollouts}),
        "parse_rate": float(table.parsed[plain].mean()),
        **{name: _block(table, mask) if mask.any() else None for name, mask in blocks.items()},
        "scenarios": {
            str(t): {
                "held_out": bool(table.held_out[table.scenario == t][0]),
                **_block(table, plain & (table.scenario == t)),
            }
            for t in np.unique(table.scenario[plain])
        },
    }
    first = table.ordered[MODEL]
    labels = {
        "category": [row["category"] for row in first],
        "difficulty": [str(row["difficulty"]) for row in first],
        "objects": [_object_bin(row["objects"]) for row in first],
        "shift": [row["shift"] for row in first],
        "told": ["all" if row["told"] else "not all" for row in first],
    }
    everywhere = np.ones_like(plain)
    summary["breakdown"] = {
        name: _breakdown(table, np.array(values), everywhere if name in APART else plain)
        for name, values in labels.items()
        if name not in APART or len(set(values)) > 1 or values[0] not in APART[name]
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
    broken = main_block(summary).get("not_finite", {}).get(MODEL, 0)
    if broken:  # their RMSE is infinite and stands below in no figure
        flat["not_finite/model"] = float(broken)
    for h, part in main_block(summary)["horizons"].items():
        flat.update({f"rmse@{h}/{m}": part["rmse"][m]["mean"] for m in summary["methods"]})
        for name in ("ratio_best", "ratio_best_per_scenario"):
            flat[f"{name}@{h}"] = part[name]["mean"] if part[name] else None
    if summary["seen"] and summary["held_out"]:  # beside each other, at the last horizon
        h, part = list(summary["held_out"]["horizons"].items())[-1]
        flat.update({f"held_out/rmse@{h}/{m}": part["rmse"][m]["mean"] for m in summary["methods"]})
        flat[f"held_out/ratio_best@{h}"] = part["ratio_best"]["mean"] if part["ratio_best"] else None
    return {key: value for key, value in flat.items() if value is not None}


def scalars(summary: Mapping[str, Any]) -> dict[str, float]:
    """The model's mean of every metric, those read at horizons at the last one; for curves in TensorBoard."""
    block, last = main_block(summary), summary["horizons"][-1]
    found: dict[str, float | None] = {}
    for name, metric in METRICS.items():
        key = f"{name}@{last}" if metric.when == HORIZON else name
        part = block["horizons"][str(last)][name] if metric.interval else block["details"].get(key, {})
        found[key] = part[MODEL]["mean"] if MODEL in part else None
    found |= {f"events_{name}": block["events"][MODEL][name] for name in EVENT_SHARES}
    return {key: value for key, value in found.items() if value is not None}
