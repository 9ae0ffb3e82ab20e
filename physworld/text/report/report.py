"""A summary of rollouts -> metrics.json, report.md and a table on the screen. Input is plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from physworld import scenarios
from physworld.errors import counted
from physworld.io.checksums import summed
from physworld.metrics.errors import EVENT_THRESHOLD
from physworld.metrics.events import TOLERANCE
from physworld.metrics.horizon import SMALLEST_SPREAD
from physworld.metrics.scores import BASELINES, FLOOR, METRICS, MODEL, PLACEBO, RolloutMeta, score_rollouts
from physworld.metrics.summary import summarise
from physworld.reporting.markdown import figure, header, no_bounds, span, table
from physworld.reporting.report import Gallery, captioned
from physworld.reporting.report import write_report as write_files
from physworld.reporting.screen import screen
from physworld.scenarios import HELD_OUT
from physworld.text.report.laws import laws_table
from physworld.text.report.sections import (
    LABELS,
    SINGLE,
    both,
    breakdown_tables,
    physics_table,
    sampled_table,
    shift_name,
    shifts_in_order,
    skill_text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RolloutMeta", "print_table", "score_rollouts", "summarise", "write_report"]


def _verdict(block: Mapping[str, Any], horizon: str) -> str:
    """What the numbers say, in sentences that change with them."""
    part = block["horizons"][horizon]
    ratio, strict = part["ratio_best"], part["ratio_best_per_scenario"]
    best = LABELS[part["best_baseline"]]
    if ratio is None:
        return f"At {horizon} frames {best} makes no error at all on these scenes, so there is no ratio to it."
    low, high = ratio["low"], ratio["high"]
    if no_bounds(ratio):
        return (
            f"At {horizon} frames the model's position error is {figure(ratio['mean'])} × that of {best}, the best "
            f"single baseline; {SINGLE}: judge at least two scenes a type."
        )
    if high is not None and high < 1:
        word = "below it, with the whole 95 % interval"
    elif low is None or low > 1:
        word = "above it: the model is worse"
    else:
        word = "not told apart from it by these rollouts"
    sentence = (
        f"At {horizon} frames the model's position error is **{span(ratio)} ×** that of {best}, "
        f"the best single baseline: {word}."
    )
    if strict is not None:
        sentence += f" Against the best baseline chosen anew for each scenario type it is {span(strict)} ×."
    if block["fewest"] < 2:
        sentence += " Some type has a single scene, which cannot vary: the intervals are too narrow to trust."
    return sentence


def _horizon_table(block: Mapping[str, Any], methods: Sequence[str], quantity: str) -> list[str]:
    rows = [[h, *(span(part[quantity].get(m)) for m in methods)] for h, part in block["horizons"].items()]
    return table(["frames ahead", *(LABELS[m] for m in methods)], rows)


def _ratio_table(block: Mapping[str, Any], methods: Sequence[str]) -> list[str]:
    """A table of its own: beside the errors it would be wider than a page."""
    baselines = [m for m in methods if m in BASELINES]
    rows = [
        [h, *(span(part["ratio"][m]) for m in baselines), skill_text(part["ratio_best"])]
        for h, part in block["horizons"].items()
    ]
    return [
        "The model's paired ratio to each baseline (skill = 1 − ratio to the best):",
        "",
        *table(["frames ahead", *(f"model / {LABELS[m]}" for m in baselines), "skill"], rows),
    ]


def _not_trained_on(names: Sequence[str]) -> str:
    held = [name for name in names if name in HELD_OUT]
    if not set(names) & set(scenarios.names()):
        return "None of them is a scenario type of physworld."
    others = "an ordinary type that training may draw from, and that this model was not trained on"
    if len(held) == len(names):
        return "All of them are held-out types, kept from every training set."
    if not held:
        return f"Each is {others}; none is one of the held-out types, which are kept from every training set."
    return (
        f"{len(held)} of these {len(names)} are held-out types, kept from every training set ({', '.join(held)}); each "
        f"other is {others}. The figures are over all of them; the held-out ones alone: suite=heldout."
    )


def _scenario_table(summary: Mapping[str, Any], horizon: str, held_out: bool) -> list[str]:
    methods = summary["methods"]
    head = ["scenario", "rollouts", "parsed", *(LABELS[m] for m in methods), "ratio to best baseline", "skill"]
    rows = []
    for name, block in summary["scenarios"].items():
        if block["held_out"] != held_out:
            continue
        part = block["horizons"][horizon]
        ratio = part["ratio_best"]
        cells = [both(part["rmse"].get(m)) for m in methods]
        counts = [str(block["rollouts"]), f"{block['parse_rate']:.0%}"]
        rows.append([name, *counts, *cells, span(ratio), skill_text(ratio)])
    return table(head, rows)


def _counts(block: Mapping[str, Any]) -> str:
    broken = block.get("not_finite", {}).get(MODEL, 0)
    tail = f", {broken} without a finite error (they make means infinite)" if broken else ""
    what = f"{counted(block['rollouts'], 'rollout')} of {counted(len(block['scenarios']), 'scenario type')}"
    return f"{what}, {block['parse_rate']:.1%} parsed{tail}"


def _single(block: Mapping[str, Any]) -> bool:
    ratio = next(iter(block["horizons"].values()))["ratio_best"]
    return ratio is not None and no_bounds(ratio)


def _section(title: str, summary: Mapping[str, Any], key: str) -> list[str]:
    block, last = summary[key], str(summary["horizons"][-1])
    lines = [f"## {title}", ""]
    if block is None:
        return [*lines, "None were scored.", ""]
    part, methods = block["horizons"][last], summary["methods"]
    lines += [_not_trained_on(block["scenarios"]), ""] if key == "held_out" else []
    lines += [
        _counts(block) + " to the end.",
        "",
        _verdict(block, last),
        "",
        f"Position RMSE after {last} frames, px:",
        "",
        *table(
            ["", "mean (95 % interval)", "median"],
            [
                [LABELS[m], span(part["rmse"].get(m)), figure(part["rmse"][m]["median"])]
                for m in (*methods, "best_per_scenario")
            ],
        ),
        "Position RMSE by horizon, px:",
        "",
        *_horizon_table(block, methods, "rmse"),
        *_ratio_table(block, methods),
    ]
    for name, metric in METRICS.items():
        if metric.interval and name != "rmse":
            title = f"{metric.label[0].upper()}{metric.label[1:]} by horizon, {metric.unit}:"
            lines += [title, "", *_horizon_table(block, methods, name)]
    lines += [
        f"Events, conservation and violations over {last} frames, mean / median:",
        "",
        *physics_table(block, methods, int(last)),
    ]
    if not block["event_velocity_rmse"]:
        lines += ["No contact event fell into these rollouts.", ""]
    return [
        *lines,
        f"Each scenario type after {last} frames, position RMSE in px as mean / median; "
        "skill = 1 − ratio to the type's best baseline (1 perfect, 0 no better than extrapolation):",
        "",
        *_scenario_table(summary, last, key == "held_out"),
    ]


def _measured(summary: Mapping[str, Any], split: str) -> list[str]:
    starts, seeds = summary["start_frames"], ", ".join(map(str, summary["seeds"]))
    where = f"frame {starts[0]}"
    if len(starts) > 1:
        where = f"{len(starts)} different frames between {starts[0]} and {starts[-1]}"
    lines = [
        "## What was measured",
        "",
        f"{counted(summary['rollouts'], 'rollout')} of {counted(summary['scenes'], 'scene')} from split `{split}`, "
        f"root seed {seeds}. The given frames start at {where}; the prediction runs {summary['horizons'][-1]} frames "
        "on from them on its own output.",
        "",
        "RMSE is sqrt(mean over bodies of squared distance) at exactly that frame. Rollouts of one scene are averaged "
        "first. A mean is the mean over scenario types of each type's mean over its scenes; a median is over scenes. "
        "Intervals are 95 % percentile bootstrap over scenes (2000 resamples within each scenario type); ratios are "
        "ratios of means and draw the same scenes above and below the line. The best baseline is chosen on these "
        "scenes, which favours the baseline. A rollout whose output stops parsing keeps its last state and is scored "
        "so.",
        "",
    ]
    if FLOOR in summary["methods"]:
        lines += [
            "*floor* is the simulator itself, restarted from the given state as the text rounds it. A codec that moves "
            "the unrounded state on can be below it for as long as nothing is hit.",
            "",
        ]
    if PLACEBO in summary["methods"]:
        lines += [
            "*placebo* is ballistic flight with random kicks of a contact's size, one frame in ten: an answer of the "
            "right kind that knows nothing.",
            "",
        ]
    lines += [
        "*Valid frames* are those before the error first exceeds half of the truth's own spread (Vlachas et al. 2020; "
        f"at least {SMALLEST_SPREAD:g} px). An *event* is a velocity change beyond gravity and fields of more than "
        f"{EVENT_THRESHOLD:g} px/s in a frame; onsets are matched body by body within {TOLERANCE} frame, so lying on "
        "the floor is one event. Free flight is every body and frame without one. The truth's own loss of energy in "
        "contacts is no error. Overlap and joint drift: compare with the floor, which is the simulator's own.",
        "",
    ]
    return lines


def write_metrics(run_dir: Path, summary: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
    """metrics.json: the summary and how it was measured; its form is docs/metrics.schema.json."""
    content = {**summary, "measured": dict(measured)}
    with summed(run_dir / "metrics.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def report_lines(
    summary: Mapping[str, Any],
    *,
    command: str,
    split: str,
    notes: Mapping[str, Any],
    extra: Sequence[str] = (),
    title: str = "Rollout report",
) -> list[str]:
    """The whole report as Markdown, without its pictures."""
    lines = header(title, command, {"split": f"`{split}`", "seed": summary["seeds"], **notes})
    lines += [*extra, *_section("Scenario types seen in training", summary, "seen")]
    lines += _section("Scenario types not trained on", summary, "held_out")
    if summary["seen"] and summary["held_out"]:
        block, last = summary["all"], str(summary["horizons"][-1])
        lines += ["## All types together", "", _verdict(block, last), ""]
        lines += _horizon_table(block, summary["methods"], "rmse") + _ratio_table(block, summary["methods"])
    lines += [*sampled_table(summary), *breakdown_tables(summary)]
    return lines + _measured(summary, split)


def write_report(
    run_dir: str | Path,
    summary: Mapping[str, Any],
    pictures: Sequence[str | Path],
    *,
    command: str,
    split: str,
    notes: Mapping[str, Any] | None = None,
    extra: Sequence[str] = (),
    title: str = "Rollout report",
    charts: Mapping[str, Figure] | None = None,
    worst: Sequence[tuple[str, Path]] = (),
) -> Path:
    """Write metrics.json (the summary), report.md and report.html into `run_dir`; return the path of report.md.

    Args:
        summary: from `summarise`; may carry further JSON keys.
        pictures: animations to show, captioned with their file name.
        command: what to type to get this again.
        split: which stream the scenes are from.
        notes: what else is to be known of the measurement, such as commit and cost.
        extra: Markdown lines of a suite's own tables, put first.
        charts: caption -> figure, for the page.
        worst: captions and animations of the worst rollouts.
    """
    run_dir, notes = Path(run_dir), notes or {}
    lines = report_lines(summary, command=command, split=split, notes=notes, extra=extra, title=title)
    galleries = [
        Gallery(
            title="Pictures",
            text="Truth, prediction, and both overlaid (grey truth, blue prediction, red error); energy and momentum "
            "below (grey truth, blue prediction).",
            pictures=captioned(pictures),
        ),
        Gallery(title="Worst rollouts", text="Largest position RMSE at the last horizon, worst first.", pictures=worst),
    ]
    path = write_files(run_dir, lines, charts or {}, galleries)
    write_metrics(run_dir, summary, {"command": command, "split": split, **notes})
    return path


def print_table(summary: Mapping[str, Any], console: Console) -> None:
    """Position RMSE by horizon for every method, the best baseline marked, with the model's ratio to it; laws."""
    methods = summary["methods"]
    for title, key in (("trained types", "seen"), ("types not trained on", "held_out")):
        block = summary[key]
        if block is None:
            continue
        table = Table(
            title=f"position RMSE, px · {title}",
            caption=f"{_counts(block)}; * best baseline" + (f"; {SINGLE}" if _single(block) else ""),
        )
        table.add_column("frames", justify="right")
        for method in methods:
            table.add_column(LABELS[method], justify="right", style="bold" if method == MODEL else "")
        table.add_column("model / best", justify="right")
        for h, part in block["horizons"].items():
            cells = [figure(part["rmse"][m]["mean"]) + ("*" if m == part["best_baseline"] else "") for m in methods]
            table.add_row(h, *cells, span(part["ratio_best"]))
        _print(table, console)
    if moved := {label: part for label, part in summary["breakdown"].get("shift", {}).items() if label}:
        _print(_moved_table(moved, summary), console)
    if "laws" in summary:
        _print(laws_table(summary), console)


def _moved_table(moved: Mapping[str, Any], summary: Mapping[str, Any]) -> Table:
    """Scenes out of training's range, by family and level, at the last horizon."""
    last = summary["horizons"][-1]
    table = Table(
        title=f"position RMSE after {last} frames, px · scenes moved out of training's range",
        caption="the scenes of the tables above are as they are",
    )
    methods = [method for method in (MODEL, FLOOR) if method in summary["methods"]]
    table.add_column("moved by")
    for name in ("rollouts", *(LABELS[method] for method in methods), "model / best"):
        table.add_column(name, justify="right")
    for label in shifts_in_order(moved):
        part = moved[label]
        errors = [figure(part["rmse"][method]["mean"]) for method in methods]
        table.add_row(shift_name(label), str(part["rollouts"]), *errors, span(part["ratio_best"]))
    return table


def _print(table: Table, console: Console) -> None:
    if not console.is_terminal:  # a file or a pipe has no width, so nothing need be cut
        wide = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        console = screen(max(console.width, wide), console.file)
    console.print(table)
