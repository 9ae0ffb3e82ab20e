"""What `physworld serve` is asked for, looked at before libraries are loaded that take seconds."""

from __future__ import annotations

from pathlib import Path

from physworld.errors import UserError, suggest
from physworld.runs import directory as runs


def find(what: str, base: str | None) -> Path | None:
    """The run directory that is meant; None where it can only be weights.

    Raises:
        UserError: it is a folder of neither, a run of video, or a run beside a base.
    """
    folder = runs.find_named(what)
    if what not in runs.NAMED and (folder is None or not (folder / "config.yaml").is_file()):
        if Path(what).is_dir() and not any(Path(what).glob("*config.json")):
            raise UserError(
                f"{what} is neither a run nor weights: it holds no config.yaml with a model/ folder beside it, and no "
                f"config.json.{suggest(what, runs.NAMED)}"
            )
        return None
    if base is not None:
        raise UserError(f"--base {base} is for weights; a run brings its own, so leave it out.")
    run = runs.find_run(what, "")
    task = runs.task_of(run)
    if task not in ("text", "spatial"):
        raise UserError(f"{what} is a run of {task}; only text and spatial runs are served.")
    return run


def as_typed(message: str, what: str) -> str:
    """What is wrong with weights, without the settings that evaluate.py gives them by."""
    message = message.replace("base=", "--base ").replace("run=", "")
    absent = f"weights={what} is no folder"
    near = suggest(what, runs.NAMED) if absent in message else ""
    return message.replace(absent, f"{what} is no run, and no folder").replace("weights=", "") + near
