"""Sound made from a payload's own figures, for rewards that listen where there is no recording.

Every stem is noise in its three bands, struck on the beat as hard as `transient` says and steady else, at its loudness.
It is a function of the payload. A recording's stems do better; `mix` has those.
"""

from __future__ import annotations

import numpy as np

from physworld.seeding import generator
from physworld.spatial.scene.documents import Payload, Stem
from physworld.spatial.sound.clarity import band_powers
from physworld.spatial.sound.features import HIGH, LOW

RATE = 32000  # Hz: the highest critical band ends at 15.5 kHz
SECONDS = 2.0
REFERENCE = -0.691  # LUFS of a mean square of 1, where K-weighting is 0 dB (BS.1770-4)
FALL = 0.08  # s, in which a stroke falls to 1/e


def made_powers(payload: Payload) -> dict[str, np.ndarray]:
    """Stem id -> (T, 24) band powers."""
    return {stem.id: band_powers(made_stem(stem, n, payload.overall.bpm), RATE) for n, stem in enumerate(payload.stems)}


def made_stem(stem: Stem, number: int, bpm: float) -> np.ndarray:
    """(n,) samples at RATE.

    Args:
        number: of the stem in its payload; a stem of another number has other noise, and strikes at another time.
    """
    count = round(SECONDS * RATE)
    spectrum = np.fft.rfft(generator(0, "train", 23, number).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    shares = stem.band_energy.low, stem.band_energy.mid, stem.band_energy.high
    borders = (30.0, LOW, HIGH, RATE / 2 + 1)
    for low, high, share in zip(borders[:-1], borders[1:], shares, strict=True):
        here = (hertz >= low) & (hertz < high)
        spectrum[here] *= np.sqrt(share / max(float(np.square(np.abs(spectrum[here])).sum()), 1e-30))
    spectrum[hertz < borders[0]] = 0
    noise = np.fft.irfft(spectrum, count)
    beat = 60 / bpm
    since = (np.arange(count) / RATE + beat * (number % 4) / 4) % beat
    noise *= (1 - stem.transient) + stem.transient * np.exp(-since / FALL)
    power = 10 ** ((stem.lufs - REFERENCE) / 10)
    found: np.ndarray = noise * np.sqrt(power / max(float(np.square(noise).mean()), 1e-30))
    return found
