"""Text models on one suite in four stages: load candidates, sample cases, score, report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError, counted
from physworld.io.checksums import summed
from physworld.io.names import safe_name
from physworld.reporting.markdown import span
from physworld.reporting.progress import bar
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs.shares import Share
from physworld.scenarios import DIFFICULTIES
from physworld.settings import checks
from physworld.settings.program import typed_command
from physworld.text import timestep
from physworld.text.candidates import Candidate, candidates
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import EvalCases, EvalResult, Evaluation
from physworld.text.evaluation.external_predictions import Coverage, write_cases
from physworld.text.evaluation.suites import Suite
from physworld.text.report.figures import figures, to_tensorboard, worst
from physworld.text.report.laws import laws_section
from physworld.text.report.paper import Published
from physworld.text.report.phyworld import phyworld_section
from physworld.text.report.planning import planning_section
from physworld.text.report.report import print_table, write_report
from physworld.text.report.sections import shift_table, told_section
from physworld.text.report.side_by_side import write_ranking
from physworld.text.rollout import Store, room
from physworld.training.hardware import placed
from physworld.types import Trajectory

console = screen()


def evaluate(cfg: DictConfig) -> None:
    """Score everything that the command line names, on one suite."""
    checks.whole("seed", cfg.seed, 0)
    checks.whole("limit", cfg.limit, 1, or_null=True)
    checks.split(cfg.split)
    if cfg.scenes is not None and cfg.split != "test":
        raise UserError(
            f"split={cfg.split} is of simulated scenes; those of scenes={cfg.scenes} are judged as they are."
        )
    if cfg.export is not None and cfg.predictions is not None:
        raise UserError("export= writes the moments and stops; leave predictions= out, they are scored afterwards.")
    if cfg.export is not None and cfg.run is not None:
        raise UserError("export= writes the moments in codec=, and asks no run; leave run= out.")
    checks.scenario_names(cfg.scenario.names)
    evaluation: Evaluation = instantiate(cfg.evaluation)
    suite: Suite = instantiate(cfg.suite)
    if cfg.export is not None:
        _export(cfg, evaluation, suite)
        return
    share = Share.asked(shards=cfg.shards, shard=cfg.shard, cached=cfg.cache is not None)
    named = candidates(cfg, share.device(placed(cfg).device()))
    cases = sample_cases(cfg, evaluation, suite, named)
    published = sample_published(cfg, evaluation, suite, named) if suite.curves else None
    covered = _coverage(named, [*cases.given, *(published.cases.given if published else ())], _difficulties(cfg, named))
    _refuse_long(named, cases)
    _warn_timestep(named, cases)
    asked = [(evaluation, cases)] + ([(published.evaluation, published.cases)] if published is not None else [])
    if share.of > 1 or not share.reports:
        answer_share(cfg, share, named, evaluation, asked)
    if not share.reports:
        return
    directory, command = _prepare(cfg)
    results: dict[str, EvalResult] = {}
    for candidate in named:
        if len(named) > 1:
            console.print(f"\n{candidate.name}", style="bold")
        store = candidate.store(None if cfg.cache is None else Path(cfg.cache), _settings(evaluation))
        mine = cases.trained_on(candidate.trained_on)
        result = score(candidate.model, candidate.codec, evaluation, mine, store=store)
        suite.finish(result, candidate.codec, split=cfg.split)
        suite.more(
            result, candidate.model, candidate.codec, evaluation, split=cfg.split, seed=cfg.seed, limit=cfg.limit,
            store=store, console=console,
        )  # fmt: skip
        if published is not None:
            extra = published.tables(candidate.model, candidate.codec, candidate.trained_on, result, store)
        else:
            extra = [
                *planning_section(result.summary),
                *phyworld_section(result.summary),
                *told_section(result.summary, result.rows),
                *laws_section(result.summary),
                *shift_table(result.summary, result.rows),
            ]
        charts = report(
            result, candidate.model, candidate.codec, evaluation,
            directory if len(named) == 1 else directory / safe_name(candidate.name),
            command=command, split=cfg.split, cost=candidate.cost, title=f"{suite.name}: {candidate.name}",
            extra=extra, coverage=covered.get(candidate.name),
        )  # fmt: skip
        to_tensorboard(directory, candidate.name, suite.name, candidate.cost, result, charts)
        results[candidate.name] = result
    if len(named) > 1:
        measured = {"split": f"`{cfg.split}`", "seed": cfg.seed, "commit": runs.versions()["commit"]}
        last = write_ranking(directory, results, evaluation.horizons, command=command, measured=measured)
        for place, entry in enumerate(last["entries"], start=1):
            line = f"{place}. {entry['name']}: RMSE@{last['horizon']} {span(entry['rmse'])} px"
            console.print(line, soft_wrap=True)
        console.print(f"Report:       {directory / 'report.md'}, report.html", soft_wrap=True)
    console.print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(directory / 'tensorboard'))}", soft_wrap=True)


# --- 1. load candidates


def _coverage(
    named: Sequence[Candidate], given: Sequence[Trajectory], difficulties: Sequence[int]
) -> dict[str, Coverage]:
    """By candidate, how predictions made elsewhere fit what is going to be scored; told before anything is.

    Raises:
        UserError: not one line is about these scenes.
    """
    found = {some.name: some.recorded.coverage(given) for some in named if some.recorded is not None}
    drawn = f"export= shows which scenes are drawn for the same suite, seed, limit, codec and {difficulties=}"
    for name, coverage in found.items():
        if coverage.unmatched == coverage.lines:
            raise UserError(f"predictions={name}: {coverage.sentence}; {drawn}.")
        if coverage.unmatched:
            console.print(f"predictions={name}: {coverage.sentence}; {drawn}.", soft_wrap=True)
    return found


def _refuse_long(named: Sequence[Candidate], cases: EvalCases) -> None:
    """Say, before anything is scored, which prompts a model cannot read.

    Raises:
        UserError: it can read none.
    """
    for some in named:
        space = room(some.model, some.codec, cases.given)
        if space is not None and space.too_long == space.cases:
            raise UserError(
                f"{some.name} reads at most {space.tokens} tokens at once, and the shortest of these {space.cases} "
                f"moments needs {space.needed} for one frame and the answer; choose smaller scenes or a longer model."
            )
        if space is not None and space.too_long + space.shortened:
            console.print(f"{some.name}: {space.sentence}.", soft_wrap=True)


def _warn_timestep(named: Sequence[Candidate], cases: EvalCases) -> None:
    """Say, before anything is scored, that scenes have a time step which a model never saw."""
    for some in named:
        said = timestep.warning((given.scene for given in cases.given), some.timesteps)
        if said:
            console.print(f"{some.name}: {said}.", style="yellow", highlight=False, soft_wrap=True)


# --- 2. sample cases


def sample_cases(
    cfg: DictConfig,
    evaluation: Evaluation,
    suite: Suite,
    named: Sequence[Candidate],
    *,
    codecs: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
) -> EvalCases:
    """The suite's moments, the same for every candidate; from files where some are named.

    Args:
        codecs: that must be able to write them; None = the candidates'.
        names: of scenario types; None = as the command line says.
    """
    codecs = [candidate.codec for candidate in named] if codecs is None else codecs
    difficulties = _difficulties(cfg, named)
    _refuse_unread(cfg, suite)
    asked, names = names is not None, checks.scenario_names(cfg.scenario.names if names is None else names)
    folder = checks.file("scenes", cfg.scenes)
    if folder is not None:
        asked = asked or types_asked_for(checks.overrides(), HydraConfig.get().runtime.choices["scenario"])
        some, hard = names if asked else None, None if cfg.difficulties is None else difficulties
        return suite.read(folder, evaluation, codecs, seed=cfg.seed, limit=cfg.limit, names=some, difficulties=hard)
    return suite.sample_cases(
        evaluation, codecs, names, difficulties, split=cfg.split, seed=cfg.seed, trained_on=(), limit=cfg.limit
    )


def sample_published(cfg: DictConfig, evaluation: Evaluation, suite: Suite, named: Sequence[Candidate]) -> Published:
    """What the published tables need besides single steps: rollouts of four types, and baselines of all types."""
    curves = suite.curve_evaluation(evaluation)
    return Published.sample(
        curves, sample_cases(cfg, curves, suite, named, names=suite.curves), list(cfg.scenario.names),
        _difficulties(cfg, named), split=cfg.split, seed=cfg.seed, first_index=suite.first_index,
        scenes=min(6, cfg.limit or 6),
    )  # fmt: skip


def _refuse_unread(cfg: DictConfig, suite: Suite) -> None:
    """Raises: UserError: something was typed that scenes of the suite's own, or of files, leave nothing to."""
    keys: tuple[str, ...]
    if suite.own_scenes:
        starts = ("evaluation.start=", "evaluation.starts=", "evaluation.latest_start=")
        keys, why = ("scenario", "difficulties=", *starts), f"suite={suite.name} makes its own scenes"
    elif cfg.scenes is not None:
        keys, why = ("evaluation.rollouts=",), f"of scenes={cfg.scenes} all are judged, or limit=N of each type"
        keys += () if suite.curves else ("suite.first_index=",)  # of its baselines, which are of drawn scenes
    else:
        return
    for override in checks.overrides():
        if override.startswith(keys):
            raise UserError(f"{why}; leave {override} out.")


