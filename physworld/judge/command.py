"""`physworld judge FOLDER`: find the clips, judge them on all cores, judge their controls, report."""

from __future__ import annotations

import argparse
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from rich.console import Console

from physworld.errors import UserError
from physworld.io.names import safe_name
from physworld.io.placing import folder_for, report_folder
from physworld.judge import controls, report
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Discard, Source, find, is_sequence, read
from physworld.judge.kept import Journal, Result, key_of
from physworld.judge.options import add_arguments
from physworld.judge.pictures import picture
from physworld.judge.summary import AGAINST, OURS, noted, paired, summarise
from physworld.reporting.progress import bar

JOURNAL = "judged.jsonl"  # in the report's folder, until the report is written


def judge_folder(options: argparse.Namespace, console: Console) -> Path:
    """Judge a folder as asked; return the path of report.html.

    Raises:
        UserError: an option or a folder makes no sense, or no clip could be judged. Some that could not are rows of the
            report.
    """
    settings = _settings(options)
    sources = find(options.folder)
    others = [] if options.against is None else find(options.against)
    if others and not {each.name for each in sources} & {each.name for each in others}:
        raise UserError(
            f"{options.folder} and {options.against} have no clip of one name to compare, such as {sources[0].name} "
            f"and {others[0].name}; the path below the folder, without suffix, must be the same."
        )
    for each in (*sources, *others):
        if is_sequence(each) and options.fps is None:
            raise UserError(f"{each.name} is a run of pictures; say with --fps N how many were taken in a second.")
    directory = options.out or folder_for(Path("outputs") / "judge", options.folder)
    inputs = [options.folder, *([] if options.against is None else [options.against])]
    report_folder(directory, report.FILES, [["clips.json", "report.html"], [JOURNAL]], inputs)
    report.refuse_other(directory, _command(options))
    with Journal(directory / JOURNAL) as journal:
        return _report(options, settings, sources, others, directory, journal, console)


def _report(
    options: argparse.Namespace, settings: Settings, sources: Sequence[Source], others: Sequence[Source],
    directory: Path, journal: Journal, console: Console,
) -> Path:  # fmt: skip
    begun = time.perf_counter()
    results, fresh = _judge_all(sources, settings, options, directory / "pictures", journal, console)
    spent = time.perf_counter() - begun
    verdicts = noted([result.verdict for result in results])
    rows: dict[str, Any] = {OURS: summarise(verdicts)}
    for name in (controls.ORACLE, controls.PLACEBO):
        made = [verdict for result in results for kind, verdict in result.controls if kind == name]
        if made:
            rows[name] = summarise(made)
    measured: dict[str, Any] = {"folder": _named(options.folder), "processes": options.workers}
    if fresh == len(sources):  # else it was stopped in between, and no one speed was measured
        measured["clips a minute"] = round(60 * len(sources) / spent)
    summary: dict[str, Any] = {
        "command": _command(options), "measured": measured, "rows": rows,
        "controls": _made_again(results[: options.controls]),
    }  # fmt: skip
    if others:
        plain = argparse.Namespace(**{**vars(options), "controls": 0, "pictures": 0})
        found, _ = _judge_all(others, settings, plain, directory / "pictures", journal, console)
        theirs = [result.verdict for result in found]
        summary["against"], summary["paired"] = _named(options.against), paired(verdicts, theirs)
        rows[AGAINST] = summarise(theirs)
    pictures = [(r.picture[0], Path(r.picture[1])) for r in results if r.picture is not None]
    written = report.write(directory, summary, verdicts, pictures)
    journal.remove()
    console.print(report.headline(summary), soft_wrap=True)
    for verdict in verdicts:
        if not verdict.judged:
            console.print(f"{verdict.name}: {verdict.sentence}.", soft_wrap=True)
    if not any(verdict.judged for verdict in verdicts):
        raise UserError(f"No clip could be judged; {written} says why, clip by clip.")
    return written


def _named(folder: Path) -> str:
    """As it was typed; . and .. by where they are, since they tell no two folders apart."""
    return str(folder.resolve() if folder.name in ("", "..") else folder)


def _made_again(asked: Sequence[Result]) -> dict[str, int]:
    """How many of the clips that were to be made again were, and why the others were not."""
    discarded = sum(not result.verdict.judged for result in asked)
    made = sum(bool(result.controls) for result in asked)
    return {"of": len(asked), "made": made, "discarded": discarded, "no_law": len(asked) - made - discarded}


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
    sources: Sequence[Source], settings: Settings, options: argparse.Namespace, folder: Path, journal: Journal,
    console: Console,
) -> tuple[list[Result], int]:  # fmt: skip
    """(results in the order of the clips, how many of them were judged now and not before)."""
    jobs = [
        (source, settings, k, k < options.controls, folder if k < options.pictures else None)
        for k, source in enumerate(sources)
    ]
    keys = [key_of(j[0], settings, place=j[2], controls=j[3], picture=str(j[4]) if j[4] else None) for j in jobs]
    found = [journal.found.get(key) for key in keys]
    left = [k for k, result in enumerate(found) if result is None]
    try:
        with bar("Judging", len(left), console) as done:
            for place, result in _results([jobs[k] for k in left], min(options.workers, len(left))):
                found[left[place]] = result
                journal.keep(keys[left[place]], result)
                done(1)
    except KeyboardInterrupt as stopped:
        ready = sum(result is not None for result in found)
        raise type(stopped)(
            f"Stopped after {ready} of {len(jobs)} clips; the same command goes on from there."
        ) from None
    return [result for result in found if result is not None], len(left)


Job = tuple[Source, Settings, int, bool, Path | None]


def _results(jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Result]]:
    """(place in `jobs`, result) as they come."""
    if workers <= 1:
        yield from enumerate(map(_job, jobs))
        return
    before = set(active_children())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        with _deaf():  # what is started in here never hears of Ctrl-C
            futures = {pool.submit(_job, job): place for place, job in enumerate(jobs)}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                raise UserError(
                    f"A process ended at once while {jobs[futures[future]][0].name} or a clip near it was read; give "
                    "--workers 1 to see which, or more memory."
                ) from None
        pool.shutdown()
    except BaseException:  # whoever stopped does not wait for clips that are under way
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - before:
            child.terminate()
        raise


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is ignored within the block, and by the processes that are started there."""
    if current_thread() is not main_thread():
        yield
        return
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _job(job: Job) -> Result:
    source, settings, index, controlled, folder = job
    try:
        footage = read(source, most=settings.most_frames, side=settings.side, fps=settings.fps)
    except Discard as why:
        return Result(verdict=Verdict(name=source.name, caption=source.caption, reason=why.reason, sentence=str(why)))
    verdict = judge_footage(footage, source, settings)
    made = []
    if controlled and controls.can(verdict):
        for name in (controls.ORACLE, controls.PLACEBO):
            again = controls.control(verdict, footage, source, settings, right=name == controls.ORACLE, index=index)
            made.append((name, again))
    shown = None
    if folder is not None:
        path = folder / f"{index:04d}_{safe_name(source.name.replace('/', '_'))}.png"
        shown = (source.caption or source.name, str(picture(path, verdict, footage)))
    return Result(verdict=verdict, controls=made, picture=shown).light()
