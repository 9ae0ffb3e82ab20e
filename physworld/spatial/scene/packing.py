"""Proofs that some objects cannot keep as far apart as they are asked to. What is not proved may still be impossible.

Bounds for n directions that are pairwise at least this far apart (spherical codes):

- n <= 14 and n = 24: the best packings, proved: Fejes Tóth 1943 (3, 4, 6, 12), Schütte & van der Waerden 1951 (5-9),
  Danzer 1986 (10, 11), Robinson 1961 (24), Musin & Tarasov 2012 and 2015 (13, 14);
- any n: Fejes Tóth's inequality; 90° and more, also mixed: Rankin 1955, because |sum of directions| >= 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from physworld.spatial.scene.terms import SLACK, great_circles

BEST = {
    2: 180.0, 3: 120.0, 4: 109.4712207, 5: 90.0, 6: 90.0, 7: 77.8695422, 8: 74.8584922, 9: 70.5287794, 10: 66.1468220,
    11: 63.4349489, 12: 63.4349489, 13: 57.1367031, 14: 55.6705700, 24: 43.6907671,
}  # fmt: skip
ROUNDED = 1e-6  # degrees, of the table
MOST_STEPS = 3000  # of the search for groups whose members are all kept apart from each other
MOST_OPTIONS = 60  # places of a pinned object that are all looked at
MOST_GROUPS = 32
MOST_LOOKS = 6  # at every place of the grid, for one payload
DENSE = 0.25  # share of the room left that objects must fill before it is looked at closely


class Room(NamedTuple):
    """Where one object may stand."""

    az: tuple[int, ...] | None  # None = anywhere around
    low: float  # elevation, degrees
    high: float

    def options(self) -> np.ndarray | None:
        """(n, 3) unit vectors of every place on the grid, where there are few."""
        if self.az is None or len(self.az) * (self.high - self.low + 1) > MOST_OPTIONS:
            return None
        return directions(self.az, self.low, self.high)


Group = tuple[list[int], str]  # objects, and why they cannot keep apart


@functools.lru_cache
def widest(n: int) -> tuple[float, str]:
    """(an upper bound of the least separation of n directions in degrees, whose bound it is)."""
    if n in BEST:
        return BEST[n] + ROUNDED, "Rankin" if n <= 6 else "best packing, proved"
    omega = n / (n - 2) * math.pi / 6
    bound = math.degrees(math.acos((1 / math.tan(omega) ** 2 - 1) / 2))
    known = [BEST[m] for m in BEST if m < n]  # fewer directions keep at least as far apart
    return min([bound, *known]) + ROUNDED, "Fejes Tóth"


def at_most(least: float) -> int:
    """How many directions can be this far apart, at most."""
    n = 1
    while n < 1000 and widest(n + 1)[0] >= least:
        n += 1
    return n


def impossible(rooms: Sequence[Room], least: Mapping[tuple[int, int], float]) -> Iterator[Group]:
    """Groups of objects for which a proof is found; pairs of a group are not looked at again.

    Args:
        least: (i, j) with i < j -> degrees that these two are asked to keep apart.
    """
    left = {pair: value for pair, value in least.items() if value > 0}
    looks = iter(range(MOST_LOOKS))
    while left:
        found = _first(rooms, left, looks)
        if found is None:
            return
        yield found
        inside = set(found[0])
        left = {pair: value for pair, value in left.items() if not set(pair) <= inside}


def _first(rooms: Sequence[Room], least: Mapping[tuple[int, int], float], looks: Iterator[int]) -> Group | None:
    involved = {k for pair in least for k in pair}
    if len(involved) < 3:
        return None
    pinned = {k: options for k in sorted(involved) if (options := rooms[k].options()) is not None}
    groups: list[list[int]] = []
    for value in sorted(set(least.values()), reverse=True)[:MOST_GROUPS]:
        group = _clique({pair for pair, degrees in least.items() if degrees >= value - SLACK})
        if len(group) < 3 or group in groups:
            continue
        groups.append(group)
        why = _crowded(rooms, least, group)
        if why:
            return group, why
    found = _cornered(rooms, least, pinned, looks)
    if found is not None:
        return found
    for group in groups:
        why = _no_room_beside(rooms, least, group, pinned, looks)
        if why:
            return group, why
    return None


def _between(least: Mapping[tuple[int, int], float], i: int, j: int) -> float:
    return least.get((min(i, j), max(i, j)), 0.0)


def _crowded(rooms: Sequence[Room], least: Mapping[tuple[int, int], float], group: list[int]) -> str:
    """Why this many directions cannot all be so far apart, '' where no bound says so."""
    n = len(group)
    degrees = np.array([[_between(least, i, j) if i != j else 0.0 for j in group] for i in group])
    theta = float(degrees[~np.eye(n, dtype=bool)].min())
    if theta > widest(n)[0]:
        most = at_most(theta)
        whose = "Rankin" if theta >= 90 else widest(most + 1)[1]
        return f"at most {most} directions are {theta:g}° apart ({whose}), and {n} are asked for"
    if degrees.max() > 90 and _sums_below_zero(np.cos(np.radians(degrees))):
        return f"{n} directions cannot all be so far apart: the cosines of their angles would add up to too little"
    low, high = min(rooms[k].low for k in group), max(rooms[k].high for k in group)
    radii = np.radians((degrees + 1000 * np.eye(n)).min(axis=1) / 2)
    widened = [math.radians(e) + s * float(radii.max()) for e, s in ((low, -1), (high, 1))]
    area = math.sin(min(widened[1], math.pi / 2)) - math.sin(max(widened[0], -math.pi / 2))
    if float((1 - np.cos(radii)).sum()) > area + SLACK:
        return f"between the elevations {low:g}° and {high:g}° there is no area for {n} objects so far apart"
    turn = _least_turn(math.ceil(low - SLACK), math.floor(high + SLACK), theta)
    if n * turn > 360:
        return f"between the elevations {low:g}° and {high:g}° each of {n} objects needs {turn}° of azimuth"
    return ""


def _sums_below_zero(cosines: np.ndarray) -> bool:
    """Whether some weights w >= 0 have w'Cw < 0, while |sum of w times directions|² cannot be."""
    weights = np.ones(len(cosines))
    for _ in range(60):
        if weights @ cosines @ weights < -1e-9 * (weights @ weights):
            return True
        weights = np.maximum(weights - 0.2 * cosines @ weights, 0.0)
        size = float(np.abs(weights).sum())
        if size < 1e-9:
            return False
        weights *= len(cosines) / size
    return False


