"""The time step that a model was trained on, kept with its run, and the sentence for scenes of another one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from physworld.errors import UserError
from physworld.io.atomic import replacing
from physworld.text.sources.files import FilesSource
from physworld.types import Scene

FILE = "timesteps.json"  # in a run's directory
SIMULATED = ("PhysicsSource", "OnPolicySource")  # all their scenes have Scene's own time step
LOOKED_AT = 8  # scenes of a folder
NEAR = 0.01  # of the step: files print 0.0167 for 1/60


def of_source(source: Any) -> tuple[float, ...]:
    """The time steps of a source's scenes, s: of its first one, and of some more where they are files."""
    scenes = min(LOOKED_AT, len(source.paths)) if isinstance(source, FilesSource) else 1
    apart = source.windows_per_scene if isinstance(source, FilesSource) else 1
    return tuple(sorted({source.sample(k * apart).given.scene.dt for k in range(scenes)}))


def write(directory: Path, steps: tuple[float, ...]) -> None:
    with replacing(directory / FILE) as temporary:
        temporary.write_text(json.dumps(list(steps)) + "\n", encoding="utf-8")


def of_run(run: Path, config: dict[str, Any]) -> tuple[float, ...] | None:
    """What a run was trained on, s; None where that is not known.

    Raises:
        UserError: the file that says so is damaged.
    """
    path = run / FILE
    if path.is_file():
        try:
            return tuple(float(step) for step in json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{path} is damaged; it should be a JSON list of time steps in s.") from None
    source = config["data"]["source"]["_target_"].rpartition(".")[2]
    return (Scene.dt,) if source in SIMULATED else None


def warning(scenes: Iterable[Scene], trained: tuple[float, ...] | None) -> str:
    """One sentence where some scenes have a time step that the model never saw; else ''."""
    if not trained:
        return ""
    steps = [scene.dt for scene in scenes]
    strange = [dt for dt in steps if all(abs(dt - step) > NEAR * step for step in trained)]
    if not strange:
        return ""
    which = "The scene has" if len(steps) == 1 else f"{len(strange)} of {len(steps)} scenes have"
    known = " or ".join(f"{step:.4g}" for step in trained)
    return (
        f"{which} a time step of {strange[0]:.4g} s, and the model was trained on {known} s: what it says of another "
        "step is a guess"
    )
