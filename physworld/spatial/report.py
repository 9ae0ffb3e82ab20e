"""What a scene model's evaluation leaves behind: report.md, report.html, pictures, a table on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from physworld.io.images import write_gif, write_png
from physworld.reporting.charts import interval_bars
from physworld.reporting.markdown import figure, header, span, table
from physworld.reporting.report import Gallery, captioned, write_report
from physworld.spatial.evaluation import MODEL, REPAIRED, Cell
from physworld.spatial.export.pictures import animate, draw_scene
from physworld.spatial.metrics import ERRORS, RATES
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import Invalid, scene_from

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARES = {
    "diversity": "different poses per object",
    "deterministic": "same answer alone and in a batch",
    "all_rules_of_feasible": "all rules, where a scene that obeys is known",
}
MEANING = {**RATES, **ERRORS, **SHARES, "tokens_per_s": "tokens a second"}  # in the order of the tables
SHORT = ("parse", "schema", "budget", "coverage", "anchor", "all_rules", "honest")

Rows = dict[str, dict[str, Cell]]


def headline_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers under names that `physworld compare` shows."""
    first = next(iter(summary.values()))
    return {
        f"{column}/{name}": figures[name]["mean"]
        for column, figures in first[MODEL].items()
        for name in (*SHORT, "direction_deg")
        if name in figures
    }


def write_spatial_report(
    directory: Path,
    summary: Mapping[str, Any],
    rows: Rows,
    *,
    measured: Mapping[str, Any],
    cost: Mapping[str, Any],
    pictures: int,
) -> Path:
    """Write report.md and report.html with pictures into `directory`; return the path of report.md.

    Args:
        summary: axis -> row -> column -> name -> interval.
        rows: of the first axis.
    """
    gallery = Gallery(
        title="Scenes",
        text="The model's first answers after repair; a moving picture where something moves.",
        pictures=captioned(_pictures(rows, directory / "pictures", pictures)),
    )
    return write_report(directory, report_lines(summary, measured, cost), charts(summary), [gallery])


def _figure(figures: Mapping[str, Any], name: str) -> str:
    if name not in figures:
        return "–"
    cell = figures[name]
    form, scale = (".1f", 100.0) if name in RATES or name in SHARES else (".3g", 1.0)
    return span(cell, form, scale) if "low" in cell else figure(scale * cell["mean"], form)


def _columns(rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(row, column) for row, cells in rows.items() for column in cells]


def _table(rows: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    places = _columns(rows)
    lines = [[name, *(_figure(rows[row][column], name) for row, column in places)] for name in names]
    told = [line for line in lines if any(text != "–" for text in line[1:])]
    return table(["", *(f"{row} {column}" for row, column in places)], told)


def report_lines(summary: Mapping[str, Any], measured: Mapping[str, Any], cost: Mapping[str, Any]) -> list[str]:
    """The whole report as Markdown, without its pictures."""
    facts = {"split": f"`{measured['split']}`", **{k: measured[k] for k in ("seed", "commit")}, **cost}
    lines = header("Spatial scenes", measured["command"], facts)
    for axis, rows in summary.items():
        n = next(iter(rows[MODEL].values()))["parse"]["n"]
        lines += [f"## {axis}: {n} payloads", "", *_table(rows, tuple(MEANING))]
    return [
        *lines,
        "## What was measured", "",
        "Shares in %, with 95 % intervals over payloads: Wilson's of what holds or does not, bootstrap of the rest. "
        "*raw* is the model alone; *schema* and *pinned* are held to a grammar, *repaired* is raw after repair (for an "
        "answer that cannot be read: the engineer's scene). "
        "These make scenes valid whatever the model says, so compare them with the row of random weights. Means of "
        "errors are over the scenes that could be read. A rule that one of higher precedence forbids is not counted.",
        "",
        *(f"- {name}: {meaning}" for name, meaning in MEANING.items() if meaning),
        "",
    ]  # fmt: skip


def charts(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Caption -> figure."""
    first, rows = next(iter(summary.items()))
    places = _columns(rows)

    def cells(axis_rows: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        return {
            name: {f"{row} {column}": axis_rows[row][column].get(name) for row, column in _columns(axis_rows)}
            for name in names
            if any(name in axis_rows[row][column] for row, column in _columns(axis_rows))
        }

    found = {
        f"{first}: shares of payloads": interval_bars(cells(rows, SHORT), label="%", scale=100),
    }
    kept = cells({MODEL: rows[MODEL]}, [name for name in RATES if name not in SHORT])
    if kept:
        found[f"{first}: the rules and the rest, the model"] = interval_bars(kept, label="%", scale=100)
    if len(summary) > 1:
        by_axis = {
            axis: {column: figures.get("all_rules") for column, figures in axis_rows[MODEL].items()}
            for axis, axis_rows in summary.items()
        }
        found["All rules kept, by axis, the model"] = interval_bars(by_axis, label="%", scale=100)
    if any("direction_deg" in rows[row][column] for row, column in places):
        found[f"{first}: angle to the engineer's direction"] = interval_bars(
            cells(rows, ["direction_deg"]), label="degrees"
        )
    return found


def print_summary(rows: Mapping[str, Any], console: Console) -> None:
    """The main figures of one axis."""
    screen = Table(title="spatial scenes, % of payloads", title_justify="left")
    screen.add_column("")
    for name in (*SHORT, "direction_deg"):
        screen.add_column(name.replace("_", " "), justify="right")
    for row, column in _columns(rows):
        cells = [_figure(rows[row][column], name).partition(" ")[0] for name in (*SHORT, "direction_deg")]
        screen.add_row(f"{row} {column}", *cells, style="bold" if row == MODEL else "")
    console.print(screen)


def _pictures(rows: Rows, folder: Path, count: int) -> list[Path]:
    """The first repaired scenes of the model, still and moving."""
    found = []
    for n, scene in enumerate(rows[MODEL].get(REPAIRED, Cell(scores=[], scenes=[])).scenes[:count]):
        readable = _readable(scene)
        if readable is not None:
            found.append(write_png(folder / f"scene_{n}.png", draw_scene(readable)))
            if any(thing.motion for thing in readable.objects):
                found.append(write_gif(folder / f"scene_{n}.gif", animate(readable), 12))
    return found


def _readable(scene: Any) -> SpatialScene | None:
    if isinstance(scene, SpatialScene):
        return scene
    try:
        return scene_from(scene)
    except Invalid:
        return None
