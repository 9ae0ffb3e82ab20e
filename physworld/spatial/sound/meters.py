"""Meters that listen block by block: loudness (ITU-R BS.1770-4) and true peak (its annex 2)."""

from __future__ import annotations

import functools
import math

import numpy as np

from physworld.spatial.export.levels import gated, k_weighting

HOPS = 10  # a second: blocks of 400 ms begin every 100 ms
OVERSAMPLED = 4  # times, as annex 2 has it for 48 kHz
SIDE_TAPS = 12  # input samples that a point between two samples is made of, on either side


class LoudnessMeter:
    """Integrated loudness of channels of given weights."""

    def __init__(self, weights: np.ndarray, rate: int) -> None:
        """weights: (C,) of BS.1770-4: 1, 1.41 for loudspeakers at the sides, 0 for what does not count."""
        self.weights, self.rate = np.asarray(weights, float), rate
        self._counted = np.flatnonzero(self.weights)
        self._sections = k_weighting(rate)
        self._state = np.zeros((len(self._sections), 2, len(self._counted)))
        self._sums: list[float] = []
        self._open, self._filled, self._seen = 0.0, 0, 0

    def add(self, block: np.ndarray) -> None:
        """block: (n, C)."""
        from scipy.signal import sosfilt

        heard, self._state = sosfilt(self._sections, block[:, self._counted], axis=0, zi=self._state)
        squares = np.square(heard) @ self.weights[self._counted]
        if not len(squares):
            return
        first, last = self._seen * HOPS // self.rate, (self._seen + len(squares) - 1) * HOPS // self.rate
        starts = -(-np.arange(first, last + 1) * self.rate // HOPS) - self._seen  # of every 100 ms, in this block
        sums = np.add.reduceat(squares, np.maximum(starts, 0))
        self._seen += len(squares)
        for k, value in enumerate(sums):
            if first + k < len(self._sums):
                self._sums[first + k] += float(value)
            else:
                self._sums.append(float(value))

    def hops(self) -> np.ndarray:
        """(T,) mean squares of 100 ms each, the last one as if silence followed."""
        return np.array(self._sums) / (self.rate / HOPS)

    def loudness(self) -> float:
        """LUFS; -inf for silence."""
        return loudness_of(self.hops(), complete=self._seen >= 0.4 * self.rate, seconds=self._seen / self.rate)


def loudness_of(hops: np.ndarray, *, complete: bool = True, seconds: float = math.inf) -> float:
    """LUFS of mean squares of 100 ms (`LoudnessMeter.hops`); a sound shorter than 400 ms counts as one block."""
    if not complete or len(hops) < 4:
        total = float(hops.sum()) / HOPS
        return gated(np.array([total / max(min(seconds, 0.4), 1e-9)]))
    whole = hops[:-1] if seconds * HOPS < len(hops) - 1e-9 and len(hops) > 4 else hops
    return gated(np.convolve(whole, np.ones(4) / 4, mode="valid"))


@functools.cache
def _between() -> np.ndarray:
    """(4, 24) float32: weights of 24 samples around four points from one to the next (a Kaiser-windowed sinc)."""
    taps = np.arange(-SIDE_TAPS + 1, SIDE_TAPS + 1)
    rows = []
    for k in range(OVERSAMPLED):
        at = taps - k / OVERSAMPLED
        row = np.sinc(at) * np.i0(6 * np.sqrt(np.maximum(0, 1 - np.square(at / SIDE_TAPS)))) / np.i0(6)
        rows.append(row / row.sum())
    return np.array(rows, np.float32)


def true_peaks(samples: np.ndarray, least: float = 0.0) -> np.ndarray:
    """(n,) the largest magnitude at each sample and the three points after it, of the loudest channel of (n, C).

    Args:
        least: magnitudes below it need not be told: channels that cannot reach it are not looked at between samples.
    """
    found = np.ascontiguousarray(np.abs(samples).max(axis=1))
    loud = np.abs(samples).max(axis=0) > 0.5 * least  # what lies between is never twice as large as what is near
    for channel in np.flatnonzero(loud):
        padded = np.pad(samples[:, channel], (SIDE_TAPS - 1, SIDE_TAPS))
        between = np.lib.stride_tricks.sliding_window_view(padded, 2 * SIDE_TAPS) @ _between()[1:].T
        np.maximum(found, np.abs(between).max(axis=1), out=found)
    return found


class TruePeakMeter:
    """The largest magnitude between samples too, of (n, C) blocks; quiet blocks are not looked at closely."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self.digital = self.peak = 0.0

    def add(self, block: np.ndarray) -> None:
        if not len(block):
            return
        self.digital = max(self.digital, float(np.abs(block).max()))
        joined = block if self._last is None else np.concatenate([self._last, block])
        self.peak = max(self.peak, self.digital)
        span, step = 4 * SIDE_TAPS, 2**10
        starts = np.arange(0, len(joined), step)
        loudest = np.maximum.reduceat(np.abs(joined).max(axis=1), starts)
        for start, most in zip(starts.tolist(), loudest.tolist(), strict=True):
            if most > 0.5 * self.peak:
                part = joined[max(0, start - span) : start + step + span]
                self.peak = max(self.peak, float(true_peaks(part, self.peak).max()))
        self._last = block[-span:]


def decibels(value: float) -> float:
    return 20 * math.log10(value) if value > 0 else -math.inf
