"""Parts of a report as Markdown lines, from a summary's plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from physworld.errors import counted
from physworld.metrics.scores import BASELINES, FAULTS, FLOOR, HORIZON, METRICS, MODEL, PLACEBO
from physworld.metrics.summary import APART
from physworld.reporting.markdown import figure, plain, span, table

Rows = Sequence[Mapping[str, Any]]
LABELS = {
    MODEL: "model",
    "copy_last": "copy-last",
    "linear": "linear",
    "ballistic": "ballistic",
    PLACEBO: "placebo",
    FLOOR: "floor",
    "best_per_scenario": "best baseline per scenario",
}


SINGLE = "each type has a single scene, which cannot vary, so there is no interval and no verdict"


def both(interval: Mapping[str, Any] | None) -> str:
    """`12.3 / 4.5`: mean / median."""
    return "–" if interval is None else f"{figure(interval['mean'])} / {figure(interval['median'])}"


def skill_text(ratio: Mapping[str, Any] | None) -> str:
    """1 - ratio to the best baseline."""
    return "–" if ratio is None else "−∞" if ratio["mean"] is None else f"{1 - ratio['mean']:.2f}"


def physics_table(block: Mapping[str, Any], methods: Sequence[str], last: int) -> list[str]:
    """Every metric without a table of its own, one row each, and the onsets of contacts."""
    details, events = block["details"], block["events"]

    def row(label: str, name: str) -> list[str]:
        found = details.get(name, {})
        return [label, *(both(found[m]) if m in found else "–" for m in methods)]

    def event_row(label: str, part: str, percent: bool) -> list[str]:
        values = [events[m][part] for m in methods]
        return [label, *("–" if v is None else f"{v:.0%}" if percent else f"{v:.2f}" for v in values)]

    rows = [
        event_row("contact onsets found (recall)", "recall", True),
        event_row("of those predicted, right (precision)", "precision", True),
        event_row("impulse of contacts found (recall by impulse)", "impulse_recall", True),
        event_row("impulse of those predicted, right (precision by impulse)", "impulse_precision", True),
        event_row("timing of those found, frames off", "timing", False),
        *(
            row(metric.title, f"{name}@{last}" if metric.when == HORIZON else name)
            for name, metric in METRICS.items()
            if not metric.interval
        ),
        *(row(label, name) for name, label in FAULTS.items()),
    ]
    return table(["mean / median over rollouts", *(LABELS[m] for m in methods)], rows)


def breakdown_tables(summary: Mapping[str, Any]) -> list[str]:
    """By category, difficulty (the curriculum's stage), number of bodies."""
    last, methods = summary["horizons"][-1], summary["methods"]
    lines = ["## Broken down", "", f"Position RMSE after {last} frames, px, mean / median:", ""]
    for name, parts in summary["breakdown"].items():
        if name in APART:
            continue
        head = [name, "rollouts", "parsed", *(LABELS[m] for m in methods), "model / best baseline", "skill"]
        rows = [
            [
                label,
                str(part["rollouts"]),
                f"{part['parse_rate']:.0%}",
                *(both(part["rmse"].get(m)) for m in methods),
                span(part["ratio_best"]),
                skill_text(part["ratio_best"]),
            ]
            for label, part in parts.items()
        ]
        lines += table(head, rows)
    return lines


def sampled_table(summary: Mapping[str, Any]) -> list[str]:
    """Drawn answers, where some were drawn."""
    sampled = summary.get("sampled")
    if not sampled:
        return []
    rows = []
    for h, part in sampled["horizons"].items():
        calibration = part["calibration"]
        parts = [figure(part[name]) for name in ("mean", "best", "of_mean", "spread")]
        rows.append([h, *parts, "–" if calibration is None else f"{calibration:.2f}"])
    return [
        "## Drawn answers",
        "",
        f"{sampled['samples']} samples a moment at temperature {sampled['temperature']:g}; position, px. The best of "
        "several is luck as well as skill. Spread / error of the mean is 1 for a model that knows how unsure it is, "
        f"below 1 for one that is too sure. {sampled['parse_rate']:.1%} of the drawn answers could be read to the end; "
        "the others stand still from where they broke off.",
        "",
        *table(
            ["frames ahead", "mean RMSE", "best RMSE", "RMSE of the mean", "spread", "spread / error of the mean"], rows
        ),
    ]


def shifts_in_order(labels: Iterable[str]) -> list[str]:
    """FAMILY@LEVEL by family, then from near to far; scenes as they are come first."""
    return sorted(labels, key=lambda label: (label.partition("@")[0], float(label.partition("@")[2] or 0)))


def shift_name(label: str) -> str:
    return label.replace("@", " at level ") or "as they are"


def unmoved(rows: Rows, horizon: int) -> dict[str, float]:
    """Shift -> the model's RMSE at a horizon, px, on just the scenes that were so moved, as they are.

    Mean over types of means over rollouts. Shifts whose scenes were not scored unmoved, or infinitely wrong, are left
    out.

    Not every scene can be moved by every family, so the mean over all unmoved scenes is that of others.
    """
    mine = [(row, tuple(row[key] for key in ("scenario", "index", "start_frame", "seed")))
            for row in rows if row["method"] == MODEL]  # fmt: skip
    still = {moment: row for row, moment in mine if not row["shift"]}
    types: dict[str, dict[str, list[float]]] = {}
    for row, moment in mine:
        if moment in still:
            by_type = types.setdefault(row["shift"], {})
            by_type.setdefault(row["scenario"], []).append(still[moment][f"rmse@{horizon}"])
    means = {label: float(np.mean([np.mean(errors) for errors in some.values()])) for label, some in types.items()}
    return {label: mean for label, mean in means.items() if np.isfinite(mean)}


def shift_table(summary: Mapping[str, Any], rows: Rows) -> list[str]:
    """Error against distance from the training range, where scenes were shifted."""
    parts = summary["breakdown"].get("shift")
    if not parts:
        return []
    last, methods = summary["horizons"][-1], summary["methods"]
    start = unmoved(rows, last)
    far: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] == MODEL:
            far.setdefault(row["shift"], []).append(row["distance"])
    cells = []
    for label in shifts_in_order(parts):
        part = parts[label]
        cells.append(
            [
                shift_name(label),
                figure(sum(far[label]) / len(far[label])),
                str(part["rollouts"]),
                f"{part['parse_rate']:.0%}",
                *(both(part["rmse"].get(m)) for m in methods),
                span(part["ratio_best"]),
                figure(start.get(label)),
            ]
        )
    return [
        "## Out of distribution",
        "",
        f"Position RMSE after {last} frames, px, mean / median, on the same scenes moved out of the training range; "
        "distance 0 is its edge (units: physworld/sim/ood.py). A row is over the scenes that can be so moved, and its "
        "last column is the model's mean on just these scenes as they are.",
        "",
        *table(
            [
                "scenes", "distance", "rollouts", "parsed", *(LABELS[m] for m in methods), "model / best baseline",
                "model, unmoved",
            ],
            cells,
        ),
    ]  # fmt: skip


