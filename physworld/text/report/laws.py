"""What a model takes the laws to be: table and figure of `suite=laws`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from physworld.metrics.scores import BASELINES, FLOOR, MODEL
from physworld.reporting.charts import GREY, PALETTE, new_axes
from physworld.reporting.markdown import figure, plain, span, table
from physworld.text.report.sections import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRUTH = "truth"
NOTHING = 5e-5
SHOWN = (MODEL, TRUTH, FLOOR, *BASELINES)
COLOURS = {MODEL: PALETTE[0], TRUTH: "#2D343C", "linear": "#009E73"}


def _cell(part: Mapping[str, Any] | None) -> str:
    """Figure, interval and how many experiments show it, where some do not."""
    if part is None:
        return "–"
    total = part["count"] + part["nothing"]
    if part["mean"] is None:
        shown = "–"
    else:  # what is left of rounding is nothing
        shown = span({k: v if v is None or abs(v) > NOTHING else 0.0 for k, v in part.items()})
    return shown if not part["nothing"] else f"{shown}, {part['count']} of {total}"


def _label(law: Mapping[str, Any]) -> str:
    return law["label"] + (f", {law['unit']}" if law["unit"] else "")


def laws_section(summary: Mapping[str, Any]) -> list[str]:
    """The table of one model, with truth and baselines beside it; nothing for other suites."""
    if "laws" not in summary:
        return []
    laws = summary["laws"]
    figures, unsaid = laws["figures"], laws["not_told"]
    rows = []
    for law in figures.values():
        methods = law["methods"]
        most = max(part["count"] + part["nothing"] for part in methods.values())
        label = _label(law) + (" †" if law["experiment"] in unsaid else "")
        rows.append([label, figure(law["law"]), str(most), *(_cell(methods.get(m)) for m in SHOWN)])
    lines = [
        "## Laws",
        "",
        "What the laws are for this model, read off its answers in controlled experiments with one or two bodies; the "
        "simulator (*truth*, and *floor*: from the state as the text rounds it) and extrapolation are read the same "
        "way. Means with 95 % bootstrap intervals over n experiments; `7 of 12`: the others show nothing of it (a body "
        "that never swings has no period). Differences: the same impact, seen from elsewhere, should be answered "
        "alike; RMS over bodies.",
        "",
        *table(["", "law", "n", *(LABELS.get(m, m) for m in SHOWN)], rows),
    ]
    if unsaid:
        lines += ["† The text does not say all that the law is about, so that no reader of it can know:", ""]
        lines += [f"- {name.removeprefix('law_')}: {', '.join(what)}" for name, what in unsaid.items()] + [""]
    for name, why in laws["not_asked"].items():
        lines += [f"Not asked: {name.removeprefix('law_')} ({why}).", ""]
    return lines


def laws_table(summary: Mapping[str, Any]) -> Table:
    """The model beside the law and the simulator, for the screen; `laws_section` has the rest."""
    shown = Table(title="laws, read off the answers")
    shown.add_column("")
    for head in ("law", LABELS[MODEL], "simulator"):
        shown.add_column(head, justify="right", style="bold" if head == LABELS[MODEL] else "")
    for law in summary["laws"]["figures"].values():
        shown.add_row(_label(law), figure(law["law"]), *(_cell(law["methods"].get(m)) for m in (MODEL, TRUTH)))
    return shown


def laws_side_by_side(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One column a model, then truth and baselines; nothing for other suites.

    Args:
        results: model -> its summary, all of the same experiments.
    """
    found = {name: summary["laws"]["figures"] for name, summary in results.items() if "laws" in summary}
    if not found:
        return []
    first = next(iter(found.values()))
    others = [m for m in SHOWN if m != MODEL]
    rows = [
        [
            _label(law),
            figure(law["law"]),
            *(_cell(some[name]["methods"].get(MODEL)) for some in found.values()),
            *(_cell(law["methods"].get(m)) for m in others),
        ]
        for name, law in first.items()
    ]
    return ["## Laws", "", *table(["", "law", *map(plain, found), *(LABELS.get(m, m) for m in others)], rows)]


def laws_chart(rows: Sequence[Mapping[str, Any]], laws: Mapping[str, Any]) -> Figure:
    """What is read against what is right (the line), and how far a transformed experiment is answered otherwise."""
    mine = [row for row in rows if row["method"] == MODEL]
    panels = (
        ("restitution", "restitution_true", "restitution"),
        ("friction", "friction_true", "friction, µ"),
        ("pull", "pull_true", "pull, px/s²"),
        ("spring_period", "spring_period_true", "period of a spring, s"),
        ("pendulum_period", "pendulum_period_true", "period of a pendulum, s"),
    )
    canvas, all_axes = new_axes(14.0, 2.9, columns=len(panels) + 1)
    for axes, (read, true, title) in zip(all_axes, panels, strict=False):
        for method in ("linear", FLOOR, MODEL):
            points = [
                (row[f"law.{true}"], row[f"law.{read}"])
                for row in (mine if method == MODEL else [r for r in rows if r["method"] == method])
                if row.get(f"law.{read}") is not None
            ]
            if points:
                x, y = np.array(points, np.float64).T
                filled = method == MODEL
                axes.scatter(
                    x, np.clip(y, -1e4, 1e4), s=16 if filled else 10, color=COLOURS.get(method, GREY),
                    marker="o" if filled else "x", linewidths=0 if filled else 1, label=LABELS.get(method, method),
                )  # fmt: skip
        ends = np.array([row[f"law.{true}"] for row in mine if row.get(f"law.{true}") is not None])
        if len(ends):
            axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color="#D51E1E", linewidth=1)
        axes.set_xlabel("true")
        axes.set_title(title, fontsize=9)
    all_axes[0].set_ylabel("read off the answer")
    all_axes[0].legend(fontsize=7)
    names = [name for name in ("shifted", "boosted", "turned", "mirrored", "half_step") if name in laws["figures"]]
    last = all_axes[-1]
    for place, method in enumerate((MODEL, FLOOR, "copy_last")):
        parts = [laws["figures"][name]["methods"].get(method) for name in names]
        values = [np.nan if p is None or p["mean"] is None else max(p["mean"], 1e-3) for p in parts]
        spots = [n + 0.27 * (place - 1) for n in range(len(names))]
        last.barh(
            spots, values, height=0.25, label=LABELS[method], color=COLOURS.get(method, (GREY, "#E69F00")[place // 2])
        )
    last.set(xscale="log", xlabel="px after 20 frames", xlim=(1e-3, 300), yticks=range(len(names)))
    last.xaxis.set_major_formatter("{x:g}")
    last.xaxis.set_minor_formatter("")
    last.set_yticklabels([name.replace("_", " ") for name in names], fontsize=8)
    last.set_title("answered otherwise", fontsize=9)
    last.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=3)
    return canvas
