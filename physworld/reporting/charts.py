"""Charts of a report, drawn by matplotlib without a display; as SVG, text stays text, so files stay small."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008) and shades between them: told apart under every common colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#56B4E9", "#B2A01E", "#7A5195", "#003F5C", "#E69F00", "#009E73")
GREY = "#999999"
PAGE = "#FAFAF7"  # the report's ground


def new_axes(width: float = 6.4, height: float = 3.6, columns: int = 1) -> tuple[Figure, Any]:
    """(figure of that size in inches, its axes); with several columns an array of axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAGE)
    found = figure.subplots(1, columns)
    for axes in np.atleast_1d(found):
        axes.set_facecolor(PAGE)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


@contextlib.contextmanager
def _placed(figure: Figure) -> Iterator[None]:
    """Everything gets its place when a figure is first drawn, and keeps it: finding places takes as long as drawing."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine
    from matplotlib.text import Text

    if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # a `$` in the name of a run or a file is a letter, no formula
    yield
    figure.set_layout_engine("none")


def svg(figure: Figure) -> str:
    """The <svg> element alone; a figure that was not drawn before gives the same text every time."""
    import matplotlib

    out = io.StringIO()
    with (
        _placed(figure),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "physworld", "font.family": "sans-serif"}),
    ):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def pixels(figure: Figure) -> np.ndarray:
    """uint8 (H, W, 3), for TensorBoard."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with _placed(figure):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def interval_bars(
    cells: Mapping[str, Mapping[str, Mapping[str, Any] | None]],
    *,
    label: str,
    scale: float = 1.0,
    reference: float | None = None,
) -> Figure:
    """Bars with their 95 % intervals: group -> row -> interval (`mean`, `low`, `high`); a row has one colour.

    Args:
        label: of the axis.
        reference: where a line is drawn: chance, or the true value.
    """
    rows = list(dict.fromkeys(row for group in cells.values() for row in group))
    figure, axes = new_axes(6.4, max(2.0, 0.17 * len(cells) * (len(rows) + 1) + 0.9))
    step = 0.8 / max(1, len(rows))
    drawn = []
    for place, row in enumerate(rows):
        # A bar without a figure is NaN: nothing is drawn, and the legend has the row's colour all the same.
        mean, low, high = np.array([_finite(group.get(row), scale) for group in cells.values()]).reshape(-1, 3).T
        bars = axes.barh(
            [n + step * (place + 0.5) - 0.4 for n in range(len(cells))],
            mean,
            height=step,
            xerr=(np.maximum(mean - low, 0), np.maximum(high - mean, 0)),
            error_kw={"elinewidth": 0.8, "ecolor": "#2D343C"},
            color=PALETTE[place % len(PALETTE)],
            alpha=1.0 if place < len(PALETTE) else 0.5,
        )
        drawn.append(bars)
    if reference is not None:
        axes.axvline(reference, color="#D51E1E", linewidth=1)
    # The first group on top, as in the table.
    axes.set(xlabel=label, yticks=range(len(cells)), ylim=(len(cells) - 0.5, -0.5))
    axes.set_yticklabels(list(cells), fontsize=8)
    # Given by hand: matplotlib itself leaves out names that begin with an underscore.
    figure.legend(drawn, rows, loc="outside lower center", fontsize=7, ncols=2)
    return figure


def _finite(cell: Mapping[str, Any] | None, scale: float) -> tuple[float, float, float]:
    """(mean, low, high), NaN where there is no figure; an end that is infinite or unknown is not drawn."""
    if cell is None or cell["mean"] is None:
        return np.nan, np.nan, np.nan
    mean = scale * cell["mean"]
    low, high = (mean if cell.get(end) is None else scale * cell[end] for end in ("low", "high"))
    return mean, low, high
