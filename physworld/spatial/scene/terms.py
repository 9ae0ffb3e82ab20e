"""The words and grids of spatial scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

FORMATS = ("binaural", "5.1.4", "7.1.4", "iamf")
CLASSES = (
    "lead_vocal", "back_vocal", "kick", "snare", "hihat", "bass", "drums_bus", "pad", "synth_lead", "guitar", "piano",
    "strings", "brass", "fx", "dialogue", "ambience", "other",
)  # fmt: skip
STYLES = ("club", "pop", "rock", "hiphop", "jazz", "orchestral", "ambient", "cinematic")
SECTIONS = ("intro", "verse", "build", "drop", "chorus", "bridge", "breakdown", "outro")
ROOMS = tuple(
    f"{room}_{size}" for room in ("studio", "club", "live", "hall", "space") for size in ("small", "medium", "large")
)
BANDS = ("low", "mid", "high")

MOST_STEMS = MOST_OBJECTS = MOST_RULES = 32
MOST_KEYFRAMES = 64
ID_PATTERN = r"^[A-Za-z0-9_-]{1,16}$"
LOW_END = 0.6  # share of energy below which band counts as low end (FORMATS: low >= 0.6)
LOUDNESS = {"iamf": -14.0, "binaural": -14.0, "5.1.4": -18.0, "7.1.4": -18.0}  # LUFS, of the whole programme

# Field -> (lowest, highest, step). Azimuth and elevation are whole degrees and written as integers.
GRID = {
    "az_deg": (-180, 180, 1),
    "el_deg": (-45, 90, 1),
    "dist_m": (0.5, 15.0, 0.1),
    "width": (0.0, 1.0, 0.05),
    "gain_db": (-60.0, 12.0, 0.5),
    "reverb_send": (0.0, 1.0, 0.01),
    "early_reflections": (0.0, 1.0, 0.01),
    "t": (0.0, 1.0, 0.01),
    "loudness_target_lufs": (-36.0, -8.0, 0.5),
}
POSE = ("az_deg", "el_deg", "dist_m")
DIALS = ("width", "gain_db", "reverb_send", "early_reflections")
SLACK = 1e-9  # of comparisons between decimal fractions

Pose = tuple[float, float, float]  # azimuth °, elevation °, distance m


def snap(field: str, value: float) -> float | int:
    """The nearest grid value of a field, kept within its range; azimuth is brought into (-180, 180] first."""
    low, high, step = GRID[field]
    if field == "az_deg":
        value = wrapped(value)
    value = min(max(value, low), high)
    count = math.floor((value - low) / step + 0.5 + SLACK)
    if step == 1:
        return int(low + count)
    return round(low + count * step, 2)


def on_grid(field: str, value: float) -> bool:
    if field == "az_deg":  # -180 is a grid value too, though `snap` writes that direction as 180
        return abs(value - round(value)) <= 1e-6
    return abs(value - snap(field, value)) <= 1e-6


def grid_values(field: str) -> list[float | int]:
    """All values of a field in ascending order."""
    low, high, step = GRID[field]
    return [
        snap(field, low + k * step) if field != "az_deg" else k - 180 for k in range(round((high - low) / step) + 1)
    ]


def wrapped(az: float) -> float:
    """Azimuth in (-180, 180]."""
    az = math.fmod(az, 360.0)
    return az - 360.0 if az > 180.0 else az + 360.0 if az <= -180.0 else az


def turn(a: float, b: float) -> float:
    """Circular distance between two azimuths, 0..180 °."""
    return abs(wrapped(a - b))


def great_circle(a: Sequence[float], b: Sequence[float]) -> float:
    """Angle between two directions (azimuth, elevation, ...), 0..180 ° (haversine form, exact for small angles)."""
    lat_a, lat_b = math.radians(a[1]), math.radians(b[1])
    half = math.sin((lat_a - lat_b) / 2) ** 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin(math.radians(a[0] - b[0]) / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(1.0, half))))


def pose_at(path: Sequence[tuple[float, Pose]], t: float) -> Pose:
    """Where a path of (t, pose) in ascending t is at time t; it rests before its first and after its last point."""
    if t <= path[0][0]:
        return path[0][1]
    for (t0, a), (t1, b) in pairwise(path):
        if t <= t1:
            share = (t - t0) / (t1 - t0) if t1 > t0 else 1.0
            az = wrapped(a[0] + share * wrapped(b[0] - a[0]))
            return az, a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])
    return path[-1][1]


def poses_at(path: Sequence[tuple[float, Pose]], times: Sequence[float]) -> np.ndarray:
    """`pose_at` at many times: (n, 3)."""
    at, points = np.array([t for t, _ in path]), np.array([pose for _, pose in path])
    if len(path) == 1:
        return np.repeat(points, len(times), axis=0)
    after = np.clip(np.searchsorted(at, times, side="left"), 1, len(path) - 1)
    length = at[after] - at[after - 1]
    share = np.where(length > 0, (np.array(times) - at[after - 1]) / np.where(length > 0, length, 1.0), 1.0)
    share = np.where(np.array(times) <= at[0], 0.0, share)
    change = points[after] - points[after - 1]
    change[:, 0] = 180 - np.mod(180 - change[:, 0], 360)  # the shorter way round
    found: np.ndarray = points[after - 1] + np.clip(share, 0, 1)[:, None] * change
    return found


def great_circles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`great_circle` of many directions: (..., at least 2) each, degrees."""
    az_a, el_a, az_b, el_b = np.radians(a[..., 0]), np.radians(a[..., 1]), np.radians(b[..., 0]), np.radians(b[..., 1])
    half = np.sin((el_a - el_b) / 2) ** 2 + np.cos(el_a) * np.cos(el_b) * np.sin((az_a - az_b) / 2) ** 2
    found: np.ndarray = np.degrees(2 * np.arcsin(np.sqrt(np.minimum(1.0, half))))
    return found
