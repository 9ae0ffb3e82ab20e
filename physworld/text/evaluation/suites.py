"""Named sets of moments: which scenes, how shifted, how far. `conf/suite/NAME.yaml` is the list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console

from physworld.errors import FormatError, UserError, suggest
from physworld.metrics.scores import RolloutMeta
from physworld.seeding import generator
from physworld.settings import checks
from physworld.sim.ood import FAMILIES
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import (
    EARLIEST,
    IN_DISTRIBUTION,
    EvalCases,
    EvalResult,
    Evaluation,
    Shift,
)
from physworld.text.rollout import Store
from physworld.text.sources.files import SUFFIXES, read_scene, scenes_below
from physworld.types import FIXED, Trajectory

RESTARTS, RESTART = 7, 10  # of a recorded scene, and frames of each
# px from where the file has it: the end of a chain whose anchor is lost falls 8 or more, other lost anchors make 40;
# what the simulator remembers of joints makes 6 at most (bridge, chain; 160 whole scenes of all types with joints).
OFF = 7.0


class Together:
    """Several codecs as one, for drawing moments that all of them can use."""

    def __init__(self, codecs: Sequence[Any]) -> None:
        self.codecs = codecs
        self.context_frames = max(codec.context_frames for codec in codecs)

    def unwritable(self, scene: Any) -> str:
        return next((why for why in (codec.unwritable(scene) for codec in self.codecs) if why), "")

    def refuses(self, given: Trajectory) -> str:
        """Why one of the codecs cannot write these frames (more bodies than it has names for, say), or ''."""
        for codec in self.codecs:
            try:
                codec.prompt(given)
            except ValueError as error:
                return str(error)
        return ""


def _starts(path: Trajectory, evaluation: Evaluation, context_frames: int, rng: np.random.Generator) -> list[int]:
    """Last given frames of a recorded scene's rollouts; empty when it is too short for one."""
    latest = len(path) - 1 - evaluation.frames
    if evaluation.start is not None:
        return [evaluation.start] if context_frames - 1 <= evaluation.start <= latest else []
    earliest = max(EARLIEST, context_frames - 1)
    choice = range(earliest, min(earliest + evaluation.latest_start, latest) + 1)
    return sorted(rng.choice(choice, min(evaluation.starts, len(choice)), replace=False).tolist()) if choice else []


