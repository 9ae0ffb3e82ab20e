"""A learning problem, as scenes and as tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One learning problem: what is given, and what is to be said."""

    seed: int  # the stream index it was drawn from
    given: Any  # text physics: Trajectory of the context frames
    target: Any  # text physics: Trajectory of the next frame(s)


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """One sample as tokens."""

    seed: int
    input_ids: np.ndarray  # (L,) int64
    labels: np.ndarray  # (L,) int64, label i is scored against the prediction made before token i; -100 unscored
    event: np.ndarray  # (L,) bool, label belongs to a body whose velocity jumps (loss is reported apart)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Token tasks' batch, right-padded. Tensors, but this module does not know torch."""

    input_ids: Any  # (B, L) int64
    labels: Any  # (B, L) int64, -100 unscored
    event: Any  # (B, L) bool
    seed: Any  # (B,) int64

    def to(self, device: Any) -> Batch:
        return Batch(
            input_ids=self.input_ids.to(device),
            labels=self.labels.to(device),
            event=self.event.to(device),
            seed=self.seed.to(device),
        )

    def pin_memory(self) -> Batch:
        return Batch(
            input_ids=self.input_ids.pin_memory(),
            labels=self.labels.pin_memory(),
            event=self.event.pin_memory(),
            seed=self.seed.pin_memory(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenFamily:
    """Tokens that differ in one number; a network may start them from features of it."""

    ids: np.ndarray  # (n,) int64
    values: np.ndarray  # (n,) float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """A codec's tokens: ids 0..num_words-1 are words; then come numbers, which a network may embed by their value."""

    num_words: int
    values: np.ndarray  # (V - num_words,) float64, value of each number token; empty for codecs that spell digits
    outputs: np.ndarray  # (K,) ids that a network may say
    ordered_from: int  # outputs[ordered_from:] are numbers in ascending order
    pad: int
    end: int  # an answer ends with it
    records: dict[int, tuple[int, int]] = field(default_factory=dict)  # word id -> (words, numbers) that follow it
    prompt_end: int = -1  # id of the word that ends a prompt; -1: no word of its own does
    names: tuple[int, int] = (0, 0)  # first id and number of the words that name bodies
    families: tuple[TokenFamily, ...] = ()  # words that carry a number
    words: tuple[str, ...] = ()  # what ids 0 .. num_words - 1 are called, where a network may ask
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)  # word of a record -> what its numbers are
    numbers: TokenFamily | None = None  # number tokens among the words: of pretrained weights that read them by value
    spelled: dict[int, tuple[int, ...]] = field(default_factory=dict)  # id that weights lack -> ids that spelled it
    digits: tuple[int, ...] = ()  # ids of 0 .. 9 in these weights, where `numbers` are new to them

    @property
    def size(self) -> int:
        return self.num_words + len(self.values)

    @staticmethod
    def of_words(size: int, *, pad: int, end: int, **more: Any) -> Vocabulary:
        """Words alone, each of which may be said."""
        return Vocabulary(
            num_words=size, values=np.zeros(0), outputs=np.arange(size), ordered_from=size, pad=pad, end=end, **more
        )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    count: int = field(default=0)

    def to_dict(self, count: str = "count", *, bounded: bool = True) -> dict[str, Any]:
        """{mean, low, high, `count`} as JSON, which has no infinity.

        Args:
            bounded: False where its resamples are all alike, so that its bounds say nothing of how sure it is. That of
                one case without a width has none in any case.
        """
        sure = bounded and (self.count != 1 or self.low != self.high)
        ends = (self.low, self.high) if sure else (math.nan, math.nan)
        found = zip(("mean", "low", "high"), (self.mean, *ends), strict=True)
        return {**{k: float(v) if math.isfinite(v) else None for k, v in found}, count: self.count}

    @staticmethod
    def of_share(part: float, count: int) -> Interval:
        """A share of `count` independent cases with Wilson's interval (1927), which holds near 0 and 1, too.

        A bootstrap of cases that are all alike has no width: 4 of 4 would be 100 % for sure.
        """
        z = 1.96
        middle, wide = part + z * z / (2 * count), z * math.sqrt(part * (1 - part) / count + (z / count) ** 2 / 4)
        low, high = ((middle + side * wide) / (1 + z * z / count) for side in (-1, 1))
        # Rounding must not leave the figure itself outside.
        return Interval(mean=part, low=min(part, max(0.0, low)), high=max(part, min(1.0, high)), count=count)

    @staticmethod
    def of_paired_shares(more: int, less: int, count: int) -> Interval:
        """One share minus another of the same `count` cases, with the interval of Agresti and Min (2005).

        Half a case is added to each of the four ways in which a pair can come out, so that pairs that are all alike
        have a width, too.

        Args:
            more: pairs of which only the first holds.
            less: pairs of which only the second holds.
        """
        first, second, total = more + 0.5, less + 0.5, count + 2
        middle = (first - second) / total
        wide = 1.96 * math.sqrt(first + second - (first - second) ** 2 / total) / total
        mean = (more - less) / count
        low, high = min(mean, max(-1.0, middle - wide)), max(mean, min(1.0, middle + wide))
        return Interval(mean=mean, low=low, high=high, count=count)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBatch:
    """Video's batch: latents of clips and what their captions say. Tensors, but this module does not know torch."""

    latents: Any  # (B, F, C, H, W) float, F latent frames
    prompt: Any  # (B, L, D) float, embedded caption
    seed: Any  # (B,) int64

    def to(self, device: Any) -> ClipBatch:
        return ClipBatch(latents=self.latents.to(device), prompt=self.prompt.to(device), seed=self.seed.to(device))

    def pin_memory(self) -> ClipBatch:
        return ClipBatch(
            latents=self.latents.pin_memory(), prompt=self.prompt.pin_memory(), seed=self.seed.pin_memory()
        )
