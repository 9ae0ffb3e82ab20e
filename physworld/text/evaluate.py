"""L4: from candidates and a suite to reports: roll out, score, rank, write Markdown, HTML, pictures and TensorBoard."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from physworld.errors import UserError
from physworld.io.atomic import replacing
from physworld.lm.packed_lm import PackedLM
from physworld.metrics.scores import MODEL
from physworld.reporting.html import write_html
from physworld.runs import directory as runs
from physworld.runs.checkpoints import save_model
from physworld.scenarios import DIFFICULTIES
from physworld.settings import checks
from physworld.text.build import TextParts, cases_of_run
from physworld.text.candidates import Candidate, candidates
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import EvalCases, EvalResult, Evaluation
from physworld.text.evaluation.external_predictions import Coverage, write_cases
from physworld.text.evaluation.ranking import rank
from physworld.text.evaluation.suites import Suite
from physworld.text.hub import write_cards
from physworld.text.report import charts, paper
from physworld.text.report.figures import figures, slug, to_tensorboard, worst
from physworld.text.report.report import print_table, report_lines, write_report
from physworld.text.report.sections import ranking_section, shift_table, span
from physworld.text.rollout import Store, room
from physworld.training.hardware import placed
from physworld.types import Trajectory

console = Console()


def evaluate_and_report(
    network: Any,
    codec: FrameCodec,
    evaluation: Evaluation,
    cases: EvalCases,
    directory: Path,
    *,
    command: str,
    split: str,
    cost: dict[str, Any],
    title: str = "Rollout report",
    store: Callable[[int], Store] | None = None,
    extra: Callable[[EvalResult], list[str]] = lambda result: [],
    coverage: Coverage | None = None,
) -> EvalResult:
    """Roll out, write metrics.json, report.md, report.html and pictures, print the table.

    Args:
        extra: Markdown of a suite's own tables.
        coverage: of a predictions file, where the answers are from one.
    """
    for why, names in _grouped(cases.left_out).items():
        console.print(f"Not judged: {', '.join(names)} ({why}).", highlight=False)
    with Progress(console=console, transient=True) as bar:
        total = len(cases.given) * evaluation.frames * (1 + evaluation.samples)
        task = bar.add_task("Evaluating", total=total)
        result = evaluation.evaluate(network, codec, cases, lambda done: bar.advance(task, done), store=store)
    pictures = evaluation.draw_pictures(result, directory / "pictures")
    result.summary["cost"] = cost
    summary, own = result.summary, extra(result)
    notes = {"commit": runs.versions()["commit"], **{key: f"{value:,}" for key, value in cost.items()}}
    left_out = "; ".join(f"{why}: {', '.join(names)}" for why, names in _grouped(cases.left_out).items())
    notes |= {"not judged": left_out} if left_out else {}
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
    report = write_report(directory, summary, pictures, command=command, split=split, notes=notes, extra=own)
    page = report_lines(summary, command=command, split=split, notes=notes, extra=own, title=title)
    gallery = worst(result, evaluation, directory / "worst") if evaluation.pictures else []
    write_html(
        directory / "report.html",
        "\n".join(page),
        {caption: charts.svg(figure) for caption, figure in figures(result).items()},
        [(picture.stem.replace("_", " "), picture) for picture in pictures],
        gallery,
    )
    with replacing(directory / "rows.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(_plain(row)) + "\n" for row in result.rows), encoding="utf-8")
    print_table(summary, console)
    console.print(f"Report:       {report}\n              {directory / 'report.html'}", highlight=False)
    return result


def conclude(
    cfg: DictConfig, parts: TextParts, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the model, judge it and write the report; the score is RMSE at the last horizon over the best baseline's."""
    save_model(network, parts.codec, directory)
    cases = cases_of_run(cfg, parts.evaluation, parts.codec, training=False)
    result = evaluate_and_report(
        network, parts.codec, parts.evaluation, cases, directory, command=command, split="val", cost=cost,
        extra=lambda result: [] if parts.stages is None else parts.stages.markdown(),
    )  # fmt: skip
    if parts.stages is not None:
        parts.stages.write(directory, console)
    if isinstance(network, PackedLM):
        write_cards(directory, command)
    headline: dict[str, float] = result.summary["headline"]
    return headline, headline.get(f"ratio_best@{max(parts.evaluation.horizons)}", float("inf"))


