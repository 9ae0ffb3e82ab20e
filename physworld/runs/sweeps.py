"""A job of a sweep (-m) that is started again goes on, and one that is finished is not run again."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError
from physworld.runs import directory as runs
from physworld.runs import state
from physworld.settings.checks import typed

NAMING = ("init_from", "data.source.run", "data.source.runs", "data.source.errors")  # settings that name runs
# What may differ between two starts of a job; `steps` and NAMING only where the command leaves them open.
FREE = (
    "ckpt",
    "hardware.",
    "validate_every",
    "checkpoint_every",
    *(f"trainer.{name}" for name in ("log_every_n_steps", "profiler", "detect_anomaly", "benchmark", "deterministic")),
    "logger",
    "early_stopping.",
    "max_time",
    "keep_last",
    "skip_steps",
)


def settle_last(cfg: DictConfig, before: Mapping[str, Any], sweep: Path | None) -> None:
    """`last` becomes the run that it means, for good: tomorrow, or in the next job of a sweep, it may be another one.

    Args:
        before: dotted settings of the run that goes on, which say what was meant then.
        sweep: the folder of the sweep that this is a job of; none of its jobs is meant.

    Raises:
        UserError: no run is finished.
    """
    for key in NAMING:
        value = OmegaConf.select(cfg, key)
        names = named(value)
        if "last" not in names:
            continue
        kept = named(before.get(key))
        if len(kept) != len(names) or "last" in kept:
            kept = [_path(name, key, sweep) if name == "last" else name for name in names]
        OmegaConf.update(cfg, key, kept[0] if isinstance(value, str) else kept)


def named(value: Any) -> list[str]:
    """One run or several."""
    return [value] if isinstance(value, str) else [] if value is None else list(value)


def _path(name: str, key: str, sweep: Path | None) -> str:
    return str(runs.relative(str(runs.find_run(name, key, outside=sweep).absolute())))


@dataclass(frozen=True, kw_only=True)
class Again:
    ckpt: str | None = None  # to continue from; None = from the beginning
    score: float | None = None  # of a job that is finished; infinite where it had none


def again(directory: Path, cfg: DictConfig) -> Again:
    """Where a job stands that may have been started before.

    Raises:
        UserError: another job was there.
        state.Pruned: a search has given it up.
    """
    before = state.read(directory)
    if before is None or not (directory / "config.yaml").is_file():
        return Again()
    _refuse_another(directory, cfg)
    if before["state"] == "finished":
        return Again(score=math.inf if before["score"] is None else float(before["score"]))
    if before["state"] == "pruned":
        raise state.Pruned(str(before["error"]))
    kept = _whole(directory / "checkpoints")
    if kept is None:
        # They are drawn again from step 0. A rank that comes late would take away what the first has just begun.
        for begun in ("checkpoints", "tensorboard", "csv") if runs.first_rank() else ():
            shutil.rmtree(directory / begun, ignore_errors=True)
        return Again()
    print(f"{directory} goes on from checkpoints/{kept.name}.", flush=True)
    return Again(ckpt=kept.stem if kept.stem in ("last", "best") else str(kept))


def _whole(folder: Path) -> Path | None:
    """The newest checkpoint that can be read; those that are damaged are named."""
    from physworld.runs.checkpoints import LAST, read_newest

    if not any(folder.glob("*.ckpt")):
        return None
    try:
        return read_newest(folder / LAST)[0]
    except UserError as error:
        print(f"{str(error).partition(';')[0]}, and no other is whole; the job begins anew.", flush=True)
        return None


def _refuse_another(directory: Path, cfg: DictConfig) -> None:
    asked: Any = OmegaConf.to_container(cfg, resolve=True)
    before, now = runs.flatten(runs.read_config(directory)), runs.flatten(asked)
    open_ones = [key for key in ("steps", "init_from") if now[key] is None]
    free = (*FREE, *open_ones, *(key for key in NAMING if "last" in named(now.get(key))))
    odd = [key for key in runs.differences([before, now]) if not key.startswith(free)]
    if odd:
        raise UserError(
            f"{directory} is of another sweep, with {odd[0]}={typed(before.get(odd[0]))} and not "
            f"{odd[0]}={typed(now.get(odd[0]))}; choose another hydra.sweep.dir."
        )