@functools.lru_cache(1024)
def _least_turn(low: int, high: int, theta: float) -> int:
    """Whole degrees of azimuth that two objects at these elevations differ by at least, when theta degrees apart."""
    el = np.radians(np.arange(low, high + 1))
    sines, cosines = np.sin(el)[:, None] * np.sin(el), np.cos(el)[:, None] * np.cos(el)
    need = math.cos(math.radians(theta)) - sines
    most = np.where(cosines > 1e-12, need / np.maximum(cosines, 1e-12), np.where(need >= -1e-12, 1.0, -2.0)).max()
    return math.ceil(math.degrees(math.acos(min(1.0, max(-1.0, float(most))))) - 1e-6)


@functools.lru_cache(4096)
def farthest(one: Room, other: Room) -> float:
    """The largest angle, degrees, of two places on the grid. It grows with their turn, whatever the elevations."""
    turn = 180.0
    if one.az is not None and other.az is not None:
        turn = float((180 - np.abs(180 - np.mod(np.subtract.outer(one.az, other.az), 360))).max())
    a, b = (np.arange(math.ceil(r.low - SLACK), math.floor(r.high + SLACK) + 1.0) for r in (one, other))
    here, there = np.stack([0 * a, a], axis=-1), np.stack([0 * b + turn, b], axis=-1)
    return float(great_circles(here[:, None], there).max())


def overfull(windows: Sequence[tuple[float, float]], least: float) -> tuple[float, float] | None:
    """Elevations between which more objects of one azimuth must stand than can, this far apart; None: not shown.

    Args:
        windows: lowest and highest elevation of every object.
    """
    for low in sorted({window[0] for window in windows}):
        for high in sorted({window[1] for window in windows}, reverse=True):
            count = sum(low <= a and b <= high for a, b in windows)
            if count > 1 and (count - 1) * (least - ROUNDED) > high - low + SLACK:
                return low, high
    return None


