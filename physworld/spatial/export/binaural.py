"""A scene for headphones: a rigid sphere for a head, a plain room.

Per ear: the delay around a sphere (Woodworth & Schlosberg 1954) and a one-pole head shadow (Brown & Duda 1998,
IEEE Trans. Speech Audio Proc. 6(5)). No pinna, so front and back, up and down are told apart by the room alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from physworld.spatial.export.levels import HEADROOM, loudness
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.terms import Pose, pose_at, wrapped

HEAD = 0.0875  # m, radius
SOUND = 343.0  # m/s
WINDOW = 2048  # samples; motion is followed from window to window
DECAY = {"small": 0.3, "medium": 0.6, "large": 1.2}  # s, RT60
EARLY = ((0.011, 1), (0.017, -1), (0.023, -1), (0.029, 1), (0.037, 1), (0.043, -1))  # s, left (1) or right (-1)
BED = ((30.0, 0.0, 1.0), (-30.0, 0.0, 1.0))  # the loudspeakers of a stereo bed


def decay(preset: str) -> float:
    """RT60 of a room, s. Any text is a preset in the published schema: without a known size it is a medium room."""
    size = preset.rpartition("_")[2]
    return DECAY[size if size in DECAY else "medium"]


def ear_angle(pose: Pose, side: int) -> float:
    """Angle, rad, between a direction and the ear on the left (side 1) or right (-1)."""
    lateral = math.cos(math.radians(pose[1])) * math.sin(math.radians(pose[0]))  # positive to the left
    return math.acos(min(1.0, max(-1.0, side * lateral)))


def ear_delay(angle: float) -> float:
    """Arrival after the ear that faces the source, s."""
    return HEAD / SOUND * (1 - math.cos(angle) if angle < math.pi / 2 else 1 + angle - math.pi / 2)


def ear_response(pose: Pose, side: int, frequency: np.ndarray) -> np.ndarray:
    """Complex response of one ear at `frequency` (F,) Hz."""
    angle = ear_angle(pose, side)
    alpha = 1.05 + 0.95 * math.cos(angle / math.radians(150) * math.pi)  # Brown & Duda, eq. 4
    turn = 1j * 2 * math.pi * frequency * HEAD / (2 * SOUND)
    return (1 + alpha * turn) / (1 + turn) * np.exp(-2j * math.pi * frequency * ear_delay(angle))


def render_binaural(
    scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, bed: dict[str, np.ndarray] | None = None
) -> np.ndarray:
    """(n, 2) float64, left and right, at the scene's loudness, or lower where that would clip.

    Args:
        stems: (m,) samples of every object by id, all of one length; it is the section's length.
        bed: (m,) samples of stems that are no objects; they come from a stereo pair of loudspeakers, as in ADM.
    """
    longest = len(next(iter(stems.values())))
    tail = decay(scene.bed.room_preset)
    out = np.zeros((longest + WINDOW + round(tail * rate), 2))
    send, early = np.zeros(longest), np.zeros(longest)
    for thing in scene.objects:
        dry = stems[thing.id] * 10 ** (thing.gain_db / 20)
        send += thing.reverb_send * dry
        early += thing.early_reflections * dry
        spread = [0.0] if thing.width < 0.05 else [-45 * thing.width, 0.0, 45 * thing.width]
        for offset in spread:
            wet = _moved(dry / math.sqrt(len(spread)), thing.path, offset, rate)
            out[: len(wet)] += wet
    for samples in (bed or {}).values():
        for place in BED:
            wet = _moved(samples * math.sqrt(0.5), [(0.0, place)], 0.0, rate)
            out[: len(wet)] += wet
    _add_room(out, send, early, tail, rate)
    level = loudness(out, rate)
    if math.isfinite(level):
        out *= 10 ** ((scene.bed.loudness_target_lufs - level) / 20)
    return out * min(1.0, HEADROOM / max(1e-12, float(np.abs(out).max())))


def _moved(dry: np.ndarray, path: Sequence[tuple[float, Pose]], offset: float, rate: int) -> np.ndarray:
    """One point source along a path, Hann windows with half an overlap, each with its own filter."""
    hop, size = WINDOW // 2, 2 * WINDOW
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    padded = np.concatenate([np.zeros(hop), dry, np.zeros(WINDOW)])
    frequency = np.fft.rfftfreq(size, 1 / rate)
    out = np.zeros((len(padded) + size, 2))
    known: tuple[Pose, list[np.ndarray]] | None = None
    for start in range(0, len(padded) - WINDOW + 1, hop):
        t = min(1.0, max(0.0, start / max(1, len(dry))))  # the window's middle is at start + hop, less the padding
        az, el, dist = pose_at(path, t)
        pose = (wrapped(az + offset), el, dist)
        if known is None or known[0] != pose:
            known = pose, [ear_response(pose, side, frequency) / max(dist, 0.5) for side in (1, -1)]
        spectrum = np.fft.rfft(padded[start : start + WINDOW] * window, size)
        for ear, response in enumerate(known[1]):
            out[start : start + size, ear] += np.fft.irfft(spectrum * response, size)
    return out[hop : hop + len(dry) + WINDOW // 2]


def _add_room(out: np.ndarray, send: np.ndarray, early: np.ndarray, decay: float, rate: int) -> None:
    """Six early taps, then noise that falls by 60 dB in `decay` s: the same noise for every scene."""
    if not (send.any() or early.any()):
        return
    from scipy.signal import fftconvolve

    for delay, side in EARLY:
        start = round(delay * rate)
        part = 0.5 * early[: max(0, len(out) - start)]
        out[start : start + len(part), 0 if side > 0 else 1] += part
        out[start : start + len(part), 1 if side > 0 else 0] += 0.5 * part
    count = round(decay * rate)
    noise = np.random.default_rng(1).standard_normal((count, 2)) * 10 ** (-3 * np.arange(count) / count)[:, None]
    noise /= np.sqrt(np.square(noise).sum(axis=0))
    for ear in range(2):
        wet = fftconvolve(send, noise[:, ear])[: len(out)]
        out[: len(wet), ear] += wet
