"""Where the ball is in a clip, from its pixels alone, and the physics of its path. Deterministic, no learned part.

T frames; heights y (T,) are of the ball's lowest point above the floor, m, so that a ball at rest on it has 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physworld.video.warp.look import Look

LEAST_MASS, MOST_MASS = 0.5, 1.7  # of the expected disc: outside it a frame shows no ball, or more than one
MOST_SPREAD = 1.6  # times the disc's own standard deviation r/2: two half balls far apart spread more
LOST = 0.1  # share of frames that may be lost
RESTITUTIONS = np.linspace(0, 1.3, 261)


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Path of one ball."""

    center_px: np.ndarray  # (T, 2) column, row; NaN where no ball is seen
    center_m: np.ndarray  # (T, 2) in the plane of motion
    mask: np.ndarray  # (T, H, W) bool, pixels that are more ball than not
    seen: np.ndarray  # (T,) bool

    @property
    def valid(self) -> bool:
        """One ball of about the right size in nearly every frame, the first one included."""
        return bool(self.seen[0] and (~self.seen).mean() <= LOST)


def track(frames: np.ndarray, plate: np.ndarray, look: Look, *, colour: np.ndarray, radius: float) -> Track:
    """Follow the ball by its colour against the empty scene.

    Args:
        frames: uint8 (T, H, W, 3).
        plate: uint8 (H, W, 3), the same scene without the ball.
        colour: (3,) of the lit ball, 0-255.
        radius: m.
    """
    height, width = frames.shape[1:3]
    empty = plate.astype(float)
    contrast = np.linalg.norm(colour - empty, axis=-1)  # (H, W)
    share = np.linalg.norm(frames - empty, axis=-1) / np.maximum(contrast, 40.0)
    # A shadow is the empty scene times one factor below 1.
    ratio = frames / np.maximum(empty, 1.0)
    share[(ratio.max(-1) <= 1.02) & (ratio.max(-1) - ratio.min(-1) < 0.08)] = 0.0
    # Shading must not pull the centre to the lit side: most of the ball counts as ball, faint traces count as none.
    matte = np.clip((share - 0.15) / 0.5, 0, 1)
    mass = matte.sum((1, 2))
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    safe = np.maximum(mass, 1e-9)
    row, column = (matte.sum(2) @ rows) / safe, (matte.sum(1) @ columns) / safe
    spread = np.sqrt(
        np.maximum((matte.sum(2) * (rows - row[:, None]) ** 2).sum(1) / safe, 0)
        + np.maximum((matte.sum(1) * (columns - column[:, None]) ** 2).sum(1) / safe, 0)
    )
    r = radius * height / float(look.view[0])  # px
    expected = np.pi * r**2
    own = r / np.sqrt(2)  # a disc's distance from its centre, root mean square; a pixel adds 1/6 px²
    seen = (mass > LEAST_MASS * expected) & (mass < MOST_MASS * expected)
    seen &= spread < MOST_SPREAD * np.sqrt(own**2 + 1 / 6)
    center = np.stack([column, row], -1)
    center[~seen] = np.nan
    where = look.to_plane(center[None], (width, height))[0]
    return Track(center_px=center, center_m=where, mask=matte > 0.5, seen=seen)


def bounces(height: float, restitution: float, gravity: float, times: np.ndarray) -> np.ndarray:
    """Height (T,) m of a ball let go at `height` at time 0: the closed form, bounce after bounce."""
    times = np.asarray(times, float)
    fall = np.sqrt(2 * height / gravity)
    y = height - gravity * times**2 / 2
    start, speed = fall, gravity * fall * restitution
    y[times > start] = 0.0
    while speed > 1e-3 and start < times.max(initial=0):
        dt = times - start
        now = (dt > 0) & (dt < 2 * speed / gravity)
        y[now] = speed * dt[now] - gravity * dt[now] ** 2 / 2
        start += 2 * speed / gravity
        speed *= restitution
    return y


@dataclass(frozen=True, kw_only=True)
class Physics:
    """What a path says; NaN where it cannot be told."""

    gravity: float  # m/s², least squares before the first impact
    restitution: float  # best fit of the bounces after it
    galileo: float  # distance fallen in twice the time over distance fallen: 4 for free fall, 2 for constant speed
    energy: float  # height of the first bounce over that of the fall = restitution²


NOTHING = Physics(gravity=np.nan, restitution=np.nan, galileo=np.nan, energy=np.nan)


def recover(y: np.ndarray, fps: float) -> Physics:
    """Physics of a drop from heights y (T,) of the ball's lowest point; unseen frames are NaN."""
    times = np.arange(len(y)) / fps
    known = np.isfinite(y)
    if not known[0] or known.sum() < 5 or y[0] <= 0.3:
        return NOTHING
    down = _before_impact(y)
    if len(down) < 4:
        return NOTHING
    height, gravity = _fall(times[down[:-1]], y[down[:-1]])
    if gravity > 0:  # the last frame counts if the others say that the floor was not reached before it
        down = down[times[down] < np.sqrt(2 * max(height, 0) / gravity) + 0.1 / fps]
        height, gravity = _fall(times[down], y[down])
    if not gravity > 0.05 or not height > 0:
        return Physics(gravity=float(gravity), restitution=np.nan, galileo=_galileo(y, down), energy=np.nan)
    after = known & (times > np.sqrt(2 * height / gravity))
    e = np.nan
    if after.sum() >= 2:
        fits = [np.abs(bounces(height, each, gravity, times[after]) - y[after]).mean() for each in RESTITUTIONS]
        e = float(RESTITUTIONS[int(np.argmin(fits))])
    return Physics(gravity=float(gravity), restitution=e, galileo=_galileo(y, down), energy=e**2)


def _fall(times: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(h, g) of y = h - g t²/2, released at rest, by least squares."""
    basis = np.stack([np.ones(len(y)), -0.5 * times**2], -1)
    (height, gravity), *_ = np.linalg.lstsq(basis, y, rcond=None)
    return float(height), float(gravity)


def _before_impact(y: np.ndarray) -> np.ndarray:
    """Frames of the first fall: until the ball is near the floor, or turns."""
    kept: list[int] = []
    lowest = np.inf
    for k, value in enumerate(y):
        if not np.isfinite(value):
            continue
        if kept and (value < 0.0 or value > lowest + 0.03 * y[0]):
            break
        lowest = min(lowest, value)
        kept.append(k)
    return np.array(kept, int)


def _galileo(y: np.ndarray, down: np.ndarray) -> float:
    half = int(down[-1]) // 2
    if half < 1 or not np.isfinite(y[half]) or not np.isfinite(y[2 * half]) or y[0] - y[half] < 0.02:
        return np.nan
    return float((y[0] - y[2 * half]) / (y[0] - y[half]))