def evaluate(cfg: DictConfig) -> None:
    """Judge everything that the command line names, on one suite."""
    checks.whole("seed", cfg.seed, 0)
    checks.whole("limit", cfg.limit, 1, or_null=True)
    checks.split(cfg.split)
    names = checks.scenario_names(cfg.scenario.names)
    evaluation: Evaluation = instantiate(cfg.evaluation)
    suite: Suite = instantiate(cfg.suite)
    if cfg.export is not None:
        codec = instantiate(cfg.codec)
        cases = _draw(cfg, evaluation, suite, [codec], names, _difficulties(cfg, []))
        write_cases(Path(str(cfg.export)), cases, evaluation.frames, codec)
        console.print(f"{cfg.export}: {len(cases.given)} moments of {evaluation.frames} frames", highlight=False)
        return
    judged = candidates(cfg, placed(cfg).device())
    difficulties, codecs = _difficulties(cfg, judged), [candidate.codec for candidate in judged]
    cases = _draw(cfg, evaluation, suite, codecs, names, difficulties)
    published = _Published(cfg, evaluation, suite, codecs, names, difficulties) if suite.curves else None
    covered = _coverage(judged, [*cases.given, *(published.cases.given if published else ())], difficulties)
    _refuse_long(judged, cases)
    directory, command = _prepare(cfg)
    results: dict[str, EvalResult] = {}
    for candidate in judged:
        if len(judged) > 1:
            console.print(f"\n{candidate.name}", style="bold", highlight=False)
        store = candidate.store(None if cfg.cache is None else Path(cfg.cache), _settings(evaluation))
        tables = published.tables(candidate, store) if published else _shift_tables
        results[candidate.name] = evaluate_and_report(
            candidate.model, candidate.codec, evaluation, _marked(cases, candidate),
            directory if len(judged) == 1 else directory / slug(candidate.name),
            command=command, split=cfg.split, cost=candidate.cost, title=f"{suite.name}: {candidate.name}",
            store=store, extra=tables, coverage=covered.get(candidate.name),
        )  # fmt: skip
        to_tensorboard(directory, candidate.name, suite.name, candidate.cost, results[candidate.name])
    if len(judged) > 1:
        _write_ranking(directory, results, evaluation, command)


def _coverage(
    judged: Sequence[Candidate], given: Sequence[Trajectory], difficulties: Sequence[int]
) -> dict[str, Coverage]:
    """By candidate, how predictions made elsewhere fit what is going to be judged; said before anything is.

    Raises:
        UserError: not one line is about these scenes.
    """
    found = {some.name: some.recorded.coverage(given) for some in judged if some.recorded is not None}
    drawn = f"export= shows which scenes are drawn for the same suite, seed, limit, codec and {difficulties=}"
    for name, coverage in found.items():
        if coverage.unmatched == coverage.lines:
            raise UserError(f"predictions={name}: {coverage.sentence}; {drawn}.")
        if coverage.unmatched:
            console.print(f"predictions={name}: {coverage.sentence}; {drawn}.", highlight=False, soft_wrap=True)
    return found


def _refuse_long(judged: Sequence[Candidate], cases: EvalCases) -> None:
    """Say, before anything is judged, which prompts a model cannot read.

    Raises:
        UserError: it can read none.
    """
    for some in judged:
        space = room(some.model, some.codec, cases.given)
        if space is not None and space.too_long == space.cases:
            raise UserError(
                f"{some.name} reads at most {space.tokens} tokens at once, and the shortest of these {space.cases} "
                f"moments needs {space.needed} for one frame and the answer; choose smaller scenes or a longer model."
            )
        if space is not None and space.too_long + space.shortened:
            console.print(f"{some.name}: {space.sentence}.", highlight=False, soft_wrap=True)


def _prepare(cfg: DictConfig) -> tuple[Path, str]:
    """(output directory with configuration and versions in it, what was typed)."""
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    return directory, shlex.join(["python", "evaluate.py", *hydra.overrides.task])


def _draw(
    cfg: DictConfig,
    evaluation: Evaluation,
    suite: Suite,
    codecs: Sequence[Any],
    names: Sequence[str],
    difficulties: Sequence[int],
) -> EvalCases:
    """The suite's moments, from files where some are named."""
    folder = checks.file("scenes", cfg.scenes)
    if folder is not None:
        hydra = HydraConfig.get()
        named = list(names) == suite.curves or types_asked_for(hydra.overrides.task, hydra.runtime.choices["scenario"])
        some = list(names) if named else None
        hard = None if cfg.difficulties is None else list(difficulties)
        return suite.read(folder, evaluation, codecs, seed=cfg.seed, limit=cfg.limit, names=some, difficulties=hard)
    return suite.sample_cases(
        evaluation, codecs, names, difficulties, split=cfg.split, seed=cfg.seed, trained_on=(), limit=cfg.limit
    )


