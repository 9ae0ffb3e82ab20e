"""Finished batches of rollouts on disk, so that an evaluation that was stopped goes on where it was.

A batch is found again by its content: what the model was given, how many frames were asked for, and a key that changes
with whatever else could change the answer. Nothing is read but arrays of numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from physworld.io.atomic import replacing
from physworld.io.checksums import digest_of, files_digest
from physworld.runs.pieces import load_arrays, turn
from physworld.text.codecs.scene_json import scene_to_dict
from physworld.text.rollout import Rollout
from physworld.types import State, Trajectory

COUNTS = ("parsed", "missing", "drifted")
PACKAGE = Path(__file__).resolve().parents[2]
# Modules that turn a moment into an answer: when one changes, kept answers are made anew.
ANSWERING = ("types/*.py", "sim/contacts.py", "sim/fields.py", "text/rollout.py", "text/codecs/*.py", "lm/*.py")


def code_digest() -> str:
    """Of the modules that turn a moment into an answer."""
    return files_digest([path for pattern in ANSWERING for path in PACKAGE.glob(pattern)])


def moment_id(given: Trajectory) -> str:
    """16 hexadecimal digits that name what was given: the scene and its frames, to the last bit."""
    arrays = [np.ascontiguousarray(getattr(given, name)).tobytes() for name in State.__annotations__]
    return digest_of(json.dumps(scene_to_dict(given.scene), sort_keys=True), *arrays)[:16]


class DiskStore:
    """One folder; one file per batch, which appears whole or not at all."""

    def __init__(self, folder: Path, key: str) -> None:
        """key: of the model and of how it is asked."""
        self.folder, self.key = folder, key

    def _path(self, given: Sequence[Trajectory], num_frames: int) -> Path:
        name = digest_of(self.key, str(num_frames), *(moment_id(g) for g in given))[:40]
        return self.folder / name[:2] / f"{name}.npz"

    def save(self, given: Sequence[Trajectory], num_frames: int, rollout: Rollout) -> None:
        arrays: dict[str, np.ndarray] = {name: np.array(getattr(rollout, name)) for name in COUNTS}
        for row, predicted in enumerate(rollout.predicted):
            for name in State.__annotations__:
                arrays[f"{name}{row}"] = getattr(predicted, name)
        path = self._path(given, num_frames)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    def turn(self, given: Sequence[Trajectory], num_frames: int, *, wait: bool) -> AbstractContextManager[bool]:
        """Lock a batch among processes and machines; the system gives it free when its process is killed."""
        return turn(self.folder / "locks" / f"{self._path(given, num_frames).stem}.lock", wait=wait)

    def load(self, given: Sequence[Trajectory], num_frames: int) -> Rollout | None:
        """None when there is no such batch, or its file is damaged: then it is made anew."""
        arrays = load_arrays(self._path(given, num_frames))
        if arrays is None:
            return None
        try:
            predicted = [
                Trajectory(scene=g.scene, **{name: arrays[f"{name}{row}"] for name in State.__annotations__})
                for row, g in enumerate(given)
            ]
            counts = {name: [int(value) for value in arrays[name]] for name in COUNTS}
        except (ValueError, KeyError):  # of another physworld
            return None
        if any(len(one) != num_frames for one in predicted) or any(len(c) != len(given) for c in counts.values()):
            return None
        return Rollout(predicted=predicted, **counts)
