"""The report of a run on somebody's own clips."""

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
from physworld.io.names import safe_name
from physworld.judge.report import percent
from physworld.judge.summary import FIGURES
from physworld.reporting.charts import interval_bars
from physworld.reporting.markdown import header, plain, span, table
from physworld.reporting.report import Gallery, write_report
from physworld.video.clip_files import JUMP, REVERSED
from physworld.video.clips import contact_sheet
from physworld.video.evaluation import BASE, LORA, PLACEBO
from physworld.video.own_evaluation import HELD_OUT, OwnResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_TEXT = {
    HELD_OUT: "the held-out clips themselves",
    BASE: "base",
    LORA: "LoRA, tuned on your clips",
    PLACEBO: "placebo LoRA, tuned on their frames in wrong order",
    "zero": "predicts 0",
    "scalar": "best multiple of its input",
}
ORDERS = {REVERSED: "played backwards", JUMP: "two moments exchanged"}
MOST_COLUMNS = 17  # frames of a clip on a sheet
SHEET_HEIGHT = 72  # px, about, of a frame on a sheet


def report_lines(summary: Mapping[str, Any]) -> list[str]:
    """The whole report as Markdown, without its pictures."""
    measured, rows, judged = summary["measured"], summary["likelihood"], summary["judged"]
    facts = {
        "clips": f"`{measured['path']}`", "split": f"`{measured['split']}`",
        **{k: measured[k] for k in ("seed", "commit")}, **summary["cost"],
    }  # fmt: skip
    lines = header("Your own clips", measured["command"], facts)
    scored = rows[BASE]["v_mse"]["n"]
    lines += ["## Loss on clips that were held out", "",
              f"v-prediction loss on {scored} clips, over the whole grid of timesteps.", ""]  # fmt: skip
    bins = len(rows[BASE]["v_mse_bins"])
    lines += table(
        ["", "loss", "minus the base's", *(f"bin {k + 1}" for k in range(bins))],
        [
            [ROW_TEXT[r], _span(b["v_mse"], ".4f"), _span(summary["change"].get(r), "+.4f"),
             *("–" if v is None else f"{v:.4f}" for v in b["v_mse_bins"])]
            for r, b in rows.items()
        ],
    )  # fmt: skip
    lines += ["Bins are by noise level, little noise first. A difference is paired, clip by clip.", ""]
    lines += ["## Does it know the order of the frames?", "",
              "Share of clips of which the same frames in a wrong order have no higher loss (0 is best, 0.5 is "
              "chance). Backwards is wrong only where something is lost, as in a bounce.", ""]  # fmt: skip
    lines += table(
        ["", *(ORDERS[k] for k in ORDERS)],
        [[ROW_TEXT[r], *(_span(b["violations"][k]["ppe"]) for k in ORDERS)] for r, b in rows.items()],
    )
    lines += ["## What does it generate?", "",
              "`physworld judge` of clips generated from held-out captions, beside the held-out ones.", ""]  # fmt: skip
    known = [name for name in FIGURES if any(name in block["figures"] for block in judged.values())]
    lines += table(
        ["", "clips", "judged", "keep every law", *(FIGURES[k] for k in known)],
        [[ROW_TEXT[r], str(b["clips"]), str(b["judged"]), percent(b["lawful"]),
          *(span(b["figures"].get(k)) for k in known)]
         for r, b in judged.items()],
    )  # fmt: skip
    if not judged[HELD_OUT]["judged"]:
        lines += ["None of the held-out clips can be judged, so the verdicts on generated ones say little here.", ""]
    shown = list(judged)
    lines += ["## Clip by clip", ""]
    lines += table(
        ["clip", "caption", *(ROW_TEXT[r] for r in shown)],
        [[plain(c["name"]), plain(c["caption"]), *(plain(c[r]) for r in shown)] for c in summary["clips"]],
    )
    skipped = measured["skipped"]
    if skipped:
        lines += ["## Skipped files", "", *(f"* {plain(why)}" for why in skipped), ""]
    return [
        *lines,
        "## What was measured", "",
        f"Losses are read at t = {measured['times']} with the same noise for every row and every order of frames; "
        f"clips are sampled in {counted(measured['sampler_steps'], 'deterministic DDIM step')} from the same noise "
        "for every row. 95 % intervals over clips: Wilson's of shares, percentile bootstrap of means.", "",
    ]  # fmt: skip


