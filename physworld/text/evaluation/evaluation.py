"""How a model is evaluated: rollouts from drawn moments, against extrapolation and the text's own floor."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from physworld import scenarios
from physworld.drawing.energy_strip import under
from physworld.drawing.render import comparison
from physworld.errors import UserError
from physworld.io.images import write_gif, write_mp4
from physworld.io.names import safe_name
from physworld.metrics.ensembles import score_ensemble
from physworld.metrics.errors import per_horizon
from physworld.metrics.scores import FLOOR, MODEL, PLACEBO, RolloutMeta, score_rollouts
from physworld.metrics.summary import ordinary, summarise
from physworld.seeding import generator
from physworld.settings.checks import flag, horizons, number, whole
from physworld.sim.ood import shift
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.frame_codec import FrameCodec, SceneLimits
from physworld.text.evaluation.baselines import BASELINES, random_impulses, rounded_state
from physworld.text.rollout import Sampling, Store, fill, rollout
from physworld.types import Scene, Trajectory

EARLIEST = 3  # first frame a rollout may start from, so that codecs with one to four given frames start from the same
FRAMES_PER_SECOND = 15  # of pictures: a quarter of the true speed, so that a half-second rollout can be seen
WRITERS = {"gif": write_gif, "mp4": write_mp4}
Shift = tuple[str, float]  # family, level
IN_DISTRIBUTION: Shift = ("", 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalCases:
    """Where rollouts start: the given frames, and the truth that follows them."""

    given: list[Trajectory]
    truth: list[Trajectory]
    meta: list[RolloutMeta]
    left_out: dict[str, str]  # scenario types that the codec cannot write, and why

    def add(self, path: Trajectory, first: int, context_frames: int, frames: int, about: RolloutMeta) -> None:
        """A rollout of `frames` behind `context_frames` given ones, from frame `first` of a path on."""
        last = first + context_frames
        self.given.append(path.window(first, last))
        self.truth.append(path.window(last, last + frames))
        self.meta.append(about)

    def trained_on(self, names: Sequence[str]) -> EvalCases:
        """The same, with those of types that are not in `names` marked as held out."""
        pairs = zip(self.meta, self.truth, strict=True)
        meta: Any = [{**about, "held_out": truth.scene.name not in names} for about, truth in pairs]
        return replace(self, meta=meta)

    def subset(self, numbers: Sequence[int]) -> EvalCases:
        """Only the moments with these numbers."""
        return replace(
            self,
            given=[self.given[n] for n in numbers],
            truth=[self.truth[n] for n in numbers],
            meta=[self.meta[n] for n in numbers],
        )

    def ordinary(self, paths: Mapping[str, list[Trajectory]]) -> tuple[EvalCases, dict[str, list[Trajectory]]]:
        """The moments that figures are over (see `metrics.summary.ordinary`), and some paths (n) by name of these."""
        numbers = np.flatnonzero(ordinary(self.meta)).tolist()
        return self.subset(numbers), {name: [some[n] for n in numbers] for name, some in paths.items()}

    def why_left_out(self) -> dict[str, list[str]]:
        """Reason -> types."""
        groups: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            groups.setdefault(why, []).append(name)
        return groups


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalResult:
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    cases: EvalCases
    predicted: list[Trajectory]
    references: dict[str, list[Trajectory]] = field(default_factory=dict)  # of baselines, placebo and floor


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    rollouts: int  # scenes per scenario, in the final evaluation
    val_rollouts: int  # scenes per scenario, at each validation
    frames: int  # length of a rollout
    horizons: list[int]  # frames ahead at which errors are read; null = 1, 5, 10, 30, 60, 100 within frames, and frames
    latest_start: int  # a rollout starts up to this many frames after the earliest start
    batch_size: int  # rollouts side by side
    guided: bool  # answers kept within the text's grammar, where it has one
    pictures: int  # GIFs
    start: int | None = None  # last given frame of every rollout; null = drawn
    starts: int = 1  # rollouts per scene, from different frames
    samples: int = 0  # answers drawn besides the one that is scored
    temperature: float = 1.0  # of the drawn answers
    video: str = "gif"  # or mp4: of the pictures

    def __post_init__(self) -> None:
        may_be_zero = ("latest_start", "pictures", "samples")
        for name in ("rollouts", "val_rollouts", "frames", "batch_size", "starts", *may_be_zero):
            whole(f"evaluation.{name}", getattr(self, name), 0 if name in may_be_zero else 1)
        whole("evaluation.start", self.start, 0, or_null=True)
        object.__setattr__(self, "horizons", horizons(self.horizons, self.frames))  # the class is frozen
        flag("evaluation.guided", self.guided)
        number("evaluation.temperature", self.temperature, 0)
        if self.temperature != 1 and not self.samples:
            raise UserError(
                f"evaluation.temperature={self.temperature} is of drawn answers, and there are none; give "
                "evaluation.samples=N too."
            )
        if self.video not in tuple(WRITERS):  # it may be a list
            raise UserError(f"evaluation.video={self.video} is unknown; choose gif or mp4.")
        if self.samples == 1:
            raise UserError("evaluation.samples=1 must be 0, or at least 2, so that they can be compared.")
        if self.starts > (self.latest_start + 1 if self.start is None else 1):
            why = "raise evaluation.latest_start" if self.start is None else f"evaluation.start={self.start} is one"
            raise UserError(f"evaluation.starts={self.starts} needs as many different frames: {why}.")

    def sample_cases(
        self,
        codec: SceneLimits,
        names: Sequence[str],
        difficulties: Sequence[int],
        *,
        split: str,
        seed: int,
        per_scenario: int,
        trained_on: Iterable[str],
        first_index: int = 0,
        shifts: Sequence[Shift] = (IN_DISTRIBUTION,),
    ) -> EvalCases:
        """The same moments for every model, and for every codec that is given up to EARLIEST + 1 frames.

        A type is left out, and named, when the codec cannot write one of its scenes.

        Args:
            first_index: number of the first scene in each type's stream.
            shifts: out-of-distribution families and levels; each scene is scored once under each.
        """
        cases = EvalCases(given=[], truth=[], meta=[], left_out={})
        trained = set(trained_on)
        for name in names:
            why = unwritable(codec, name, difficulties, split=split, seed=seed, scenes=per_scenario, first=first_index)
            cases.left_out.update(why)
            if name in cases.left_out:
                continue
            for place in range(first_index, first_index + per_scenario):
                for family, level in shifts:
                    scene, rng = _scene(name, difficulties, split=split, seed=seed, place=place)
                    about = RolloutMeta(
                        index=place, start_frame=0, seed=seed, held_out=name not in trained, shift="", distance=0.0
                    )
                    if family:
                        moved = _shifted(cases, codec, scene, (family, level), about, split)
                        if moved is None:
                            continue
                        scene = moved
                    self._add(cases, codec, scene, rng, about)
        return cases

    def scenes(self, limit: int | None) -> int:
        """How many scenes of each type are judged.

        Raises:
            UserError: `limit` is more than there are, so that it would change nothing.
        """
        if limit is not None and limit > self.rollouts:
            raise UserError(
                f"limit={limit} limits nothing: evaluation.rollouts={self.rollouts} says how many scenes of a type "
                "there are; raise that, or leave limit out."
            )
        return self.rollouts if limit is None else limit

    def refuse_early(self, context_frames: int) -> None:
        """Raises: UserError: rollouts are to start before so many frames are given."""
        if self.start is not None and self.start < context_frames - 1:
            raise UserError(
                f"evaluation.start={self.start} is too early: this text is given {context_frames} frames, "
                f"so choose {context_frames - 1} or later."
            )

    def _add(
        self, cases: EvalCases, codec: SceneLimits, scene: Scene, rng: np.random.Generator, about: RolloutMeta
    ) -> None:
        """The rollouts of one scene."""
        earliest = max(EARLIEST, codec.context_frames - 1)
        if self.start is not None:
            self.refuse_early(codec.context_frames)
            lasts = [self.start]
        elif self.starts == 1:
            lasts = [earliest + int(rng.integers(self.latest_start + 1))]
        else:
            lasts = sorted((earliest + rng.choice(self.latest_start + 1, self.starts, replace=False)).tolist())
        path = simulate(scene, lasts[-1] + 1 + self.frames)
        for last in lasts:
            first = last + 1 - codec.context_frames
            cases.add(path, first, codec.context_frames, self.frames, {**about, "start_frame": first})

    def evaluate(
        self,
        model: Any,
        codec: FrameCodec,
        cases: EvalCases,
        progress: Callable[[int], None] | None = None,
        *,
        store: Callable[[int], Store] | None = None,
    ) -> EvalResult:
        """Roll the model out, and everything it is compared with.

        Args:
            store: where finished batches of sample k are kept; 0 is the answer without drawing.
        """
        settings: Any = {"batch_size": self.batch_size, "guided": self.guided, "progress": progress}
        rows, predicted, references = self.roll_out(model, codec, cases, progress, store=store)
        summary = summarise(rows)
        summary["curves"] = curves(*cases.ordinary({MODEL: predicted, **references}))
        if self.samples:
            sampled = [
                rollout(
                    model,
                    codec,
                    cases.given,
                    self.frames,
                    sampling=Sampling(temperature=self.temperature, seed=k),
                    store=store and store(k),
                    **settings,
                )
                for k in range(1, self.samples + 1)
            ]
            mine, drawn = cases.ordinary({str(k): some.predicted for k, some in enumerate(sampled)})
            summary["sampled"] = self._ensembles(mine, list(drawn.values()))
            whole = np.array([some.parsed for some in sampled])[:, ordinary(cases.meta)] >= self.frames
            summary["sampled"]["parse_rate"] = float(whole.mean())  # what breaks off stands still from there on
        return EvalResult(rows=rows, summary=summary, cases=cases, predicted=predicted, references=references)

    def fill(
        self,
        model: Any,
        codec: FrameCodec,
        cases: EvalCases,
        progress: Callable[[int], None] | None,
        *,
        store: Callable[[int], Store],
        share: int,
        shares: int,
    ) -> None:
        """Answer one share of what `evaluate` asks, into its stores."""
        for k in range(1 + self.samples if self.samples else 1):
            sampling = Sampling(temperature=self.temperature, seed=k) if k else None
            fill(
                model, codec, cases.given, self.frames, store(k), share=share, shares=shares,
                batch_size=self.batch_size, guided=self.guided, sampling=sampling, progress=progress,
            )  # fmt: skip

    def roll_out(
        self,
        model: Any,
        codec: FrameCodec,
        cases: EvalCases,
        progress: Callable[[int], None] | None = None,
        *,
        store: Callable[[int], Store] | None = None,
    ) -> tuple[list[dict[str, Any]], list[Trajectory], dict[str, list[Trajectory]]]:
        """(rows, what the model predicts, what baselines, placebo and floor predict)."""
        settings: Any = {"batch_size": self.batch_size, "guided": self.guided, "progress": progress}
        answer = rollout(model, codec, cases.given, self.frames, store=store and store(0), **settings)
        references = compared(cases, self.frames, codec)
        rows = score_rollouts(
            cases.truth,
            {MODEL: answer.predicted, **references},
            [count >= self.frames for count in answer.parsed],
            self.horizons,
            cases.meta,
            before=[given.frame(-1) for given in cases.given],
            faults=list(zip(answer.missing, answer.drifted, strict=True)),
        )
        return rows, answer.predicted, references

    def _ensembles(self, cases: EvalCases, drawn: list[list[Trajectory]]) -> dict[str, Any]:
        """Best, mean and spread of the drawn answers by horizon, means over scenario types."""
        names = np.array([truth.scene.name for truth in cases.truth])
        found: dict[str, Any] = {"samples": self.samples, "temperature": self.temperature, "horizons": {}}
        for h in self.horizons:
            scores = [score_ensemble(truth, [sample[n] for sample in drawn], h) for n, truth in enumerate(cases.truth)]
            means = {}
            for part in ("best", "mean", "of_mean", "spread"):
                values = np.array([getattr(score, part) for score in scores])
                mean = float(np.mean([values[names == name].mean() for name in np.unique(names)]))
                means[part] = mean if np.isfinite(mean) else None
            spread, off = means["spread"], means["of_mean"]
            found["horizons"][str(h)] = {**means, "calibration": spread / off if spread is not None and off else None}
        return found

    def draw_pictures(self, result: EvalResult, folder: Path) -> list[Path]:
        """Animations of the first rollout of as many scenario types as there is room for."""
        first: dict[str, int] = {}
        for n, truth in enumerate(result.cases.truth):
            first.setdefault(truth.scene.name, n)
        trained_first = sorted(first, key=lambda name: result.cases.meta[first[name]]["held_out"])
        return [
            WRITERS[self.video](
                folder / f"{safe_name(name)}.{self.video}", result_frames(result, first[name]), FRAMES_PER_SECOND
            )
            for name in trained_first[: self.pictures]
        ]


def compared(cases: EvalCases, frames: int, codec: FrameCodec) -> dict[str, list[Trajectory]]:
    """What baselines, placebo and floor predict for the same moments."""
    placebo = [
        random_impulses(
            given, frames, generator(about["seed"], "test", zlib.crc32(given.scene.name.encode()), about["index"])
        )
        for given, about in zip(cases.given, cases.meta, strict=True)
    ]
    return {
        **{name: [guess(given, frames) for given in cases.given] for name, guess in BASELINES.items()},
        PLACEBO: placebo,
        FLOOR: [rounded_state(given, frames, codec.round_state) for given in cases.given],
    }


def curves(cases: EvalCases, predictions: dict[str, list[Trajectory]]) -> dict[str, list[float | None]]:
    """Position RMSE at every frame, px: per method the mean over scenario types of means over rollouts."""
    names = np.array([truth.scene.name for truth in cases.truth])
    found = {}
    for method, predicted in predictions.items():
        errors = np.stack([per_horizon(truth, guess) for truth, guess in zip(cases.truth, predicted, strict=True)])
        mean = np.mean([errors[names == name].mean(axis=0) for name in np.unique(names)], axis=0)
        found[method] = [float(value) if np.isfinite(value) else None for value in mean]
    return found


def _scene(
    name: str, difficulties: Sequence[int], *, split: str, seed: int, place: int
) -> tuple[Scene, np.random.Generator]:
    """Scene number `place` of a type, and the generator that goes on to draw its start."""
    rng = generator(seed, split, zlib.crc32(name.encode()), place)
    return scenarios.build(name, rng, difficulties[place % len(difficulties)]), rng


def _shifted(
    cases: EvalCases, codec: SceneLimits, scene: Scene, how: Shift, about: RolloutMeta, split: str
) -> Scene | None:
    """The scene out of distribution, `about` filled in; None, and a note in `left_out`, where that cannot be."""
    family, level = how
    about["shift"] = f"{family}@{level:g}"
    tag = f"{scene.name} {about['shift']}"
    # The same draw at every level: then a higher one never comes out nearer.
    rng = generator(about["seed"], split, zlib.crc32(f"{scene.name} {family}".encode()), about["index"])
    try:
        moved = shift(scene, family, rng, level=level)
    except ValueError as error:  # no room for so many bodies
        cases.left_out[tag] = str(error)
        return None
    why = "a scene is so already" if moved.scene == scene else codec.unwritable(moved.scene)
    if why:
        cases.left_out[tag] = why
        return None
    about["distance"] = moved.distance
    return moved.scene


def unwritable(
    codec: SceneLimits, name: str, difficulties: Sequence[int], *, split: str, seed: int, scenes: int, first: int = 0
) -> dict[str, str]:
    """{name: why} if the codec cannot write one of the scenes first .. first + scenes - 1 of a type, else {}."""
    for place in range(first, first + scenes):
        why = codec.unwritable(_scene(name, difficulties, split=split, seed=seed, place=place)[0])
        if why:
            return {name: why}
    return {}


def result_frames(result: EvalResult, index: int, size: tuple[int, int] = (400, 300)) -> np.ndarray:
    """`side_by_side` of one rollout."""
    return side_by_side(result.cases.truth[index], result.predicted[index], size)


def side_by_side(truth: Trajectory, predicted: Trajectory, size: tuple[int, int] = (400, 300)) -> np.ndarray:
    """uint8 (T, H, W, 3): truth, prediction and overlay, each of `size`; energy and momentum below."""
    return under(comparison(truth, predicted, size=size), truth, predicted)