@functools.lru_cache(64)
def directions(az: tuple[int, ...] | None, low: float, high: float) -> np.ndarray:
    """(n, 3) unit vectors of whole degrees."""
    around = np.radians(np.arange(-179, 181) if az is None else np.array(az))
    el = np.radians(np.arange(math.ceil(low - SLACK), math.floor(high + SLACK) + 1))
    x, y = np.cos(el)[:, None] * np.cos(around), np.cos(el)[:, None] * np.sin(around)
    return np.stack([x, y, np.broadcast_to(np.sin(el)[:, None], x.shape)], axis=-1).reshape(-1, 3)


def _reaches(places: np.ndarray, options: np.ndarray, degrees: float) -> np.ndarray:
    """(n,) bool: whether some option is this far away."""
    found: np.ndarray = (places @ options.T).min(axis=1) <= math.cos(math.radians(max(0.0, degrees - ROUNDED))) + 1e-12
    return found


def _cornered(
    rooms: Sequence[Room],
    least: Mapping[tuple[int, int], float],
    pinned: Mapping[int, np.ndarray],
    looks: Iterator[int],
) -> Group | None:
    """An object for which pinned ones leave no direction."""
    for k in sorted({k for pair in least for k in pair}):
        partners = [p for p in pinned if p != k and _between(least, k, p) > 0]
        covered = sum(1 - math.cos(math.radians(_between(least, k, p))) for p in partners)
        room = rooms[k]
        share = 1.0 if room.az is None else 0.0
        if len(partners) < 2 or covered < share * (
            math.sin(math.radians(room.high)) - math.sin(math.radians(room.low))
        ):
            continue
        if next(looks, None) is None:
            return None
        places = directions(room.az, room.low, room.high)
        for p in partners:
            places = places[_reaches(places, pinned[p], _between(least, k, p))]
        if len(places) == 0:
            return sorted(
                [k, *partners]
            ), "the pinned objects leave no direction for another one so far from each of them"
    return None


def _no_room_beside(
    rooms: Sequence[Room],
    least: Mapping[tuple[int, int], float],
    group: list[int],
    pinned: Mapping[int, np.ndarray],
    looks: Iterator[int],
) -> str:
    """Why the free objects of a group do not fit beside its pinned ones, '' where that is not shown.

    What pinned ones leave is covered by caps of less than half the separation: in each there is room for one.
    """
    fixed, free = [k for k in group if k in pinned], [k for k in group if k not in pinned]
    if not fixed or len(free) < 2:
        return ""
    theta = min(_between(least, i, j) for i in free for j in free if i != j)
    low, high = min(rooms[k].low for k in free), max(rooms[k].high for k in free)
    beside = [min(_between(least, k, p) for k in free) for p in fixed]
    area = math.sin(math.radians(high)) - math.sin(math.radians(low))
    area -= 0.5 * sum(1 - math.cos(math.radians(b)) for b in beside)
    if len(free) * (1 - math.cos(math.radians(theta / 2))) < DENSE * area or next(looks, None) is None:
        return ""
    places = directions(None, low, high)
    for p, degrees in zip(fixed, beside, strict=True):
        places = places[_reaches(places, pinned[p], degrees)]
    centres = places[:: max(1, len(places) // 200)]
    for count in range(len(free)):
        if len(places) == 0:
            return (
                f"beside {len(fixed)} pinned objects there is room for {count} at most, and {len(free)} are asked for"
            )
        near = centres @ places.T > math.cos(math.radians(max(0.0, theta / 2 - 0.01)))
        places = places[~near[int(near.sum(axis=1).argmax())]]
    return ""


def _clique(edges: set[tuple[int, int]]) -> list[int]:
    """The largest group in which every two are an edge (the largest found, in graphs that would take too long)."""
    near: dict[int, int] = {}
    for i, j in edges:
        near[i] = near.get(i, 0) | 1 << j
        near[j] = near.get(j, 0) | 1 << i
    best, steps = 0, 0

    def grow(chosen: int, candidates: int) -> None:
        nonlocal best, steps
        steps += 1
        if candidates == 0 and chosen.bit_count() > best.bit_count():
            best = chosen
        while candidates and steps < MOST_STEPS and chosen.bit_count() + candidates.bit_count() > best.bit_count():
            k = max(_bits(candidates), key=lambda k: (near[k] & candidates).bit_count())
            grow(chosen | 1 << k, candidates & near[k])
            candidates &= ~(1 << k)

    grow(0, sum(1 << k for k in near))
    return list(_bits(best))


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
