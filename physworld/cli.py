"""`physworld VERB`: the four mains, and plain console commands beside them.

What needs torch is imported late, so that Ctrl-C while it is loaded ends as quietly as later.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from physworld.errors import UserError, suggest, unwritable
from physworld.mains import MAINS
from physworld.mains import main as start
from physworld.settings import signals
from physworld.settings.program import at_home, loading

if TYPE_CHECKING:
    from rich.console import Console


# What one usually does after a verb; those of MAINS have theirs in mains.py.
NEXT = {
    "compare": "tensorboard --logdir outputs",
    "leaderboard": "physworld compare RUN RUN",
    "runs": "physworld runs show RUN",
    "validate": "physworld export SCENE --format png",
    "describe": "physworld mix STEMS",
    "mix": "physworld listen MIX OTHER_MIX",
    "listen": "physworld listen TEST --answers FILE",
    "validate a folder": "python train.py data=files data.path=FOLDER",
    "export": "physworld publish RUN OWNER/NAME",
    "export a scene": "physworld validate SCENE PAYLOAD",
    "publish": "physworld publish RUN OWNER/NAME --send",
    "judge": "physworld leaderboard outputs",
    "preview": "python train.py model=tiny_video data=clips data.path=FOLDER",
}


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one sentence, as the four mains do."""

    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"argument VERB: invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            verbs = re.findall(r"[\w-]+", wrong[2])
            raise UserError(f"{wrong[1]} is no verb.{suggest(wrong[1], verbs)} Choose one of {', '.join(verbs)}.")
        raise UserError(f"{self.prog}: {message}; see {self.prog} --help.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 after a sentence on stderr, 130 after Ctrl-C, 143 after SIGTERM; `validate` has its own."""
    try:
        with signals.listening():
            code, verb = _run(arguments)
        if code == 0 and verb in NEXT and sys.stdout.isatty():  # a pipe or a file gets results alone
            print(f"Next: {NEXT[verb]}")
        return code
    except UserError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(unwritable(error), file=sys.stderr)
    except (KeyboardInterrupt, RuntimeError) as error:
        stopped = signals.exit_code(error)
        if stopped is None:
            raise
        print(signals.said(error), file=sys.stderr)
        return stopped
    return 1


def _run(arguments: Sequence[str] | None) -> tuple[int, str]:
    """(exit code, verb)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in MAINS:
        start(arguments[0], arguments[1:])
        return 0, arguments[0]
    at_home(arguments)

    from physworld.judge.options import add_arguments as judge_arguments
    from physworld.judge.options import refuse as refuse_judging
    from physworld.reporting.screen import screen
    from physworld.runs.compare import compare
    from physworld.runs.directory import EXPORTS, NAMED, find_run
    from physworld.settings.checks import installed
    from physworld.spatial.sound.options import listen_arguments, stem_verbs

    parser = _Parser(
        prog="physworld",
        description="Train, evaluate, predict, simulate (each has its own --help). Compare finished runs, give them to "
        "other programs or to the hub, check spatial scenes, and judge clips.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, does in MAINS.items():
        verbs.add_parser(verb, help=does, add_help=False)
    comparing = verbs.add_parser("compare", help="one table of several runs: what differs, final metrics, cost")
    comparing.add_argument("directory", nargs="+", help="run directories, folders of them, last, shipped or solver")
    comparing.add_argument("--csv", type=Path, metavar="FILE", help="write every figure to FILE as well")
    ranking = verbs.add_parser("leaderboard", help="every figure of runs and evaluations as one page, table and CSV")
    ranking.add_argument("folder", nargs="+", help="folders of runs, evaluations or clips, last, shipped or solver")
    ranking.add_argument(
        "--out", type=Path, default=Path("outputs/leaderboard"), metavar="DIR", help="outputs/leaderboard"
    )
    listing = verbs.add_parser("runs", help="which runs there are, which is best, which were killed; remove some")
    _runs_parser(listing)
    validating = verbs.add_parser("validate", help="what is wrong with a spatial scene, or with data")
    validating.add_argument(
        "scene", type=Path, metavar="SCENE or DATA", help="a spatial scene as JSON; a folder of data, or a file of it"
    )
    validating.add_argument(
        "payload", type=Path, nargs="?", help="what it was asked for; else only the scene is judged"
    )
    validating.add_argument("--report", type=Path, metavar="FILE", help="of data: everything as JSON")
    validating.add_argument("--not-trained-on", action="store_true", help="of data: it may hold held-out types")
    stem_verbs(verbs)
    listen_arguments(verbs.add_parser("listen", help="a blind A/B listening test of mixes as a page; or its result"))
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
    exporting.add_argument("--layout", help="loudspeakers of --format ebu (ITU-R BS.2051); by default 0+2+0")
    exporting.add_argument("--seconds", type=float, help="length of the section, where no stem tells it; by default 8")
    publishing = verbs.add_parser("publish", help="show what a hub repository would get of a run; --send sends it")
    publishing.add_argument("run", help="run directory, last, shipped or solver")
    publishing.add_argument("repo", help="OWNER/NAME")
    publishing.add_argument("--send", action="store_true", help="send it, with the token in HF_TOKEN")
    playing = verbs.add_parser(
        "play", help="a local page: the simulator and a model side by side, drawn and thrown by hand"
    )
    playing.add_argument("run", nargs="*", help="runs to offer beside those under outputs/, of text or video physics")
    playing.add_argument("--port", type=int, help="of this machine, by default 8765; 0 = any that is free")
    playing.add_argument("--host", help="another address than 127.0.0.1 lets other machines in")
    playing.add_argument("--no-browser", action="store_true", help="only print the address")
    playing.add_argument("--export", type=Path, metavar="FOLDER", help="write the page as files for any web server")
    playing.add_argument("--chipmunk", type=Path, metavar="FILE", help="pymunk's source, if pip cannot fetch it")
    serving = verbs.add_parser("serve", help="a run for other programs: OpenAI-compatible completions and chat")
    serving.add_argument("run", help="run directory, last, shipped or solver; or a folder or OWNER/NAME of weights")
    serving.add_argument("--base", help="of an adapter; by default the one it names")
    serving.add_argument("--name", help="of the model in requests; by default RUN as typed")
    serving.add_argument("--port", type=int, default=8766, help="of this machine; 0 = any that is free")
    serving.add_argument("--host", default="127.0.0.1", help="another address lets other machines in")
    serving.add_argument("--device", default="auto", help="auto, cpu or cuda")
    serving.add_argument("--batch", type=int, default=16, help="most answers side by side (16)")
    serving.add_argument("--key-from", metavar="VARIABLE", help="requests must bring the key in this variable")
    judging = verbs.add_parser("judge", help="do anybody's clips keep the laws of motion? a report on a folder of them")
    judge_arguments(judging)
    previewing = verbs.add_parser("preview", help="a page of exactly what train.py's loader feeds to a video model")
    _preview_arguments(previewing)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise UserError(
            f"physworld {options.verb} does not take {' '.join(unknown)}; see physworld {options.verb} --help."
        )
    console = screen()
    if options.verb == "validate":
        from physworld.datasets import is_data
        from physworld.datasets import validate as validate_data

    of_run = options.verb == "export" and (options.what in NAMED or Path(options.what).is_dir())
    if of_run or (options.verb == "play" and options.export is not None):
        idle = ("out", "stems", "layout", "seconds") if of_run else ("port", "host", "no_browser")
        for name in idle:
            if getattr(options, name) is not None and getattr(options, name) is not False:
                what = "a run, whose folder gets the files" if of_run else "--export, which starts no server"
                raise UserError(f"--{name.replace('_', '-')} has no effect with {what}; leave it out.")
    if options.verb == "runs":
        _runs(options, console)
    elif options.verb == "leaderboard":
        _leaderboard(options, console)
    elif of_run:
        run = find_run(options.what, "")
        loading("what an export needs")
        from physworld.text.hub import export as export_run

        written = export_run(run, options.format)
        console.print(str(written), soft_wrap=True)
    elif options.verb == "validate" and is_data(options.scene):
        if options.payload is not None:
            raise UserError(f"{options.payload} is one too many: data is checked one folder or file at a time.")
        training = not options.not_trained_on
        return validate_data(options.scene, console, training=training, report=options.report), "validate a folder"
    elif options.verb in ("validate", "export"):
        installed("spatial", "pydantic", "soundfile", "scipy", what=f"physworld {options.verb} of a scene")
        from physworld.spatial.commands import export, validate

        if options.verb == "validate":
            if options.report is not None or options.not_trained_on:
                raise UserError(f"--report and --not-trained-on are for data, and {options.scene} is a spatial scene.")
            return validate(options.scene, options.payload, console), options.verb
        console.print(str(export(options)), soft_wrap=True)
    elif options.verb == "play" and options.export is not None:
        _export_page(options, console)
    elif options.verb == "play":
        _play(options)
    elif options.verb == "serve":
        _serve(options)
    elif options.verb == "preview":
        console.print(str(_preview(options, console)), soft_wrap=True)
    elif options.verb == "judge":
        refuse_judging(options)
        from physworld.judge.command import judge_folder

        console.print(str(judge_folder(options, console)), soft_wrap=True)
    elif options.verb in ("describe", "mix"):
        installed("spatial", "pydantic", "soundfile", "scipy", what=f"physworld {options.verb}")
        from physworld.spatial.sound.commands import run_describe, run_mix

        made = run_describe(options, console) if options.verb == "describe" else run_mix(options, console)
        console.print(str(made), soft_wrap=True)
    elif options.verb == "listen":
        installed("spatial", "pydantic", "soundfile", "scipy", what="physworld listen")
        from physworld.spatial.sound.commands import run_listen

        page = run_listen(options, console)
        if page is not None:
            console.print(str(page), soft_wrap=True)
    elif options.verb == "publish":
        run = find_run(options.run, "")
        loading("what publishing needs")
        from physworld.text.hub import publish

        publish(run, options.repo, send=options.send, console=console)
    else:
        compare(options.directory, console, options.csv)
    of_scene = options.verb == "export" and not of_run
    return 0, "export a scene" if of_scene else options.verb


def _leaderboard(options: argparse.Namespace, console: Console) -> None:
    from physworld.judge.board import numbers
    from physworld.run import system, systems
    from physworld.runs.leaderboard import leaderboard

    readers = {"metrics.json": [system(name).numbers for name in systems()], "summary.json": [numbers]}
    leaderboard(options.folder, readers, options.out, console)


def _export_page(options: argparse.Namespace, console: Console) -> None:
    from physworld.play.export import export

    if options.run:
        raise UserError(f"--export writes the shipped model alone; leave {options.run[0]} out.")
    files = export(options.export, chipmunk=options.chipmunk)
    total = sum(size for _, size in files)
    console.print(f"{options.export}: {len(files)} files, {total / 1e6:.1f} MB", soft_wrap=True)
    console.print(f"Look at it: python -m http.server --directory {options.export}", soft_wrap=True, markup=False)


def _play(options: argparse.Namespace) -> None:
    from physworld.settings.checks import installed

    installed("play", "starlette", "uvicorn", "websockets", what="physworld play")
    port = 8765 if options.port is None else options.port
    if not 0 <= port < 2**16:
        raise UserError(f"--port {port} must be a whole number from 0 to 65535.")
    if options.chipmunk is not None:
        raise UserError("--chipmunk goes with --export.")
    from physworld.runs.directory import find_run

    given = [find_run(run, "") for run in options.run]
    loading("what the page needs")
    import webbrowser

    from physworld.play.server import serve

    def ready(address: str) -> None:
        print(f"{address}\nStop with Ctrl-C.", flush=True)
        if not options.no_browser:
            webbrowser.open(address)

    serve(options.host or "127.0.0.1", port, ready, given)


def _serve(options: argparse.Namespace) -> None:
    from physworld.settings.checks import installed

    installed("play", "starlette", "uvicorn", what="physworld serve")
    if not 0 <= options.port < 2**16:
        raise UserError(f"--port {options.port} must be a whole number from 0 to 65535.")
    if options.batch < 1:
        raise UserError(f"--batch {options.batch} must be 1 or more.")
    if options.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {options.device} is unknown; choose auto, cpu or cuda.")
    from physworld.lm.api_generator import key_of
    from physworld.serve.found import find

    key, name = key_of(options.key_from, "--key-from"), options.name or options.run
    find(options.run, options.base)
    loading(options.run)
    import torch

    from physworld.serve.served import load
    from physworld.serve.server import Service, serve

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no NVIDIA GPU is visible here; choose auto or cpu.")
    gpu = options.device != "cpu" and torch.cuda.is_available()
    served = load(options.run, options.base, torch.device("cuda" if gpu else "cpu"))

    def ready(address: str) -> None:
        print(f"{name} at {address}\nStop with Ctrl-C.", flush=True)

    serve(Service(served, name, batch=options.batch, key=key), options.host, options.port, ready)


def _preview_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="+", metavar="FOLDER or KEY=VALUE",
        help="a folder of clips, or the settings of a train.py command, or both; model=tiny_video is usual",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=8, metavar="N", help="samples of training that are shown (8)")
    parser.add_argument("--seen", action="store_true", help="also what the model's codec leaves of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="by default outputs/preview/FOLDER")


def _preview(options: argparse.Namespace, console: Console) -> Path:
    import shlex

    from physworld.io.placing import folder_for, report_folder
    from physworld.judge.footage import find
    from physworld.mains import composed
    from physworld.settings.messages import override

    settings = [word for word in options.words if "=" in word]
    folders = [word for word in options.words if "=" not in word]
    if len(folders) > 1 or options.count < 1:
        raise UserError("physworld preview takes one FOLDER, settings as KEY=VALUE, and --count from 1 on.")
    for key, value in (("model", "tiny_video"), *((("data", "clips"), ("data.path", folders[0])) if folders else ())):
        if not any(word.startswith(f"{key}=") for word in settings):
            settings.append(override(key, value))
    if folders and not Path(folders[0]).is_dir():
        find(Path(folders[0]))  # refuses it, before libraries are loaded that take seconds
    loading("what video needs")
    cfg = composed("train", settings)
    if cfg.data.task != "video":
        raise UserError(f"physworld preview is for clips, and data.task={cfg.data.task}; choose data=clips.")
    clips = [Path(str(cfg.data.path))] if "path" in cfg.data and cfg.data.path is not None else []
    directory = options.out or (
        folder_for(Path("outputs") / "preview", clips[0]) if clips else Path("outputs") / "preview" / "clips"
    )
    report_folder(directory, ["clips.csv", "report.md", "report.html"], [["preview.json"]], clips)
    from physworld.video.task import preview

    seen = ["--seen"] if options.seen else []
    command = shlex.join(["physworld", "preview", *options.words, "--count", str(options.count), *seen])
    return preview(cfg, directory, command=command, count=options.count, seen=options.seen, console=console)


def _runs_parser(parser: argparse.ArgumentParser) -> None:
    does = parser.add_subparsers(dest="does", required=True, metavar="WHAT")
    places = {
        "ls": does.add_parser("ls", help="every run: state, step, best and final figure, when it last gave a sign"),
        "best": does.add_parser("best", help="runs ranked by a figure, the lowest first"),
        "dead": does.add_parser("dead", help="runs that were killed, with the command that goes on"),
    }
    for name, place in places.items():
        if name == "best":
            place.add_argument(
                "metric", nargs="?", help="a figure of the headline in metrics.json, or score; without, which there are"
            )
            place.add_argument("--highest", action="store_true", help="the highest first")
        place.add_argument("--under", type=Path, default=Path("outputs"), metavar="FOLDER", help="by default outputs")
    does.add_parser("show", help="all that a run keeps of itself").add_argument("run", help="name or folder")
    removing = does.add_parser("rm", help="say what would be removed; --yes removes it")
    removing.add_argument("run", nargs="+", help="names or folders")
    removing.add_argument("--yes", action="store_true", help="remove it")


def _runs(options: argparse.Namespace, console: Console) -> None:
    from physworld.runs import registry

    if options.does == "ls":
        registry.ls(options.under, console)
    elif options.does == "best":
        registry.best(options.metric, options.under, console, highest=options.highest)
    elif options.does == "dead":
        registry.dead(options.under, console)
    elif options.does == "show":
        registry.show(options.run, console)
    else:
        registry.rm(options.run, console, yes=options.yes)


if __name__ == "__main__":
    sys.exit(main())
