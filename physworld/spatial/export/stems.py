"""The audio of a scene's stems: one file per stem, DIR/ID.wav (or .flac), mono or mixed down to it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import printable

SUFFIXES = (".wav", ".flac")
MOST_SECONDS = 3600


class StemError(ValueError):
    """A stem's file is missing or does not fit; the message names it."""


def read_stems(folder: Path, scene: SpatialScene) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """(objects' samples by id, the other files' samples by name, sample rate); all (n,) float64 of one length.

    Raises:
        StemError: a file is missing, damaged or of another sample rate than the others.
    """
    if not folder.is_dir():
        raise StemError(f"{folder} is no folder of stems.")
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
    wanted = [thing.id for thing in scene.objects]
    missing = [name for name in wanted if name not in files]
    if missing:
        name = printable(missing[0][:40])
        raise StemError(f"{folder} has no {name}.wav for the object {name}.")
    audio, rates = {}, {}
    for name, path in files.items():
        audio[name], rates[name] = _read(path)
    rate = rates[wanted[0]]
    odd = [name for name, value in rates.items() if value != rate]
    if odd:
        raise StemError(f"{files[odd[0]]} has {rates[odd[0]]} Hz, but {files[wanted[0]]} has {rate} Hz.")
    longest = max(map(len, audio.values()))
    audio = {name: np.pad(samples, (0, longest - len(samples))) for name, samples in audio.items()}
    return {n: audio[n] for n in wanted}, {n: a for n, a in audio.items() if n not in wanted}, rate


def _read(path: Path) -> tuple[np.ndarray, int]:
    import soundfile  # here, because it loads libsndfile

    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True, frames=-1)
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise StemError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from None
    if len(samples) == 0 or len(samples) > MOST_SECONDS * rate:
        raise StemError(f"{path} must hold between one sample and {MOST_SECONDS} s.")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise StemError(f"{path} holds numbers that are not finite.")
    return mono, int(rate)


def loudness(channels: np.ndarray, rate: int) -> float:
    """Integrated loudness, LUFS, of (n, 2) samples: ITU-R BS.1770-4 with both gates; -inf for silence."""
    from scipy.signal import lfilter

    weighted = channels
    for b, a in _k_weighting(rate):
        weighted = lfilter(b, a, weighted, axis=0)
    block, hop = round(0.4 * rate), round(0.1 * rate)
    starts = range(0, max(1, len(weighted) - block + 1), hop)
    power = np.array([np.square(weighted[s : s + block]).mean(axis=0).sum() for s in starts])
    power = power[power > 10 ** ((-70 + 0.691) / 10)]
    if len(power) == 0:
        return -math.inf
    gate = 10 * np.log10(power.mean()) - 10
    kept = power[10 * np.log10(power) > gate]
    return float(-0.691 + 10 * np.log10(kept.mean()))


def _k_weighting(rate: int) -> list[tuple[list[float], list[float]]]:
    """Shelf and high-pass of BS.1770 at any sample rate (analogue prototypes that give the table at 48 kHz)."""
    k = math.tan(math.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    mid, a0 = high**0.4996667741545416, 1 + k / q + k * k
    shelf_b = [(high + mid * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - mid * k / q + k * k) / a0]
    shelf_a = [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    return [(shelf_b, shelf_a), ([1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0])]
