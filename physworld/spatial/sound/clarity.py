"""How much of every object is heard through the others: energy masked per critical band, at their angles.

From sound, not from positions: every stem's power in 24 critical bands (Zwicker 1961, J. Acoust. Soc. Am. 33, 248) and
frames of 100 ms, as it arrives at both ears of a rigid sphere (the one that binaural renders have), with the scene's
gains, distances, room and motion. Then, after Jelfs, Culling & Lavandier (2011, Hearing Research 275, 96-104):

- in each band an object has at its better ear a ratio of its own power to everybody else's (which spreads into the
  neighbouring bands: Schroeder, Atal & Hall 1979, J. Acoust. Soc. Am. 66, 1647, eq. for the basilar membrane);
- hearing with two ears adds, after Culling, Hawley & Litovsky (2005, J. Acoust. Soc. Am. 118, 552),
  10 log10[(k - cos(phase of target - phase of maskers)) / (k - coherence of maskers)] dB with
  k = (1 + 0.25²) exp(ω² (105 µs)²);
- the share that is heard rises from 0 at -15 dB to 1 at +15 dB (ANSI S3.5-1997, band audibility).

An object's clarity is that share, weighed by the object's own energy; `1 - clarity` is what is masked. Objects count
alike, so turning one of them up does not help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from physworld.spatial.export.binaural import BED, decay, ear_response
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.terms import Pose, poses_at
from physworld.spatial.sound.render import NEAREST

EDGES = (
    0, 100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400,
    7700, 9500, 12000, 15500,
)  # fmt: skip
CENTRES = np.sqrt(np.maximum(EDGES[:-1], 50) * np.array(EDGES[1:], float))  # Hz
FRAME = 0.1  # s
LOWEST, HIGHEST = -15.0, 15.0  # dB between which the share that is heard rises
JITTER_GAIN, JITTER_TIME = 0.25, 105e-6  # of the binaural system: 1, s
QUIET = 1e-6  # of a stem's loudest frame, below which nobody listens for it (60 dB)
FLOOR = 1e-12  # power that is always there: no ratio is infinite


@dataclass(frozen=True, kw_only=True)
class Clarity:
    """What is heard of a scene."""

    objects: dict[str, float]  # id -> 0-1; objects that are silent are left out
    mean: float  # of the objects, 0-1; 1 where nothing sounds: nothing is masked

    @property
    def masked(self) -> float:
        """Share of the objects' energy that others cover, 0-1."""
        return 1 - self.mean


