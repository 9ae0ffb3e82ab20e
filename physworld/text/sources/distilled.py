"""Training on what finished models answer: the mean of their answers takes the simulator's place.

A student that learns from the mean of several teachers gets their ensemble's answers at its own cost (distillation:
Hinton et al. 2015, arXiv 1503.02531; by answers instead of probabilities, as Kim and Rush 2016, arXiv 1606.07947, so
that teachers and student may be of different kinds and write different texts). What one frame of text does not tell,
such as what the simulator's solver remembers, is spread in the truth and is not in a mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.seeding import generator
from physworld.text.sources.on_policy import rollout_alone
from physworld.text.sources.physics import PhysicsSource
from physworld.types import State, Trajectory

TAUGHT = 2  # keeps the draw of which windows are taught apart from the others
OPTION = "data.source.runs"


class DistilledSource(PhysicsSource):
    """`PhysicsSource`, where the target frames of a share of the samples are the mean of finished runs' answers.

    Validation samples keep the simulator's. A teacher's answer that cannot be read is left out of the mean. Everything
    stays a function of (seed, split, index) and of the teachers' weights.
    """

    def __init__(self, *, runs: Sequence[str], share: float = 1.0, context_frames: int = 1, **physics: Any) -> None:
        """
        Args:
            runs: directories of the teachers, `last`, `shipped` or `solver`.
            share: of the samples, above 0 and up to 1.
            context_frames: given frames of a sample; teachers are shown as many as they want.
            physics: as of `PhysicsSource`.

        Raises:
            ValueError: a share out of range, or no teachers.
            UserError: a run is not there, is damaged or is not a text model's.
        """
        if not 0 < share <= 1:
            raise ValueError(f"data.source.share must be above 0 and at most 1, got {share}")
        self.share, self.shown = share, context_frames
        self._loaded: list[tuple[Any, Any]] | None = None  # models and codecs, once a worker needs them
        self._folders = _found(runs)
        wanted = [context_frames]
        if physics["split"] == "train":  # what is damaged shows now, not in a worker
            wanted += [codec.context_frames for _, codec in self._load()]
            self._loaded = None
        super().__init__(context_frames=max(wanted), **physics)

    def _load(self) -> list[tuple[Any, Any]]:
        if self._loaded is None:
            self._loaded = [load_model(run, torch.device("cpu"))[:2] for run in self._folders]
        return self._loaded

    def _cut(self, number: int) -> list[tuple[Trajectory, Trajectory]]:
        windows = super()._cut(number)
        if self.split == "train":
            taught = generator(self.seed, self.split, number, TAUGHT).random(len(windows)) < self.share
            chosen = np.flatnonzero(taught).tolist()
            for place, answer in zip(chosen, self._answers([windows[k] for k in chosen]), strict=True):
                windows[place] = windows[place][0], answer
        return [(given.window(len(given) - self.shown, len(given)), target) for given, target in windows]

    def _answers(self, windows: list[tuple[Trajectory, Trajectory]]) -> list[Trajectory]:
        """The teachers' mean in each window; the simulator's own where none can be read."""
        if not windows:
            return []
        given = [before for before, _ in windows]
        said = [rollout_alone(model, codec, given, self.target_frames) for model, codec in self._load()]
        answers = []
        for place, (_, truth) in enumerate(windows):
            read = [part.predicted[place] for part in said if part.parsed[place] == self.target_frames]
            answers.append(_mean(read) if read else truth)
        return answers


def _found(names: Sequence[str]) -> list[Any]:
    if isinstance(names, str) or not isinstance(names, Iterable) or not names:
        raise ValueError(f"{OPTION} must be a list of finished runs, for example {OPTION}=[solver], got {names}")
    found = [runs.find_run(str(name), OPTION) for name in names]
    twice = [str(name) for place, name in enumerate(names) if found[place] in found[:place]]
    if twice:
        raise ValueError(f"{OPTION} names {twice[0]} twice, and the mean of one teacher with itself is its own answer")
    return found


def _mean(paths: list[Trajectory]) -> Trajectory:
    """Frame by frame, of the same scene."""
    parts = {part.name: np.mean([getattr(path, part.name) for path in paths], axis=0) for part in fields(State)}
    return Trajectory(scene=paths[0].scene, **parts)
