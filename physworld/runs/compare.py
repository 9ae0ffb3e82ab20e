"""Several runs in one table: what differs between them, what came of it, what it cost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from physworld.errors import UserError, counted
from physworld.io.csv_file import write_csv
from physworld.runs.directory import brought_as, differences, find_named, flatten, read_config, read_metrics, runs_under

# Differences that follow from where a run ran, not from what was asked of it.
INCIDENTAL = ("ckpt",)
SIDE_BY_SIDE = 4  # runs, however narrow their columns become


def compare(directories: Sequence[str], console: Console, csv_file: Path | None = None) -> None:
    """One table: what differs between the runs, what came of it, what it cost; with every figure in `csv_file`."""
    named = [find_named(name) or Path(name) for name in directories]
    missing = [path for path in named if not path.is_dir()]
    if missing:
        raise UserError(
            f"{missing[0]} is no directory; give run directories or names, folders of them, last, shipped or solver."
        )
    if csv_file is not None and csv_file.suffix != ".csv":
        raise UserError(f"--csv {csv_file} must end in .csv.")
    if csv_file is not None and not csv_file.absolute().parent.is_dir():
        raise UserError(f"--csv {csv_file} cannot be written: {csv_file.parent} is no folder.")
    runs = list(runs_under([os.path.abspath(path) for path in named]))
    configs = [read_config(run) for run in runs]
    metrics = [flatten(read_metrics(run)) for run in runs]
    settings = [key for key in differences(configs) if key not in INCIDENTAL] if len(runs) > 1 else []
    flats = [flatten(config) for config in configs]
    figures = [key for key in dict.fromkeys(key for row in metrics for key in row) if _tells(key)]
    elsewhere = [run for run in runs if brought_as(run) is None]
    home = Path(os.path.commonpath([run.parent for run in elsewhere])) if elsewhere else None
    names = [brought_as(run) or str(run.relative_to(home or run.parent)) for run in runs]
    columns = [(key, "cyan", [_show(flat.get(key)) for flat in flats]) for key in settings]
    columns += [
        (key.partition(".")[2].removesuffix("/model"), "dim" if key.startswith("cost.") else "bold",
         [_show(row.get(key)) for row in metrics])
        for key in figures
    ]  # fmt: skip
    many = counted(len(runs), "run")
    console.print(many if home is None else f"{home}: {many}", style="italic", soft_wrap=True)
    for table in _fitting(names, columns, len(settings), console):
        console.print(table)
    if csv_file is not None:
        known = dict.fromkeys(key for row in metrics for key in row if key.startswith(("headline.", "cost.")))
        short = [key.partition(".")[2] for key in known]
        head = [key if short.count(name) > 1 else name for key, name in zip(known, short, strict=True)]
        write_csv(
            csv_file,
            ["run", *settings, *head],
            [
                [name, *map(flat.get, settings), *map(row.get, known)]
                for name, flat, row in zip(names, flats, metrics, strict=True)
            ],
        )
        console.print(f"Written: {csv_file}", soft_wrap=True)
    without = [run for run, row in zip(runs, metrics, strict=True) if not row]
    brought = [run for run in without if brought_as(run)]
    several = [run for run in without if any(run.glob("*/metrics.json"))]
    for why, some in (
        ("No metrics.json comes with", brought),
        ("Of several models, which its report.md has side by side", several),
        ("No metrics.json yet", [run for run in without if run not in (*brought, *several)]),
    ):
        if some:
            console.print(f"{why}: {', '.join(brought_as(run) or str(run) for run in some)}", soft_wrap=True)


def _fitting(
    names: Sequence[str], columns: Sequence[tuple[str, str, list[str]]], settings: int, console: Console
) -> list[Table]:
    """A run a row; where that is too wide and there are fewer runs than columns, a run a column, with as many runs side
    by side as have room, but SIDE_BY_SIDE at least.

    Args:
        columns: (title, style, a cell for each run), the first `settings` of them settings, the others figures.
    """
    table = Table()
    table.add_column("run", overflow="fold")
    for k, (key, style, _) in enumerate(columns):
        table.add_column(
            key,
            style=style,
            overflow="fold" if k < settings else "ellipsis",
            justify="left" if k < settings else "right",
        )
    for k, name in enumerate(names):
        table.add_row(name, *(cells[k] for _, _, cells in columns))
    if _width(table, console) <= console.width or len(names) >= len(columns):
        return [table]
    tables, begin = [], 0
    while begin < len(names):
        end = min(begin + SIDE_BY_SIDE, len(names))
        while end < len(names) and _width(_turned(names, columns, begin, end + 1), console) <= console.width:
            end += 1
        tables.append(_turned(names, columns, begin, end))
        begin = end
    return tables


def _width(table: Table, console: Console) -> int:
    return console.measure(table, options=console.options.update(max_width=10**6)).maximum


def _turned(names: Sequence[str], columns: Sequence[tuple[str, str, list[str]]], begin: int, end: int) -> Table:
    """Runs `begin` to `end`, a run a column."""
    turned = Table()
    for name in ("", *names[begin:end]):
        turned.add_column(name, overflow="fold")
    for key, style, cells in columns:
        turned.add_row(key, *cells[begin:end], style=style)
    return turned


def _tells(key: str) -> bool:
    """The model's own figures, its ratio to the best baseline, and the cost; baselines do the same in every run."""
    mine = ("cost.", "headline.ratio_best@", "headline.held_out/ratio_best@", "headline.parse_rate")
    return key.startswith(mine) or key.endswith(("/model", "/parse", "/all_rules", "/direction_deg"))


def _show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
