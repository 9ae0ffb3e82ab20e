"""The report of a video run: its tables, charts, contact sheets, and the table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from physworld.errors import counted
from physworld.io.images import write_gif, write_png
from physworld.reporting.charts import interval_bars
from physworld.reporting.markdown import header, span, table
from physworld.reporting.report import Gallery, captioned, write_report
from physworld.video.clips import contact_sheet
from physworld.video.evaluation import ABOVE, BASE, CARD, CARD_PLACEBO, IN_RANGE, LORA, ORACLE, PLACEBO, VideoResult
from physworld.video.summary import GENERATED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What counts as having learned: violation -> highest PPE, the rest below. Set before the first run was made, but for
# the error of g clip by clip, which is stricter than its mean and was added when a placebo's mean came out right.
MOST_PPE = {"gravity_0.4": 0.10, "linear": 0.15, "restitution_wrong": 0.30}
GRAVITY_WITHIN, LEAST_VALIDITY = 0.10, 0.9
STAR = "✓* and ✗*: the interval reaches past what is asked; more clips would be needed to be sure."

ROW_TEXT = {
    BASE: "base, mixed physics",
    LORA: "LoRA, correct physics",
    PLACEBO: "placebo LoRA, wrong physics",
    ORACLE: "oracle: the tracker on true renders",
    "zero": "predicts 0",
    "scalar": "best multiple of its input",
    CARD: "LoRA as published (epsilon target), correct physics",
    CARD_PLACEBO: "the same on wrong physics",
}


def headline_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers under names that `physworld compare` shows."""
    rows, made = summary["likelihood"], summary["generated"][IN_RANGE]
    headline: dict[str, float] = {}
    for row, name in ((LORA, "model"), (BASE, BASE), (PLACEBO, PLACEBO)):
        if row not in rows:
            continue
        ppe = {kind: cell["ppe"]["mean"] for kind, cell in rows[row]["violations"].items()}
        headline |= {f"ppe_{kind}/{name}": value for kind, value in ppe.items()}
        headline[f"ppe_mean/{name}"] = float(np.mean(list(ppe.values())))
        if "specificity" in rows[row] and rows[row]["specificity"]["mean"] is not None:
            headline[f"specificity/{name}"] = rows[row]["specificity"]["mean"]
        for key in ("validity", "gravity", "restitution_error", "centroid"):
            cell = made[row][key]
            if cell is not None and cell["mean"] is not None:
                headline[f"{key}/{name}"] = cell["mean"]
    return headline


def bars(summary: Mapping[str, Any], row: str) -> list[tuple[str, str, str]]:
    """(what is asked, what this row has, its mark)."""
    block, made = summary["likelihood"][row], summary["generated"][IN_RANGE]
    found = []
    for kind, most in MOST_PPE.items():
        if kind in block["violations"]:
            ppe = block["violations"][kind]["ppe"]
            found.append((f"PPE({kind}) ≤ {most:.2f}", _span(ppe), mark(ppe, most=most)))
    oracle, mine = made[ORACLE]["gravity"], made[row]["gravity"]
    g = math.nan if oracle is None else oracle["mean"]
    text = f"recovered g within {GRAVITY_WITHIN:.0%} of the oracle's {_span(oracle)} m/s²"
    near = mark(mine, least=g * (1 - GRAVITY_WITHIN), most=g * (1 + GRAVITY_WITHIN))
    found.append((text, _span(mine), near))
    error = made[row]["gravity_error"]  # a mean over clips with too little g and too much can be right by accident
    text = f"error of recovered g, clip by clip, ≤ {GRAVITY_WITHIN:.0%}"
    found.append((text, _span(error), mark(error, most=GRAVITY_WITHIN)))
    validity = made[row]["validity"]
    found.append((f"validity ≥ {LEAST_VALIDITY}", _span(validity), mark(validity, least=LEAST_VALIDITY)))
    if "specificity" in block:
        low = block["specificity"]["low"]
        clear = "✓" if low is not None and low > 0 else "✗"
        found.append(("specificity > 0, interval clear of 0", _signed(block["specificity"]), clear))
    return found


def mark(cell: Mapping[str, Any] | None, *, least: float = -math.inf, most: float = math.inf) -> str:
    """✓ or ✗ by the mean, with a star where the interval reaches the other side; ✗ where nothing could be measured."""
    if cell is None or cell["mean"] is None:
        return "✗"
    low = -math.inf if cell["low"] is None else cell["low"]  # one clip has no interval: anything may be true
    high = math.inf if cell["high"] is None else cell["high"]
    if least <= cell["mean"] <= most:
        return "✓" if least <= low and high <= most else "✓*"
    return "✗*" if low <= most and high >= least else "✗"


def _span(cell: Mapping[str, Any] | None, digits: int = 2) -> str:
    """As in every report, but what could not be measured at all is a dash."""
    return span(None if cell is None or cell["mean"] is None else cell, f".{digits}f")


