"""`physworld VERB`: plain console commands; train, evaluate, predict and simulate are the Hydra mains beside it.

What needs torch is imported late, so that Ctrl-C while it is loaded ends as quietly as later.
"""

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

from physworld.errors import UserError, unwritable
from physworld.io.atomic import replacing
from physworld.runs.directory import differences, find_run, flatten, read_config, read_metrics, runs_under

# Differences that follow from where a run ran, not from what was asked of it.
INCIDENTAL = ("ckpt",)


def compare(directories: Sequence[str], console: Console, csv_file: Path | None = None) -> None:
    """One table: what differs between the runs, what came of it, what it cost; with every figure in `csv_file`."""
    named = [find_run(name) if name in ("last", "shipped") else Path(name) for name in directories]
    missing = [path for path in named if not path.is_dir()]
    if missing:
        raise UserError(f"{missing[0]} is no directory; give run directories, folders that hold them, last or shipped.")
    if csv_file is not None and not csv_file.absolute().parent.is_dir():
        raise UserError(f"--csv {csv_file} cannot be written: {csv_file.parent} is no folder.")
    runs = list(runs_under([os.path.abspath(path) for path in named]))
    configs = [read_config(run) for run in runs]
    metrics = [flatten(read_metrics(run)) for run in runs]
    settings = [key for key in differences(configs) if key not in INCIDENTAL] if len(runs) > 1 else []
    flats = [flatten(config) for config in configs]
    figures = [key for key in dict.fromkeys(key for row in metrics for key in row) if _tells(key)]
    home = Path(os.path.commonpath(runs)) if len(runs) > 1 else runs[0].parent
    columns = [(key, "cyan", [_show(flat.get(key)) for flat in flats]) for key in settings]
    columns += [
        (key.partition(".")[2].removesuffix("/model"), "dim" if key.startswith("cost.") else "bold",
         [_show(row.get(key)) for row in metrics])
        for key in figures
    ]  # fmt: skip
    names = [str(run.relative_to(home)) for run in runs]
    console.print(f"{home}: {len(runs)} run(s)", style="italic", highlight=False, markup=False, soft_wrap=True)
    console.print(_fitting(names, columns, len(settings), console))
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


def _fitting(
    names: Sequence[str], columns: Sequence[tuple[str, str, list[str]]], settings: int, console: Console
) -> Table:
    """A run a row; where that is too wide and there are fewer runs than columns, a run a column.

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
    needed = console.measure(table, options=console.options.update(max_width=10**6)).maximum
    if needed <= console.width or len(names) >= len(columns):
        return table
    turned = Table()
    for name in ("", *names):
        turned.add_column(name, overflow="fold")
    for key, style, cells in columns:
        turned.add_row(key, *cells, style=style)
    return turned


def _tells(key: str) -> bool:
    """The model's own figures, its ratio to the best baseline, and the cost; baselines do the same in every run."""
    return key.startswith(("cost.", "headline.ratio_best@", "headline.parse_rate")) or key.endswith("/model")


def _show(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 after a sentence on stderr, 130 after Ctrl-C; `validate` has its own."""
    try:
        return _run(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(unwritable(error), file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 1


def _run(arguments: Sequence[str] | None) -> int:
    from physworld.spatial.commands import EXPORTS, export, validate
    from physworld.text import hub as artefacts

    parser = argparse.ArgumentParser(
        prog="physworld",
        description="Compare finished runs, give them to other programs or to the hub, and check spatial scenes. "
        "Training, evaluation, prediction and simulation are train.py, evaluate.py, predict.py and simulate.py.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    comparing = verbs.add_parser("compare", help="one table of several runs: what differs, final metrics, cost")
    comparing.add_argument(
        "directory", nargs="+", help="run directories, folders that hold them (outputs/multirun/...), last or shipped"
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
        "what", help="run directory or last; or a scene as JSON, or an ADM file (then --format json reads it back)"
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
    if options.verb == "validate":
        return validate(options.scene, options.payload, console)
    if options.verb == "export":
        named = options.what in ("last", "shipped") or Path(options.what).is_dir()
        written = artefacts.export(find_run(options.what), options.format) if named else export(options)
        console.print(str(written), highlight=False, soft_wrap=True)
    elif options.verb == "publish":
        artefacts.publish(find_run(options.run), options.repo, send=options.send, console=console)
    else:
        compare(options.directory, console, options.csv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
