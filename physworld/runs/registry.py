"""The runs below a folder, from the files that each keeps of itself: no server, and no database to run.

A run's name is its folder below outputs/, such as 2026-01-31/12-00-00, and works wherever a run directory does.
"""

from __future__ import annotations

import difflib
import math
import os
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from physworld.errors import UserError, counted, suggest
from physworld.runs import state
from physworld.runs.directory import OUTPUTS, find_named, flatten, held, read_config, read_metrics

OLD = ("metrics.json", "ranking.json", "checkpoints")  # of runs from before there was a run.json
FEW = 5  # names of figures that a message offers


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    path: Path
    record: dict[str, Any] | None  # run.json

    @property
    def state(self) -> str:
        """As its record says, but `dead` where that says running and nobody is; `unknown` without a record."""
        if self.record is None:
            return "finished" if (self.path / "metrics.json").is_file() else "unknown"
        return "dead" if state.dead(self.record, time.time()) else str(self.record["state"])


def found(folder: Path = OUTPUTS) -> Iterator[Run]:
    """Every run below a folder, the oldest first."""
    every = []
    for place, folders, files in os.walk(folder):
        path = Path(place)
        old = "config.yaml" in files and any(name in files or name in folders for name in OLD)
        if state.FILE in files or old:
            folders.clear()  # what lies in a run belongs to it
            record = state.read(path)
            began = path / ("config.yaml" if "config.yaml" in files else state.FILE)
            started = record["started"] if record is not None else began.stat().st_mtime
            every.append((started, Run(name=_name(path), path=path, record=record)))
        folders[:] = [name for name in folders if not name.startswith(".")]
    yield from (run for _, run in sorted(every, key=lambda pair: (pair[0], pair[1].name)))


def _name(path: Path) -> str:
    return str(path.relative_to(OUTPUTS) if path.is_relative_to(OUTPUTS) else path)


def one(name: str) -> Run:
    """The run of a name.

    Raises:
        UserError: there is none.
    """
    path = find_named(name)
    runs = [] if path is None else [run for run in found(path) if run.path == path]
    if not runs:
        every = [run.name for run in found()]
        more = f" and {len(every) - FEW} more (physworld runs ls)" if len(every) > FEW else ""
        some = f" There {'is' if len(every) == 1 else 'are'} {', '.join(every[-FEW:])}{more}." if every else ""
        raise UserError(f"{name} is no run.{suggest(name, every)}{some}")
    return runs[0]


def ls(folder: Path, console: Console) -> None:
    """One line for each run."""
    runs = list(found(_there(folder)))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("run", "state", "verb", "step", "best", "score", "host", "last sign"):
        table.add_column(title, overflow="fold", justify="right" if title in ("step", "score") else "left")
    for run in runs:
        table.add_row(run.name, run.state, *_cells(run.record))
    console.print(table if runs else f"No runs below {folder}.")


def _cells(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["–"] * 6
    step = "–" if record["steps"] is None else f"{record['step']}/{record['steps']}"
    best = record["best"]
    said = "–" if best is None else f"{best['name']} {best['value']:.4g} at {best['step']}"
    score = "–" if record["score"] is None else f"{record['score']:.4g}"
    return [str(record["verb"]), step, said, score, str(record["host"]), _ago(time.time() - record["heartbeat"])]


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def figures(run: Run) -> dict[str, float]:
    """What a run is ranked by: its score, and the headline of its metrics.json."""
    headline = read_metrics(run.path).get("headline")
    flat = flatten(headline) if isinstance(headline, dict) else {}
    numbers = {name: float(value) for name, value in flat.items() if state.is_number(value)}
    if run.record is not None and run.record["score"] is not None:
        numbers["score"] = float(run.record["score"])
    return numbers


def best(metric: str | None, folder: Path, console: Console, *, highest: bool = False, count: int = 10) -> None:
    """The runs with the lowest (or highest) value of a figure, the best first; without one, what figures there are.

    Raises:
        UserError: no run has that figure.
    """
    table = {run.name: figures(run) for run in found(_there(folder))}
    known = Counter(key for row in table.values() for key in row)
    if not known:
        raise UserError(f"No run below {folder} has a figure yet.")
    if metric is None:
        for name in sorted(known):
            console.print(f"{name}: {counted(known[name], 'run')}", soft_wrap=True, highlight=False, markup=False)
        console.print("Runs ranked by one of these figures: physworld runs best NAME", soft_wrap=True)
        return
    have = {name: row[metric] for name, row in table.items() if metric in row and math.isfinite(row[metric])}
    if not have:
        near = difflib.get_close_matches(metric, list(known), n=FEW, cutoff=0.6) or sorted(known)[:FEW]
        where = "" if folder == OUTPUTS else f" --under {shlex.quote(str(folder))}"
        more = f" All {len(known)} are listed by: physworld runs best{where}" if len(known) > len(near) else ""
        raise UserError(f"No run has the figure {metric}. Choose one of {', '.join(near)}.{more}")
    shown = Table(box=None, pad_edge=False, header_style="dim")
    shown.add_column("run", overflow="fold")
    shown.add_column(metric, justify="right")
    for name in sorted(have, key=lambda name: have[name], reverse=highest)[:count]:
        shown.add_row(name, f"{have[name]:.6g}")
    console.print(shown)


def show(name: str, console: Console) -> None:
    """All that a run keeps of itself, settings that were typed included."""
    run = one(name)
    lines = {"run": run.name, "folder": str(run.path), "state": run.state}
    record = dict(run.record or {})
    for key in ("started", "heartbeat", "ended"):
        if record.get(key) is not None:
            record[key] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record[key]))
    lines |= {key: value for key, value in record.items() if key != "state" and value is not None}
    lines |= {key: f"{value:.6g}" for key, value in figures(run).items()}
    if (run.path / "config.yaml").is_file():
        lines["seed"] = str(read_config(run.path).get("seed"))
    width = max(map(len, lines)) + 2
    for key, value in lines.items():
        console.print(f"{key:{width}}{value}", soft_wrap=True, highlight=False, markup=False)


def dead(folder: Path, console: Console) -> None:
    """Runs that were killed: they say that they run, and no longer do; with what goes on with each."""
    gone = [run for run in found(_there(folder)) if run.state == "dead"]
    for run in gone:
        record: Any = run.record
        console.print(
            f"{run.name}: killed on {record['host']} at step {record['step']}, last sign "
            f"{_ago(time.time() - record['heartbeat'])}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        console.print(f"  {record['command']}", soft_wrap=True, highlight=False, markup=False)
    if not gone:
        console.print(f"No dead runs below {folder}.")


def rm(names: Sequence[str], console: Console, *, yes: bool) -> None:
    """Say what would be removed, and with `yes` remove it.

    Raises:
        UserError: one of them is no run, or is running.
    """
    runs = list({run.path.resolve(): run for run in map(one, names)}.values())  # a run that is named twice is one
    for run in runs:
        if run.state == "running":
            raise UserError(f"{run.name} is running; stop it first.")
    for run in runs:
        files = [file for file in run.path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files) / 1e6
        if yes:
            with held(run.path, patience=1.0):
                shutil.rmtree(run.path)
        does = "removed" if yes else "would be removed with --yes"
        console.print(f"{run.path}: {len(files)} files, {size:.1f} MB, {does}", soft_wrap=True, highlight=False)


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; train first, or give the folder that your runs are in.")
    return folder
