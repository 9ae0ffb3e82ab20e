"""How a video model is evaluated: what it finds likely, what it generates, and the published metric beside both.

Rows are adapters of one network: `base` (none), `lora` (what the run trained) and its controls, first of all
`placebo`, trained in the same way on wrong physics. A metric that the placebo passes measures no physics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from physworld.errors import UserError, suggest
from physworld.runs.pieces import ALONE, Arrays, Ask, Pieces
from physworld.seeding import generator
from physworld.settings.checks import number, whole
from physworld.video.clips import Clip
from physworld.video.metrics.tracker import Physics, Track, recover, track
from physworld.video.network import EPSILON, VideoNetwork
from physworld.video.scenes import CARD_TESTS, VIOLATIONS
from physworld.video.warp.render import draw

BASE, LORA, PLACEBO, ORACLE = "base", "lora", "placebo", "oracle"
CARD, CARD_PLACEBO = "card", "card_placebo"
TIMES = (50, 950)  # the card's range of timesteps
IN_RANGE, ABOVE = "ball_drop", "ball_drop_above"
FOREIGN_SEED = 5000  # noise of the evaluation is drawn from another root than that of training


@dataclass(frozen=True, kw_only=True)
class VideoEvaluation:
    """Sizes of the evaluation; its scenes are those of split and seed, whatever the model."""

    pairs: int  # clips, each beside its wrong version, per violation
    times: int  # timesteps of the grid from 50 to 950 at which losses are read
    generated: int  # clips generated in range, and half as many above it
    steps: int  # of the sampler
    card_noises: int  # noises per card test
    batch_size: int
    guidance: float  # of the sampler; 1 is none
    controls: tuple[str, ...] = (PLACEBO, CARD, CARD_PLACEBO)  # adapters trained for comparison
    control_steps: int | None = None  # of the placebo; null = as many as the run
    card_steps: int = 60  # of the two that replicate the published recipe
    pictures: int = 4  # rows of each contact sheet
    val_clips: int = 2  # clips drawn at each validation
    violations: tuple[str, ...] = VIOLATIONS

    def __post_init__(self) -> None:
        for name in ("pairs", "times", "generated", "steps", "card_noises", "batch_size", "card_steps", "pictures"):
            whole(f"evaluation.{name}", getattr(self, name), 2 if name in ("pairs", "generated") else 1)
        whole("evaluation.control_steps", self.control_steps, 1, or_null=True)
        whole("evaluation.val_clips", self.val_clips, 0)
        number("evaluation.guidance", self.guidance, 0, or_equal=True)
        for name, chosen, valid in (
            ("controls", self.controls, (PLACEBO, CARD, CARD_PLACEBO)),
            ("violations", self.violations, VIOLATIONS),
        ):
            if isinstance(chosen, str):
                raise UserError(
                    f"evaluation.{name}={chosen} must be a list, for example evaluation.{name}=[{valid[0]}]."
                )
            wrong = [one for one in chosen if one not in valid]
            if wrong:
                raise UserError(
                    f"evaluation.{name}: {wrong[0]} is unknown.{suggest(str(wrong[0]), valid)} "
                    f"Give a list of {', '.join(valid)}."
                )
        if not self.violations:
            raise UserError(f"evaluation.violations is empty; give a list of {', '.join(VIOLATIONS)}.")


class Pictured(Protocol):
    """A clip of any kind."""

    @property
    def frames(self) -> np.ndarray: ...  # uint8 (T, H, W, 3)

    @property
    def caption(self) -> str: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoCases:
    """What every row is asked about."""

    latents: dict[str, Tensor]  # physics -> (n, ...): the same scenes, right and wrong
    prompts: Tensor  # of their captions
    truth: dict[str, list[Clip]]  # scenario -> clips whose captions are generated from


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """What one row made of the same captions."""

    clips: np.ndarray  # uint8 (n, T, H, W, 3)
    tracks: list[Track]
    physics: list[Physics]


@dataclass(kw_only=True, eq=False)
class VideoResult:
    likelihood: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # row -> physics -> (n, t)
    generated: dict[str, dict[str, Generated]] = field(default_factory=dict)  # scenario -> row -> clips
    truth: dict[str, list[Clip]] = field(default_factory=dict)  # scenario -> clips
    card: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # row -> test -> (noises,)


def plate(clip: Clip) -> np.ndarray:
    """The clip's scene without its ball, uint8 (H, W, 3)."""
    height, width = clip.frames.shape[1:3]
    none = np.zeros((1, 1, 1))
    return draw(
        clip.look, shape=np.zeros((1, 1)), body_size=np.ones((1, 1, 2)), position=np.zeros((1, 1, 1, 2)), angle=none,
        planes=np.array([[[0.0, 1.0, 0.0]]]), size=(width, height),
    )[0, 0]  # fmt: skip