def tells_all(path: Trajectory) -> bool:
    """Whether a recorded scene tells what its joints do: the simulator, restarted along it, stays on it.

    Published files leave out where joints are anchored, and with it what no reader of them can know. Rounding, and what
    the simulator remembers of joints and contacts, set a restart off by less, or more seldom: the median counts.
    """
    held = sorted({end for joint in path.scene.joints for end in (joint.body_a, joint.body_b)} - {FIXED})
    if not held:
        return True
    starts = np.unique(np.linspace(0, max(0, len(path) - 1 - RESTART), RESTARTS).astype(int))
    frames = min(RESTART, len(path) - 1)
    off = []
    for start in starts.tolist():
        again = simulate(path.scene, frames + 1, start=path.frame(start))
        off.append(np.linalg.norm(again.position[-1, held] - path.position[start + frames, held], axis=-1).max())
    return bool(np.median(off) <= OFF)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is evaluated beyond what `scenario`, `difficulties` and `evaluation` say."""

    name: str
    first_index: int = 0  # number of the first scene in each type's stream
    families: list[str] = field(default_factory=list)  # out-of-distribution families; empty = scenes as they are
    levels: list[float] = field(default_factory=list)  # how far out, above 0 and at most 1
    curves: list[str] = field(default_factory=list)  # paper: types that are rolled out besides the single steps
    curve_frames: int = 30  # paper: of those rollouts
    own_scenes: ClassVar[bool] = False  # it reads neither scenario types nor difficulties

    def __post_init__(self) -> None:
        checks.whole("suite.first_index", self.first_index, 0)
        checks.whole("suite.curve_frames", self.curve_frames, 1)
        for name, value, example in (("families", self.families, "extreme_mass"), ("levels", self.levels, "0.5,1")):
            if not isinstance(value, list):
                raise UserError(f"suite.{name}={value} must be a list, for example suite.{name}=[{example}].")
        for family in self.families:
            if family not in FAMILIES:
                raise UserError(
                    f"suite.families, a list, has {family}.{suggest(str(family), FAMILIES)} "
                    f"Choose from {', '.join(FAMILIES)}."
                )
        within = all(isinstance(level, int | float) and 0 < level <= 1 for level in self.levels)
        if not within or bool(self.families) != bool(self.levels):
            raise UserError(
                f"suite.levels={self.levels} must be a list of numbers above 0 and at most 1, and goes with "
                "suite.families."
            )
        checks.once("suite.families", self.families)
        checks.once("suite.levels", [f"{level:g}" for level in self.levels])  # as they are told apart
        if self.curves:
            checks.once("suite.curves", checks.scenario_names(self.curves))
        elif self.curve_frames != Suite.curve_frames:
            raise UserError(
                f"suite.curve_frames={self.curve_frames} is of the types of suite.curves, and there are none; "
                "leave it out."
            )
        drawn = {"first_index": self.first_index, "families": self.families, "curves": self.curves}
        unread = next((name for name, value in drawn.items() if value), None)
        if self.own_scenes and unread is not None:
            raise UserError(
                f"suite.{unread} is of drawn scenario types, and suite={self.name} makes its own scenes; leave it out."
            )

    @property
    def shifts(self) -> list[Shift]:
        """Every family at every level, after the scenes as they are."""
        return [IN_DISTRIBUTION, *((family, float(level)) for family in self.families for level in self.levels)]

    def sample_cases(
        self,
        evaluation: Evaluation,
        codecs: Sequence[Any],
        names: Sequence[str],
        difficulties: Sequence[int],
        *,
        split: str,
        seed: int,
        trained_on: Sequence[str],
        limit: int | None,
    ) -> EvalCases:
        """The suite's moments, the same for every model.

        Raises:
            UserError: nothing is left that these codecs can write.
        """
        cases = evaluation.sample_cases(
            Together(codecs),
            names,
            difficulties,
            split=split,
            seed=seed,
            per_scenario=evaluation.scenes(limit),
            trained_on=trained_on,
            first_index=self.first_index,
            shifts=self.shifts,
        )
        if not cases.given:
            why = sorted(set(cases.left_out.values()))
            raise UserError(f"None of these scenario types can be written: {'; '.join(why)}.")
        return cases

    def read(
        self,
        folder: Path,
        evaluation: Evaluation,
        codecs: Sequence[Any],
        *,
        seed: int,
        limit: int | None,
        names: Sequence[str] | None = None,
        difficulties: Sequence[int] | None = None,
    ) -> EvalCases:
        """EvalCases from the scenes in `folder` (or one file), JSONL or Parquet, `limit` a type at most, in path order.

        The truth is what the files hold; starts are drawn as for simulated scenes.

        Args:
            names: scenario types wanted; None = all, also those that are not ours.
            difficulties: wanted; None = all.

        Raises:
            UserError: the suite has scenes of its own, there is no such folder, a file cannot be read, rollouts are to
                start too early, or nothing is left to judge.
        """
        if self.own_scenes:
            raise UserError(f"suite={self.name} has scenes of its own; leave scenes={folder} out.")
        if self.families:
            raise UserError(
                f"suite={self.name} moves simulated scenes out of distribution, and those of scenes={folder} are "
                "judged as recorded; leave one of the two out."
            )
        if not folder.exists():
            raise UserError(f"scenes={folder} is no file and no folder; give one of {', '.join(SUFFIXES)} files.")
        together, counts = Together(codecs), Counter[str]()
        evaluation.refuse_early(together.context_frames)
        begin = "those that are given" if evaluation.start is None else f"frame {evaluation.start}"
        cases = EvalCases(given=[], truth=[], meta=[], left_out={})

        def wanted(name: str) -> bool:
            if names is not None and name not in names:
                cases.left_out[name] = "not a type that scenario= or the suite names"
                return False
            return limit is None or counts[name] < limit

        try:
            for index, (place, known) in enumerate(scenes_below(folder)):
                if known is not None and not wanted(known):
                    continue  # a row of Parquet tells its type without being read
                path = read_scene(place)
                if not wanted(path.scene.name):
                    continue
                if difficulties is not None and path.scene.difficulty not in difficulties:
                    label = f"{path.scene.name} of difficulty {path.scene.difficulty}"
                    cases.left_out[label] = f"not in difficulties={list(difficulties)}"
                    continue
                lasts = _starts(path, evaluation, together.context_frames, generator(seed, "test", index))
                firsts = [last + 1 - together.context_frames for last in lasts]
                why = together.unwritable(path.scene) or (
                    together.refuses(path.window(firsts[0], lasts[0] + 1))
                    if firsts
                    else f"its {len(path)} frames are too few for {evaluation.frames} beyond {begin}"
                )
                if why:
                    cases.left_out[str(place)] = why
                    continue
                counts[path.scene.name] += 1
                told = tells_all(path)
                for first in firsts:
                    about = RolloutMeta(index=index, start_frame=first, seed=seed, held_out=False, told=told)
                    cases.add(path, first, together.context_frames, evaluation.frames, about)
        except FormatError as error:
            raise UserError(str(error)) from None
        if not cases.given:
            nothing = f"there are no {', '.join(SUFFIXES)} files"
            why = "; ".join(sorted(set(cases.left_out.values()))) or nothing
            raise UserError(f"scenes={folder} gives nothing to judge: {why}.")
        return cases

    def finish(self, result: EvalResult, codec: FrameCodec, *, split: str) -> None:
        """Add to rows and summary what is special to the suite."""

    def more(
        self,
        result: EvalResult,
        model: Any,
        codec: FrameCodec,
        evaluation: Evaluation,
        *,
        split: str,
        seed: int,
        limit: int | None,
        store: Callable[[int], Store] | None,
        console: Console,
    ) -> None:
        """Ask the model for more than rollouts of the cases, and add to the summary what comes of it."""

    def curve_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """How the types of `curves` are rolled out."""
        horizons = sorted({1, 5, 10, 20, self.curve_frames} & set(range(1, self.curve_frames + 1)))
        return replace(evaluation, frames=self.curve_frames, horizons=horizons, starts=1, samples=0, temperature=1.0)
