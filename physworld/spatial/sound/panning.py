"""How loud a direction is in every channel: loudspeakers (VBAP) and ambisonics (AmbiX).

Loudspeakers stand where ITU-R BS.2051 has them. Between them VBAP (Pulkki 1997, J. AES 45(6)) pans with constant power;
as in BS.2127 there are virtual loudspeakers below and at the poles, whose share goes to the real ones beside them.
Ambisonics are AmbiX: ACN order, SN3D, azimuth positive to the left, elevation upwards (Nachbar et al. 2011).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, Protocol

import numpy as np

from physworld.spatial.export.levels import SIDE


class Speaker(NamedTuple):
    name: str
    az: float  # degrees, positive to the left
    el: float


LFE = "LFE"  # no direction is panned to it
_MIDDLE = (Speaker("FL", 30, 0), Speaker("FR", -30, 0), Speaker("FC", 0, 0), Speaker(LFE, 0, -30))
LAYOUTS: dict[str, tuple[Speaker, ...]] = {
    "7.1.4": (
        *_MIDDLE, Speaker("SL", 90, 0), Speaker("SR", -90, 0), Speaker("BL", 135, 0), Speaker("BR", -135, 0),
        Speaker("TFL", 45, 30), Speaker("TFR", -45, 30), Speaker("TBL", 135, 30), Speaker("TBR", -135, 30),
    ),
    "5.1.4": (
        *_MIDDLE, Speaker("SL", 110, 0), Speaker("SR", -110, 0),
        Speaker("TFL", 30, 30), Speaker("TFR", -30, 30), Speaker("TBL", 110, 30), Speaker("TBR", -110, 30),
    ),
}  # fmt: skip
ORDERS = (1, 2, 3)
ARC = (-1.0, -0.5, 0.0, 0.5, 1.0)  # places of a wide object, in halves of its extent


class Panner(Protocol):
    """Directions -> gains of channels."""

    channels: int
    weights: np.ndarray  # (C,) of each channel in loudness

    def gains(self, az: np.ndarray, el: np.ndarray, width: float) -> np.ndarray:
        """(n,) degrees each, width 0-1 (1 = an extent of 180°) -> (n, C)."""
        ...


def unit(az: np.ndarray, el: np.ndarray) -> np.ndarray:
    """(..., 3) x to the front, y to the left, z upwards."""
    a, e = np.radians(az), np.radians(el)
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)


def beside(az: np.ndarray, el: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions `turn` degrees to the left, on the great circle that is level where the object is (BS.2127, extent).

    A wide object's points so lie evenly around its own direction, overhead too.
    """
    e, t = np.radians(el), math.radians(turn)
    left = np.degrees(np.arctan2(math.sin(t), np.cos(e) * math.cos(t)))
    found: tuple[np.ndarray, np.ndarray] = az + left, np.degrees(np.arcsin(np.clip(np.sin(e) * math.cos(t), -1, 1)))
    return found


class SpeakerPanner:
    """VBAP on a layout of BS.2051."""

    def __init__(self, layout: str) -> None:
        from scipy.spatial import ConvexHull

        self.speakers = LAYOUTS[layout]
        self.channels = len(self.speakers)
        self._real = [k for k, speaker in enumerate(self.speakers) if speaker.name != LFE]
        self.weights = np.array([speaker_weight(speaker) for speaker in self.speakers])
        places = [(self.speakers[k].az, self.speakers[k].el) for k in self._real]
        middle = [n for n, (_, el) in enumerate(places) if el == 0]
        upper = [n for n, (_, el) in enumerate(places) if el > 0]
        share = [np.eye(len(places))[n] for n in range(len(places))]
        for n in middle:  # a ring below: what comes from there is heard from the loudspeaker above it
            places.append((places[n][0], -30))
            share.append(np.eye(len(share[0]))[n])
        for pole, group in ((90.0, upper), (-90.0, middle)):
            places.append((0.0, pole))
            share.append(np.isin(np.arange(len(share[0])), group) / math.sqrt(len(group)))
        at = {(speaker.az, speaker.el): k for k, speaker in enumerate(self.speakers)}
        self._mirror = [at[-speaker.az + 0.0, speaker.el] for speaker in self.speakers]
        self._share = np.array(share)  # (virtual and real, real)
        points = unit(*np.array(places, float).T)
        self._triangles = ConvexHull(points).simplices
        self._inverse = np.linalg.inv(points[self._triangles])

    def gains(self, az: np.ndarray, el: np.ndarray, width: float) -> np.ndarray:
        az, el = np.atleast_1d(np.asarray(az, float)), np.atleast_1d(np.asarray(el, float))
        if width < 0.05:
            return self._points(az, el)
        many = np.stack([self._points(*beside(az, el, 90 * width * turn)) for turn in ARC])
        found: np.ndarray = np.sqrt(np.square(many).mean(axis=0))  # powers: what is in between does not cancel
        return found

    def _points(self, az: np.ndarray, el: np.ndarray) -> np.ndarray:
        """Left and right alike: how the hull cuts a square into triangles must not be heard."""
        here, mirrored = self._one_side(az, el), self._one_side(-az, el)
        both = here + mirrored[:, self._mirror]
        found: np.ndarray = both / np.linalg.norm(both, axis=1, keepdims=True)
        return found

    def _one_side(self, az: np.ndarray, el: np.ndarray) -> np.ndarray:
        direction = unit(az, el)
        local = np.einsum("nd,tdk->ntk", direction, self._inverse)
        best = local.min(axis=2).argmax(axis=1)
        power = np.maximum(local[np.arange(len(best)), best], 0.0)
        power /= np.linalg.norm(power, axis=1, keepdims=True)
        out = np.zeros((len(best), self.channels))
        out[:, self._real] = np.einsum("nk,nkr->nr", power, self._share[self._triangles[best]])
        found: np.ndarray = out / np.linalg.norm(out, axis=1, keepdims=True)
        return found