def told_section(summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Recorded scenes that leave out some of what moves their bodies, apart from the others."""
    parts = summary["breakdown"].get("told")
    if not parts:
        return []
    last, methods = summary["horizons"][-1], summary["methods"]
    mine = [row for row in rows if row["method"] == MODEL]
    cells = []
    for label, part in parts.items():
        types = sorted({row["scenario"] for row in mine if row["told"] == (label == "all")})
        cells.append(
            [
                "all that moves its bodies" if label == "all" else "not all",
                str(part["rollouts"]),
                *(both(part["rmse"].get(m)) for m in methods),
                span(part["ratio_best"]),
                ", ".join(map(plain, types)),
            ]
        )
    alone = "all" not in parts
    return [
        "## What the files tell",
        "",
        "Some of these scenes leave out what their joints do: the simulator itself, restarted from a recorded frame, "
        "does not follow the file (published files do not say where a joint to the world is anchored). No reader of "
        "the file can know it, so "
        + ("all that follows is to be read with that." if alone else "they stand in this table alone.")
        + f" Position RMSE after {last} frames, px, mean / median.",
        "",
        *table(["the file tells", "rollouts", *(LABELS[m] for m in methods), "model / best baseline", "types"], cells),
    ]


def ranking_section(ranking: Mapping[str, Any]) -> list[str]:
    """Models and baselines in order."""
    entries = ranking["entries"]
    rows = []
    for place, entry in enumerate(entries, start=1):
        name = LABELS[entry["name"]] if entry["name"] in BASELINES else f"**{plain(entry['name'])}**"
        events = entry["event_velocity_rmse"]
        rows.append(
            [
                f"{place}. {name}",
                span(entry["rmse"]),
                "–" if place == 1 else span(entry["to_first"]),
                "–" if place == 1 or not ranking["varies"] else "yes" if entry["told_apart"] else "no",
                f"{entry['parse_rate']:.1%}",
                f"{entry['valid_frames']:.1f}",
                "–" if events is None else figure(events),
            ]
        )
    h = ranking["horizon"]
    return [
        f"## Ranking after {counted(h, 'frame')}",
        "",
        f"{ranking['rollouts']} rollouts of the same moments, RMSE after {h} frame(s), px. Ratios to the first are "
        "paired (each resample draws the same scenes for both), with 95 % bootstrap intervals. *Told apart*: the "
        "whole interval of the ratio lies above 1."
        + ("" if ranking["varies"] else f" {SINGLE[0].upper()}{SINGLE[1:]} between models."),
        "",
        *table(
            ["", f"RMSE@{h}", "× the first", "told apart", "parsed", "valid frames", "velocity RMSE on events, px/s"],
            rows,
        ),
    ]