def band_powers(samples: np.ndarray, rate: int) -> np.ndarray:
    """(n,) samples -> (T, 24) mean squares of whole frames of 100 ms; a sound shorter than a frame is one frame."""
    size = round(FRAME * rate)
    count = max(1, len(samples) // size)
    frames = np.pad(samples, (0, max(0, size - len(samples))))[: count * size].reshape(count, size)
    spectrum = np.fft.rfft(frames * np.hanning(size), axis=1)
    power = np.square(np.abs(spectrum)) * (2 / size / np.square(np.hanning(size)).sum())
    band = np.searchsorted(EDGES, np.fft.rfftfreq(size, 1 / rate), side="right") - 1
    found = np.zeros((count, len(EDGES)))
    for k in range(len(EDGES) - 1):
        found[:, k] = power[:, band == k].sum(axis=1)
    return found[:, :-1]


def _spreading() -> np.ndarray:
    """(24, 24) what a power in one band (row) covers in every band (column)."""
    away = np.arange(24)[None] - np.arange(24)[:, None] + 0.474
    decibels = 15.81 + 7.5 * away - 17.5 * np.sqrt(1 + np.square(away))
    found: np.ndarray = np.minimum(1.0, 10 ** (decibels / 10))
    return found


SPREADING = _spreading()
_K = (1 + JITTER_GAIN**2) * np.exp(np.square(2 * math.pi * CENTRES * JITTER_TIME))  # (24,)


def _ears(poses: Sequence[Pose] | np.ndarray) -> np.ndarray:
    """(T, 2, 24) complex responses, with the gain of the distance."""
    known: dict[tuple[float, ...], np.ndarray] = {}
    rows = []
    for pose in np.asarray(poses).tolist():
        key = tuple(pose)
        if key not in known:
            both = np.stack([ear_response(key, side, CENTRES) for side in (1, -1)])
            known[key] = both / max(key[2], NEAREST)
        rows.append(known[key])
    return np.stack(rows)


def _heard(thing: SceneObject, frames: int) -> np.ndarray:
    """(1 or frames, 2, 24) from an object to the ears."""
    if not thing.moves:
        return _ears([thing.pose])
    return _ears(poses_at(thing.path, ((np.arange(frames) + 0.5) / frames).tolist()))


def clarity(scene: SpatialScene, powers: Mapping[str, np.ndarray], bed: Sequence[str] = ()) -> Clarity:
    """What is heard of every object.

    Args:
        powers: stem id -> (T, 24) of `band_powers`, all of one length.
        bed: ids of stems that are no objects; a stereo pair of loudspeakers plays them.
    """
    frames = len(next(iter(powers.values())))
    names, ears, level = list[str](), list[np.ndarray](), list[np.ndarray]()
    send = np.zeros((frames, 24))
    for thing in scene.objects:
        power = powers[thing.id] * 10 ** (thing.gain_db / 10)
        names.append(thing.id)
        ears.append(np.broadcast_to(_heard(thing, frames), (frames, 2, 24)))
        level.append(power)
        send += power * (thing.reverb_send**2 + thing.early_reflections**2)
    for name in bed:
        for place in BED:
            ears.append(np.broadcast_to(_ears([place]), (frames, 2, 24)))
            level.append(0.5 * powers[name])
    h, p = np.stack(ears), np.stack(level)[:, :, None]  # (sources, T, 2, 24), (sources, T, 1, 24)
    each = np.square(np.abs(h)) * p  # power at each ear
    cross = h[:, :, 0] * h[:, :, 1].conj() * p[:, :, 0]  # (sources, T, 24)
    diffuse = _late(send, scene.bed.room_preset)
    total, total_cross = each.sum(axis=0), cross.sum(axis=0)
    found: dict[str, float] = {}
    for k, name in enumerate(names):
        own = p[k, :, 0]
        listened = own.sum(axis=1) > QUIET * own.sum(axis=1).max()
        if own.max() <= FLOOR or not listened.any():
            continue
        others = np.maximum(total - each[k], 0) @ SPREADING + diffuse[:, None] + FLOOR
        shared = (total_cross - cross[k]) @ SPREADING
        ratio = 10 * np.log10((each[k] + FLOOR) / others).max(axis=1)  # of the better ear
        coherence = np.minimum(1.0, np.abs(shared) / np.sqrt(others[:, 0] * others[:, 1]))
        apart = np.angle(h[k, :, 0] * h[k, :, 1].conj()) - np.angle(shared)
        both_ears = np.maximum(0.0, 10 * np.log10((_K - np.cos(apart)) / (_K - coherence)))
        share = np.clip((ratio + both_ears - LOWEST) / (HIGHEST - LOWEST), 0, 1)
        weight = own[listened]
        found[name] = float((share[listened] * weight).sum() / weight.sum())
    return Clarity(objects=found, mean=float(np.mean(list(found.values()))) if found else 1.0)


def _late(send: np.ndarray, preset: str) -> np.ndarray:
    """(T, 24) power of the room at each ear: what was sent to it, falling by 60 dB in the room's time."""
    kept = 10 ** (-6 * FRAME / decay(preset))
    found, now = np.zeros_like(send), np.zeros(send.shape[1])
    for t, power in enumerate(send):
        now = kept * now + (1 - kept) * power  # a steady sound's room has the power that was sent
        found[t] = now
    return found