def speaker_weight(speaker: Speaker) -> float:
    """What BS.1770-4 (table 4) counts a loudspeaker for; the LFE does not count."""
    if speaker.name == LFE:
        return 0.0
    return SIDE if abs(speaker.el) < 30 and 60 <= abs(speaker.az) <= 120 else 1.0


class AmbisonicPanner:
    """Real spherical harmonics up to an order of 1 to 3. Wide objects are averages over their arc."""

    def __init__(self, order: int) -> None:
        self.order, self.channels = order, (order + 1) ** 2
        self.weights = np.ones(self.channels)  # loudness is measured after decoding (`decoder`)

    def gains(self, az: np.ndarray, el: np.ndarray, width: float) -> np.ndarray:
        az, el = np.atleast_1d(np.asarray(az, float)), np.atleast_1d(np.asarray(el, float))
        if width < 0.05:
            return harmonics(az, el, self.order)
        found: np.ndarray = np.mean([harmonics(*beside(az, el, 90 * width * turn), self.order) for turn in ARC], axis=0)
        return found


def harmonics(az: np.ndarray, el: np.ndarray, order: int) -> np.ndarray:
    """(n, (order + 1)²) ACN, SN3D."""
    x, y, z = np.moveaxis(unit(az, el), -1, 0)
    rows = [np.ones_like(x), y, z, x]
    if order > 1:
        r = math.sqrt(3)
        rows += [r * x * y, r * y * z, 0.5 * (3 * z * z - 1), r * x * z, 0.5 * r * (x * x - y * y)]
    if order > 2:
        a, b, c = math.sqrt(5 / 8), math.sqrt(15), math.sqrt(3 / 8)
        rows += [
            a * y * (3 * x * x - y * y), b * x * y * z, c * y * (5 * z * z - 1), 0.5 * z * (5 * z * z - 3),
            c * x * (5 * z * z - 1), 0.5 * b * z * (x * x - y * y), a * x * (x * x - 3 * y * y),
        ]  # fmt: skip
    return np.stack(rows, axis=1)


@functools.cache
def decoder(order: int, layout: str = "7.1.4") -> np.ndarray:
    """(C, (order + 1)²) loudspeakers from ambisonics, with the energy of a plane wave kept on average.

    AllRAD (Zotter & Frank 2012, J. AES 60(10)): many even directions are sampled, with max-rE weights, and each is
    panned.
    """
    count = 400
    z = 1 - (2 * np.arange(count) + 1) / count  # a Fibonacci lattice: even enough for the third order
    el, az = np.degrees(np.arcsin(z)), np.degrees(np.arange(count) * math.pi * (3 - math.sqrt(5))) % 360
    cut = math.cos(math.radians(137.9 / (order + 1.51)))  # Zotter & Frank 2019, eq. 4.45
    legendre = [1.0, cut, 0.5 * (3 * cut**2 - 1), 0.5 * (5 * cut**3 - 3 * cut)]
    degree = np.concatenate([[n] * (2 * n + 1) for n in range(order + 1)])
    weights = np.array([legendre[n] * (2 * n + 1) for n in degree])  # SN3D to N3D and back
    found = SpeakerPanner(layout).gains(az, el, 0.0).T @ (harmonics(az, el, order) * weights)
    power = np.square(found @ harmonics(az, el, order).T).sum(axis=0).mean()
    result: np.ndarray = found / math.sqrt(power)
    return result