def types_asked_for(typed: Sequence[str], chosen: str) -> bool:
    """Whether the command line (its overrides) or the suite names types; if not, all recorded ones are judged."""
    if any(override.startswith("scenario.names=") for override in typed):
        return True
    default = chosen == "seen" and not any(override.startswith("scenario=") for override in typed)  # evaluate.yaml's
    return chosen != "all" and not default


def _shift_tables(result: EvalResult) -> list[str]:
    return shift_table(result.summary, result.rows)


class _Published:
    """What the published tables need besides single steps: rollouts of four types, and baselines of all types."""

    def __init__(
        self,
        cfg: DictConfig,
        evaluation: Evaluation,
        suite: Suite,
        codecs: Sequence[Any],
        names: Sequence[str],
        difficulties: Sequence[int],
    ) -> None:
        self.evaluation = suite.curve_evaluation(evaluation)
        self.cases = _draw(cfg, self.evaluation, suite, codecs, suite.curves, difficulties)
        where: Any = {"split": cfg.split, "seed": cfg.seed, "first_index": suite.first_index}
        self.means = paper.baseline_means(names, difficulties, scenes=min(6, cfg.limit or 6), **where)

    def tables(self, candidate: Candidate, store: Any) -> Callable[[EvalResult], list[str]]:
        """Markdown of a candidate's tables; what is in them goes into its summary too."""

        def made(result: EvalResult) -> list[str]:
            cases = _marked(self.cases, candidate)
            rolled = self.evaluation.evaluate(candidate.model, candidate.codec, cases, store=store)
            result.summary["rollouts_beside_published"] = rolled.summary
            result.summary["collision_decomposition"] = paper.collision_decomposition(result.rows)
            result.summary["baselines_by_horizon"] = {str(h): dict(mean) for h, mean in self.means.items()}
            return paper.sections(result.summary, result.rows, rolled.summary, self.means)

        return made


def _difficulties(cfg: DictConfig, judged: Sequence[Candidate]) -> list[int]:
    """As asked; else those that all runs were trained on, or all five."""
    if cfg.difficulties is not None:
        return checks.difficulties(cfg.difficulties, "difficulties")
    known = [candidate.difficulties for candidate in judged if candidate.difficulties is not None]
    return known[0] if known and all(some == known[0] for some in known) else list(DIFFICULTIES)


def _marked(cases: EvalCases, candidate: Candidate) -> EvalCases:
    """The moments, with those of types that this candidate was not trained on marked as held out."""
    marked = [
        {**about, "held_out": truth.scene.name not in candidate.trained_on}
        for about, truth in zip(cases.meta, cases.truth, strict=True)
    ]
    return replace(cases, meta=marked)  # type: ignore[arg-type]


def _settings(evaluation: Evaluation) -> str:
    """What, of how it is asked, changes what a model answers."""
    return f"guided={evaluation.guided} temperature={evaluation.temperature} batch={evaluation.batch_size}"


def _grouped(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> names."""
    groups: dict[str, list[str]] = {}
    for name, why in left_out.items():
        groups.setdefault(why, []).append(name)
    return groups


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}


def _write_ranking(directory: Path, results: Mapping[str, EvalResult], evaluation: Evaluation, command: str) -> None:
    """One report above those of the candidates: who is best, curves of all in one chart, where the details are."""
    rows = {name: result.rows for name, result in results.items()}
    rankings = [rank(rows, h) for h in evaluation.horizons]
    lines = ["# Models side by side", ""]
    for ranking in reversed(rankings):
        lines += ranking_section(ranking)
    lines += ["## Reports", "", *(f"- [{name}]({slug(name)}/report.html)" for name in results), ""]
    lines += ["```", command, "```", ""]
    first = next(iter(results.values())).summary["curves"]
    curves = {name: result.summary["curves"][MODEL] for name, result in results.items()}
    chart = charts.horizon_chart(curves | {m: v for m, v in first.items() if m != MODEL}, models=list(results))
    with replacing(directory / "report.md") as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    write_html(directory / "report.html", "\n".join(lines), {"Position RMSE at every frame": charts.svg(chart)})
    content = {
        "rankings": rankings,
        "models": {name: result.summary["headline"] for name, result in results.items()},
        "measured": {"command": command},
    }
    runs.write_json(directory / "ranking.json", content)
    last = rankings[-1]
    for place, entry in enumerate(last["entries"], start=1):
        console.print(f"{place}. {entry['name']}: RMSE@{last['horizon']} {span(entry['rmse'])} px", highlight=False)
    console.print(f"Report:       {directory / 'report.md'}, report.html", highlight=False)
