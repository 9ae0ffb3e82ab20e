"""What kind of motion a path is, and its numbers in pixels and seconds; no scale and no colour is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.optimize import least_squares

from physworld.judge import arcs
from physworld.judge.arcs import Arc, Impact
from physworld.judge.tracks import Track

KINDS = ("free_fall", "bounce", "throw", "slide", "uniform", "pendulum", "orbit", "collision", "unrecognised")
DOWN = np.radians(20)  # an acceleration within this of the vertical is gravity's
SAME = 0.25  # accelerations of one clip that differ by less belong together
BEND = 4.0  # times the noise that a path must sag below a line
BENT = 9.21  # in squares over noise²
LEAST_FALL = 0.4  # share of the path that must be flight
FULL_TURN = 2 * np.pi


@dataclass(frozen=True, kw_only=True, eq=False)
class Swing:
    """A pendulum's fit."""

    pivot: np.ndarray  # (2,) px
    length: float  # px
    period: float  # s, of small swings
    amplitude: float  # rad, at the beginning
    decay: float  # 1/s; below 0 the swing grows
    spread: float  # px


@dataclass(frozen=True, kw_only=True, eq=False)
class Orbit:
    center: np.ndarray  # (2,) px, where the force points
    period: float  # s, of one turn
    areas: float  # scatter of the area swept in a second, over its mean
    turns: float
    spread: float  # px, from an ellipse


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    kind: str  # one of KINDS
    arcs: list[Arc] = field(default_factory=list)
    flights: list[int] = field(default_factory=list)  # which arcs are in free flight
    gravity: np.ndarray | None = None  # (2,) px/s², of this body's flights
    doubt: float = np.nan  # px/s²
    impacts: list[Impact] = field(default_factory=list)
    swing: Swing | None = None
    orbit: Orbit | None = None
    noise: float = 0.0  # px
    upward: bool = False  # it is drawn up
    uneven: float = 0.0  # largest difference between the accelerations of two flights, over their mean


def read_motion(track: Track, times: np.ndarray) -> Motion:
    """From one track (T frames) and the times (T,) s of the clip."""
    known = np.isfinite(track.center[:, 0])
    frames = np.flatnonzero(known)
    path, when = track.center[known], times[known]
    noise = arcs.noise_of(when, path, track.diameter)
    pieces = arcs.cut(when, path, frames, noise)
    if not pieces:
        return Motion(kind="unrecognised", noise=noise)
    if len(pieces) > 1:
        swing = _swing(when, path, track.diameter, noise)
        if swing is not None:
            return Motion(kind="pendulum", arcs=pieces, swing=swing, noise=noise)
        orbit = _orbit(when, path, track.diameter, noise)
        if orbit is not None:
            return Motion(kind="orbit", arcs=pieces, orbit=orbit, noise=noise)
    return _of_arcs(pieces, when, path, frames, track.diameter, noise)


def _falls(piece: Arc, diameter: float, noise: float) -> bool:
    """Bent, and not by an acceleration along some slope."""
    a = piece.acceleration
    size = float(np.linalg.norm(a))
    bent = piece.sag > max(BEND * noise, 0.1 * diameter) and size > 4 * piece.doubt
    return bent and abs(a[1]) > np.cos(DOWN) * size and _reach(piece)[1] > 0.6 * diameter


def _reach(piece: Arc) -> np.ndarray:
    """(2,) px: the sides of the box around a piece."""
    return np.asarray(np.ptp(piece.at(np.linspace(piece.begin, piece.end, 9)), axis=0))


