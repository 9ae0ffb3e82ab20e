"""Text physics: language models that continue 2-D rigid-body scenes written as text.

What the commands do for this system. Each function loads what it needs when it is called, so that a mistake in a
command is told before torch is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from physworld.settings import checks

READS = {  # top-level groups and keys, besides what every system's run reads
    "train": ("codec", "evaluation", "scenario", "curriculum", "weights", "base"),
    "evaluate": (
        *("scenario", "hardware", "evaluation", "codec", "model", "suite", "weights", "base", "engine"),
        *("engine_python", "predictions", "export", "scenes", "difficulties", "limit", "split", "seed", "cache"),
    ),
    "predict": ("hardware", "input", "row", "frames", "start"),
    "simulate": (
        *("scenario", "curriculum", "ood", "count", "frames", "format", "compress", "split", "seed", "out"),
        *("shards", "shard"),
    ),
}


def check(cfg: DictConfig) -> None:
    """Refuse what can be seen without torch."""
    if "scenario" in cfg:
        checks.scenario_names(cfg.scenario.names)
    if "model" in cfg and cfg.model is not None:
        if "suite" in cfg:  # evaluate.py
            checks.with_weights(cfg)
        checks.pretrained(cfg)


def build(cfg: DictConfig) -> Any:
    """Everything that a training run is made of (see `training.parts.Parts`)."""
    from physworld.text.build import build as run

    return run(cfg)


def conclude(
    cfg: DictConfig, parts: Any, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the trained model, score it, write its report: (main figures, the one that a search lowers)."""
    from physworld.text.evaluate import conclude as run

    return run(cfg, parts, network, directory, command=command, cost=cost)


def evaluate(cfg: DictConfig) -> None:
    """Score everything that the command line names, on one suite."""
    from physworld.text.evaluate import evaluate as run

    run(cfg)


def predict(cfg: DictConfig) -> None:
    """Roll one given scene forward."""
    from physworld.text.predict import predict as run

    run(cfg)


def simulate(cfg: DictConfig) -> None:
    """Write scenes as files."""
    from physworld.text.simulate import simulate as run

    run(cfg)
