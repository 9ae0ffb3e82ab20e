"""What is said of a run that ended before it was done: what is saved of it."""

from __future__ import annotations

from pathlib import Path

from physworld.runs import directory as runs
from physworld.training.finite import REPLAY


def diverged(found: Exception, directory: Path) -> str:
    """A number that is not finite, and what to do about it."""
    seeds = f"; the seeds of its batch are in {directory / REPLAY}" if (directory / REPLAY).is_file() else ""
    advice = "Lower model.learning_rate, or give more model.warmup_steps."
    again = "The same command with ckpt=last debug=replay makes the step again and names the operation."
    return f"{str(found).rstrip('.')}{seeds}. {saved_before(directory)} {advice} {again}"


def saved_before(directory: Path) -> str:
    """Which checkpoints there are."""
    kept = " and ".join(f"{name}.ckpt" for name in runs.kept_checkpoints(directory))
    return f"What was saved before is in {directory}/checkpoints ({kept})." if kept else "Nothing was saved before."


def done(directory: Path, steps: int) -> str:
    """What of a run is finished that was stopped in its final evaluation."""
    saved = sorted(path.name for path in (directory / "model").glob("*") if path.is_dir())
    kept = [f"model/{name}" for name in saved] or ["model"] * (directory / "model" / "config.json").is_file()
    return f"all {steps} steps are trained, and checkpoints/last.ckpt{''.join(f', {name}' for name in kept)} are saved"