def _of_arcs(
    pieces: list[Arc], when: np.ndarray, path: np.ndarray, frames: np.ndarray, diameter: float, noise: float
) -> Motion:
    falling = [k for k, piece in enumerate(pieces) if len(piece.frames) >= 5 and _falls(piece, diameter, noise)]
    path_of = [float(np.linalg.norm(_reach(piece))) for piece in pieces]
    if sum(path_of[k] for k in falling) < LEAST_FALL * sum(path_of):
        return _without_gravity(pieces, when, path, frames, diameter, noise)
    main = min(falling, key=lambda k: pieces[k].doubt / np.linalg.norm(pieces[k].acceleration))
    first = pieces[main].acceleration
    agree = [
        k for k in falling
        if abs(pieces[k].acceleration[1] - first[1]) < max(SAME * abs(first[1]), 3 * pieces[k].doubt)
    ]  # fmt: skip
    weights = np.array([1 / max(pieces[k].doubt, 1e-9) ** 2 for k in agree])
    gravity = sum(w * pieces[k].acceleration for w, k in zip(weights, agree, strict=True)) / weights.sum()
    clear = [pieces[k].acceleration[1] for k in falling
             if pieces[k].doubt < 0.06 * abs(first[1]) and len(pieces[k].frames) >= 7]  # fmt: skip
    uneven = (max(clear) - min(clear)) / abs(float(np.mean(clear))) if len(clear) > 1 else 0.0
    where = {int(f): n for n, f in enumerate(frames)}
    fitted, flights = [], []
    for k, piece in enumerate(pieces):
        rows = np.array([where[int(f)] for f in piece.frames])
        fixed = arcs.fit(when[rows], path[rows], piece.frames, noise, gravity)
        if k in agree or (k not in falling and len(rows) >= 3 and _flies(fixed, piece, noise, gravity)):
            flights.append(k)
            fitted.append(fixed)
        else:
            fitted.append(piece)
    impacts = [
        arcs.meeting(fitted[k], fitted[k + 1])
        for k in range(len(fitted) - 1)
        if k in flights and _leaves(fitted[k + 1], k + 1 in flights, gravity)
    ]
    common = Motion(
        kind="bounce", arcs=fitted, flights=flights, gravity=gravity, doubt=float(1 / np.sqrt(weights.sum())),
        impacts=impacts, noise=noise, upward=bool(gravity[1] < 0), uneven=float(uneven),
    )  # fmt: skip
    if any(_rebounds(hit) for hit in impacts):
        return common
    if len(pieces) > 1 and main > 0 and len(flights) > 1 and impacts:
        return common
    longest = fitted[max(flights, key=lambda k: fitted[k].duration)]
    across = abs(longest.at(longest.end)[0] - longest.at(longest.begin)[0])
    down = abs(longest.at(longest.end)[1] - longest.at(longest.begin)[1])
    rising = longest.speed(longest.begin)[1] * np.sign(gravity[1]) < -0.12 * abs(gravity[1]) * longest.duration
    straight = across < 0.1 * down + 0.2 * diameter and not rising
    return replace(common, kind="free_fall" if straight else "throw")


def _flies(fixed: Arc, piece: Arc, noise: float, gravity: np.ndarray) -> bool:
    """A short piece whose own acceleration cannot be told, but gravity's fits it, and a straight line does not."""
    sag = float(np.linalg.norm(gravity)) * piece.duration**2 / 8
    return fixed.spread < 2.2 * noise and sag > 3 * noise


def _leaves(after: Arc, flies: bool, gravity: np.ndarray) -> bool:
    return flies or float(np.linalg.norm(after.acceleration)) < 0.3 * float(np.linalg.norm(gravity))


def _rebounds(hit: Impact) -> bool:
    return float(hit.before @ hit.after) < float(hit.before @ hit.before) and _normal(hit)[1] > 0.02


def _normal(hit: Impact) -> tuple[np.ndarray, float]:
    """(direction of the blow, restitution): of a floor or a wall where it is within 25 degrees of one."""
    blow = hit.after - hit.before
    size = float(np.linalg.norm(blow))
    normal = blow / size if size else np.array([0.0, -1.0])
    for axis in (np.array([0.0, 1.0]), np.array([1.0, 0.0])):
        if abs(normal @ axis) > np.cos(np.radians(25)):
            normal = axis * np.sign(normal @ axis)
            break
    into = float(hit.before @ normal)
    return normal, float(-(hit.after @ normal) / into) if into < 0 else float("nan")


def restitution(hit: Impact) -> float:
    """Speed away from what was hit over speed towards it."""
    return _normal(hit)[1]


def restitution_doubt(hit: Impact) -> float:
    """Standard error of `restitution`, from those of the two velocities."""
    normal, e = _normal(hit)
    into = -float(hit.before @ normal)
    return float(np.hypot(hit.doubts[1], e * hit.doubts[0])) / into if into > 0 else float("inf")


def _straight(piece: Arc, when: np.ndarray, path: np.ndarray, frames: np.ndarray, noise: float) -> Arc:
    """A piece as a straight line at constant speed, where that fits it as well: its speeds are then known far better.

    `BENT` is the 99 % point of chi-squared with two degrees of freedom, by which noise alone favours a parabola.
    """
    rows = np.searchsorted(frames, piece.frames)
    line = arcs.fit(when[rows], path[rows], piece.frames, noise, np.zeros(2))
    gain = len(rows) * (line.spread**2 - piece.spread**2) / noise**2
    return line if gain < BENT else piece


