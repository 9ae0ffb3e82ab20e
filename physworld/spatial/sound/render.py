"""Scenes and stems -> channels, block by block, so that a long song takes no more memory than a short one.

Everything is linear, so a block's sound may ring on behind its end, and the ends are added up. An object sounds with
its gain over its distance (half a metre at the nearest); its sends feed a plain room: six early reflections, then noise
that falls by 60 dB in the room's time, from six directions. Stems that are no objects are a stereo pair at ±30°.

Where a song has sections, each one's scene fades out while the next one's fades in, with ramps that add up to 1: an
object that keeps its place does not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from physworld.spatial.export.binaural import BED, EARLY, decay
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.terms import poses_at
from physworld.spatial.sound.panning import Panner

RATE = 48000  # Hz, of everything that is rendered
BLOCK = 2**17  # samples
SIZE = 2**18  # of a block's Fourier transform: a block, and as much for what rings on
STEP = 480  # samples (10 ms) between two looks at where a moving object is
NEAREST = 0.5  # m, at which an object gets no louder
ROOM = (
    (45.0, 10.0),
    (-45.0, 10.0),
    (135.0, 10.0),
    (-135.0, 10.0),
    (90.0, 40.0),
    (-90.0, 40.0),
)


class Stem(Protocol):
    """`files.Mono`, or anything that reads like it."""

    frames: int

    def read(self, start: int, count: int) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class Section:
    """One scene and when it holds, in samples of RATE."""

    scene: SpatialScene
    start: int
    end: int
    bed: tuple[str, ...] = ()  # stems that are no objects here


def ramp(sections: Sequence[Section], k: int, fade: int, at: np.ndarray) -> np.ndarray:
    """(n,) how much of section k is heard at these samples; over all sections it is 1 everywhere."""
    up = _edge(at, sections[k].start, fade) if k else 1.0
    down = 1 - _edge(at, sections[k + 1].start, fade) if k + 1 < len(sections) else 1.0
    return np.broadcast_to(np.minimum(up, down), at.shape).astype(np.float32)


def _edge(at: np.ndarray, border: int, fade: int) -> np.ndarray:
    """0 before a border, 1 behind it, linear over `fade` samples around it."""
    return np.clip((at - border) / max(fade, 1) + 0.5, 0.0, 1.0)


class Voice(Protocol):
    """One way to make channels of objects."""

    channels: int

    def add(self, out: np.ndarray, dry: np.ndarray, thing: SceneObject, times: np.ndarray) -> None:
        """Add a source to out (SIZE, C).

        Args:
            dry: (BLOCK,) its samples.
            times: (BLOCK // STEP + 2,) fractions of its section, at every STEP samples.
        """
        ...

    def place(self, out: np.ndarray, sound: np.ndarray, az: float, el: float) -> None:
        """Add (m,) samples that stay at one direction, a metre away."""
        ...

    def flush(self, out: np.ndarray) -> None:
        """Add what was kept back for the block's end."""
        ...


class Channels:
    """Objects panned to channels."""

    def __init__(self, panner: Panner) -> None:
        self.panner, self.channels = panner, panner.channels
        self._fixed: dict[tuple[float, float, float], np.ndarray] = {}

    def _gains(self, az: float, el: float, width: float) -> np.ndarray:
        key = az, el, width
        if key not in self._fixed:
            self._fixed[key] = self.panner.gains(np.array([az]), np.array([el]), width)[0].astype(np.float32)
        return self._fixed[key]

    def place(self, out: np.ndarray, sound: np.ndarray, az: float, el: float) -> None:
        _spread(out, sound, self._gains(az, el, 0.0))

    def add(self, out: np.ndarray, dry: np.ndarray, thing: SceneObject, times: np.ndarray) -> None:
        if not thing.moves:
            az, el, dist = thing.pose
            _spread(out, dry / max(dist, NEAREST), self._gains(az, el, thing.width))
            return
        poses = poses_at(thing.path, times.tolist())
        gains = self.panner.gains(poses[:, 0], poses[:, 1], thing.width)
        gains /= np.maximum(poses[:, 2:], NEAREST)
        at, points = np.arange(len(dry)), np.arange(len(times)) * STEP
        for channel in np.flatnonzero(np.abs(gains).max(axis=0) > 1e-9):
            out[: len(dry), channel] += dry * np.interp(at, points, gains[:, channel]).astype(np.float32)

    def flush(self, out: np.ndarray) -> None:
        """Nothing is kept back."""


def _spread(out: np.ndarray, sound: np.ndarray, gains: np.ndarray) -> None:
    for channel in np.flatnonzero(np.abs(gains) > 1e-9):
        out[: len(sound), channel] += sound * gains[channel]


class _Room:
    """What the sends of one section's scene are heard as."""

    def __init__(self, preset: str) -> None:
        self.decay = decay(preset)  # s
        count = round(self.decay * RATE)
        rng = np.random.default_rng(1)
        noise = rng.standard_normal((len(ROOM), count)) * 10 ** (-3 * np.arange(count) / count)
        noise *= math.sqrt(2 / len(ROOM)) / np.linalg.norm(noise, axis=1, keepdims=True)  # as loud as one noise an ear
        self.late = np.fft.rfft(noise.astype(np.float32), SIZE).astype(np.complex64)
        taps = np.zeros((len(ROOM), SIZE), np.float32)
        for delay, side in EARLY:
            start = round(delay * RATE)
            for k, (az, _) in enumerate(ROOM[:2]):
                taps[k, start] += 0.5 if (az > 0) == (side > 0) else 0.25
        self.early = np.fft.rfft(taps[:2]).astype(np.complex64)

    def sound(self, send: np.ndarray, early: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[float, float]]]:
        """((SIZE,) samples, direction) of every place that the room sounds from."""
        from scipy.fft import irfft, rfft

        spectrum, first = rfft(send, SIZE), rfft(early, SIZE)
        for k, place in enumerate(ROOM):
            wet = spectrum * self.late[k]
            if k < len(self.early):
                wet += first * self.early[k]
            yield irfft(wet, SIZE), place


