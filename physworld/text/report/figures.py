"""What an evaluation looks like: charts, the worst rollouts, and its place in TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from physworld.io.images import gif_bytes, write_animation
from physworld.io.names import safe_name
from physworld.metrics.scores import MODEL
from physworld.metrics.summary import scalars
from physworld.reporting.charts import pixels
from physworld.reporting.tensorboard import add_picture, add_row
from physworld.text.evaluation.evaluation import FRAMES_PER_SECOND, EvalResult, Evaluation, result_frames
from physworld.text.report import charts
from physworld.text.report.laws import laws_chart

WORST = 10  # rollouts in the gallery
LAYOUT = {"Model beside baselines": {"RMSE by frame, px": ["Multiline", ["^rmse_by_frame/.*"]]}}  # custom-scalars tab


def figures(result: EvalResult) -> dict[str, Any]:
    """Caption -> figure."""
    summary = result.summary
    cases, everything = result.cases.ordinary({MODEL: result.predicted, **result.references})
    truth, before = cases.truth, [given.frame(-1) for given in cases.given]
    found: dict[str, Any] = {}
    if "laws" in summary:
        found["Laws: what is read off the answers against what is right"] = laws_chart(result.rows, summary["laws"])
    found |= {"Position RMSE at every frame, mean over scenario types": charts.horizon_chart(summary["curves"])}
    if charts.has_events(truth, before):
        found["Velocity jumps: every body and frame at which the truth has an event"] = charts.event_scatter(
            truth, everything[MODEL], before
        )
    if len(truth[0]) > 1:
        found["Energy and momentum against the truth's own, median over rollouts"] = charts.conservation_chart(
            truth, everything
        )
    found["Each scenario type beside its best baseline (orange: not trained on)"] = charts.skill_chart(summary)
    if "shift" in summary["breakdown"]:
        found["Out of distribution: error against distance"] = charts.shift_chart(summary, result.rows)
    return found


def worst(result: EvalResult, evaluation: Evaluation, folder: Path) -> list[tuple[str, Path]]:
    """The worst rollouts as animations with what they are."""
    last = f"rmse@{evaluation.horizons[-1]}"
    mine = [row for row in result.rows if row["method"] == MODEL]
    order = sorted(range(len(mine)), key=lambda n: (-mine[n][last], n))[:WORST]
    found = []
    for place, n in enumerate(order, start=1):
        row = mine[n]
        frames = result_frames(result, n, size=(280, 210))
        every = max(1, len(frames) // 30)
        path = folder / f"{place:02d}_{safe_name(row['scenario'])}.{evaluation.video}"
        write_animation(path, frames[::every], FRAMES_PER_SECOND / every)
        shifted = f", {row['shift']}" if row["shift"] else ""
        unread = "" if row["parsed"] else ", text not readable to the end"
        caption = f"{place}. {row['scenario']}, difficulty {row['difficulty']}, scene {row['index']}{shifted}: "
        found.append((f"{caption}{row[last]:.1f} px{unread}", path))
    return found


def to_tensorboard(
    directory: Path,
    name: str,
    suite: str,
    cost: Mapping[str, Any],
    result: EvalResult,
    charts: Mapping[str, Any],
) -> None:
    """Curves over frames, charts, a picture and one row of the HParams tab, so that candidates line up.

    Args:
        charts: caption -> figure.
    """
    # An evaluation may be made again in its folder: what the first one wrote is then no longer shown.
    with SummaryWriter(directory / "tensorboard" / safe_name(name), purge_step=0) as writer:
        writer.add_custom_scalars(LAYOUT)
        for method, values in result.summary["curves"].items():
            for frame, value in enumerate(values, start=1):
                if value is not None:
                    writer.add_scalar(f"rmse_by_frame/{method}", value, frame)
        for key, value in scalars(result.summary).items():
            writer.add_scalar(f"metrics/{key}", value, 0)
        for caption, figure in charts.items():
            tag = f"charts/{re.sub(r'[^A-Za-z0-9._-]+', '_', caption)[:40]}"
            writer.add_image(tag, pixels(figure), 0, dataformats="HWC")
        if len(result.cases.truth[0]) > 1:
            shown = gif_bytes(result_frames(result, 0), FRAMES_PER_SECOND)
            add_picture(writer, f"rollout/{result.cases.truth[0].scene.name}", shown, 0)
        headline = {f"final/{key}": value for key, value in result.summary["headline"].items()}
        add_row(writer, {"model": name, "suite": suite, **cost}, headline)
