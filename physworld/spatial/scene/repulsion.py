"""All objects of a scene pushed apart at once, for what cannot be mended one or two at a time. Deterministic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from physworld.spatial.scene.brief import Target
from physworld.spatial.scene.terms import SLACK, Pose

WORK = 1200  # pairs of objects, over all arrangements that are tried: some 0.5 s of a core
STEPS = 100  # of pushing, each
SWEEPS = 4  # of moving one object after the other on the grid
WINDOW = 4  # degrees around its place that an object is then looked at
FINE = 1e-7  # degrees that count as equal


def pushed_apart(poses: Sequence[Pose], targets: Sequence[Target]) -> dict[int, Pose]:
    """Places on the grid that keep every separation, of the objects that move; {} where none were found."""
    moving = sorted({k for k, target in enumerate(targets) if target.apart})
    index = {k: n for n, k in enumerate(moving)}
    least = np.full((len(moving), len(moving)), -1.0)
    for k in moving:
        for other, degrees in targets[k].apart:
            if other in index:
                least[index[k], index[other]] = max(degrees, least[index[k], index[other]])
    bounds = [targets[k] for k in moving]
    for start in _starts(np.array([poses[k][:2] for k in moving], float), bounds, least):
        found = _polished(_pushed(start, bounds, least), bounds, least)
        if _worst(found, least) >= -FINE:
            here = {k: (float(found[n, 0]), float(found[n, 1]), poses[k][2]) for k, n in index.items()}
            return {k: pose for k, pose in here.items() if pose != poses[k]}
    return {}


def _starts(now: np.ndarray, bounds: Sequence[Target], least: np.ndarray) -> Iterator[np.ndarray]:
    """(n, 2) azimuths and elevations: as they are, regular figures that lie on the grid, then at random."""
    n = len(now)
    yield now
    tilted = [(0, 45), (180, -45), (180, 45), (0, -45), (90, 0), (-90, 0)]  # an octahedron that avoids the deep south
    if n <= 6:
        yield np.array(tilted[:n], float)
    yield np.stack([np.arange(n) * 360 / n, np.zeros(n)], axis=1)
    rng = np.random.default_rng(0)
    for _ in range(min(20, WORK // n**2)):
        z = rng.uniform(np.sin(np.radians(-45)), 1, n)
        yield np.stack([rng.uniform(-180, 180, n), np.degrees(np.arcsin(z))], axis=1)


def _within(places: np.ndarray, bounds: Sequence[Target]) -> np.ndarray:
    """The nearest places that the objects may have, whole degrees."""
    found = np.empty_like(places)
    for n, target in enumerate(bounds):
        az = (round(float(places[n, 0])) + 179) % 360 - 179
        if target.az is not None:
            az = min(target.az, key=lambda a: abs((a - az + 180) % 360 - 180))
        low, high = np.ceil(target.el[0] - SLACK), np.floor(target.el[1] + SLACK)
        found[n] = az, min(max(round(float(places[n, 1])), low), high)
    return found


def _vectors(places: np.ndarray) -> np.ndarray:
    az, el = np.radians(places[..., 0]), np.radians(places[..., 1])
    return np.stack([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)], axis=-1)


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors (n, 3) and (m, 3), exact for small and for large ones."""
    apart = np.linalg.norm(a[:, None] - b, axis=-1) / 2
    together = np.linalg.norm(a[:, None] + b, axis=-1) / 2
    return np.degrees(2 * np.arctan2(apart, together))


def _worst(places: np.ndarray, least: np.ndarray) -> float:
    room = np.where(least > 0, _angles(_vectors(places), _vectors(places)) - least, np.inf)
    return float(room.min())


def _pushed(places: np.ndarray, bounds: Sequence[Target], least: np.ndarray) -> np.ndarray:
    """Every two that are too near push each other away; what an object may not do is taken back at each step."""
    start = _within(places, bounds)
    if _worst(start, least) >= -FINE:
        return start
    low = np.array([target.el[0] for target in bounds])
    high = np.array([target.el[1] for target in bounds])
    held = np.array([target.az is not None for target in bounds])
    best, most = start, _worst(start, least)
    places = np.where(held[:, None], start, places)
    for step in range(STEPS):
        v = _vectors(places)
        angles = _angles(v, v)
        want = np.where(least > 0, np.maximum(0.0, least + 1.5 - angles), 0.0)
        away = v[:, None] - v[None]
        away += 1e-6 * np.array([1.0, 0.7, 0.3])  # two on one spot have to part somewhere
        away /= np.linalg.norm(away, axis=-1, keepdims=True)
        v = v + np.radians(0.5 * want[..., None] * away).sum(axis=1)
        v /= np.linalg.norm(v, axis=-1, keepdims=True)
        az = np.where(held, places[:, 0], np.degrees(np.arctan2(v[:, 1], v[:, 0])))
        places = np.stack([az, np.clip(np.degrees(np.arcsin(np.clip(v[:, 2], -1, 1))), low, high)], axis=1)
        if step % 10 == 9:
            rounded = _within(places, bounds)
            room = _worst(rounded, least)
            if room > most:
                best, most = rounded, room
            if most >= -FINE:
                break
    return best


def _polished(places: np.ndarray, bounds: Sequence[Target], least: np.ndarray) -> np.ndarray:
    """One object after the other goes to the best place near its own."""
    places = places.copy()
    span = np.arange(-WINDOW, WINDOW + 1)
    near = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    for _ in range(SWEEPS):
        if _worst(places, least) >= -FINE:
            break
        for n, target in enumerate(bounds):
            around = places[n] + near
            around = around[(around[:, 1] >= target.el[0] - SLACK) & (around[:, 1] <= target.el[1] + SLACK)]
            around[:, 0] = (around[:, 0] + 179) % 360 - 179
            if target.az is not None:
                around = around[np.isin(around[:, 0], target.az)]
            room = _angles(_vectors(around), _vectors(places)) - least[n]
            room = np.where(least[n] > 0, room, np.inf).min(axis=1)
            places[n] = around[int(room.argmax())]
    return places
