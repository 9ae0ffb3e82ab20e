"""Songs made by code: drums, bass, pads, leads and vowels, with what is true of every stem."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 48000
KINDS = (
    "kick", "bass", "lead_vocal", "snare", "hihat", "pad", "synth_lead", "guitar", "piano", "strings", "back_vocal", "fx",
    "brass", "ambience", "drums_bus",
)  # fmt: skip
NAMES = {
    "kick": "Kick In", "bass": "Bass DI", "lead_vocal": "Lead Vox", "snare": "Snare Top", "hihat": "HiHat", "pad": "Warm Pad",
    "synth_lead": "Synth Lead", "guitar": "EGtr", "piano": "Grand Piano", "strings": "Strings Hi", "back_vocal": "BGV",
    "fx": "FX Riser", "brass": "Brass", "ambience": "Rain Ambience", "drums_bus": "Drums OH",
}  # fmt: skip
PERCUSSIVE = ("kick", "snare", "hihat", "drums_bus")


class Truth(NamedTuple):
    kind: str
    percussive: bool
    band: str | None  # the one that holds most energy


def song(
    folder: Path, *, stems: int, seconds: float, seed: int, bpm: float = 120.0, rate: int = RATE
) -> dict[str, Truth]:
    """Write a song's stems; returns what is true of them, by file name without suffix."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    count, truths = round(seconds * rate), dict[str, Truth]()
    for n in range(stems):
        kind = KINDS[n % len(KINDS)]
        name = NAMES[kind] + (f" {n // len(KINDS) + 1}" if n >= len(KINDS) else "")
        sound = _sound(kind, count, bpm, rate, rng)
        level = 10 ** (rng.uniform(-16, -8) / 20)
        sound *= level / np.abs(sound).max()
        if n % 4 == 3:
            sound = np.stack([sound, 0.8 * sound], axis=1)
        suffix = (".wav", ".flac", ".aiff")[n % 3]
        soundfile.write(folder / f"{name}{suffix}", sound, rate, subtype="PCM_24")
        band = {"kick": "low", "bass": "low", "hihat": "high", "lead_vocal": "mid", "piano": "mid"}.get(kind)
        truths[name] = Truth(kind, kind in PERCUSSIVE, band)
    return truths


def _sound(kind: str, count: int, bpm: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(count) / rate
    beat = 60 / bpm
    if kind in PERCUSSIVE:
        every = {"kick": beat, "snare": 2 * beat, "hihat": beat / 2, "drums_bus": beat}[kind]
        since = (t + (beat if kind == "snare" else 0)) % every
        if kind == "kick":
            return np.sin(2 * np.pi * (55 * since - 8 * np.exp(-since / 0.02) * 0.02)) * np.exp(-since / 0.12)
        noise = rng.standard_normal(count)
        if kind == "hihat":
            noise = np.diff(noise, 2, prepend=[0, 0])
        return noise * np.exp(-since / (0.03 if kind == "hihat" else 0.08))
    root = float(rng.choice([110.0, 130.8, 146.8]))
    step = np.floor(t / (2 * beat)).astype(int)
    pitch = root * 2 ** (np.array([0, 3, 5, 7])[step % 4] / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * t / (8 * beat))
    if kind == "bass":
        return np.sin(phase / 2) + 0.2 * np.sin(phase)
    if kind == "lead_vocal" or kind == "back_vocal":  # a voice: harmonics under the formants of "ah"
        made = np.zeros(count)
        for k in range(2, 14):
            hertz = k * root
            weight = sum(np.exp(-((hertz - f) ** 2) / (2 * 180.0**2)) for f in (700, 1150, 2600))
            made += (0.05 + weight) * np.sin(k * phase + 0.3 * np.sin(2 * np.pi * 5.5 * t))
        return made * (0.2 + 0.8 * swell)
    if kind in ("fx", "ambience"):
        return rng.standard_normal(count) * (swell if kind == "fx" else 1.0)
    if kind in ("piano", "guitar", "synth_lead"):
        since = t % beat
        return sum(np.sin(2 * k * phase) / k for k in range(1, 6)) * np.exp(-since / 0.3)
    return sum(np.sin(k * phase + k) / k for k in (2, 3, 4, 5)) * (0.4 + 0.6 * swell)