def types_asked_for(typed: Sequence[str], chosen: str) -> bool:
    """Whether the command line (its overrides) or the suite names types; if not, all recorded ones are taken."""
    if any(override.startswith("scenario.names=") for override in typed):
        return True
    default = chosen == "seen" and not any(override.startswith("scenario=") for override in typed)  # evaluate.yaml's
    return chosen != "all" and not default


def _difficulties(cfg: DictConfig, named: Sequence[Candidate]) -> list[int]:
    """As asked; else those that all runs were trained on, or all five."""
    if cfg.difficulties is not None:
        return checks.difficulties(cfg.difficulties, "difficulties")
    known = [candidate.difficulties for candidate in named if candidate.difficulties is not None]
    return known[0] if known and all(some == known[0] for some in known) else list(DIFFICULTIES)


def _export(cfg: DictConfig, evaluation: Evaluation, suite: Suite) -> None:
    """The cases alone, for a model that lives elsewhere."""
    codec = instantiate(cfg.codec)
    cases = sample_cases(cfg, evaluation, suite, [], codecs=[codec])
    write_cases(Path(str(cfg.export)), cases, evaluation.frames, codec)
    console.print(f"{cfg.export}: {counted(len(cases.given), 'moment')} of {evaluation.frames} frames", soft_wrap=True)


