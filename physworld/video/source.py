"""A seed becomes a caption and a clip that Warp simulates and draws on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physworld.seeding import generator
from physworld.types import Sample
from physworld.video.clips import Clip, check_shape, film
from physworld.video.scenes import SCENARIOS, Shot, check_physics, shot

CAPTIONS = 40  # encoded ahead


@dataclass(frozen=True, kw_only=True, eq=False)
class Brief:
    """What is given: the caption, and the first frame for those who start from a picture."""

    caption: str
    first: np.ndarray  # uint8 (H, W, 3)


class ClipSource:
    """Clips as a function of (seed, split, index); the same index shows the same scene under any physics."""

    def __init__(
        self,
        *,
        seed: int,
        split: str,
        scenarios: Sequence[str] = ("ball_drop",),
        physics: str = "correct",
        frames: int = 17,
        fps: float = 10,
        width: int = 8,
        height: int = 48,
        multiple: int = 8,
        variation: float = 0.0,
        view: float = 7.8,
        samples: int = 3,
        device: str = "auto",
        repeat: int | None = None,
    ) -> None:
        """
        Args:
            scenarios: taken in turn; names of `scenes.SCENARIOS`.
            physics: correct, one violation, or a mixture of them: `scenes.PHYSICS`.
            multiple: what width and height must be divisible by.
            variation: 0-1, how much camera, light and colours differ between clips.
            view: m, height of the picture in the plane of motion.
            samples: rays per pixel along each axis.
            device: where Warp runs: cpu, cuda or auto.
            repeat: N = only the first N clips, again and again; null = a new one every time.
        """
        check_shape(frames, width, height, multiple=multiple)
        check_physics(physics)
        if not scenarios:
            raise ValueError(f"no scenarios to draw from; choose from {', '.join(SCENARIOS)}")
        for name in scenarios:
            shot(name, generator(0, split))  # raises with the valid names
        if fps is None:
            raise ValueError("fps=null is for data=clips, whose files have a rate of their own; give frames a second")
        if fps <= 0 or view <= 0 or not 0 <= variation <= 1:
            raise ValueError(f"fps={fps} and view={view:g} must be positive and variation={variation:g} within 0-1")
        self.seed, self.split, self.scenarios, self.physics = seed, split, tuple(scenarios), physics
        self.frames, self.fps, self.size, self.variation, self.view = frames, fps, (width, height), variation, view
        self.rays, self.device, self.repeat = samples, device, repeat

    def _shots(self, indices: Sequence[int]) -> tuple[list[Shot], list[np.random.Generator]]:
        if self.repeat is not None:
            indices = [k % self.repeat for k in indices]
        rngs = [generator(self.seed, self.split, k) for k in indices]
        return [shot(self.scenarios[k % len(self.scenarios)], rng) for k, rng in zip(indices, rngs, strict=True)], rngs

    def ahead(self) -> list[str]:
        """Captions to encode before training, as far as they are few."""
        return self.captions(range(self.repeat or CAPTIONS))

    def captions(self, indices: Sequence[int]) -> list[str]:
        """What the clips' captions will be, without making the clips."""
        return [one.caption for one in self._shots(indices)[0]]

    def clips(self, indices: Sequence[int], physics: str | None = None) -> list[Clip]:
        """All in one launch; `physics` instead of the source's own."""
        shots, rngs = self._shots(indices)
        return film(
            shots,
            [self.physics if physics is None else physics] * len(shots),
            rngs,
            frames=self.frames,
            fps=self.fps,
            size=self.size,
            variation=self.variation,
            view=self.view,
            samples=self.rays,
            device=self.device,
        )

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        return [
            Sample(seed=k, given=Brief(caption=clip.caption, first=clip.frames[0]), target=clip)
            for k, clip in zip(indices, self.clips(indices), strict=True)
        ]

    def sample(self, index: int) -> Sample:
        return self.samples([index])[0]
