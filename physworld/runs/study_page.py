"""study.html: a search as one page: every trial, how the best figure came down, what mattered, slices."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from physworld.io.atomic import replacing
from physworld.reporting.charts import GREY, PALETTE, new_axes, svg
from physworld.reporting.html import page
from physworld.reporting.markdown import plain
from physworld.runs.trial import optuna

FEWEST = 4  # finished trials, for an importance to mean anything


def write_page(study: Any, path: Path) -> None:
    """Write the page of an Optuna study, whatever state it is in."""
    every = study.get_trials(deepcopy=False)
    done = [trial for trial in every if trial.state.name == "COMPLETE" and math.isfinite(trial.value)]
    names = list(dict.fromkeys(name for trial in every for name in trial.params))
    lowers = study.direction.name == "MINIMIZE"
    charts = {}
    if done:
        charts["Every trial's figure, and the best so far."] = _history(done, lowers)
        weights = importances(study) if len(done) >= FEWEST else {}
        if weights:
            charts["What the figure depends on (PED-ANOVA, arXiv 2304.10255); the parts add up to 1."] = _bars(weights)
        for name in names:
            charts[f"{name}: each point is a trial."] = _slice(name, [t for t in done if name in t.params])
    curves = [trial for trial in every if trial.intermediate_values]
    if curves:
        charts["Validations on the way; grey ones were given up."] = _curves(curves)
    best = study.best_trial.number if done else None
    rows = [
        f"# Search {plain(study.study_name)}", "",
        f"{len(every)} trials; {'lower' if lowers else 'higher'} is better.", "",
        "| trial | state | figure | " + " | ".join(plain(name) for name in names) + " |",
        "| --: | :-- | --: |" + " --: |" * len(names),
    ]  # fmt: skip
    for trial in every:
        mark = "**" if trial.number == best else ""
        value = "–" if trial.value is None else f"{mark}{trial.value:.6g}{mark}"
        cells = [_cell(trial.params.get(name)) for name in names]
        rows.append(f"| {trial.number} | {trial.state.name.lower()} | {value} | " + " | ".join(cells) + " |")
    with replacing(path) as temporary:
        temporary.write_text(page("\n".join(rows), charts), encoding="utf-8")


def importances(study: Any) -> dict[str, float]:
    """Share of each searched setting in what the figure depends on; empty where trials do not tell."""
    importance = optuna().importance
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental, says Optuna
        try:
            evaluator = importance.PedAnovaImportanceEvaluator()
            found = importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # all trials alike
            return {}
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else plain(str(value))


def _history(done: list[Any], lowers: bool) -> str:
    figure, axes = new_axes()
    axes.plot([t.number for t in done], [t.value for t in done], "o", color=GREY)
    best, line = None, []
    for trial in done:
        best = trial.value if best is None else (min if lowers else max)(best, trial.value)
        line.append(best)
    axes.step([t.number for t in done], line, where="post", color=PALETTE[0])
    axes.set_xlabel("trial")
    return svg(figure)


def _bars(weights: Mapping[str, float]) -> str:
    figure, axes = new_axes(height=0.8 + 0.4 * len(weights))
    axes.barh(list(weights), list(weights.values()), color=PALETTE[0])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    return svg(figure)


def _slice(name: str, done: list[Any]) -> str:
    figure, axes = new_axes(width=4.2)
    values = [trial.params[name] for trial in done]
    numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in values)
    axes.scatter(
        values if numbers else [str(value) for value in values],
        [t.value for t in done], c=[t.number for t in done], cmap="viridis",
    )  # fmt: skip
    if done and "log=True" in repr(done[0].distributions[name]):
        axes.set_xscale("log")
    axes.set_xlabel(name)
    return svg(figure)


def _curves(trials: list[Any]) -> str:
    figure, axes = new_axes()
    for trial in trials:
        steps = sorted(trial.intermediate_values)
        given_up = trial.state.name == "PRUNED"
        color = GREY if given_up else PALETTE[trial.number % len(PALETTE)]
        axes.plot(steps, [trial.intermediate_values[step] for step in steps], marker=".", color=color)
    axes.set_xlabel("step")
    return svg(figure)
