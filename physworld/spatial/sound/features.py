"""What a stem sounds like, in numbers; read in blocks, so that a long file takes no more memory than a short one.

- Loudness: integrated, ITU-R BS.1770-4 with both gates, of the file as it is (both channels of a stereo file).
- Bands: shares of the energy below 200 Hz, between, and above 4 kHz (Hann windows of 4096 samples, BS.1770's mono sum).
- Onset strength (`transient`): the level of 40 ms windows, every 10 ms; how much it rises within 50 ms, where 24 dB or
  more count as 1; the strongest rise of every second in which the stem sounds, on average. Clicks and drums come near
  1, a steady tone is 0.
- Presence: share of the energy between 300 Hz and 4 kHz, where voices and leads live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from physworld.spatial.sound.files import StemFile
from physworld.spatial.sound.meters import LoudnessMeter

LOW, HIGH = 200.0, 4000.0  # Hz, borders of the three bands
PRESENCE = (300.0, 4000.0)  # Hz
WINDOW = 4096  # samples, of spectra; they overlap by half, and the first begins half of one before the sound
TAPER = np.hanning(WINDOW).astype(np.float32)
STEPS = 100  # levels a second
LOOK_BACK = 5  # steps over which a rise is measured
AVERAGED = 4  # steps in one level
FULL_RISE = 24.0  # dB that count as 1
FLOOR = -60.0  # dB below the loudest 10 ms: silence
CLIPPED = 3  # samples at full scale in a row
FULL = 0.9999  # of full scale
OFFSET = 0.01  # a constant part of this much of full scale is named
LOST = 6.0  # dB that a stereo file may lose when it is mixed down to one channel


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """What was measured of one file."""

    lufs: float  # -inf for silence
    peak: float  # largest sample, full scale = 1
    transient: float  # 0-1
    bands: tuple[float, float, float]  # low, mid, high; their sum is 1, or 0 for silence
    presence: float  # 0-1
    active: float  # share of the time within 60 dB of the loudest moment
    clipped: int  # places where samples stay at full scale
    offset: float  # constant part, full scale = 1
    lost: float  # dB by which one channel is quieter than both together; 0 for a mono file
    levels: np.ndarray  # (T,) mean squares of 10 ms of the mono sum

    @property
    def silent(self) -> bool:
        return not math.isfinite(self.lufs)


def measure(stem: StemFile) -> Features:
    """Raises: UserError: the file cannot be read to its end."""
    meter = LoudnessMeter(np.ones(stem.channels), stem.rate)
    steps = np.zeros(math.ceil(stem.seconds * STEPS) + 1)
    counts = np.zeros_like(steps)
    power, rest = np.zeros(WINDOW // 2 + 1), np.zeros(WINDOW // 2, np.float32)
    at, peak, clipped, sums, run = 0, 0.0, 0, np.zeros(stem.channels), np.zeros(stem.channels, int)
    both = one = 0.0
    for block in stem.blocks():
        meter.add(block)
        peak = max(peak, float(np.abs(block).max()))
        sums += block.sum(axis=0, dtype=np.float64)
        clipped, run = _clips(block, clipped, run)
        mono = block.mean(axis=1)
        both += float(np.square(block, dtype=np.float64).sum()) / stem.channels
        squares = np.square(mono, dtype=np.float64)
        one += float(squares.sum())
        index = (np.arange(at, at + len(mono)) * STEPS) // stem.rate
        first = int(index[0])
        found = np.bincount(index - first, squares)
        steps[first : first + len(found)] += found
        counts[first : first + len(found)] += np.bincount(index - first)
        rest = _add_spectra(power, np.concatenate([rest, mono]))
        at += len(mono)
    _add_spectra(power, np.pad(rest, (0, WINDOW)))
    levels = steps[counts > 0] / counts[counts > 0]
    hertz = np.fft.rfftfreq(WINDOW, 1 / stem.rate)
    total = float(power[1:].sum())  # without the constant part
    silent = not math.isfinite(meter.loudness())

    def share(low: float, high: float) -> float:
        return 0.0 if silent or total == 0 else float(power[1:][(hertz[1:] >= low) & (hertz[1:] < high)].sum()) / total

    return Features(
        lufs=meter.loudness(),
        peak=peak,
        transient=0.0 if silent else onset_strength(levels),
        bands=(share(0, LOW), share(LOW, HIGH), share(HIGH, math.inf)),
        presence=share(*PRESENCE),
        active=0.0 if silent else float((levels > levels.max() * 10 ** (FLOOR / 10)).mean()),
        clipped=clipped,
        offset=float(np.abs(sums / max(at, 1)).max()),
        lost=10 * math.log10(both / max(one, 1e-30)) if both > 0 else 0.0,
        levels=levels,
    )


def _add_spectra(power: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Add those of all whole windows; returns what later windows need."""
    hop = WINDOW // 2
    if len(samples) < WINDOW:
        return samples
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::hop]
    for part in range(0, len(frames), 16):  # few at a time: they stay in the cache
        power += np.square(np.abs(np.fft.rfft(frames[part : part + 16] * TAPER))).sum(axis=0)
    return samples[len(frames) * hop :]


