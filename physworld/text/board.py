"""What of an evaluation of text physics stands on a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physworld.errors import counted
from physworld.metrics.scores import MODEL
from physworld.metrics.summary import main_block
from physworld.reporting.leaderboard import Number, number, share
from physworld.runs.leaderboard import About
from physworld.text.report.phyworld import LEFT_OUT


def numbers(metrics: Mapping[str, Any], about: About) -> list[Number]:
    """RMSE at the last horizon, its ratio to the best baseline, velocity RMSE and the share that could be read; []
    where the metrics are another system's. Baselines and floor are rows, too."""
    if "methods" not in metrics or "horizons" not in metrics:
        return []
    block, last = main_block(metrics), str(metrics["horizons"][-1])
    part = block["horizons"][last]
    which = "seen types" if metrics["seen"] else "held-out types"
    asked = f"suite={about.suite}" if about.suite else "at the end of training"
    split = metrics["measured"]["split"]
    many = counted(block["rollouts"], "rollout")
    where: dict[str, Any] = {
        "board": f"Text physics, {asked}, split {split}: {many} of {which}, {last} frames",
        # Baselines read nothing but the truth: where they make the same error, the cases are the same.
        "same": " ".join(f"{m}={part['rmse'][m]['mean']:.6g}" for m in sorted(part["ratio"]) if m in part["rmse"]),
    }
    found = []
    for method in metrics["methods"]:
        mine: dict[str, Any] = {
            **where,
            "model": about.model if method == MODEL else method.replace("_", " "),
            "reference": method != MODEL,
        }
        found.append(number(part["rmse"][method], figure=f"position RMSE@{last}", unit="px", **mine))
        if method == MODEL and part["ratio_best"] is not None:
            found.append(number(part["ratio_best"], figure="ratio to the best baseline", **mine))
        found.append(number(part["velocity_rmse"][method], figure=f"velocity RMSE@{last}", unit="px/s", **mine))
        if method == MODEL:
            found.append(
                share(block["parse_rate"], block.get("scenes", block["rollouts"]), figure="read", higher=True, **mine)
            )
    return found + _planning(metrics, about) + _phyworld(metrics, about)


def _phyworld(metrics: Mapping[str, Any], about: About) -> list[Number]:
    """Errors of velocity in PhyWorld's systems (suite=phyworld)."""
    found = []
    for kind, row in metrics.get("phyworld", {}).items():
        known = [one for name, one in row.items() if one is not None and name not in LEFT_OUT]
        where: dict[str, Any] = {
            "board": f"PhyWorld, {kind}: {max(one['count'] for one in known)} clips", "figure": "error of velocity",
            "unit": "units/s", "same": f"{row['copy_last']['mean']:.6g}",
        }  # fmt: skip
        for name, one in row.items():
            if one is not None and name not in LEFT_OUT:
                who = about.model if name == MODEL else name.replace("_", " ")
                found.append(number(one, model=who, reference=name != MODEL, **where))
    return found


def _planning(metrics: Mapping[str, Any], about: About) -> list[Number]:
    """Puzzles solved by the rollouts of the model, of baselines and of the simulator (suite=planning)."""
    if "planning" not in metrics:
        return []
    part, found = metrics["planning"], []
    for name, row in part["rows"].items():
        where: dict[str, Any] = {
            "board": f"Planning, {part['name']}: {len(part['levels'])} puzzles, {part['actions']} actions each",
            "model": about.model if name == MODEL else name.replace("_", " "), "reference": name != MODEL,
            "same": str(part["first"]["copy_last"]), "higher": True,
        }  # fmt: skip
        for figure in ("auccess", "solved@1", "solved@3", "solved@10", "foreseen"):
            if figure in row:
                found.append(number(row[figure], figure=figure.replace("auccess", "AUCCESS"), **where))
    return found
