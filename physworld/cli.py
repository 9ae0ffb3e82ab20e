"""L4: `physworld VERB`: plain console commands; train, evaluate, predict and simulate are the Hydra mains beside it."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from physworld import artefacts
from physworld.errors import UserError, unwritable
from physworld.files import replacing
from physworld.outlets import EXPORTS, export, validate
from physworld.runs import differences, find_run, flatten, read_config, read_metrics, runs_under

# Differences that follow from where a run ran, not from what was asked of it.
INCIDENTAL = ("ckpt",)


def compare(directories: Sequence[str], console: Console, csv_file: Path | None = None) -> None:
    """One table: what differs between the runs, what came of it, what it cost; with every figure in `csv_file`."""
    runs = list(runs_under([os.path.abspath(directory) for directory in directories]))
    configs = [read_config(run) for run in runs]
    metrics = [flatten(read_metrics(run)) for run in runs]
    settings = [key for key in differences(configs) if key not in INCIDENTAL] if len(runs) > 1 else []
    flats = [flatten(config) for config in configs]
    figures = [key for key in dict.fromkeys(key for row in metrics for key in row) if _tells(key)]
    home = Path(os.path.commonpath(runs)) if len(runs) > 1 else runs[0].parent
    table = Table(title=f"{home}: {len(runs)} run(s)", title_justify="left")
    table.add_column("run", overflow="fold")
    for key in settings:
        table.add_column(key, style="cyan", overflow="fold")
    for key in figures:
        table.add_column(
            key.partition(".")[2].removesuffix("/model"),
            justify="right",
            style="dim" if key.startswith("cost.") else "bold",
        )
    for run, flat, row in zip(runs, flats, metrics, strict=True):
        cells = [_show(flat.get(key)) for key in settings] + [_show(row.get(key)) for key in figures]
        table.add_row(str(run.relative_to(home)), *cells)
    console.print(table)
    if csv_file is not None:
        known = dict.fromkeys(key for row in metrics for key in row if key.startswith(("headline.", "cost.")))
        with replacing(csv_file) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["run", *settings, *(key.partition(".")[2] for key in known)])
            for run, flat, row in zip(runs, flats, metrics, strict=True):
                writer.writerow([run.relative_to(home), *map(flat.get, settings), *map(row.get, known)])
        console.print(f"Written: {csv_file}", highlight=False)
    unfinished = [str(run) for run, row in zip(runs, metrics, strict=True) if not row]
    if unfinished:
        console.print(f"No metrics.json yet: {', '.join(unfinished)}")


def _tells(key: str) -> bool:
    """The model's own figures, its ratio to the best baseline, and the cost; baselines do the same in every run."""
    return key.startswith(("cost.", "headline.ratio_best@", "headline.parse_rate")) or key.endswith("/model")


def _show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="physworld", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    comparing = verbs.add_parser("compare", help="one table of several runs: what differs, final metrics, cost")
    comparing.add_argument(
        "directory", nargs="+", help="run directories, or folders that hold them (outputs/multirun/...)"
    )
    comparing.add_argument("--csv", type=Path, metavar="FILE", help="write every figure to FILE as well")
    validating = verbs.add_parser("validate", help="what is wrong with a spatial scene, with JSON paths")
    validating.add_argument("scene", type=Path, help="a scene as JSON")
    validating.add_argument(
        "payload", type=Path, nargs="?", help="what it was asked for; else only the scene is judged"
    )
    exporting = verbs.add_parser(
        "export", help="a run's weights for other programs, or a spatial scene for ears and eyes"
    )
    exporting.add_argument(
        "what", help="run directory; or a scene as JSON, or an ADM file (then --format json reads it back)"
    )
    exporting.add_argument(
        "--format",
        required=True,
        metavar="FORMAT",
        help=f"run: {', '.join(artefacts.FORMATS)}; scene: {', '.join(EXPORTS)}",
    )
    exporting.add_argument("--stems", type=Path, metavar="DIR", help="folder with ID.wav of every object")
    exporting.add_argument("--out", type=Path, metavar="FILE", help="where to write; by default beside the scene")
    exporting.add_argument("--layout", default="0+2+0", help="loudspeakers of --format ebu (ITU-R BS.2051)")
    exporting.add_argument("--seconds", type=float, default=8.0, help="length of the section, where no stem tells it")
    artefacts.add_verbs(verbs)
    options = parser.parse_args(arguments)
    # Wide enough when the output goes to a file or a pipe, where rich would assume 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 240)
    try:
        if options.verb == "validate":
            return validate(options.scene, options.payload, console)
        if options.verb == "export":
            written = (
                artefacts.export(find_run(options.what), options.format)
                if options.what in ("last", "shipped") or Path(options.what).is_dir()
                else export(options)
            )
            console.print(str(written), highlight=False, soft_wrap=True)
            return 0
        if options.verb == "publish":
            artefacts.publish(find_run(options.run), options.repo, send=options.send, console=console)
            return 0
        missing = [path for path in options.directory if not Path(path).is_dir()]
        if missing:
            raise UserError(f"{missing[0]} is no directory.")
        compare(options.directory, console, options.csv)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(unwritable(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