def follow(frames: np.ndarray, clip: Clip) -> tuple[Track, Physics]:
    """Track the ball of `clip` in other frames of the same scene, and read its physics off."""
    ambient = float(clip.look.ambient[0])
    lit = clip.look.body[0, 0] * 255 * (ambient + (1 - ambient) * 0.35)  # the visible half sees a third of the light
    path = track(frames, plate(clip), clip.look, colour=lit, radius=clip.radius)
    return path, recover(path.center_m[:, 1] - clip.radius, clip.fps)


def seen(pictures: np.ndarray, clips: Sequence[Clip]) -> Generated:
    """What is seen in generated clips, uint8 (n, T, H, W, 3), of the scenes of others."""
    found = [follow(picture, clip) for picture, clip in zip(pictures, clips, strict=True)]
    return Generated(clips=pictures, tracks=[t for t, _ in found], physics=[p for _, p in found])


def as_row(network: VideoNetwork, row: str, make: Callable[[], np.ndarray]) -> Arrays:
    """What `make` finds while the network is one of its adapters, or its base."""
    network.use(None if row == BASE else row)
    with torch.no_grad():
        return {"found": make()}


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoEvaluator:
    """Draws the evaluation's clips once and asks every row the same questions."""

    evaluation: VideoEvaluation
    codec: Any
    source: Callable[[str], Any]  # scenario -> ClipSource
    device: torch.device
    seed: int
    progress: Callable[[str], None] = lambda _: None

    @torch.no_grad()
    def sample_cases(self) -> VideoCases:
        """The same clips for every row."""
        count = self.evaluation.pairs
        latents = {kind: self.latents(self._clips(IN_RANGE, count, kind)) for kind in self._kinds()}
        prompts = self.codec.prompts(self.source(IN_RANGE).captions(range(count))).to(self.device)
        sizes = {IN_RANGE: self.evaluation.generated, ABOVE: -(-self.evaluation.generated // 2)}
        truth = {scenario: self._clips(scenario, size, "correct") for scenario, size in sizes.items()}
        return VideoCases(latents=latents, prompts=prompts, truth=truth)

    def asked(
        self, network: VideoNetwork, cases: VideoCases, rows: Sequence[str], card_rows: Sequence[str]
    ) -> dict[str, Ask]:
        """Every piece that `score` is made of, by its name: losses, clips, published figures; rows as there."""
        network = network.eval().to(self.device)

        found: dict[str, Ask] = {}
        for row in (*rows, *card_rows):
            if row in rows:
                for kind, x in cases.latents.items():
                    make: Callable[[], np.ndarray] = partial(self.losses, network, x, cases.prompts)
                    found[f"{row}: likelihood {kind}"] = partial(as_row, network, row, make)
                for scenario, truth in cases.truth.items():
                    found[f"{row}: generating {scenario}"] = partial(
                        as_row, network, row, partial(self.pictures, network, truth)
                    )
            for name in CARD_TESTS:
                found[f"{row}: published metric {name}"] = partial(
                    as_row, network, row, partial(self._card, network, name)
                )
        return found

    def score(
        self,
        network: VideoNetwork,
        cases: VideoCases,
        rows: Sequence[str],
        card_rows: Sequence[str],
        *,
        pieces: Pieces = ALONE,
    ) -> VideoResult:
        """
        Args:
            rows: adapter names, `base` for none; scored on everything.
            card_rows: adapters that are scored by the published metric alone.
            pieces: where answers are kept that may have been given elsewhere.
        """
        found = VideoResult(truth=cases.truth)
        asked = self.asked(network, cases, rows, card_rows)
        for scenario, truth in cases.truth.items():
            own = [follow(clip.frames, clip) for clip in truth]
            frames = np.stack([clip.frames for clip in truth])
            found.generated[scenario] = {
                ORACLE: Generated(clips=frames, tracks=[t for t, _ in own], physics=[p for _, p in own])
            }

        def answer(name: str) -> np.ndarray:
            return pieces(name, asked[name])["found"]

        for row in (*rows, *card_rows):
            if row in rows:
                self.progress(f"{row}: likelihood")
                found.likelihood[row] = {kind: answer(f"{row}: likelihood {kind}") for kind in cases.latents}
                self.progress(f"{row}: generating")
                for scenario, truth in cases.truth.items():
                    found.generated[scenario][row] = seen(answer(f"{row}: generating {scenario}"), truth)
            self.progress(f"{row}: published metric")
            found.card[row] = {name: answer(f"{row}: published metric {name}") for name in CARD_TESTS}
        found.likelihood |= self.untrained(network, cases.latents)
        return found

    def _kinds(self) -> tuple[str, ...]:
        return ("correct", *self.evaluation.violations)

    def _clips(self, scenario: str, count: int, kind: str) -> list[Clip]:
        return self.source(scenario).clips(range(count), kind)

    def latents(self, clips: Sequence[Pictured]) -> Tensor:
        parts = [self.codec.latents(torch.from_numpy(c.frames[None]).to(self.device)) for c in clips]
        return torch.cat(parts).float()

    @property
    def grid(self) -> list[int]:
        return [round(float(t)) for t in np.linspace(*TIMES, self.evaluation.times)]

    def _noise(self, like: Tensor, count: int, *place: int) -> Tensor:
        """(count, ...) noises that belong to places in the evaluation, not to a model."""
        noises = []
        for k in range(count):
            own = torch.Generator().manual_seed(
                int(generator(self.seed + FOREIGN_SEED, "test", *place, k).integers(2**62))
            )
            noises.append(torch.randn(like.shape[1:], generator=own))
        return torch.stack(noises).to(self.device)

    @torch.no_grad()
    def losses(self, network: VideoNetwork, latents: Tensor, prompts: Tensor) -> np.ndarray:
        """(n, t): right and wrong versions of clip n meet the same noise at each time."""
        columns = []
        for k, t in enumerate(self.grid):
            noise = self._noise(latents, len(latents), 1, k)
            times = torch.full((len(latents),), t, device=self.device)
            size = self.evaluation.batch_size
            parts = [
                network.losses(latents[i : i + size], noise[i : i + size], times[i : i + size], prompts[i : i + size])
                for i in range(0, len(latents), size)
            ]
            columns.append(torch.cat(parts).cpu().numpy())
        return np.stack(columns, 1).astype(np.float64)

    def untrained(self, network: VideoNetwork, latents: dict[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
        """Two denoisers that know nothing: 0, and the best multiple of the noisy clip at each time (fitted on c+).

        Args:
            latents: physics -> (n, ...), `correct` first.
        """
        rows: dict[str, dict[str, np.ndarray]] = {"zero": {}, "scalar": {}}
        factor: dict[int, float] = {}
        for kind, x in latents.items():
            zero, scalar = [], []
            for k, t in enumerate(self.grid):
                noise, times = self._noise(x, len(x), 1, k), torch.full((len(x),), t, device=x.device)
                noisy, target = network.noised(x, noise, times), network.target(x, noise, times)
                factor.setdefault(t, float((noisy * target).sum() / noisy.square().sum()))
                zero.append(target.square().flatten(1).mean(1).cpu().numpy())
                scalar.append((factor[t] * noisy - target).square().flatten(1).mean(1).cpu().numpy())
            rows["zero"][kind], rows["scalar"][kind] = np.stack(zero, 1), np.stack(scalar, 1)
        return rows

    def generate(self, network: VideoNetwork, clips: Sequence[Clip], place: int = 2) -> Generated:
        """Clips of the same captions, from noise that belongs to the place in the list."""
        return seen(self.pictures(network, clips, place), clips)

    def pictures(self, network: VideoNetwork, clips: Sequence[Pictured], place: int = 2) -> np.ndarray:
        """uint8 (n, T, H, W, 3) of the same captions and sizes, from noise that belongs to the place in the list."""
        frames, size = [], self.evaluation.batch_size
        self.codec.prepare([clip.caption for clip in clips])
        shape = self.latents(clips[:1])
        noise = self._noise(shape, len(clips), place)
        empty = None
        if self.evaluation.guidance != 1:
            self.codec.prepare([""])
            empty = self.codec.prompts([""]).to(self.device)
        for i in range(0, len(clips), size):
            prompts = self.codec.prompts([c.caption for c in clips[i : i + size]]).to(self.device)
            made = network.generate(
                prompts, noise[i : i + size], steps=self.evaluation.steps, guidance=self.evaluation.guidance,
                empty=None if empty is None else empty.expand(len(prompts), -1, -1),
            )  # fmt: skip
            whole = made.flatten(1).isfinite().all(1)  # a clip with one number that is none shows nothing: a failure
            frames.append(self.codec.decode(made.masked_fill(~whole[:, None, None, None, None], torch.nan)))
        return np.concatenate(frames)

    @torch.no_grad()
    def _card(self, network: VideoNetwork, name: str) -> np.ndarray:
        """The published metric: mean squared difference between raw output and noise, on one correct clip."""
        clip = self._clips(name, 1, "correct")[0]
        latent = self.latents([clip])
        count = self.evaluation.card_noises
        noise = self._noise(latent, count, 3)
        times = torch.linspace(*TIMES, count, device=self.device).round().long()
        prompt = self.codec.prompts([clip.caption]).to(self.device)
        scores = []
        for i in range(0, count, self.evaluation.batch_size):
            part = slice(i, i + self.evaluation.batch_size)
            some = noise[part]
            many = len(some)
            scores.append(
                network.losses(
                    latent.expand(many, -1, -1, -1, -1), some, times[part], prompt.expand(many, -1, -1), EPSILON
                )
            )
        return torch.cat(scores).cpu().numpy().astype(np.float64)