def _signed(cell: Mapping[str, Any]) -> str:
    """With digits enough to see on which side of 0 each bound lies."""
    bounds = [abs(cell[part]) for part in ("low", "high") if cell[part]]
    return _span(cell, min(12, max([4, *(1 - math.floor(math.log10(bound)) for bound in bounds)])))


def _likelihood_tables(summary: Mapping[str, Any]) -> list[str]:
    rows = summary["likelihood"]
    kinds = list(rows[BASE]["violations"])
    lines = [
        "## Which physics does it find likely?", "",
        "PPE: share of clip pairs in which the wrong clip has the lower loss (0 is best, 0.5 is chance).", "",
    ]  # fmt: skip
    lines += table(
        ["", *kinds],
        [[ROW_TEXT[r], *(_span(b["violations"][k]["ppe"]) for k in kinds)] for r, b in rows.items()],
    )
    for row, block in rows.items():
        if block["not_finite"]:
            lines += [
                f"{ROW_TEXT[row]}: {block['not_finite']} losses are no finite numbers; a pair with one counts as "
                "wrong, and a mean with one is not told.",
                "",
            ]
    lines += ["Gap: how much larger the loss of the wrong clips is, as a share of that of the right ones.", ""]
    lines += table(
        ["", *kinds],
        [[ROW_TEXT[r], *(_span(b["violations"][k]["gap"]) for k in kinds)] for r, b in rows.items()],
    )
    lines += [
        "Specificity: what tuning took off the loss of right clips, minus what it took off that of the wrong ones.", "",
    ]  # fmt: skip
    tuned = [r for r in rows if "specificity" in rows[r]]
    lines += table(
        ["", "all violations", *kinds],
        [
            [ROW_TEXT[r], _signed(rows[r]["specificity"]),
             *(_signed(rows[r]["violations"][k]["specificity"]) for k in kinds)]
            for r in tuned
        ],
    )  # fmt: skip
    bins = len(rows[BASE]["v_mse_bins"])
    lines += ["v-prediction loss on right clips, whole grid and by noise level (left: little noise):", ""]
    lines += table(
        ["", "mean", *(f"bin {k + 1}" for k in range(bins))],
        [
            [ROW_TEXT[r], _span(b["v_mse"], 4), *("–" if v is None else f"{v:.4f}" for v in b["v_mse_bins"])]
            for r, b in rows.items()
        ],
    )
    return lines


def _generation_tables(summary: Mapping[str, Any]) -> list[str]:
    lines = ["## What does it generate?", ""]
    titles = {IN_RANGE: "Heights of training, 2–5 m:", ABOVE: "Above them, 5.5–7 m:"}
    for scenario, title in titles.items():
        rows = summary["generated"][scenario]
        lines += [title, ""]
        head = ["", *(measure.label for measure in GENERATED.values())]
        lines += table(head, [[ROW_TEXT[r], *(_told(b, k) for k in GENERATED)] for r, b in rows.items()])
    return [*lines, "A figure that could be told of some clips alone says of how many.", ""]


def _told(block: Mapping[str, Any], key: str) -> str:
    """The figure, and of how many clips it is where that is not all of them."""
    cell, clips = block[key], block["validity"]["n"]
    return _span(cell) if cell is None or cell["n"] == clips else f"{_span(cell)}, {cell['n']} of {clips}"


def _card_tables(summary: Mapping[str, Any]) -> list[str]:
    card = summary["card"]
    lines = ["## The published metric, and why it misleads", "", "Diffusion MSE (raw output against the noise):", ""]
    average = {
        row: float(np.mean([np.nan if t["mean"] is None else t["mean"] for t in tests.values()]))
        for row, tests in card.items()
    }
    lines += table(
        ["", "test_medium", "test_very_high", "average", "change from base"],
        [
            [ROW_TEXT[r], _span(t["test_medium"], 3), _span(t["test_very_high"], 3), f"{average[r]:.3f}",
             f"{1 - average[r] / average[BASE]:+.1%}"]
            for r, t in card.items()
        ],
    )  # fmt: skip
    if CARD in average and CARD_PLACEBO in average:
        gain = {r: 1 - average[r] / average[BASE] for r in (CARD, CARD_PLACEBO)}
        lines += [
            f"The published recipe improves this number by {gain[CARD]:.0%} on correct clips, and by "
            f"{gain[CARD_PLACEBO]:.0%} on clips with wrong gravity, linear falls and wrong restitution. A number that "
            "wrong physics improves as much says nothing about physics.",
            "",
            "The reason is the target. The base was trained to predict the velocity v = √ᾱ·ε − √(1−ᾱ)·x₀, and the "
            "metric compares its output with ε, which it never meant to say: a perfect v-model scores about 1 or more "
            "here, and predicting 0 scores 1. Tuning with ε as the target teaches the adapter to say ε instead of v; "
            "that alone is nearly all of the improvement, and any clips will do for it.",
            "",
        ]
    return lines