def rendered(
    sections: Sequence[Section],
    stems: Mapping[str, Stem],
    voice: Voice,
    *,
    fade: float = 0.0,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[np.ndarray]:
    """(n, C) float32 blocks of a song and what rings on behind it.

    Args:
        sections: in order of time, one behind the other.
        stems: by id, at RATE.
        fade: s, over which one section goes into the next.
        progress: called with the samples that were rendered.
    """
    total, width = sections[-1].end, round(fade * RATE)
    rooms = [_Room(section.scene.bed.room_preset) for section in sections]
    carry = np.zeros((SIZE - BLOCK, voice.channels), np.float32)
    last = total + round(max(room.decay for room in rooms) * RATE)
    for start in range(0, last, BLOCK):
        out = np.zeros((SIZE, voice.channels), np.float32)
        out[: len(carry)] = carry
        count = min(BLOCK, total - start)
        if count > 0:
            at = np.arange(start, start + BLOCK)
            for k, section in enumerate(sections):
                heard = ramp(sections, k, width, at) if len(sections) > 1 else None
                if heard is None or heard.any():
                    _section(
                        out, section, stems, voice, rooms[k], start, None if heard is None else heard.astype(np.float32)
                    )
            voice.flush(out)
        carry = out[BLOCK:].copy()
        done = min(BLOCK, last - start)
        yield out[:done]
        progress(done)


def _section(
    out: np.ndarray,
    section: Section,
    stems: Mapping[str, Stem],
    voice: Voice,
    room: _Room,
    start: int,
    heard: np.ndarray | None,
) -> None:
    """Add one block of one section."""
    send, early = np.zeros(BLOCK, np.float32), np.zeros(BLOCK, np.float32)
    length = max(1, section.end - section.start)
    times = np.clip((start + STEP * np.arange(BLOCK // STEP + 2) - section.start) / length, 0.0, 1.0)
    for name in section.bed:
        sound = stems[name].read(start, BLOCK) * np.float32(math.sqrt(0.5))
        sound = sound if heard is None else sound * heard
        for az, el, _ in BED:
            voice.place(out, sound, az, el)
    wet = False
    for thing in section.scene.objects:
        dry = stems[thing.id].read(start, BLOCK)
        if not dry.any():
            continue
        dry *= np.float32(10 ** (thing.gain_db / 20))
        if heard is not None:
            dry *= heard
        voice.add(out, dry, thing, times)
        if thing.reverb_send:
            send += np.float32(thing.reverb_send) * dry
        if thing.early_reflections:
            early += np.float32(thing.early_reflections) * dry
        wet = True
    if wet:
        for sound, (az, el) in room.sound(send, early):
            voice.place(out, sound, az, el)