def _span(cell: Mapping[str, Any] | None, form: str = ".2f") -> str:
    return span(None if cell is None or cell["mean"] is None else cell, form)


def charts(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Caption -> figure."""
    rows = summary["likelihood"]
    losses = {"held-out loss": {ROW_TEXT[r]: b["v_mse"] for r, b in rows.items() if r not in ("zero", "scalar")}}
    order = {ORDERS[k]: {ROW_TEXT[r]: b["violations"][k]["ppe"] for r, b in rows.items()} for k in ORDERS}
    return {
        "Loss on held-out clips": interval_bars(losses, label="v-prediction loss"),
        "How often frames in a wrong order are as likely (the line is chance)": interval_bars(
            order, label="share, 0 is best", reference=0.5
        ),
    }


def write_own_report(directory: Path, summary: Mapping[str, Any], result: OwnResult, *, pictures: int) -> Path:
    """Write report.md and report.html with contact sheets and GIFs into `directory`; return the path of report.md."""
    rows = list(result.pictures)
    gallery = Gallery(
        title="Clips",
        text=f"Rows of a sheet, from the top, and columns of an animation: {', '.join(ROW_TEXT[r] for r in rows)}.",
        pictures=_sheets(directory / "pictures", result, rows, pictures),
    )
    return write_report(directory, report_lines(summary), charts(summary), [gallery])


def _sheets(folder: Path, result: OwnResult, rows: Sequence[str], count: int) -> list[tuple[str, Path]]:
    made = []
    for k, clip in enumerate(result.clips[:count]):
        clips = [result.pictures[row][k] for row in rows]
        path = folder / f"{k:02d}_{safe_name(clip.source.name.replace('/', '_'))}.png"
        made.append((clip.caption, write_png(path, sheet(clips))))
        side = np.concatenate([np.pad(c, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=255) for c in clips], 2)
        larger = max(1, math.ceil(240 / side.shape[1]))
        smaller = max(1, side.shape[1] // 320)
        side = side[:, ::smaller, ::smaller].repeat(larger, 1).repeat(larger, 2)
        made.append((clip.caption, write_gif(path.with_suffix(".gif"), side, clip.fps)))
    return made


def sheet(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Clips (T, H, W, 3) as rows of one picture, with at most MOST_COLUMNS frames of each, the last one included."""
    count, height = clips[0].shape[:2]
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_COLUMNS)).round().astype(int))
    smaller, larger = max(1, height // (2 * SHEET_HEIGHT)), max(1, SHEET_HEIGHT // height)
    return contact_sheet([clip[shown][:, ::smaller, ::smaller] for clip in clips], gap=1, scale=larger)


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    rows, judged = summary["likelihood"], summary["judged"]
    screen = Table(title="On clips that were held out", title_justify="left")
    for name in ("", "loss", "minus the base's", *(ORDERS[k] for k in ORDERS), "judged", "keep every law"):
        screen.add_column(name, justify="right" if name else "left")
    for row in dict.fromkeys([*judged, *(r for r in rows if r not in ("zero", "scalar"))]):
        block, there = rows.get(row), judged[row]
        cells = ["–"] * (2 + len(ORDERS))
        if block is not None:
            cells = [
                _span(block["v_mse"], ".4f"), _span(summary["change"].get(row), "+.4f"),
                *(_span(block["violations"][k]["ppe"]) for k in ORDERS),
            ]  # fmt: skip
        screen.add_row(
            row.replace("_", " "), *cells, f"{there['judged']} of {there['clips']}", percent(there["lawful"])
        )
    console.print(screen)
