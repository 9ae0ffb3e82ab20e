"""L4: how a model is judged: free rollouts from drawn moments, against extrapolation and the text's own floor."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld import scenarios
from physworld.baselines import BASELINES, rounded_state
from physworld.checks import whole
from physworld.metrics.scores import FLOOR, MODEL, RolloutMeta, score_rollouts, summarise
from physworld.render import comparison, write_gif
from physworld.rollout import rollout
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.types import Scene, Trajectory

EARLIEST = 3  # first frame a rollout may start from, so that codecs with one to four given frames start from the same
FRAMES_PER_SECOND = 15  # of pictures: a quarter of the true speed, so that a half-second rollout can be seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Where rollouts start: the given frames, and the truth that follows them."""

    given: list[Trajectory]
    truth: list[Trajectory]
    meta: list[RolloutMeta]
    left_out: dict[str, str]  # scenario types that the codec cannot write, and why


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    moments: Moments
    predicted: list[Trajectory]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    rollouts: int  # per scenario, in the final evaluation
    rollouts_while_training: int  # per scenario, at each validation
    frames: int  # length of a rollout
    horizons: list[int]  # frames ahead at which errors are read
    latest_start: int  # a rollout starts up to this many frames after the earliest start
    batch_size: int  # rollouts side by side
    guided: bool  # answers kept within the text's grammar, where it has one
    pictures: int  # GIFs

    def __post_init__(self) -> None:
        for name in ("rollouts", "rollouts_while_training", "frames", "batch_size", "latest_start", "pictures"):
            whole(f"evaluation.{name}", getattr(self, name), 0 if name in ("latest_start", "pictures") else 1)
        if not self.horizons or max(self.horizons) > self.frames:
            raise ValueError(f"evaluation.horizons={self.horizons} must lie within evaluation.frames={self.frames}")

    def draw(
        self,
        codec: Any,
        names: Sequence[str],
        difficulties: Sequence[int],
        *,
        split: str,
        seed: int,
        per_scenario: int,
        trained_on: Sequence[str],
    ) -> Moments:
        """The same moments for every model and codec: they depend on names, split and seed alone.

        A type is left out, and named, when the codec cannot write one of its scenes.
        """
        moments = Moments(given=[], truth=[], meta=[], left_out={})
        for name in names:
            why = unwritable(codec, name, difficulties, split=split, seed=seed, scenes=per_scenario)
            moments.left_out.update(why)
            if name in moments.left_out:
                continue
            for k in range(per_scenario):
                scene, rng = _scene(name, difficulties, split=split, seed=seed, place=k)
                last = max(EARLIEST, codec.context_frames - 1) + int(rng.integers(self.latest_start + 1))
                path = simulate(scene, last + 1 + self.frames)
                first = last + 1 - codec.context_frames
                moments.given.append(path.window(first, last + 1))
                moments.truth.append(path.window(last + 1, len(path)))
                moments.meta.append(RolloutMeta(index=k, start_frame=first, seed=seed, held_out=name not in trained_on))
        return moments

    def judge(
        self, model: Any, codec: Any, moments: Moments, progress: Callable[[int], None] | None = None
    ) -> Judgement:
        """Roll the model out, and everything it is compared with."""
        said = rollout(
            model, codec, moments.given, self.frames, batch_size=self.batch_size, guided=self.guided, progress=progress
        )
        predictions = {
            MODEL: said.predicted,
            **{name: [guess(given, self.frames) for given in moments.given] for name, guess in BASELINES.items()},
            FLOOR: [rounded_state(given, self.frames, codec.round_state) for given in moments.given],
        }
        parsed = [count >= self.frames for count in said.parsed]
        rows = score_rollouts(moments.truth, predictions, parsed, self.horizons, moments.meta)
        return Judgement(rows=rows, summary=summarise(rows), moments=moments, predicted=said.predicted)

    def draw_pictures(self, judgement: Judgement, folder: Path) -> list[Path]:
        """GIFs of the first rollout of as many scenario types as there is room for."""
        first: dict[str, int] = {}
        for n, truth in enumerate(judgement.moments.truth):
            first.setdefault(truth.scene.name, n)
        trained_first = sorted(first, key=lambda name: judgement.moments.meta[first[name]]["held_out"])
        return [
            write_gif(folder / f"{name}.gif", judgement_frames(judgement, first[name]), FRAMES_PER_SECOND)
            for name in trained_first[: self.pictures]
        ]


def _scene(
    name: str, difficulties: Sequence[int], *, split: str, seed: int, place: int
) -> tuple[Scene, np.random.Generator]:
    """Scene number `place` of a type, and the generator that goes on to draw its start."""
    rng = generator(seed, split, zlib.crc32(name.encode()), place)
    return scenarios.build(name, rng, difficulties[place % len(difficulties)]), rng


def unwritable(
    codec: Any, name: str, difficulties: Sequence[int], *, split: str, seed: int, scenes: int
) -> dict[str, str]:
    """{name: why} if the codec cannot write one of the first `scenes` scenes of a type, else {}."""
    for place in range(scenes):
        why = codec.unwritable(_scene(name, difficulties, split=split, seed=seed, place=place)[0])
        if why:
            return {name: why}
    return {}


def judgement_frames(judgement: Judgement, index: int) -> Any:
    """uint8 (T, H, W, 3): truth, prediction and overlay of one rollout."""
    return comparison(judgement.moments.truth[index], judgement.predicted[index])
