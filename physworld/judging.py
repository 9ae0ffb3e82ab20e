"""L4: from candidates and a suite to reports: roll out, score, rank, write Markdown, HTML, pictures and TensorBoard."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from physworld import charts, checks, paper, runs
from physworld.candidates import Candidate, candidates
from physworld.evaluation import FRAMES_PER_SECOND, Evaluation, Judgement, Moments, judgement_frames
from physworld.files import replacing
from physworld.metrics.scores import MODEL
from physworld.pictures import add_gif, write_animation
from physworld.ranking import rank
from physworld.recorded import write_moments
from physworld.report import print_table, report_lines, write_report
from physworld.report_html import write_html
from physworld.rollout import Store
from physworld.scenarios import DIFFICULTIES
from physworld.sections import ranking_section, shift_table, span
from physworld.suites import Suite
from physworld.tasks import placed
from physworld.types import State

console = Console()
WORST = 10  # rollouts in the gallery


def judge_and_report(
    network: Any,
    codec: Any,
    evaluation: Evaluation,
    moments: Moments,
    directory: Path,
    *,
    command: str,
    split: str,
    cost: dict[str, Any],
    title: str = "Rollout report",
    store: Callable[[int], Store] | None = None,
    extra: Callable[[Judgement], list[str]] = lambda judgement: [],
) -> Judgement:
    """Roll out, write metrics.json, report.md, report.html and pictures, print the table.

    Args:
        extra: Markdown of a suite's own tables.
    """
    for why, names in _grouped(moments.left_out).items():
        console.print(f"Not judged: {', '.join(names)} ({why}).", highlight=False)
    with Progress(console=console, transient=True) as bar:
        total = len(moments.given) * evaluation.frames * (1 + evaluation.samples)
        task = bar.add_task("Evaluating", total=total)
        judgement = evaluation.judge(network, codec, moments, lambda done: bar.advance(task, done), store=store)
    pictures = evaluation.draw_pictures(judgement, directory / "pictures")
    judgement.summary["cost"] = cost
    summary, own = judgement.summary, extra(judgement)
    notes = {"commit": runs.versions()["commit"], **{key: f"{value:,}" for key, value in cost.items()}}
    left_out = "; ".join(f"{why}: {', '.join(names)}" for why, names in _grouped(moments.left_out).items())
    notes |= {"not judged": left_out} if left_out else {}
    report = write_report(directory, summary, pictures, command=command, split=split, notes=notes, extra=own)
    page = report_lines(summary, command=command, split=split, notes=notes, extra=own, title=title)
    worst = _worst(judgement, evaluation, directory / "worst") if evaluation.pictures else []
    write_html(
        directory / "report.html",
        "\n".join(page),
        {caption: charts.svg(figure) for caption, figure in _charts(judgement).items()},
        [(picture.stem.replace("_", " "), picture) for picture in pictures],
        worst,
    )
    with replacing(directory / "rows.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(_plain(row)) + "\n" for row in judgement.rows), encoding="utf-8")
    print_table(summary, console)
    console.print(f"Report:       {report}\n              {directory / 'report.html'}", highlight=False)
    return judgement


def evaluate(cfg: DictConfig) -> None:
    """Judge everything that the command line names, on one suite."""
    checks.whole("seed", cfg.seed, 0)
    checks.whole("limit", cfg.limit, 1, or_null=True)
    checks.split(cfg.split)
    names = checks.scenario_names(cfg.scenario.names)
    evaluation: Evaluation = instantiate(cfg.evaluation)
    suite: Suite = instantiate(cfg.suite)
    if cfg.export is not None:
        _export(cfg, evaluation, suite, names)
        return
    judged = candidates(cfg, placed(cfg).device())
    difficulties = _difficulties(cfg, judged)

    def draw(how: Evaluation, some: Sequence[str]) -> Moments:
        return suite.draw(
            how, [candidate.codec for candidate in judged], some, difficulties,
            split=cfg.split, seed=cfg.seed, trained_on=(), limit=cfg.limit,
        )  # fmt: skip

    if cfg.scenes is not None:
        codecs = [candidate.codec for candidate in judged]
        moments = suite.read(Path(cfg.scenes), evaluation, codecs, seed=cfg.seed, limit=cfg.limit)
    else:
        moments = draw(evaluation, names)
    hydra = HydraConfig.get()
    command = shlex.join(["python", "evaluate.py", *hydra.overrides.task])
    directory = runs.relative(hydra.runtime.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    resolved = OmegaConf.to_container(cfg, resolve=True)
    OmegaConf.save(resolved, directory / "config.yaml")
    runs.write_json(directory / "versions.json", runs.versions())
    beside_published = bool(suite.curves) and cfg.scenes is None
    curves = draw(suite.curve_evaluation(evaluation), suite.curves) if beside_published else None
    means = _baseline_means(cfg, suite, names, difficulties) if beside_published else {}
    results: dict[str, Judgement] = {}
    for candidate in judged:
        store = candidate.store(None if cfg.cache is None else Path(cfg.cache), _settings(evaluation))

        def extra(judgement: Judgement, candidate: Candidate = candidate, store: Any = store) -> list[str]:
            if curves is None:
                return shift_table(judgement.summary, judgement.rows)
            how = suite.curve_evaluation(evaluation)
            rolled = how.judge(candidate.model, candidate.codec, _marked(curves, candidate), store=store)
            judgement.summary["rollouts_beside_published"] = rolled.summary
            judgement.summary["collision_decomposition"] = paper.collision_decomposition(judgement.rows)
            judgement.summary["baselines_by_horizon"] = {str(h): dict(mean) for h, mean in means.items()}
            return paper.sections(judgement.summary, judgement.rows, rolled.summary, means)

        home = directory if len(judged) == 1 else directory / _slug(candidate.name)
        if len(judged) > 1:
            console.print(f"\n{candidate.name}", style="bold", highlight=False)
        results[candidate.name] = judge_and_report(
            candidate.model, candidate.codec, evaluation, _marked(moments, candidate), home,
            command=command, split=cfg.split, cost=candidate.cost, title=f"{suite.name}: {candidate.name}",
            store=store, extra=extra,
        )  # fmt: skip
        _to_tensorboard(directory, candidate, suite, results[candidate.name])
        if candidate.recorded is not None and not candidate.recorded.used:
            console.print(
                f"No line of {candidate.name} is about these moments; write them with export= and the same suite, "
                "seed, limit and codec.",
                highlight=False,
            )
    if len(judged) > 1:
        _write_ranking(directory, results, evaluation, command)


def _export(cfg: DictConfig, evaluation: Evaluation, suite: Suite, names: list[str]) -> None:
    codec = instantiate(cfg.codec)
    if cfg.scenes is not None:
        moments = suite.read(Path(cfg.scenes), evaluation, [codec], seed=cfg.seed, limit=cfg.limit)
    else:
        moments = suite.draw(
            evaluation, [codec], names, checks.difficulties(cfg.difficulties or list(DIFFICULTIES), "difficulties"),
            split=cfg.split, seed=cfg.seed, trained_on=(), limit=cfg.limit,
        )  # fmt: skip
    write_moments(Path(cfg.export), moments, evaluation.frames, codec)
    console.print(f"{cfg.export}: {len(moments.given)} moments of {evaluation.frames} frames", highlight=False)


def _difficulties(cfg: DictConfig, judged: Sequence[Candidate]) -> list[int]:
    """As asked; else those that all runs were trained on, or all five."""
    if cfg.difficulties is not None:
        return checks.difficulties(cfg.difficulties, "difficulties")
    known = [candidate.difficulties for candidate in judged if candidate.difficulties is not None]
    return known[0] if known and all(some == known[0] for some in known) else list(DIFFICULTIES)


def _marked(moments: Moments, candidate: Candidate) -> Moments:
    """The moments, with those of types that this candidate was not trained on marked as held out."""
    marked = [
        {**about, "held_out": truth.scene.name not in candidate.trained_on}
        for about, truth in zip(moments.meta, moments.truth, strict=True)
    ]
    return replace(moments, meta=marked)  # type: ignore[arg-type]


def _baseline_means(
    cfg: DictConfig, suite: Suite, names: Sequence[str], difficulties: Sequence[int]
) -> dict[int, dict[str, float]]:
    scenes = 6 if cfg.limit is None else min(6, cfg.limit)
    return paper.baseline_means(
        names, difficulties, split=cfg.split, seed=cfg.seed, first_index=suite.first_index, scenes=scenes
    )


def _settings(evaluation: Evaluation) -> str:
    """What, of how it is asked, changes what a model answers."""
    return f"guided={evaluation.guided} temperature={evaluation.temperature} batch={evaluation.batch_size}"


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.") or "model"


def _grouped(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> names."""
    groups: dict[str, list[str]] = {}
    for name, why in left_out.items():
        groups.setdefault(why, []).append(name)
    return groups


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinity."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}


