"""Scenes for headphones: every object through the responses of two ears.

The ears are measured ones (a SOFA file, AES69 SimpleFreeFieldHRIR) where such a file is given, else a rigid sphere
(physworld/spatial/export/binaural.py). Of measured ones the nearest direction is taken; nothing is interpolated,
because a mean of two delayed responses is a comb filter.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from physworld.errors import UserError
from physworld.io.hdf5 import own
from physworld.settings.checks import installed
from physworld.spatial.export.binaural import ear_response
from physworld.spatial.scene.documents import SceneObject
from physworld.spatial.scene.terms import poses_at
from physworld.spatial.sound.files import resampled
from physworld.spatial.sound.panning import beside, unit
from physworld.spatial.sound.render import BLOCK, NEAREST, RATE, SIZE, STEP

TAPS = 1024  # samples of the sphere's responses
MOST_TAPS = 8192
MOST_NUMBERS = 2**27  # 1 GB; the finest sets in use hold some ten million
EARLIER = 16  # samples by which the sphere's responses begin late, so that none begins before 0
HOP = 1024  # samples between the directions of a moving object
SPREAD = (-45.0, 0.0, 45.0)  # degrees, of three points that a wide object is made of, times its width


class Ears(Protocol):
    def response(self, az: float, el: float) -> np.ndarray:
        """(2, taps) left and right, at RATE."""
        ...


class Sphere:
    """A rigid sphere for a head."""

    def response(self, az: float, el: float) -> np.ndarray:
        hertz = np.fft.rfftfreq(TAPS, 1 / RATE)
        late = np.exp(-2j * math.pi * hertz * EARLIER / RATE)
        return np.stack([np.fft.irfft(ear_response((az, el, 1.0), side, hertz) * late, TAPS) for side in (1, -1)])


class Measured:
    """Responses of a SOFA file."""

    def __init__(self, path: Path) -> None:
        """Raises: UserError: the file cannot be read, or is no set of head-related responses."""
        installed("spatial", "h5py", what="--hrtf")
        import h5py

        try:
            with h5py.File(path, "r") as file:
                kind = _words(file.attrs.get("SOFAConventions", b""))
                if kind and not kind.startswith("SimpleFreeFieldHRIR"):
                    raise UserError(f"--hrtf {path} is a SOFA file of {kind[:40]}; SimpleFreeFieldHRIR is needed.")
                sounds = _read(file, "Data.IR")
                places = np.atleast_2d(_read(file, "SourcePosition"))
                rate = int(_read(file, "Data.SamplingRate").reshape(-1)[0])
                delays = _read(file, "Data.Delay") if "Data.Delay" in file else np.zeros((1, 2))
                type_ = _words(own(file, "SourcePosition").attrs.get("Type", b"spherical"))
        except (OSError, KeyError, ValueError, TypeError, IndexError, OverflowError, RuntimeError) as error:
            raise UserError(
                f"--hrtf {path} is no SOFA file of head-related responses ({str(error).splitlines()[0][:80]})."
            ) from None
        fits = sounds.ndim == 3 and sounds.shape[1] == 2 and places.shape == (len(sounds), 3) and len(sounds)
        if not fits or not 0 < sounds.shape[2] <= MOST_TAPS or not 8000 <= rate <= 384_000:
            raise UserError(f"--hrtf {path} holds no responses of two ears with up to {MOST_TAPS} samples.")
        if not (np.isfinite(sounds).all() and np.isfinite(places).all() and np.isfinite(delays).all()):
            raise UserError(f"--hrtf {path} holds numbers that are not finite.")
        if type_.startswith("cartesian"):
            far = np.linalg.norm(places, axis=1, keepdims=True)
            if not far.all():
                raise UserError(f"--hrtf {path} holds a place that is no direction: the middle of the head.")
            self.directions = places / far
        else:
            self.directions = unit(places[:, 0], places[:, 1])
        if delays.shape not in ((2,), (1, 2), (len(sounds), 2)):
            raise UserError(f"--hrtf {path} holds {len(sounds)} responses, and delays of another number.")
        late = np.broadcast_to(np.round(np.maximum(delays, 0)).astype(int), (len(sounds), 2))
        most = int(late.max())
        if most > MOST_TAPS:
            raise UserError(f"--hrtf {path} delays its responses by {most} samples; at most {MOST_TAPS} are read.")
        shape = len(sounds), 2, sounds.shape[2] + most
        if math.prod(shape) > MOST_NUMBERS:
            raise UserError(
                f"--hrtf {path} holds {math.prod(shape):,} numbers with its delays, at most {MOST_NUMBERS:,} are read."
            )
        self.sounds = np.zeros(shape)
        for n in range(len(sounds)):
            for ear in (0, 1):
                self.sounds[n, ear, late[n, ear] : late[n, ear] + sounds.shape[2]] = sounds[n, ear]
        self.rate = rate

    def response(self, az: float, el: float) -> np.ndarray:
        nearest = int((self.directions @ unit(np.array(az), np.array(el))).argmax())
        ears = self.sounds[nearest]
        if self.rate == RATE:
            return ears
        return np.stack([resampled(ear, self.rate, RATE) * (self.rate / RATE) for ear in ears])


def _read(file: Any, name: str) -> np.ndarray:
    """
    Raises:
        ValueError: it lies in another file, or is too large.
    """
    data = own(file, name)
    if data.size > MOST_NUMBERS:
        raise ValueError(f"{name} holds {data.size:,} numbers, at most {MOST_NUMBERS:,} are read")
    return np.asarray(data, np.float64)


def _words(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class Binaural:
    """A `render.Voice` of two channels."""

    channels = 2

    def __init__(self, ears: Ears) -> None:
        self.ears = ears
        self._known: dict[tuple[float, float, float, int], np.ndarray] = {}
        self._sum: np.ndarray | None = None

    def _spectrum(self, az: float, el: float, width: float, size: int) -> np.ndarray:
        """(2, size // 2 + 1) of one direction, or of a wide object's three."""
        key = az, el, width, size
        if key not in self._known:
            if len(self._known) > 400:
                self._known.clear()
            arc = [0.0] if width < 0.05 else [width * turn for turn in SPREAD]
            ears = [self.ears.response(*map(float, beside(np.array(az), np.array(el), turn))) for turn in arc]
            mixed = np.sum(ears, axis=0) / math.sqrt(len(arc))
            self._known[key] = np.fft.rfft(mixed, size, axis=1).astype(np.complex64)
        return self._known[key]

    def place(self, out: np.ndarray, sound: np.ndarray, az: float, el: float) -> None:
        self._fixed(sound, self._spectrum(az, el, 0.0, SIZE))

    def _fixed(self, sound: np.ndarray, response: np.ndarray) -> None:
        from scipy.fft import rfft

        if self._sum is None:
            self._sum = np.zeros((2, SIZE // 2 + 1), np.complex64)
        self._sum += rfft(sound, SIZE) * response

    def add(self, out: np.ndarray, dry: np.ndarray, thing: SceneObject, times: np.ndarray) -> None:
        if not thing.moves:
            az, el, dist = thing.pose
            self._fixed(dry / np.float32(max(dist, NEAREST)), self._spectrum(az, el, thing.width, SIZE))
            return
        from scipy.fft import irfft, rfft

        count, size = BLOCK // HOP, 4 * HOP
        at = np.interp(np.arange(count + 1) * HOP, np.arange(len(times)) * STEP, times)
        poses = poses_at(thing.path, at.tolist())
        window = (0.5 - 0.5 * np.cos(np.pi * np.arange(2 * HOP) / HOP)).astype(np.float32)
        padded = np.pad(dry, HOP)  # the first and the last window lie half in the blocks beside this one
        size = max(size, 2 ** math.ceil(math.log2(2 * HOP + self.ears.response(0.0, 0.0).shape[1])))
        gathered = np.zeros((BLOCK + HOP + size, 2), np.float32)
        for k, (az, el, dist) in enumerate(poses):
            response = self._spectrum(round(az), round(el), thing.width, size)
            part = rfft(padded[k * HOP : (k + 2) * HOP] * window, size) * (response / np.float32(max(dist, NEAREST)))
            gathered[k * HOP : k * HOP + size] += irfft(part, size).T
        # What lies before the block's begin is 0: the first window's first half is padding.
        out[: BLOCK + size - HOP] += gathered[HOP : BLOCK + size]

    def flush(self, out: np.ndarray) -> None:
        from scipy.fft import irfft

        if self._sum is not None:
            out += irfft(self._sum, SIZE).T
            self._sum = None
