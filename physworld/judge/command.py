"""`physworld judge FOLDER`: find the clips, judge them on all cores, judge their controls, report."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console

from physworld.errors import UserError
from physworld.io.names import safe_name
from physworld.judge import controls, report
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Discard, Source, find, is_sequence, read
from physworld.judge.options import add_arguments
from physworld.judge.pictures import picture
from physworld.judge.summary import paired, summarise
from physworld.reporting.progress import bar

Result = tuple[Verdict, list[tuple[str, Verdict]], tuple[str, Path] | None]


def judge_folder(options: argparse.Namespace, console: Console) -> Path:
    """Judge a folder as asked; return the path of report.html.

    Raises:
        UserError: an option or a folder makes no sense, or no clip could be judged. Some that could not are rows of the
            report.
    """
    settings = _settings(options)
    sources = find(options.folder)
    others = [] if options.against is None else find(options.against)
    for each in (*sources, *others):
        if is_sequence(each) and options.fps is None:
            raise UserError(f"{each.name} is a run of pictures; say with --fps N how many were taken in a second.")
    directory = options.out or Path("outputs") / "judge" / (options.folder.resolve().name or "clips")
    if (directory / "config.yaml").exists() or (
        (directory / "report.html").exists() and not (directory / "clips.json").exists()
    ):
        raise UserError(f"--out {directory} holds a run or another report; give a folder of its own.")
    begun = time.perf_counter()
    results = _judge_all(sources, settings, options, directory / "pictures", console)
    spent = time.perf_counter() - begun
    verdicts = [verdict for verdict, _, _ in results]
    rows: dict[str, Any] = {"clips": summarise(verdicts)}
    for name in (controls.ORACLE, controls.PLACEBO):
        made = [verdict for _, found, _ in results for kind, verdict in found if kind == name]
        if made:
            rows[name] = summarise(made)
    measured = {
        "folder": str(options.folder), "clips a minute": round(60 * len(sources) / spent), "processes": options.workers
    }  # fmt: skip
    summary: dict[str, Any] = {"command": _command(options), "measured": measured, "rows": rows}
    if others:
        plain = argparse.Namespace(**{**vars(options), "controls": 0, "pictures": 0})
        theirs = [v for v, _, _ in _judge_all(others, settings, plain, directory / "pictures", console)]
        summary["against"], summary["paired"] = str(options.against), paired(verdicts, theirs)
        rows[str(options.against)] = summarise(theirs)
    pictures = [shown for _, _, shown in results if shown is not None]
    written = report.write(directory, summary, verdicts, pictures)
    console.print(report.headline(summary), soft_wrap=True)
    for verdict in verdicts:
        if not verdict.judged:
            console.print(f"{verdict.name}: {verdict.sentence}.", soft_wrap=True)
    if not any(verdict.judged for verdict in verdicts):
        raise UserError(f"No clip could be judged; {written} says why, clip by clip.")
    return written


def _settings(options: argparse.Namespace) -> Settings:
    for name in ("fps", "pixels_per_metre", "body_diameter", "gravity"):
        value = vars(options)[name]
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} {value:g} must be a number above 0.")
    for name, least in (("controls", 0), ("pictures", 0), ("most_frames", 8), ("workers", 1)):
        if vars(options)[name] < least:
            raise UserError(f"--{name.replace('_', '-')} {vars(options)[name]} must be {least} or more.")
    if options.pixels_per_metre is not None and options.body_diameter is not None:
        raise UserError("--pixels-per-metre and --body-diameter both give the scale; leave one of them out.")
    return Settings(
        most_frames=options.most_frames, fps=options.fps, pixels_per_metre=options.pixels_per_metre,
        body_diameter=options.body_diameter, gravity=options.gravity, side_view=options.view == "side",
    )  # fmt: skip


def _command(options: argparse.Namespace) -> str:
    usual = argparse.ArgumentParser()
    add_arguments(usual)
    words = ["physworld", "judge", str(options.folder)]
    for action in usual._actions:
        if not action.option_strings or action.dest in ("help", "workers"):
            continue
        value = vars(options)[action.dest]
        if value != action.default:
            words += [action.option_strings[-1], str(value)]
    return shlex.join(words)


def _judge_all(
    sources: Sequence[Source], settings: Settings, options: argparse.Namespace, folder: Path, console: Console
) -> list[Result]:
    jobs = [
        (source, settings, k, k < options.controls, folder if k < options.pictures else None)
        for k, source in enumerate(sources)
    ]
    with bar("Judging", len(jobs), console) as done:
        found = []
        for result in _results(jobs, min(options.workers, len(jobs))):
            found.append(result)
            done(1)
    return found


Job = tuple[Source, Settings, int, bool, Path | None]


def _results(jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    if workers == 1:
        yield from map(_job, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job, future in [(job, pool.submit(_job, job)) for job in jobs]:
            try:
                yield future.result()
            except BrokenProcessPool:
                raise UserError(
                    f"A process ended at once while {job[0].name} or a clip near it was read; give --workers 1 to see "
                    "which, or more memory."
                ) from None


def _job(job: Job) -> Result:
    source, settings, index, controlled, folder = job
    try:
        footage = read(source, most=settings.most_frames, side=settings.side, fps=settings.fps)
    except Discard as why:
        verdict = Verdict(name=source.name, caption=source.caption, reason=why.reason, sentence=str(why))
        return verdict, [], None
    verdict = judge_footage(footage, source, settings)
    made = []
    if controlled and controls.can(verdict):
        for name in (controls.ORACLE, controls.PLACEBO):
            again = controls.control(verdict, footage, source, settings, right=name == controls.ORACLE, index=index)
            made.append((name, replace(again, tracks=(), motions=())))
    shown = None
    if folder is not None:
        path = folder / f"{index:04d}_{safe_name(source.name.replace('/', '_'))}.png"
        shown = (source.caption or source.name, picture(path, verdict, footage))
    return verdict, made, shown
