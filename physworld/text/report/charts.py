"""Charts of rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from physworld.metrics.conservation import relative_energy_error, relative_momentum_error
from physworld.metrics.errors import EVENT_THRESHOLD, event_mask
from physworld.metrics.events import event_jumps
from physworld.metrics.scores import FLOOR, MODEL, PLACEBO
from physworld.reporting.charts import GREY, PALETTE, new_axes
from physworld.text.report.sections import LABELS, unmoved
from physworld.types import State, Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    MODEL: PALETTE[0],
    "copy_last": "#E69F00",
    "linear": "#009E73",
    "ballistic": "#CC79A7",
    PLACEBO: GREY,
    FLOOR: "#2D343C",
}
MOST_POINTS = 2000  # of a scatter: more are thinned evenly
SMALLEST = 1e-3  # px, where logarithmic axes begin


def horizon_chart(curves: Mapping[str, Sequence[float | None]], models: Sequence[str] = (MODEL,)) -> Figure:
    """Position RMSE at every frame: models, baselines, placebo and floor."""
    figure, axes = new_axes()
    drawn = {}
    for place, (name, values) in enumerate(curves.items()):
        model = name in models
        colour = COLOURS.get(name, PALETTE[place % len(PALETTE)])
        heights = [np.nan if value is None else max(value, SMALLEST) for value in values]
        broken = next((f" (∞ from frame {k})" for k, value in enumerate(values, start=1) if value is None), "")
        (drawn[LABELS.get(name, name) + broken],) = axes.plot(
            range(1, len(heights) + 1),
            heights,
            color=colour,
            linewidth=2.4 if model else 1.3,
            linestyle="-" if model else "--" if name == FLOOR else ":" if name == PLACEBO else "-",
            marker="o" if len(heights) == 1 else None,
        )
    axes.set(yscale="log", xlabel="frames ahead", ylabel="position RMSE, px")
    # Given by hand: matplotlib itself leaves out names that begin with an underscore.
    axes.legend(list(drawn.values()), list(drawn), fontsize=8, ncols=2)
    return figure


def event_scatter(truth: Sequence[Trajectory], predicted: Sequence[Trajectory], before: Sequence[State]) -> Figure:
    """The velocity jump of every true event frame against what the model predicts there; the diagonal is right."""
    jumps = [event_jumps(t, p, b) for t, p, b in zip(truth, predicted, before, strict=True)]
    points = np.concatenate([*jumps, np.zeros((0, 2))])
    total = len(points)
    points = points[np.linspace(0, total - 1, min(total, MOST_POINTS)).astype(int)] if total else points
    points = np.clip(np.nan_to_num(points, nan=1e4, posinf=1e4), 1.0, 1e4)
    figure, axes = new_axes(4.6, 4.2)
    axes.axhspan(EVENT_THRESHOLD, 1.0, color=GREY, alpha=0.12, linewidth=0)  # missed
    axes.plot([1, 1e4], [1, 1e4], color=GREY, linewidth=1)
    axes.scatter(points[:, 0], points[:, 1], s=5, alpha=0.35, color=COLOURS[MODEL], linewidths=0)
    axes.set(xscale="log", yscale="log", xlim=(1, 1e4), ylim=(1, 1e4))
    axes.set(xlabel="true jump of velocity, px/s", ylabel="predicted jump, px/s", title=f"{total} event frames")
    axes.title.set_fontsize(9)
    return figure


def conservation_chart(truth: Sequence[Trajectory], predictions: Mapping[str, Sequence[Trajectory]]) -> Figure:
    """Median energy and momentum error over time, shares of the largest kinetic energy and carried momentum."""
    figure, both = new_axes(9.0, 3.3, columns=2)
    measures = (
        ("energy error / largest kinetic energy", relative_energy_error),
        ("momentum error / largest carried", relative_momentum_error),
    )
    for axes, (title, measure) in zip(both, measures, strict=True):
        for method, predicted in predictions.items():
            errors = np.stack([measure(t, p) for t, p in zip(truth, predicted, strict=True)])
            middle = np.maximum(np.median(errors, axis=0), 1e-5)
            wide = 2.4 if method == MODEL else 1.3
            frames = range(1, len(middle) + 1)
            axes.plot(frames, middle, label=LABELS[method], color=COLOURS[method], linewidth=wide)
        axes.set(yscale="log", xlabel="frames ahead", title=title)
        axes.title.set_fontsize(9)
    axes.legend(fontsize=8, ncols=2)
    return figure


def skill_chart(summary: Mapping[str, Any]) -> Figure:
    """Ratio to the best baseline of every scenario type, those it was not trained on marked."""
    last = str(summary["horizons"][-1])
    found = []
    for name, block in summary["scenarios"].items():
        ratio = block["horizons"][last]["ratio_best"]
        if ratio is not None and ratio["mean"] is not None:
            found.append((ratio["mean"], name, block["held_out"]))
    found.sort()
    figure, axes = new_axes(6.4, max(2.0, 0.22 * len(found) + 0.9))
    values = [np.clip(ratio, 0.01, 100) for ratio, _, _ in found]
    colours = [COLOURS["copy_last"] if held else COLOURS[MODEL] for *_, held in found]
    axes.barh([name for _, name, _ in found], values, color=colours)
    axes.axvline(1.0, color="#D51E1E", linewidth=1)
    axes.set(xscale="log", xlabel=f"RMSE / best baseline's after {last} frame(s); left of the line is better")
    axes.tick_params(axis="y", labelsize=8)
    return figure


def shift_chart(summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Error over that of the same scenes as they are, against distance from the training range."""
    starts, lines = unmoved(rows, summary["horizons"][-1]), dict[str, list[tuple[float, float]]]()
    for label, part in summary["breakdown"]["shift"].items():
        family, _, _ = label.partition("@")
        mean, start = part["rmse"].get(MODEL, {}).get("mean"), starts.get(label)
        if family and start and mean is not None:
            far = [row["distance"] for row in rows if row["method"] == MODEL and row["shift"] == label]
            lines.setdefault(family, []).append((float(np.mean(far)), mean / start))
    figure, axes = new_axes()
    axes.axhline(1.0, color=GREY, linewidth=1)
    for place, (family, points) in enumerate(sorted(lines.items())):
        x, y = zip(*sorted(points), strict=True)
        axes.plot(x, y, marker="o", markersize=4, label=family, color=PALETTE[place % len(PALETTE)])
    axes.set(yscale="log", xlabel="distance from the training range", ylabel="RMSE / RMSE in distribution")
    if lines:
        axes.legend(fontsize=7, ncols=2)
    return figure


def has_events(truth: Sequence[Trajectory], before: Sequence[State]) -> bool:
    return any(event_mask(t, b).any() for t, b in zip(truth, before, strict=True))
