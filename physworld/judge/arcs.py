"""A path cut where its velocity jumps, into pieces of constant acceleration.

Pixels, seconds, row downwards: gravity is positive in the row. A piece is x(t) = x0 + v t + a t²/2, t from its middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FEWEST = 3  # points of a piece
LONGEST = 1000  # ... and at most, so that time and memory grow with the length of a clip and not with its square
FLOOR = 0.08  # px, what a centroid is taken to be off by at least
OF_SIZE = 0.012  # ... and this share of the body's diameter
PRICE = 3.0  # of one more piece, times the logarithm of the number of points, for each of its seven numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Arc:
    """One piece of a path."""

    frames: np.ndarray  # (n,) numbers of the frames it was fitted to
    middle: float  # s, where its own time is 0
    begin: float  # s
    end: float  # s
    place: np.ndarray  # (2,) px at the middle
    velocity: np.ndarray  # (2,) px/s at the middle
    acceleration: np.ndarray  # (2,) px/s²
    spread: float  # px, root mean square of what is left
    doubt: float  # px/s², standard error of the acceleration
    errors: np.ndarray  # (3, 3) covariance of one coordinate's place, velocity and acceleration, px and s

    def at(self, time: float | np.ndarray) -> np.ndarray:
        t = np.asarray(time, float)[..., None] - self.middle
        return self.place + self.velocity * t + 0.5 * self.acceleration * t * t

    def speed(self, time: float) -> np.ndarray:
        return self.velocity + self.acceleration * (time - self.middle)

    def speed_doubt(self, time: float) -> float:
        """px/s, standard error of each component of the speed at a moment."""
        row = np.array([0.0, 1.0, time - self.middle])
        return float(np.sqrt(max(row @ self.errors @ row, 0.0)))

    @property
    def duration(self) -> float:
        return self.end - self.begin

    @property
    def sag(self) -> float:
        """px by which it differs from a straight line"""
        return float(np.linalg.norm(self.acceleration)) * self.duration**2 / 8


def noise_of(times: np.ndarray, path: np.ndarray, diameter: float) -> float:
    """px: scatter of a path (n, 2) about smooth motion, from its third differences; never below the tracker's own."""
    floor = float(np.hypot(FLOOR, OF_SIZE * diameter))
    if len(path) < 6:
        return floor
    third = np.diff(path, 3, axis=0)
    steps = np.diff(times)
    even = np.array([steps[k : k + 3].max() < 1.5 * steps.min() for k in range(len(third))])
    if not even.any():
        return floor
    scatter = 1.4826 * np.median(np.abs(third[even]), axis=0) / np.sqrt(20)
    return max(floor, min(float(scatter.max()), 0.15 * diameter))


def cut(times: np.ndarray, path: np.ndarray, frames: np.ndarray, noise: float) -> list[Arc]:
    """The cheapest pieces: squares over noise², and a price for each piece (dynamic programming over all cuts).

    Args:
        times: (n,) s.
        path: (n, 2) px.
        frames: (n,) frame numbers.
        noise: px.
    """
    n = len(times)
    if n < FEWEST:
        return []
    price = PRICE * 7 * np.log(2 * n) / 2
    best = np.full(n + 1, np.inf)
    best[0] = -price
    before = np.zeros(n + 1, int)
    for start in range(n - FEWEST + 1):
        if not np.isfinite(best[start]):
            continue
        squares = _squares(times[start : start + LONGEST], path[start : start + LONGEST])
        total = best[start] + squares / noise**2 + price
        ends = np.arange(start + FEWEST, start + FEWEST + len(total))
        better = total < best[ends]
        best[ends[better]], before[ends[better]] = total[better], start
    cuts, end = [], n
    while end > 0:
        cuts.append((int(before[end]), end))
        end = int(before[end])
    return [fit(times[a:b], path[a:b], frames[a:b], noise) for a, b in reversed(cuts)]


