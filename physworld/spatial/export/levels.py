"""Levels: what fits into whole numbers without clipping, and loudness after ITU-R BS.1770.

A library for loudness would do: pyloudnorm knows up to five channels and no loudspeakers overhead, so the filter and
the gates stand here (60 lines, tested with the signals of EBU Tech 3341).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.terms import Pose, pose_at

FULL_SCALE = (2**23 - 1) / 2**23  # the largest sample of 24 bits
HEADROOM = 0.98  # the largest sample of what had to be turned down
SIDE = 1.41  # weight of what is heard from the side (BS.1770-4, table 4)
STEP = 0.01  # s, in which the place of a moving object is followed


def excess(samples: np.ndarray) -> float:
    """By what samples must be divided to fit into whole numbers, with a little room; 1 where they fit."""
    over = max(float(samples.max(initial=0.0)) / FULL_SCALE, -float(samples.min(initial=0.0)))
    return over / HEADROOM if over > 1 else 1.0


def decibels(factor: float) -> float:
    return 20 * math.log10(factor)


def loudness(channels: np.ndarray, rate: int) -> float:
    """Integrated loudness, LUFS, of (n, C) samples in front: BS.1770-4 with both gates; -inf for silence."""
    return gated(sum((_block_power(_k_weighted(c, rate), rate) for c in channels.T), start=np.zeros(1)))


def programme_loudness(scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, bed: np.ndarray | None) -> float:
    """Integrated loudness of objects and bed, LUFS, as if a loudspeaker stood wherever an object is.

    What a renderer gives differs a little with the layout: it shares an object among loudspeakers of other weights.

    Args:
        stems: (n,) samples of every object by id.
        bed: (n,) samples that come from both front loudspeakers.
    """
    places: dict[tuple[tuple[float, Pose], ...], np.ndarray] = {}
    for thing in scene.objects:  # what shares a place adds up as amplitudes
        key, samples = tuple(thing.path), stems[thing.id] * 10 ** (thing.gain_db / 20)
        places[key] = places[key] + samples if key in places else samples
    power = np.zeros(1)
    for path, samples in places.items():
        power = power + _block_power(_k_weighted(samples, rate) * np.sqrt(_weights(path, len(samples), rate)), rate)
    if bed is not None:
        power = power + 2 * _block_power(_k_weighted(bed, rate), rate)
    return gated(power)


def _weights(path: Sequence[tuple[float, Pose]], count: int, rate: int) -> np.ndarray:
    """(count,) or (1,): what BS.1770 counts a direction for."""
    step = max(1, round(STEP * rate))
    starts = range(0, count, step) if len(path) > 1 else range(1)
    poses = (pose_at(path, start / count) for start in starts)
    found = np.array([SIDE if abs(el) < 30 and 60 <= abs(az) <= 120 else 1.0 for az, el, _ in poses])
    return np.repeat(found, step)[:count] if len(path) > 1 else found


def _block_power(weighted: np.ndarray, rate: int) -> np.ndarray:
    """Mean square of blocks of 400 ms, four of them begun in as many."""
    block, hop = round(0.4 * rate), round(0.1 * rate)
    starts = range(0, max(1, len(weighted) - block + 1), hop)
    return np.array([np.square(weighted[s : s + block]).mean() for s in starts])


def gated(power: np.ndarray) -> float:
    """LUFS of mean squares of blocks (BS.1770-4, both gates); -inf where all of them are silent."""
    power = power[power > 10 ** ((-70 + 0.691) / 10)]
    if len(power) == 0:
        return -math.inf
    gate = 10 * np.log10(power.mean()) - 10
    kept = power[10 * np.log10(power) > gate]
    return float(-0.691 + 10 * np.log10(kept.mean()))


def k_weighting(rate: int) -> np.ndarray:
    """(2, 6) shelf and high-pass of BS.1770 as second-order sections, at any sample rate.

    They are the analogue prototypes that give the standard's table at 48 kHz.
    """
    k = math.tan(math.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    mid, a0 = high**0.4996667741545416, 1 + k / q + k * k
    shelf_b = [(high + mid * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - mid * k / q + k * k) / a0]
    shelf_a = [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    pass_a = [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([[*shelf_b, *shelf_a], [1.0, -2.0, 1.0, *pass_a]])


def _k_weighted(samples: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import sosfilt

    found: np.ndarray = sosfilt(k_weighting(rate), samples)
    return found