def _without_gravity(
    pieces: list[Arc], when: np.ndarray, path: np.ndarray, frames: np.ndarray, diameter: float, noise: float
) -> Motion:
    lines = [_straight(piece, when, path, frames, noise) for piece in pieces]
    impacts = [arcs.meeting(a, b) for a, b in pairwise(lines)]
    moving = [p for p in pieces if np.linalg.norm(p.at(p.end) - p.at(p.begin)) > 0.3 * diameter]
    crowded = len(pieces) > 2 and sum(len(p.frames) for p in pieces) / len(pieces) < 5
    if not moving or crowded:
        return Motion(kind="unrecognised", arcs=pieces, impacts=impacts, noise=noise)
    bent = [p for p in moving if p.sag > max(BEND * noise, 0.06 * diameter) and len(p.frames) >= 5]
    crooked = 0.0
    for piece in bent:
        ends = piece.at(piece.end) - piece.at(piece.begin)
        length = float(np.linalg.norm(ends))
        along = ends / max(length, 1e-9)
        off = piece.acceleration - (piece.acceleration @ along) * along
        if float(np.linalg.norm(off)) * piece.duration**2 / 8 > max(2 * BEND * noise, 0.15 * diameter):
            crooked += length
    if crooked > 0.5 * sum(float(np.linalg.norm(_reach(p))) for p in moving):
        return Motion(kind="unrecognised", arcs=pieces, impacts=impacts, noise=noise)
    return Motion(kind="slide" if bent else "uniform", arcs=pieces, impacts=impacts, noise=noise)


def _swing(times: np.ndarray, path: np.ndarray, diameter: float, noise: float) -> Swing | None:
    if len(path) < 10:
        return None
    pivot, length = _circle(path)
    if not (1.0 * diameter < length < 40 * np.ptp(path, axis=0).max()) or pivot[1] > path[:, 1].mean():
        return None
    angle = np.arctan2(path[:, 0] - pivot[0], path[:, 1] - pivot[1])
    reach = float(np.ptp(angle))
    off = float(np.sqrt(((np.linalg.norm(path - pivot, axis=1) - length) ** 2).mean()))
    turns = _turns(angle, max(0.03 * reach, 5 * noise / length))
    if off > max(3 * noise, 0.02 * reach * length) or not 0.06 < reach < np.pi * 1.2 or turns < 1:
        return None
    span = times[-1] - times[0]
    half = reach / 2
    guesses = [span / cycles for cycles in (0.6, 0.8, 1, 1.3, 1.7, 2.2, 2.9, 3.8, 5, 6.6, 8.7, 11.5, 15)]

    def series(p: np.ndarray) -> np.ndarray:
        rate, decay, c, s, middle, third_c, third_s = p
        phase = rate * (times - times[0])
        shape = c * np.cos(phase) + s * np.sin(phase) + third_c * np.cos(3 * phase) + third_s * np.sin(3 * phase)
        return np.exp(-decay * (times - times[0])) * shape + middle

    def first_guess(period: float) -> tuple[float, np.ndarray]:
        rate = FULL_TURN / period
        phase = rate * (times - times[0])
        basis = np.stack([np.cos(phase), np.sin(phase), np.ones_like(phase)], -1)
        solved, *_ = np.linalg.lstsq(basis, angle, rcond=None)
        left = float(((angle - basis @ solved) ** 2).sum())
        return left, np.array([rate, 0.0, solved[0], solved[1], solved[2], 0.0, 0.0])

    start = min((first_guess(p) for p in guesses), key=lambda each: each[0])[1]
    found = least_squares(lambda p: series(p) - angle, start, method="lm", max_nfev=400)
    spread = float(np.sqrt((found.fun**2).mean())) * length
    rate, decay = abs(float(found.x[0])), float(found.x[1])
    if rate == 0 or spread > max(3 * noise, 0.05 * half * length) or abs(decay) > rate / FULL_TURN:
        return None
    period = FULL_TURN / rate
    if span < 0.55 * period:
        return None
    begin = float(np.hypot(found.x[2], found.x[3]))
    usual = begin * float(np.exp(-decay * span / 2))
    slower = 1 + usual**2 / 16 + 11 * usual**4 / 3072  # of wide swings
    return Swing(pivot=pivot, length=length, period=period / slower, amplitude=begin, decay=decay, spread=spread)