def _squares(times: np.ndarray, path: np.ndarray) -> np.ndarray:
    """(n - FEWEST + 1,): what a parabola leaves of the first FEWEST points, of one more ..., both coordinates."""
    t = times - times[0]
    t = t / max(t[-1], 1e-9)
    sums = [np.cumsum(t**k) for k in range(5)]
    normal = np.empty((len(t), 3, 3))
    for a in range(3):
        for b in range(3):
            normal[:, a, b] = sums[a + b]
    x = path - path[0]
    right = np.stack([np.cumsum(x * (t**k)[:, None], axis=0) for k in range(3)], 1)[FEWEST - 1 :]  # (n, 3, 2)
    whole = np.cumsum((x * x).sum(-1))[FEWEST - 1 :]
    solved = np.linalg.solve(normal[FEWEST - 1 :] + 1e-12 * np.eye(3), right)
    return np.maximum(whole - (solved * right).sum((1, 2)), 0)


def fit(
    times: np.ndarray, path: np.ndarray, frames: np.ndarray, noise: float, gravity: np.ndarray | None = None
) -> Arc:
    """One piece by least squares; with `gravity` (2,) px/s² its acceleration is given."""
    middle = float(times.mean())
    t = times - middle
    if gravity is None:
        basis = np.stack([np.ones_like(t), t, t * t / 2], -1)
        coefficients, *_ = np.linalg.lstsq(basis, path, rcond=None)
        place, velocity, acceleration = coefficients
    else:
        basis = np.stack([np.ones_like(t), t], -1)
        (place, velocity), *_ = np.linalg.lstsq(basis, path - 0.5 * t[:, None] ** 2 * gravity, rcond=None)
        acceleration = gravity
    left = path - (place + velocity * t[:, None] + 0.5 * acceleration * t[:, None] ** 2)
    spread = float(np.sqrt((left**2).sum(-1).mean()))
    errors = np.zeros((3, 3))
    known = basis.shape[1]
    errors[:known, :known] = max(noise, spread) ** 2 * np.linalg.pinv(basis.T @ basis)
    return Arc(
        frames=frames, middle=middle, begin=float(times[0]), end=float(times[-1]), place=place, velocity=velocity,
        acceleration=acceleration, spread=spread, doubt=float(np.sqrt(max(errors[2, 2], 0.0))), errors=errors,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Impact:
    """Where one piece goes over into the next."""

    time: float  # s
    place: np.ndarray  # (2,) px
    before: np.ndarray  # (2,) px/s
    after: np.ndarray  # (2,) px/s
    gap: float  # px by which the two pieces miss each other there: above the noise the body has jumped
    doubts: tuple[float, float]  # px/s, standard errors of a component of `before` and of `after`

    @property
    def doubt(self) -> float:
        """px/s, standard error of a component of the change of velocity."""
        return float(np.hypot(*self.doubts))

    def summary(self, shrink: float) -> dict[str, Any]:
        """
        Args:
            shrink: px of the file in one of these.
        """
        return {"time_s": round(self.time, 4), "before_px_s": (self.before * shrink).round(2).tolist(),
                "after_px_s": (self.after * shrink).round(2).tolist()}  # fmt: skip


def meeting(one: Arc, two: Arc) -> Impact:
    """The moment in which two pieces are nearest to each other, between the frames that belong to each."""
    slack = 0.6 * max((one.duration + two.duration) / max(len(one.frames) + len(two.frames) - 2, 1), 1e-9)
    times = np.linspace(one.end - slack, two.begin + slack, 81)
    away = np.linalg.norm(one.at(times) - two.at(times), axis=-1)
    k = int(away.argmin())
    time = float(times[k])
    if 0 < k < len(times) - 1:
        fine = np.linspace(times[k - 1], times[k + 1], 41)
        close = np.linalg.norm(one.at(fine) - two.at(fine), axis=-1)
        time = float(fine[int(close.argmin())])
    place = (one.at(time) + two.at(time)) / 2
    gap = float(np.linalg.norm(one.at(time) - two.at(time)))
    return Impact(
        time=time, place=place, before=one.speed(time), after=two.speed(time), gap=gap,
        doubts=(one.speed_doubt(time), two.speed_doubt(time)),
    )  # fmt: skip
