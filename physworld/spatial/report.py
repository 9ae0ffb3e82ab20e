"""What a scene model's evaluation leaves behind: metrics.json, report.md, pictures, a table on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from physworld.io.atomic import replacing
from physworld.io.images import write_gif, write_png
from physworld.runs import directory as runs
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.evaluation import MODEL, REPAIRED, Cell, SpatialEvaluation
from physworld.spatial.export.pictures import animate, draw_scene
from physworld.spatial.metrics import ERRORS, RATES
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import Invalid, scene_from

MEANING = {
    "parse": "is JSON",
    "schema": "keeps the published schema",
    "strict": "strict profile: grids, ids, motion",
    "budget": "at most max_objects objects",
    "anchor": "all anchors held",
    "all_rules": "profile, budget and every rule that can hold",
    "coverage": "share of the wanted objects that are there",
    "unique": "no id twice",
    "honest": "constraints_applied is exactly what holds",
    "direction_deg": "angle to the engineer's direction, °",
    "gain_db": "gain against the engineer's, dB",
    "distance_m": "distance against the engineer's, m",
    "masking": "masking overlap, 0-1",
    "level_db": "level against the engineer's mix, dB",
    "balance_db": "left/right imbalance, dB",
    "edits": "edits of repair",
    "diversity": "different poses per object",
    "deterministic": "same answer alone and in a batch",
    "tokens_per_s": "tokens a second",
    "all_rules_of_feasible": "all rules, where a scene that obeys is known",
}
EXTRA = ("diversity", "deterministic", "all_rules_of_feasible", "tokens_per_s")
SHORT = ("parse", "schema", "budget", "anchor", "all_rules", "honest")

Rows = dict[str, dict[str, Cell]]


def evaluate_and_report(
    network: Any,
    codec: SceneCodec,
    evaluation: SpatialEvaluation,
    directory: Path,
    *,
    untrained: Any,
    command: str,
    seed: int,
    split: str,
    cost: dict[str, Any],
    console: Console,
) -> dict[str, float]:
    """Judge on every axis, write and print it all; returns the main numbers."""
    with console.status("Evaluating") as status:
        table = evaluation.evaluate(
            network, codec, seed=seed, split=split, untrained=untrained if evaluation.random_weights else None,
            progress=lambda axis: status.update(f"Evaluating {axis}"),
        )  # fmt: skip
    summary = {
        axis: {row: {column: cell.summary() for column, cell in cells.items()} for row, cells in rows.items()}
        for axis, rows in table.items()
    }
    first = next(iter(summary))
    headline = {
        f"{column}/{name}": figures[name]["mean"]
        for column, figures in summary[first][MODEL].items()
        for name in (*SHORT, "direction_deg")
        if name in figures
    }
    measured = {"command": command, "split": split, "seed": seed, "commit": runs.versions()["commit"]}
    content = {"headline": headline, "axes": summary, "cost": cost, "measured": measured}
    directory.mkdir(parents=True, exist_ok=True)
    runs.write_json(directory / "metrics.json", content)
    pictures = _pictures(table[first], directory / "pictures", evaluation.pictures)
    lines = _report(summary, measured, cost, pictures, directory)
    with replacing(directory / "report.md") as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    _print(summary[first], console)
    console.print(f"Report:       {directory / 'report.md'}", highlight=False)
    return headline


def _figure(figures: Mapping[str, Any], name: str) -> str:
    if name not in figures:
        return "–"
    value = figures[name]
    if name in RATES or name in EXTRA[:3]:
        text = f"{100 * value['mean']:.1f}"
        return f"{text} ({100 * value['low']:.1f}–{100 * value['high']:.1f})" if "low" in value else text
    text = f"{value['mean']:.3g}"
    return f"{text} ({value['low']:.3g}–{value['high']:.3g})" if "low" in value else text


def _columns(rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(row, column) for row, cells in rows.items() for column in cells]


def _markdown(rows: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    places = _columns(rows)
    head = ["", *(f"{row} {column}" for row, column in places)]
    lines = ["| " + " | ".join(head) + " |", "| :-- |" + " --: |" * len(places)]
    for name in names:
        cells = [_figure(rows[row][column], name) for row, column in places]
        if any(text != "–" for text in cells):
            lines.append("| " + " | ".join([name, *cells]) + " |")
    return [*lines, ""]


def _report(
    summary: Mapping[str, Any], measured: Mapping[str, Any], cost: Mapping[str, Any], pictures: list[Path], home: Path
) -> list[str]:
    lines = ["# Spatial scenes", ""]
    for axis, rows in summary.items():
        n = next(iter(rows[MODEL].values()))["parse"]["n"]
        lines += [f"## {axis}: {n} payloads", "", *_markdown(rows, (*RATES, *ERRORS, *EXTRA))]
    lines += [
        "Shares in %, with 95 % bootstrap intervals over payloads. *raw* is the model alone; *schema* and *pinned* are "
        "held to a grammar, *repaired* is raw after repair (for an answer that cannot be read: the engineer's scene). "
        "These make scenes valid whatever the model says, so compare them with the row of random weights. Means of "
        "errors are over the scenes that could be read. A rule that one of higher precedence forbids is not counted.",
        "",
        *(f"- {name}: {MEANING[name]}" for name in (*RATES, *ERRORS, *EXTRA) if name in MEANING),
        "",
        *(f"- {key}: {value}" for key, value in {**measured, **cost}.items() if key != "command"),
        "",
        "```", str(measured["command"]), "```", "",
    ]  # fmt: skip
    for picture in pictures:
        lines += [f"![{picture.stem}]({picture.relative_to(home).as_posix()})", ""]
    return lines


def _print(rows: Mapping[str, Any], console: Console) -> None:
    table = Table(title="spatial scenes, % of payloads", title_justify="left")
    table.add_column("")
    for name in (*SHORT, "direction_deg"):
        table.add_column(name.replace("_", " "), justify="right")
    for row, column in _columns(rows):
        cells = [_figure(rows[row][column], name).partition(" ")[0] for name in (*SHORT, "direction_deg")]
        table.add_row(f"{row} {column}", *cells, style="bold" if row == MODEL else "")
    console.print(table)


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