def _before(judgement: Judgement) -> list[State]:
    return [given.frame(-1) for given in judgement.moments.given]


def _charts(judgement: Judgement) -> dict[str, Any]:
    """Caption -> figure."""
    truth, summary = judgement.moments.truth, judgement.summary
    everything = {MODEL: judgement.predicted, **judgement.others}
    found = {"Position RMSE at every frame, mean over scenario types": charts.horizon_chart(summary["curves"])}
    if charts.has_events(truth, _before(judgement)):
        found["Velocity jumps: every body and frame at which the truth has an event"] = charts.event_scatter(
            truth, judgement.predicted, _before(judgement)
        )
    if len(truth[0]) > 1:
        found["Energy and momentum against the truth's own, median over rollouts"] = charts.conservation_chart(
            truth, everything
        )
    found["Each scenario type beside its best baseline (orange: held out)"] = charts.skill_chart(summary)
    if "shift" in summary["breakdown"]:
        found["Out of distribution: error against distance"] = charts.shift_chart(summary, judgement.rows)
    return found


def _worst(judgement: Judgement, evaluation: Evaluation, folder: Path) -> list[tuple[str, Path]]:
    """The worst rollouts as animations with what they are."""
    last = f"rmse@{evaluation.horizons[-1]}"
    mine = [row for row in judgement.rows if row["method"] == MODEL]
    order = sorted(range(len(mine)), key=lambda n: (-mine[n][last], n))[:WORST]
    found = []
    for place, n in enumerate(order, start=1):
        row = mine[n]
        frames = judgement_frames(judgement, n, size=(280, 210))
        every = max(1, len(frames) // 30)
        path = folder / f"{place:02d}_{row['scenario']}.gif"
        write_animation(path, frames[::every], FRAMES_PER_SECOND / every)
        shifted = f", {row['shift']}" if row["shift"] else ""
        unread = "" if row["parsed"] else ", text not readable to the end"
        caption = f"{place}. {row['scenario']}, difficulty {row['difficulty']}, scene {row['index']}{shifted}: "
        found.append((f"{caption}{row[last]:.1f} px{unread}", path))
    return found


def _to_tensorboard(directory: Path, candidate: Candidate, suite: Suite, judgement: Judgement) -> None:
    """Curves over frames, charts, a picture and one row of the HParams tab, so that candidates line up."""
    logger = TensorBoardLogger(directory, name="tensorboard", version=_slug(candidate.name), default_hp_metric=False)
    for method, values in judgement.summary["curves"].items():
        for frame, value in enumerate(values, start=1):
            if value is not None:
                logger.experiment.add_scalar(f"rmse_by_frame/{method}", value, frame)
    for caption, figure in _charts(judgement).items():
        logger.experiment.add_image(f"charts/{_slug(caption)[:40]}", charts.pixels(figure), 0, dataformats="HWC")
    if len(judgement.moments.truth[0]) > 1:
        add_gif(logger, "rollout/truth_prediction_overlay", judgement_frames(judgement, 0), 0)
    headline = {f"final/{key}": value for key, value in judgement.summary["headline"].items()}
    logger.log_hyperparams({"model": candidate.name, "suite": suite.name, **candidate.cost}, headline)
    logger.save()
    logger.experiment.close()


def _write_ranking(directory: Path, results: Mapping[str, Judgement], evaluation: Evaluation, command: str) -> None:
    """One report above those of the candidates: who is best, curves of all in one chart, where the details are."""
    rows = {name: judgement.rows for name, judgement in results.items()}
    rankings = [rank(rows, h) for h in evaluation.horizons]
    lines = ["# Models side by side", ""]
    for ranking in reversed(rankings):
        lines += ranking_section(ranking)
    lines += ["## Reports", "", *(f"- [{name}]({_slug(name)}/report.html)" for name in results), ""]
    lines += ["```", command, "```", ""]
    first = next(iter(results.values())).summary["curves"]
    curves = {name: judgement.summary["curves"][MODEL] for name, judgement in results.items()}
    chart = charts.horizon_chart(curves | {m: v for m, v in first.items() if m != MODEL}, models=list(results))
    with replacing(directory / "report.md") as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    write_html(directory / "report.html", "\n".join(lines), {"Position RMSE at every frame": charts.svg(chart)})
    content = {
        "rankings": rankings,
        "models": {name: judgement.summary["headline"] for name, judgement in results.items()},
        "measured": {"command": command},
    }
    runs.write_json(directory / "ranking.json", content)
    last = rankings[-1]
    for place, entry in enumerate(last["entries"], start=1):
        console.print(f"{place}. {entry['name']}: RMSE@{last['horizon']} {span(entry['rmse'])} px", highlight=False)
    console.print(f"Report:       {directory / 'report.md'}, report.html", highlight=False)
