"""The end of a training: the model saved, scored on validation scenes, and its report and cards written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from physworld.runs import lineage
from physworld.runs.checkpoints import save_model
from physworld.text import timestep
from physworld.text.build import TextParts, cases_of_run
from physworld.text.evaluate import console, report, score
from physworld.text.hub import example_of, write_cards


def conclude(
    cfg: DictConfig, parts: TextParts, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the model, score it and write the report; a search lowers RMSE at the last horizon over the best
    baseline's."""
    save_model(network, parts.codec, directory)
    timestep.write(directory, parts.timesteps)
    cases = cases_of_run(cfg, parts.evaluation, parts.codec, learned=lineage.learned(directory))
    result = score(network, parts.codec, parts.evaluation, cases)
    stages = [] if parts.stages is None else parts.stages.markdown()
    report(
        result, network, parts.codec, parts.evaluation, directory, command=command, split="val", cost=cost,
        extra=stages,
    )  # fmt: skip
    if parts.stages is not None:
        parts.stages.write(directory, console)
    write_cards(directory, command, example_of(network, parts.codec, cases.given))
    headline: dict[str, float] = result.summary["headline"]
    return headline, headline.get(f"ratio_best@{max(parts.evaluation.horizons)}", float("inf"))