# --- 3. score


def answer_share(
    cfg: DictConfig,
    share: Share,
    named: Sequence[Candidate],
    evaluation: Evaluation,
    asked: Sequence[tuple[Evaluation, EvalCases]],
) -> None:
    """Answer this process's share of every rollout into the cache."""
    for candidate in named:
        store = candidate.store(Path(cfg.cache), _settings(evaluation))
        if candidate.recorded is not None or store is None:
            continue
        title = f"{candidate.name}, share {share.number} of {share.of}"
        frames = sum(len(cases.given) * one.frames * (1 + one.samples) for one, cases in asked)
        with bar(title, frames, console) as done:
            for one, cases in asked:
                one.fill(
                    candidate.model, candidate.codec, cases, done, store=store, share=share.number, shares=share.of
                )
    console.print(f"Share {share.number} of {share.of} is answered; the answers are in {cfg.cache}.", soft_wrap=True)


def score(
    network: Any,
    codec: FrameCodec,
    evaluation: Evaluation,
    cases: EvalCases,
    *,
    store: Callable[[int], Store] | None = None,
) -> EvalResult:
    """Roll out and measure, with a progress bar."""
    for why, names in cases.why_left_out().items():
        console.print(f"Not scored: {', '.join(names)} ({why}).")
    with bar("Evaluating", len(cases.given) * evaluation.frames * (1 + evaluation.samples), console) as done:
        return evaluation.evaluate(network, codec, cases, done, store=store)


def _settings(evaluation: Evaluation) -> str:
    """What, of how it is asked, changes what a model answers."""
    return f"guided={evaluation.guided} temperature={evaluation.temperature} batch={evaluation.batch_size}"


# --- 4. report


def report(
    result: EvalResult,
    network: Any,
    codec: FrameCodec,
    evaluation: Evaluation,
    directory: Path,
    *,
    command: str,
    split: str,
    cost: Mapping[str, Any],
    title: str = "Rollout report",
    extra: Sequence[str] = (),
    coverage: Coverage | None = None,
) -> dict[str, Any]:
    """Write metrics.json, rows.jsonl, report.md, report.html and pictures; print the table.

    Args:
        extra: Markdown of a suite's own tables.
        coverage: of a predictions file, where the answers are from one.

    Returns:
        The charts: caption -> figure.
    """
    cases, summary = result.cases, result.summary
    summary["cost"] = cost
    notes = {"commit": runs.versions()["commit"], **{key: f"{value:,}" for key, value in cost.items()}}
    left_out = "; ".join(f"{why}: {', '.join(names)}" for why, names in cases.why_left_out().items())
    notes |= {"not scored": left_out} if left_out else {}
    space = room(network, codec, cases.given)
    if space is not None and space.too_long + space.shortened:
        summary["room"] = asdict(space)
        notes["prompts"] = space.sentence
    if coverage is not None:
        summary["predictions"] = {name: getattr(coverage, name) for name in ("lines", "unmatched", "unanswered")}
        notes["predictions"] = (
            f"{coverage.lines} lines, {coverage.unmatched} of them about none of these scenes; "
            f"{coverage.unanswered} moments have no line and count as not parsed"
        )
    charts = figures(result)
    path = write_report(
        directory, summary, evaluation.draw_pictures(result, directory / "pictures"), command=command, split=split,
        notes=notes, extra=extra, title=title, charts=charts,
        worst=worst(result, evaluation, directory / "worst") if evaluation.pictures else [],
    )  # fmt: skip
    with summed(directory / "rows.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(_plain(row)) + "\n" for row in result.rows), encoding="utf-8")
    print_table(summary, console)
    console.print(f"Report:       {path}\n              {directory / 'report.html'}", soft_wrap=True)
    return charts


def _prepare(cfg: DictConfig) -> tuple[Path, str]:
    """(output directory with configuration and versions in it, what was typed)."""
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    return directory, typed_command("evaluate", hydra.overrides.task)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what is infinite is null like what does not apply, and named under `not_finite`."""
    broken = [k for k, v in row.items() if isinstance(v, float) and not np.isfinite(v)]
    plain = {k: None if k in broken else v for k, v in row.items()}
    return plain | ({"not_finite": broken} if broken else {})
