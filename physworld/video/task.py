"""Video physics: a LoRA on a video diffusion model, tuned on simulated clips and scored beside a placebo.

What the commands do for this system. Each function loads what it needs when it is called, so that a mistake in a
command is told before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from physworld.errors import UserError
from physworld.runs import directory as runs
from physworld.settings import checks, limits
from physworld.settings.reading import only

READS = {  # top-level groups and keys, besides what every system's run reads
    "train": ("evaluation",),
    "evaluate": ("hardware", "evaluation", "split", "seed", "cache", "shards", "shard"),
    "predict": ("hardware", "prompt", "image", "fit", "background", "seed"),
    "simulate": ("video", "scenario", "curriculum", "count", "format", "split", "seed", "out"),
}


def scene_types() -> tuple[str, ...]:
    """What scenario= offers beside the two-dimensional types."""
    from physworld.video.scenes import SCENARIOS

    return tuple(SCENARIOS)


def check(cfg: DictConfig) -> None:
    """Refuse what can be seen without torch."""
    simulated = ("warp",) if "video" in cfg else ("warp", "diffusers", "peft", "accelerate")
    checks.installed("video", *simulated, what="task=video" if "video" in cfg else "a video model")
    for key, _, value in (override.partition("=") for override in checks.overrides()):
        if key == "hardware.num_workers" and value not in ("0", "null"):
            raise UserError(
                f"{key}={value} is for text and spatial runs: clips are drawn in the process that trains; leave it out."
            )
        if key.startswith("evaluation."):
            _refuse_unread(cfg, key.removeprefix("evaluation."), value)
        if key in ("fit", "background") and "image" in cfg and cfg.image is None:
            raise UserError(f"{key}={value} says how image= is shown; give image=FILE beside it, or leave it out.")


def _refuse_unread(cfg: DictConfig, name: str, value: str) -> None:
    """Refuse a typed setting of the evaluation that nothing would read."""
    if "data" not in cfg and name in ("control_steps", "card_steps"):
        raise UserError(f"evaluation.{name}={value} is about training, and the run is finished; leave it out.")
    data = cfg.data if "data" in cfg else runs.read_config(runs.find_run(cfg.run))["data"]
    if "path" not in data:
        return
    if name in ("violations", "card_noises", "card_steps"):
        raise UserError(f"evaluation.{name}={value} is about simulated clips; data.path gives files, so leave it out.")
    if name == "controls" and "card" in value:
        raise UserError(
            f"evaluation.controls={value}: card and card_placebo are scored on simulated clips, and data.path gives "
            "files; choose [placebo] or []."
        )


def build(cfg: DictConfig) -> Any:
    """Everything that a training run is made of (see `training.parts.Parts`)."""
    from physworld.video.build import build as run

    return run(cfg)


def plan(cfg: DictConfig, precision: str, micro_batch: int) -> Any:
    """What a training run is made of, without weights (see `training.plan.Planned`)."""
    from physworld.video.plan import plan as run

    return run(cfg, precision, micro_batch)


def conclude(
    cfg: DictConfig, parts: Any, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the trained model, score it, write its report: (main figures, the one that a search lowers)."""
    from physworld.video.evaluate import conclude as run

    return run(cfg, parts, network, directory, command=command, cost=cost)


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run and its controls on other scenes."""
    from physworld.video.evaluate import evaluate as run

    run(cfg)


def predict(cfg: DictConfig) -> None:
    """A caption, and perhaps a first picture, become a clip."""
    from physworld.video.predict import predict as run

    run(cfg)


def preview(cfg: DictConfig, directory: Path, *, command: str, count: int, seen: bool, console: Any) -> Path:
    """A page of what the loader of a training configuration feeds; returns its path."""
    kept = only(cfg, ("data", "model", "seed"))
    if "codec" not in kept.model:
        raise UserError("physworld preview is for video models; choose model=tiny_video or cogvideox.")
    limits.check(kept)
    check(kept)
    if "path" in kept.data and kept.data.path is not None:
        from physworld.judge.footage import find

        find(Path(str(kept.data.path)))  # no clips: said before torch is loaded
    from physworld.video.build import preview as run

    return run(kept, directory, command=command, count=count, seen=seen, console=console)


def simulate(cfg: DictConfig) -> None:
    """Write clips with their truth."""
    from physworld.video.simulate import simulate as run

    run(cfg)


def numbers(metrics: Mapping[str, Any], about: Any) -> list[Any]:
    """What of a metrics.json stands on a leaderboard (see `runs.leaderboard`); [] where it is another system's."""
    from physworld.video.board import numbers as run

    return run(metrics, about)
