"""Several models on the same moments: who is best, and whether the difference is more than luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from physworld.metrics.bootstrap import bootstrap_mean, paired_ratio, varies
from physworld.metrics.scores import MODEL
from physworld.metrics.summary import RolloutTable, ordinary

Rows = Sequence[Mapping[str, Any]]


def rank(evaluated: Mapping[str, Rows], horizon: int) -> dict[str, Any]:
    """Models by mean position RMSE at `horizon`, the baselines of the first among them as entries of their own.

    Each entry: `name`, `rmse` (interval), `to_first` (paired ratio to the best entry's RMSE, with interval; below 1
    never happens, and an interval that holds 1 says that the two are not told apart), `parse_rate`, `valid_frames`,
    `event_velocity_rmse` and `told_apart`. Scenes, with all their rollouts, are paired and drawn together; scenario
    types weigh the same. Where `varies` is false, each type has one scene: nothing is told apart, and there are no
    bounds. As in `summarise`, what is not `ordinary` does not count.

    Raises:
        ValueError: the models were evaluated on different moments.
    """
    errors, groups, about, rollouts = _columns(evaluated, horizon)
    means = {name: _mean(values, groups) for name, values in errors.items()}
    order = sorted(errors, key=lambda name: means[name])
    first = errors[order[0]]
    varied = varies(groups)  # else there are no intervals: resampling single scenes gives the same ones
    entries = []
    for name in order:
        ratio = None if not first.any() else paired_ratio(errors[name], first, groups=groups).to_dict(bounded=varied)
        low = None if ratio is None else ratio["low"]
        entries.append(
            {
                "name": name,
                "rmse": bootstrap_mean(errors[name], groups=groups).to_dict(bounded=varied),
                "to_first": ratio,
                "told_apart": name != order[0] and low is not None and low > 1,
                **about[name],
            }
        )
    return {"horizon": horizon, "rollouts": rollouts, "varies": varied, "entries": entries}


def _columns(
    evaluated: Mapping[str, Rows], horizon: int
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, dict[str, Any]], int]:
    """Errors (S,) by entry over the same scenes, their types (S,), what else is told of each entry, and the rollouts.

    Several rollouts of one scene are not independent, so their mean is one value.
    """
    errors: dict[str, np.ndarray] = {}
    about: dict[str, dict[str, Any]] = {}
    tables = {name: RolloutTable(rows) for name, rows in evaluated.items()}
    first = next(iter(tables.values()))
    mask = ordinary(first.ordered[MODEL])
    for name, table in tables.items():
        if table.rollouts != first.rollouts:
            raise ValueError(f"{name} was evaluated on other moments than the rest: models are compared on the same")
        for method in (MODEL, *table.baselines):
            entry = name if method == MODEL else method
            if method != MODEL and method in errors:
                continue
            errors[entry] = table.of(mask).mean(method, f"rmse@{horizon}")
            about[entry] = _about([row for row, counts in zip(table.ordered[method], mask, strict=True) if counts])
    return errors, first.of(mask).types, about, int(mask.sum())


def _about(rows: Rows) -> dict[str, Any]:
    jumps = [row["event_velocity_rmse"] for row in rows if row["event_velocity_rmse"] is not None]
    mean = float(np.mean(jumps)) if jumps else None
    return {
        "parse_rate": float(np.mean([row["parsed"] for row in rows])),
        "valid_frames": float(np.mean([row["valid_frames"] for row in rows])),
        "event_velocity_rmse": mean if mean is not None and np.isfinite(mean) else None,
    }


def _mean(values: np.ndarray, groups: np.ndarray) -> float:
    return float(np.mean([values[groups == group].mean() for group in np.unique(groups)]))
