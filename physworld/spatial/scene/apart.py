"""Finding places for objects that must keep apart.

The search has an end that is counted in tries, not in seconds, so that a scene is a function of its brief: greedy
places, then two objects at a time, then all at once (physworld/spatial/scene/repulsion.py), together well below a
second. Where it finds nothing, and no proof (physworld/spatial/scene/packing.py) says that there is nothing, the rule
counts as broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from physworld.spatial.scene.brief import Target, inside
from physworld.spatial.scene.repulsion import pushed_apart
from physworld.spatial.scene.terms import POSE, Pose, great_circle, great_circles, snap, wrapped

CLEAR = 2.0  # degrees kept beyond a required separation, where there is room
TRIES = 400  # places tried for the first of two objects that move together
MOST_SEARCHES = 100  # for the nearest clear place, of all pairs of a scene
SINGLE = 24  # places looked at one by one before the others are in one go
FINE = 1e-7  # degrees that count as equal


def pose_of(thing: dict[str, Any]) -> Pose:
    return thing["az_deg"], thing["el_deg"], thing["dist_m"]


def strictest(target: Target) -> Target:
    """The same with one separation from each partner: the largest that any rule asks for."""
    most: dict[int, float] = {}
    for place, least in target.apart:
        most[place] = max(least, most.get(place, 0.0))
    return target if len(most) == len(target.apart) else replace(target, apart=tuple(most.items()))


def room_left(pose: Pose, target: Target, poses: Sequence[Pose]) -> float:
    """Degrees by which the nearest partner among `poses` (in output order) is further than it must be."""
    return min(
        (great_circle(pose, poses[place]) - least for place, least in target.apart if place < len(poses)), default=360.0
    )


def cleared(wanted: Pose, target: Target, poses: Sequence[Pose]) -> Pose:
    """The nearest pose that keeps its distance from partners among `poses`; else the one that keeps most of it."""
    best, most = wanted, room_left(wanted, target, poses)
    if most >= CLEAR:
        return wanted
    places = around(wanted, target)
    for pose in islice(places, SINGLE):
        left = room_left(pose, target, poses)
        if left >= CLEAR:
            return pose
        if left > most + 1e-9:
            best, most = pose, left
    others = list(places)
    if not others:
        return best
    room = _rooms_left(np.array(others), target, poses)
    clear = np.flatnonzero(room >= CLEAR)
    if len(clear):
        return others[clear[0]]
    roomiest = int(np.argmax(room >= room.max() - 1e-9))  # the first of equals
    return others[roomiest] if room[roomiest] > most + 1e-9 else best


def _rooms_left(places: np.ndarray, target: Target, poses: Sequence[Pose]) -> np.ndarray:
    """`room_left` of many (n, 3) places."""
    partners = [(poses[place], least) for place, least in target.apart if place < len(poses)]
    room = great_circles(places[:, None], np.array([pose for pose, _ in partners])) - [least for _, least in partners]
    found: np.ndarray = room.min(axis=1)
    return found


def around(wanted: Pose, target: Target) -> Iterator[Pose]:
    """Places on a 5° grid by distance from the wanted one: other azimuths first, then other elevations."""
    az, el, dist = wanted
    azimuths = [float(a) for a in target.az] if target.az is not None else list(_steps(az))
    heights: set[float] = set()
    low, high = target.el
    for step in range(-45, 91, 5):
        found = inside("el_deg", low, high, near=step)
        if found is not None:
            heights.add(found)
    for height in [el, *sorted(heights - {el}, key=lambda h: (abs(h - el), h))]:
        for a in azimuths:
            yield a, height, dist


def _steps(az: float) -> Iterator[float]:
    """5°, 10° ... away from az, outwards before inwards."""
    sign = 1 if az >= 0 else -1
    yield az
    for k in range(1, 37):
        yield wrapped(az + sign * 5 * k)
        yield wrapped(az - sign * 5 * k)


class _Searches:
    """How many searches are left."""

    def __init__(self) -> None:
        self.left = MOST_SEARCHES

    def cleared(self, wanted: Pose, target: Target, poses: Sequence[Pose]) -> Pose:
        self.left -= 1
        return cleared(wanted, target, poses)


def settle(things: list[dict[str, Any]], targets: Sequence[Target]) -> list[int]:
    """Move objects that still come too near to a partner, two at a time where one alone cannot; returns who moved."""
    moved: list[int] = []
    searches, targets = _Searches(), [strictest(target) for target in targets]

    def move(place: int, pose: Pose) -> None:
        moved.append(place)
        things[place].update({name: snap(name, value) for name, value in zip(POSE, pose, strict=True)})
        things[place]["motion"] = []

    for _ in range(3):
        poses = [pose_of(thing) for thing in things]
        near = _near(poses, targets)
        if not near:
            return moved
        for later, earlier, least in near:
            if great_circle(poses[later], poses[earlier]) >= least - FINE or searches.left <= 0:
                continue  # an earlier move has mended it, or the search has come to its end
            for place, pose in _together(later, earlier, poses, targets, searches).items():
                poses[place] = pose
                move(place, pose)
    if _near(poses, targets):
        for place, pose in pushed_apart(poses, targets).items():
            move(place, pose)
    return moved


def _near(poses: Sequence[Pose], targets: Sequence[Target]) -> list[tuple[int, int, float]]:
    """(later object, earlier one, degrees) of every two that are too near."""
    return [
        (later, earlier, least)
        for later, target in enumerate(targets)
        for earlier, least in target.apart
        if earlier < later and great_circle(poses[later], poses[earlier]) < least - FINE
    ]


def _together(
    later: int, earlier: int, poses: list[Pose], targets: Sequence[Target], searches: _Searches
) -> dict[int, Pose]:
    """New poses that keep every distance of both objects; {} where none is found."""
    for one in (later, earlier):
        pose = searches.cleared(poses[one], targets[one], poses)
        if room_left(pose, targets[one], poses) >= -FINE:
            return {one: pose}
    for first in islice(around(poses[earlier], targets[earlier]), TRIES):
        if searches.left <= 0:
            break
        trial = [*poses]
        trial[earlier] = first
        if any(
            great_circle(first, trial[place]) < least - FINE
            for place, least in targets[earlier].apart
            if place != later
        ):
            continue
        second = searches.cleared(poses[later], targets[later], trial)
        if room_left(second, targets[later], trial) >= -FINE:
            return {earlier: first, later: second}
    return {}