def report_lines(summary: Mapping[str, Any]) -> list[str]:
    """The whole report as Markdown, without its pictures."""
    measured = summary["measured"]
    rows = [r for r in (LORA, PLACEBO) if r in summary["likelihood"]]
    facts = {"split": f"`{measured['split']}`", **{k: measured[k] for k in ("seed", "commit")}, **summary["cost"]}
    lines = [*header("Video physics", measured["command"], facts), "## Was physics learned?", ""]
    checks = {r: bars(summary, r) for r in rows}
    lines += table(
        ["asked", *(f"{ROW_TEXT[r]}" for r in rows)],
        [[checks[LORA][k][0], *(" ".join(checks[r][k][1:]) for r in rows)] for k in range(len(checks[LORA]))],
    )
    lines += [STAR, "", "A test that the placebo passes as well would be no test of physics.", ""]
    lines += _likelihood_tables(summary) + _generation_tables(summary) + _card_tables(summary)
    return [
        *lines,
        "## What was measured", "",
        f"Losses are read at t = {measured['times']} with noise that is the same for right and wrong version of a clip "
        f"and for every row; clips are sampled in {counted(measured['sampler_steps'], 'deterministic DDIM step')} from "
        "the same noise for every row. 95 % intervals over clips: Wilson's of shares, percentile bootstrap "
        "(2000 resamples) of means; differences are paired.", "",
    ]  # fmt: skip


def charts(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Caption -> figure."""
    likelihood, made = summary["likelihood"], summary["generated"]
    ppe = {
        kind: {ROW_TEXT[row]: block["violations"][kind]["ppe"] for row, block in likelihood.items()}
        for kind in likelihood[BASE]["violations"]
    }
    validity, gravity = (
        {
            title: {ROW_TEXT[row]: block[key] for row, block in made[scenario].items()}
            for scenario, title in ((IN_RANGE, "2–5 m"), (ABOVE, "5.5–7 m"))
        }
        for key in ("validity", "gravity")
    )
    oracle = made[IN_RANGE][ORACLE]["gravity"]
    return {
        "PPE: how often the wrong clip has the lower loss (the line is chance)": interval_bars(
            ppe, label="PPE, 0 is best", reference=0.5
        ),
        "Recovered g by height of the drop (the line is the oracle's)": interval_bars(
            gravity, label="g, m/s²", reference=None if oracle is None else oracle["mean"]
        ),
        "Share of clips with one ball in 90 % of frames": interval_bars(validity, label="validity"),
    }


def write_video_report(directory: Path, summary: Mapping[str, Any], result: VideoResult, *, pictures: int) -> Path:
    """Write report.md and report.html with contact sheets and GIFs into `directory`; return the path of report.md."""
    rows = [r for r in (BASE, LORA, PLACEBO) if r in summary["likelihood"]]
    sheets = draw_sheets(directory / "pictures", result, rows, pictures)
    clips = Gallery(
        title="Clips",
        text=f"Rows of a sheet, from the top, and columns of an animation: truth, {', '.join(rows)}.",
        pictures=captioned(sheets),
    )
    return write_report(directory, report_lines(summary), charts(summary), [clips])


def draw_sheets(folder: Path, result: VideoResult, rows: Sequence[str], count: int) -> list[Path]:
    """One contact sheet per clip, truth and every row beneath each other, and the same side by side as a GIF."""
    made = []
    for scenario, truth in result.truth.items():
        for k in range(min(count, len(truth))):
            clips = [truth[k].frames, *(result.generated[scenario][r].clips[k] for r in rows)]
            scale = max(1, math.ceil(72 / clips[0].shape[1]))
            path = folder / f"{scenario}_{truth[k].height:.1f}m_e{truth[k].restitution:.2f}_{k}.png"
            made.append(write_png(path, contact_sheet(clips, every=1, gap=1, scale=scale)))
            side = np.concatenate([np.pad(c, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=255) for c in clips], 2)
            made.append(
                write_gif(path.with_suffix(".gif"), side.repeat(4 * scale, 1).repeat(4 * scale, 2), truth[k].fps)
            )
    return made


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    rows = [r for r in (BASE, LORA, PLACEBO) if r in summary["likelihood"]]
    screen = Table(title="Was physics learned?", title_justify="left", caption=STAR, caption_justify="left")
    screen.add_column("asked")
    for row in rows:
        screen.add_column(row, justify="right")
    checks = {r: bars(summary, r) for r in rows}
    for k, (asked, _, _) in enumerate(checks[LORA]):
        cells = [checks[r][k] if k < len(checks[r]) else ("", "–", "✗") for r in rows]
        screen.add_row(asked, *(" ".join(cell[1:]) for cell in cells))
    console.print(screen)
