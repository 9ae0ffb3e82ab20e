"""A render at its loudness: measured, turned up or down, and held below a true peak.

Two passes: what is rendered goes to a file of raw numbers while it is measured, then it is turned and written. Where
peaks leave no room for the loudness that is asked for, a limiter takes them down: the gain that a peak needs, for 30 ms
on either side, smoothed by a Hann window as wide, so that it never is above what is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physworld.spatial.sound.meters import LoudnessMeter, TruePeakMeter, decibels, loudness_of, true_peaks
from physworld.spatial.sound.render import BLOCK, RATE

CEILING = -1.2  # dBTP, a little below the -1 that is promised: what is written is rounded, and players interpolate
SIDE = round(0.03 * RATE)  # samples, over which a peak is held
NEAR = 0.1  # LU, that the estimate may be off
TRIES = 8
MOST = 10 ** (24 / 20)  # gain: silence, and clicks that a limiter takes away, are turned up by 24 dB at most
CLOSE = 2**12  # samples that are looked at together between samples


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What was measured of what is written."""

    lufs: float
    true_peak: float  # dBTP
    digital_peak: float  # dBFS
    gain: float  # dB by which the render was turned
    limited: float  # dB by which peaks were taken down at most
    seconds: float


class Take:
    """A render on disk, and what was measured while it came."""

    def __init__(
        self, blocks: Iterable[np.ndarray], path: Path, weights: np.ndarray, decode: np.ndarray | None = None
    ) -> None:
        """
        Args:
            blocks: (n, C) float32 each.
            path: where the raw numbers go.
            weights: of the channels that loudness is measured of.
            decode: (loudspeakers, C), where loudness is measured after decoding.
        """
        self.path, self.weights, self.decode = path, weights, decode
        meter = LoudnessMeter(weights, RATE)
        peaks = []
        self.channels = 0
        with path.open("wb") as file:
            for block in blocks:
                self.channels = block.shape[1]
                np.ascontiguousarray(block, np.float32).tofile(file)
                meter.add(self._heard(block))
                peaks.append(np.abs(block).max(axis=1))
        self.peaks = np.concatenate(peaks)
        self.frames = len(self.peaks)
        self.hops = meter.hops()
        self.lufs = meter.loudness()
        self._looked: set[int] = set()  # stretches of CLOSE samples whose peaks are those between samples, too

    def _heard(self, block: np.ndarray) -> np.ndarray:
        return block if self.decode is None else block @ self.decode.T.astype(np.float32)

    def blocks(self, size: int = BLOCK) -> Iterator[np.ndarray]:
        for start in range(0, self.frames, size):
            yield self.read(start, min(size, self.frames - start))

    def read(self, start: int, count: int) -> np.ndarray:
        count = min(count, self.frames - start)
        flat = np.fromfile(self.path, np.float32, count * self.channels, offset=4 * start * self.channels)
        return flat.reshape(count, self.channels)

    def turned(self, target: float) -> tuple[float, np.ndarray | None]:
        """(gain, the limiter's curve (n,) float32 or None) that bring it to a loudness, LUFS."""
        if not math.isfinite(self.lufs):
            return 1.0, None
        gain = _turned(1.0, target - self.lufs)
        curve = None
        for _ in range(TRIES):
            curve = self._limiter(gain)
            if curve is None:
                return gain, None
            reached = self._estimate(gain, curve)
            if abs(reached - target) < NEAR:
                break
            gain = _turned(gain, target - reached)
        return gain, curve

    def _limiter(self, gain: float) -> np.ndarray | None:
        from scipy.ndimage import minimum_filter1d
        from scipy.signal import oaconvolve

        ceiling = 10 ** (CEILING / 20) / gain
        if not self._close_look(ceiling):
            return None
        need = np.minimum(1.0, ceiling / np.maximum(self.peaks, 1e-12)).astype(np.float32)
        held = minimum_filter1d(need, 2 * SIDE + 1, mode="nearest")
        window = np.hanning(2 * SIDE + 3)[1:-1]
        smooth = oaconvolve(np.pad(held, SIDE, mode="edge"), (window / window.sum()).astype(np.float32), mode="valid")
        found: np.ndarray = np.minimum(smooth, 1.0)
        return found

    def _close_look(self, ceiling: float) -> bool:
        """Look between samples wherever a peak may be above the ceiling; whether any is."""
        near = 0.5 * ceiling
        padded = np.pad(self.peaks, (0, -self.frames % CLOSE)).reshape(-1, CLOSE).max(axis=1)
        for k in np.flatnonzero(padded > near):
            if k in self._looked:
                continue
            first = max(0, int(k) * CLOSE - 64)
            found = true_peaks(self.read(first, CLOSE + 128), ceiling)
            here = found[int(k) * CLOSE - first :][: min(CLOSE, self.frames - int(k) * CLOSE)]
            place = slice(int(k) * CLOSE, int(k) * CLOSE + len(here))
            self.peaks[place] = np.maximum(self.peaks[place], here)
            self._looked.add(int(k))
        return bool((self.peaks > ceiling).any())

    def _estimate(self, gain: float, curve: np.ndarray) -> float:
        """LUFS after the limiter, from what it takes of each 100 ms; the curve is smooth, so this is near."""
        hop = RATE // 10
        power = np.zeros(len(self.hops))
        weight = np.square(self.peaks.astype(np.float64)) + 1e-20
        for k in range(len(power)):
            part = slice(k * hop, (k + 1) * hop)
            share = weight[part]
            power[k] = float((np.square(curve[part]) * share).sum() / share.sum()) if len(share) else 1.0
        return loudness_of(self.hops * power * gain**2, complete=self.frames >= 0.4 * RATE, seconds=self.frames / RATE)

    def finished(self, target: float) -> Iterator[np.ndarray]:
        """The blocks at their loudness; `self.report` says what came of it when they have all been taken."""
        gain, curve = self.turned(target)
        for again in range(3):  # the estimate is checked by a meter, without writing
            if curve is None:
                break
            meter = LoudnessMeter(self.weights, RATE)
            for block in self._turned_blocks(gain, curve):
                meter.add(self._heard(block))
            off = target - meter.loudness()
            if abs(off) < 0.25 or again == 2:
                break
            gain = _turned(gain, off)
            curve = self._limiter(gain)
        meter, peak = LoudnessMeter(self.weights, RATE), TruePeakMeter()
        for block in self._turned_blocks(gain, curve):
            if curve is not None:
                meter.add(self._heard(block))
            peak.add(block)
            yield block
        loudness = meter.loudness() if curve is not None else self.lufs + decibels(gain)
        self.report = Finished(
            lufs=loudness, true_peak=decibels(peak.peak), digital_peak=decibels(peak.digital),
            gain=decibels(gain), limited=-decibels(float(curve.min())) if curve is not None else 0.0,
            seconds=self.frames / RATE,
        )  # fmt: skip

    def _turned_blocks(self, gain: float, curve: np.ndarray | None) -> Iterator[np.ndarray]:
        start = 0
        for block in self.blocks():
            turn = np.float32(gain) if curve is None else (np.float32(gain) * curve[start : start + len(block), None])
            yield (block * turn).astype(np.float32)
            start += len(block)


def _turned(gain: float, decibels: float) -> float:
    """A gain that is so many decibels higher, MOST at most."""
    return min(gain * 10 ** (decibels / 20), MOST)


def write_wave(path: Path, blocks: Iterable[np.ndarray], channels: int, frames: int) -> None:
    """24 bit, with 64-bit sizes where 32 are too few."""
    import soundfile

    long = frames * channels * 3 > 2**32 - 2**16
    with soundfile.SoundFile(path, "w", RATE, channels, "PCM_24", format="RF64" if long else "WAV") as file:
        for block in blocks:
            file.write(block)
