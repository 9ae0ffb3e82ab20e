"""`physworld VERB`: the four mains, and plain console commands beside them.

What needs torch is imported late, so that Ctrl-C while it is loaded ends as quietly as later.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from physworld.errors import UserError, suggest, unwritable
from physworld.mains import MAINS
from physworld.mains import main as start


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one sentence, as the four mains do."""

    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"argument VERB: invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            verbs = re.findall(r"[\w-]+", wrong[2])
            raise UserError(f"{wrong[1]} is no verb.{suggest(wrong[1], verbs)} Choose one of {', '.join(verbs)}.")
        raise UserError(f"{self.prog}: {message}; see {self.prog} --help.")


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
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in MAINS:
        start(arguments[0], arguments[1:])
        return 0

    from physworld.judge.options import add_arguments as judge_arguments
    from physworld.reporting.screen import screen
    from physworld.runs.compare import compare
    from physworld.runs.directory import EXPORTS, find_run
    from physworld.settings.checks import installed

    parser = _Parser(
        prog="physworld",
        description="Train, evaluate, predict, simulate (each has its own --help). Compare finished runs, give them to "
        "other programs or to the hub, check spatial scenes, and judge clips.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, does in MAINS.items():
        verbs.add_parser(verb, help=does, add_help=False)
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
        help=f"run: {', '.join(EXPORTS)}; scene: adm, binaural, ebu, iamf-json, iamf-csv, png, gif, json",
    )
    exporting.add_argument("--stems", type=Path, metavar="DIR", help="folder with ID.wav of every object")
    exporting.add_argument("--out", type=Path, metavar="FILE", help="where to write; by default beside the scene")
    exporting.add_argument("--layout", default="0+2+0", help="loudspeakers of --format ebu (ITU-R BS.2051)")
    exporting.add_argument("--seconds", type=float, default=8.0, help="length of the section, where no stem tells it")
    publishing = verbs.add_parser("publish", help="show what a hub repository would get of a run; --send sends it")
    publishing.add_argument("run", help="run directory, last or shipped")
    publishing.add_argument("repo", help="OWNER/NAME")
    publishing.add_argument("--send", action="store_true", help="send it, with the token in HF_TOKEN")
    judging = verbs.add_parser("judge", help="do anybody's clips keep the laws of motion? a report on a folder of them")
    judge_arguments(judging)
    options = parser.parse_args(arguments)
    # Wide enough when the output goes to a file or a pipe, where rich would assume 80 columns.
    console = screen(None if sys.stdout.isatty() else 240)
    of_run = options.verb == "export" and (options.what in ("last", "shipped") or Path(options.what).is_dir())
    if of_run:
        from physworld.text.hub import export as export_run

        written = export_run(find_run(options.what), options.format)
        console.print(str(written), soft_wrap=True)
    elif options.verb in ("validate", "export"):
        installed("spatial", "pydantic", "soundfile", "scipy", what=f"physworld {options.verb} of a scene")
        from physworld.spatial.commands import export, validate

        if options.verb == "validate":
            return validate(options.scene, options.payload, console)
        console.print(str(export(options)), soft_wrap=True)
    elif options.verb == "judge":
        from physworld.judge.command import judge_folder

        console.print(str(judge_folder(options, console)), soft_wrap=True)
    elif options.verb == "publish":
        from physworld.text.hub import publish

        publish(find_run(options.run), options.repo, send=options.send, console=console)
    else:
        compare(options.directory, console, options.csv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