def _turns(angle: np.ndarray, least: float) -> int:
    """How often it goes back by `least` or more: jitter is no turn."""
    turns, way, extreme = 0, 0, float(angle[0])
    for value in map(float, angle):
        if way == 0:
            way = 0 if abs(value - extreme) < least else int(np.sign(value - extreme))
            extreme = value if way else extreme
        elif (value - extreme) * way > 0:
            extreme = value
        elif (extreme - value) * way >= least:
            turns, way, extreme = turns + 1, -way, value
    return turns


def _circle(path: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (2,) and radius of the circle through a path, by geometric least squares."""
    offset = path.mean(0)
    p = path - offset
    basis = np.stack([2 * p[:, 0], 2 * p[:, 1], np.ones(len(p))], -1)
    solved, *_ = np.linalg.lstsq(basis, (p * p).sum(-1), rcond=None)
    radius = float(np.sqrt(max(solved[2] + solved[0] ** 2 + solved[1] ** 2, 1e-9)))

    def away(q: np.ndarray) -> np.ndarray:
        return np.hypot(p[:, 0] - q[0], p[:, 1] - q[1]) - q[2]

    found = least_squares(away, np.array([solved[0], solved[1], radius]), method="lm", max_nfev=200)
    return found.x[:2] + offset, abs(float(found.x[2]))


def _orbit(times: np.ndarray, path: np.ndarray, diameter: float, noise: float) -> Orbit | None:
    if len(path) < 12:
        return None
    center, off = _ellipse(path)
    if center is None:
        return None
    size = float(np.ptp(path, axis=0).min())
    angle = np.unwrap(np.arctan2(*(path - center)[:, ::-1].T))
    steps = np.diff(angle)
    swept = float(angle[-1] - angle[0])
    one_way = float((steps * np.sign(swept) > 0).mean())
    if abs(swept) < 0.6 * FULL_TURN or one_way < 0.93 or off > max(4 * noise, 0.06 * size) or size < diameter:
        return None
    # r x v = h + c x v for a force that points to c: linear in h and c.
    v = np.gradient(path, times, axis=0)[1:-1]
    r = path[1:-1]
    cross = r[:, 0] * v[:, 1] - r[:, 1] * v[:, 0]
    basis = np.stack([np.ones(len(v)), v[:, 1], -v[:, 0]], -1)
    solved, *_ = np.linalg.lstsq(basis, cross, rcond=None)
    areas = float(np.std(cross - basis @ solved) / max(abs(solved[0]), 1e-9))
    around = np.unwrap(np.arctan2(*(path - solved[1:])[:, ::-1].T))
    turns = abs(float(around[-1] - around[0])) / FULL_TURN
    return Orbit(center=solved[1:], period=_period(times, around), areas=areas, turns=turns, spread=off)


def _period(times: np.ndarray, angle: np.ndarray) -> float:
    """s of one turn: the mean time between passing the same direction, or the mean speed where no turn is whole."""
    gone = np.abs(angle - angle[0])
    rising = np.maximum.accumulate(gone)
    if rising[-1] < FULL_TURN * 1.02:
        return float(FULL_TURN * (times[-1] - times[0]) / rising[-1])
    starts = np.arange(0, rising[-1] - FULL_TURN, 0.1)
    return float(np.mean(np.interp(starts + FULL_TURN, rising, times) - np.interp(starts, rising, times)))


def _ellipse(path: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Centre (2,) of the ellipse through a path and the root mean square distance from it, px; or None."""
    offset, scale = path.mean(0), float(np.ptp(path, axis=0).max())
    x, y = ((path - offset) / max(scale, 1e-9)).T
    basis = np.stack([x * x, x * y, y * y, x, y], -1)
    (a, b, c, d, e), *_ = np.linalg.lstsq(basis, np.ones(len(x)), rcond=None)
    if 4 * a * c - b * b <= 1e-9:
        return None, np.inf
    middle = np.linalg.solve(np.array([[2 * a, b], [b, 2 * c]]), -np.array([d, e]))
    value = basis @ np.array([a, b, c, d, e]) - 1
    slope = np.hypot(2 * a * x + b * y + d, b * x + 2 * c * y + e)
    return middle * scale + offset, float(np.sqrt(((value / np.maximum(slope, 1e-6)) ** 2).mean())) * scale