def _clips(block: np.ndarray, seen: int, run: np.ndarray) -> tuple[int, np.ndarray]:
    """(places clipped so far, samples at full scale at the block's end, per channel)."""
    full = np.abs(block) >= FULL
    after = np.zeros_like(run)
    for channel in range(block.shape[1]):
        if not full[:, channel].any():
            continue
        marks = np.concatenate([[0], full[:, channel].astype(np.int8), [0]])
        begins, ends = np.flatnonzero(np.diff(marks) == 1), np.flatnonzero(np.diff(marks) == -1)
        lengths = ends - begins
        if begins[0] == 0:
            lengths[0] += run[channel]
            if run[channel] >= CLIPPED:
                seen -= 1  # counted when the block before ended
        if ends[-1] == len(block):
            after[channel] = lengths[-1]
        seen += int((lengths >= CLIPPED).sum())
    return seen, after


def rises(levels: np.ndarray) -> np.ndarray:
    """(T,) 0-1: how much the level has risen within 50 ms, where 24 dB or more are 1."""
    smooth = np.convolve(levels, np.ones(AVERAGED) / AVERAGED, mode="valid")
    if len(smooth) <= LOOK_BACK:
        return np.zeros(len(levels))
    decibels = 10 * np.log10(np.maximum(smooth, max(smooth.max(), 1e-20) * 10 ** (FLOOR / 10)))
    found = np.zeros(len(levels))
    found[len(levels) - len(smooth) + LOOK_BACK :] = np.clip(
        (decibels[LOOK_BACK:] - decibels[:-LOOK_BACK]) / FULL_RISE, 0, 1
    )
    return found


def onset_strength(levels: np.ndarray) -> float:
    """The strongest rise of every second in which there is sound, on average: 0-1."""
    found, loud = rises(levels), levels > levels.max() * 10 ** (FLOOR / 10)
    strongest = [
        found[start : start + STEPS].max()
        for start in range(0, len(levels), STEPS)
        if loud[start : start + STEPS].any()
    ]
    return float(np.mean(strongest)) if strongest else 0.0


def tempo(onsets: np.ndarray) -> float | None:
    """Beats per minute, 40-240, of summed rises (T,) at 100 a second; None where nothing repeats.

    The autocorrelation's best lag, weighed towards 120 bpm (a log-normal weight of one octave: Ellis 2007, J. New Music
    Research 36), read between the steps by a parabola.
    """
    centred = onsets - onsets.mean()
    size = 2 ** math.ceil(math.log2(2 * len(centred) + 1))
    lags = np.fft.irfft(np.square(np.abs(np.fft.rfft(centred, size))), size)[: 2 * STEPS]
    first, last = round(60 / 240 * STEPS), min(round(60 / 40 * STEPS), len(onsets) // 2)
    if last <= first + 1 or lags[0] <= 1e-9:
        return None
    place = np.arange(first, last + 1)
    weight = np.exp(-0.5 * np.square(np.log2(60 * STEPS / place / 120)))
    best = int(place[int((lags[first : last + 1] * weight).argmax())])
    if lags[best] < 0.1 * lags[0]:
        return None
    # Multiples of the lag tell it more finely than itself: the same beat, several periods on.
    whole = float(best)
    for times in (1, 2, 4, 8, 16):
        near = round(whole * times)
        span = np.arange(max(near - times // 2 - 1, 1), near + times // 2 + 2)
        if span[-1] + 1 >= min(len(onsets), size // 2):
            break
        long = _lag(centred, span[0] - 1, span[-1] + 1)
        k = 1 + int(long[1:-1].argmax())
        bend = long[k - 1] - 2 * long[k] + long[k + 1]
        shift = 0.5 * (long[k - 1] - long[k + 1]) / bend if bend < 0 else 0.0
        whole = (span[0] - 1 + k + float(np.clip(shift, -0.5, 0.5))) / times
    return float(np.clip(60 * STEPS / whole, 40, 240))


def _lag(signal: np.ndarray, first: int, last: int) -> np.ndarray:
    return np.array([float(signal[lag:] @ signal[: len(signal) - lag]) for lag in range(first, last + 1)])
