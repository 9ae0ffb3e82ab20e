"""PhyWorld's table: errors of velocity in three systems, in and out of distribution, from states and from pixels."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from physworld.errors import UserError
from physworld.metrics.bootstrap import bootstrap_mean
from physworld.metrics.scores import MODEL, RolloutMeta
from physworld.seeding import generator
from physworld.settings import checks
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import EvalCases, EvalResult, Evaluation
from physworld.text.evaluation.laws import earlier
from physworld.text.evaluation.suites import Suite, Together
from physworld.text.sources import phyworld
from physworld.text.sources.phyworld import FRAMES, GIVEN, SPLITS, STEPS, SYSTEMS, Clip

NEEDED = (FRAMES - GIVEN) * STEPS  # frames of a rollout
PARSER, TRACKER = "truth, their parser", "truth, our tracker"  # the true clip, painted and read back
SIMULATOR = "truth"  # what the simulator of this package makes of the last given frame
SIDE = 256  # px, of painted clips, as published
PAINTED = 12  # clips of a kind: pictures take longer than states


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipCases(EvalCases):
    clips: list[Clip]  # that the moments are of


@dataclass(frozen=True, kw_only=True)
class PhyWorldSuite(Suite):
    """PhyWorld's systems instead of scenario types."""

    systems: list[str] | None = None  # of uniform, parabola, collision
    splits: list[str] | None = None  # of in, out, larger
    file: str | None = None  # a published HDF5 file, instead of clips that are drawn as its generators do
    own_scenes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, chosen, known in (("systems", self.systems, SYSTEMS), ("splits", self.splits, SPLITS)):
            if not isinstance(chosen, list) or not chosen or set(map(str, chosen)) - set(known):
                raise UserError(f"suite.{name}={chosen} must be a list of some of {', '.join(known)}.")
            checks.once(f"suite.{name}", chosen)

    def clips(self, evaluation: Evaluation, *, split: str, seed: int, limit: int | None) -> list[Clip]:
        """At most evaluation.rollouts clips of each system and split, the same for every model.

        Raises:
            UserError: the file cannot be read, or a split is asked of it that is none of it.
        """
        count = evaluation.scenes(limit)

        def rng_of(system: str, kind: str, number: int) -> np.random.Generator:
            return generator(seed, split, zlib.crc32(f"phyworld {system} {kind}".encode()), number)

        if self.file is not None and split != "test":
            raise UserError(f"split={split} is of drawn clips; those of suite.file={self.file} are judged as they are.")
        if self.file is None:
            return phyworld.clips(self.systems or [], self.splits or [], count, rng_of)
        found: list[Clip] = []
        for clip in phyworld.read(Path(str(self.file))):
            alike = sum(one.system == clip.system and one.split == clip.split for one in found)
            if alike < count and clip.system in (self.systems or []) and clip.split in (self.splits or []):
                found.append(clip)
        return found

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
        """From the last given frame to the end of each clip.

        Raises:
            UserError: rollouts of another length, or nothing is left that these codecs can write.
        """
        if evaluation.frames != NEEDED:
            raise UserError(
                f"suite=phyworld rolls out {NEEDED} frames; leave evaluation.frames={evaluation.frames} out."
            )
        together = Together(codecs)
        context = together.context_frames
        cases = ClipCases(given=[], truth=[], meta=[], left_out={}, clips=[])
        for index, clip in enumerate(self.clips(evaluation, split=split, seed=seed, limit=limit)):
            path = simulate(earlier(clip.scene(), context - 1), context + NEEDED)
            why = together.unwritable(path.scene) or together.refuses(path.window(0, context))
            if why:
                cases.left_out[path.scene.name] = why
                continue
            cases.clips.append(clip)
            about = RolloutMeta(index=index, start_frame=0, seed=seed, held_out=True)
            cases.add(path, 0, context, NEEDED, about)
        if not cases.given:
            raise UserError(f"None of these clips can be written: {'; '.join(sorted(cases.why_left_out()))}.")
        return cases

    def finish(self, result: EvalResult, codec: FrameCodec, *, split: str) -> None:
        """Errors of velocity go into the rows (`phyworld_velocity`, units/s), the table into the summary."""
        cases = result.cases
        assert isinstance(cases, ClipCases)  # sample_cases made them
        every = cases.clips
        methods = {MODEL: result.predicted, **result.references, SIMULATOR: cases.truth}
        errors: dict[str, list[float]] = {name: [] for name in (*methods, TRACKER, PARSER)}
        painted = Counter[str]()
        for number, (clip, given) in enumerate(zip(every, cases.given, strict=True)):
            for name, paths in methods.items():
                said = phyworld.sampled(paths[number].position, given.position[-1], clip)
                errors[name].append(phyworld.velocity_error(clip, said))
            painted[given.scene.name] += 1
            if painted[given.scene.name] > PAINTED:
                errors[TRACKER].append(float("nan"))
                errors[PARSER].append(float("nan"))
                continue
            frames = phyworld.frames_of(clip) if clip.video else phyworld.paint(clip.radius, clip.position, SIDE)
            for name, reader in ((TRACKER, phyworld.track), (PARSER, phyworld.parse)):
                errors[name].append(phyworld.velocity_error(clip, reader(frames, len(clip.radius))))
        order = list(dict.fromkeys(row["method"] for row in result.rows))
        for place, row in enumerate(result.rows):
            row["phyworld_velocity"] = errors[row["method"]][place // len(order)]
        result.summary["phyworld"] = {
            f"{system} {kind}": {name: _interval(values, every, system, kind) for name, values in errors.items()}
            for system, kind in dict.fromkeys((clip.system, clip.split) for clip in every)
        }


def _interval(values: Sequence[float], every: Sequence[Clip], system: str, kind: str) -> dict[str, Any] | None:
    """Mean over the clips of a kind that have a figure, with its 95 % interval."""
    mine = [v for v, c in zip(values, every, strict=True) if (c.system, c.split) == (system, kind) and np.isfinite(v)]
    if not mine:
        return None
    return bootstrap_mean(mine).to_dict()
