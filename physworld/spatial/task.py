"""Spatial scenes: language models that write Spatial9Scene JSON for a payload of stems and rules.

What the commands do for this system. Each function loads what it needs when it is called, so that a mistake in a
command is told before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from physworld.settings import checks

READS = {  # top-level groups and keys, besides what every system's run reads
    "train": ("codec", "evaluation", "weights", "base", "reward"),
    "evaluate": ("hardware", "evaluation", "split", "seed", "cache", "shards", "shard"),
    "predict": ("hardware", "input", "mode", "repair"),
    "simulate": ("axis", "count", "format", "compress", "split", "seed", "out"),
}


def check(cfg: DictConfig) -> None:
    """Refuse what can be seen without torch."""
    simulated = "axis" in cfg
    packages = ("pydantic",) if simulated else ("pydantic", "llguidance")
    checks.installed("spatial", *packages, what="task=spatial" if simulated else "a spatial model")
    if "model" in cfg:
        checks.pretrained(cfg)


def build(cfg: DictConfig) -> Any:
    """Everything that a training run is made of (see `training.parts.Parts`)."""
    from physworld.spatial.build import build as run

    return run(cfg)


def plan(cfg: DictConfig, precision: str, micro_batch: int) -> Any:
    """What a training run is made of, without weights (see `training.plan.Planned`)."""
    from physworld.spatial.plan import plan as run

    return run(cfg, precision, micro_batch)


def conclude(
    cfg: DictConfig, parts: Any, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the trained model, score it, write its report: (main figures, the one that a search lowers)."""
    from physworld.spatial.evaluate import conclude as run

    return run(cfg, parts, network, directory, command=command, cost=cost)


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run on payloads it has never seen."""
    from physworld.spatial.evaluate import evaluate as run

    run(cfg)


def predict(cfg: DictConfig) -> None:
    """Payloads become scenes."""
    from physworld.spatial.predict import predict as run

    run(cfg)


def simulate(cfg: DictConfig) -> None:
    """Write drawn payloads and the engineer's scenes as rows."""
    from physworld.spatial.simulate import simulate as run

    run(cfg)


def numbers(metrics: Mapping[str, Any], about: Any) -> list[Any]:
    """What of a metrics.json stands on a leaderboard (see `runs.leaderboard`); [] where it is another system's."""
    from physworld.spatial.board import numbers as run

    return run(metrics, about)
