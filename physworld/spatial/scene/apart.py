"""Finding places for objects that must keep apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from physworld.spatial.scene.brief import Target, inside
from physworld.spatial.scene.terms import POSE, Pose, great_circle, snap, wrapped

CLEAR = 2.0  # degrees kept beyond a required separation, where there is room
TRIES = 400  # places tried for the first of two objects that move together
FINE = 1e-7  # degrees that count as equal


def pose_of(thing: dict[str, Any]) -> Pose:
    return thing["az_deg"], thing["el_deg"], thing["dist_m"]


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
    for pose in around(wanted, target):
        left = room_left(pose, target, poses)
        if left >= CLEAR:
            return pose
        if left > most + 1e-9:
            best, most = pose, left
    return best


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


def settle(things: list[dict[str, Any]], targets: Sequence[Target]) -> list[int]:
    """Move objects that still come too near to a partner, two at a time where one alone cannot; returns who moved."""
    moved: list[int] = []
    for _ in range(3):
        poses = [pose_of(thing) for thing in things]
        near = [
            (later, earlier, least)
            for later, target in enumerate(targets)
            for earlier, least in target.apart
            if earlier < later and great_circle(poses[later], poses[earlier]) < least - FINE
        ]
        if not near:
            break
        for later, earlier, least in near:
            if great_circle(poses[later], poses[earlier]) >= least - FINE:
                continue  # an earlier move has mended it
            found = _together(later, earlier, poses, targets)
            for place, pose in found.items():
                poses[place] = pose
                moved.append(place)
                things[place].update({name: snap(name, value) for name, value in zip(POSE, pose, strict=True)})
                things[place]["motion"] = []
    return moved


def _together(later: int, earlier: int, poses: list[Pose], targets: Sequence[Target]) -> dict[int, Pose]:
    """New poses that keep every distance of both objects; {} where none is found."""
    for one in (later, earlier):
        pose = cleared(poses[one], targets[one], poses)
        if room_left(pose, targets[one], poses) >= -FINE:
            return {one: pose}
    for first in islice(around(poses[earlier], targets[earlier]), TRIES):
        trial = [*poses]
        trial[earlier] = first
        if any(
            great_circle(first, trial[place]) < least - FINE
            for place, least in targets[earlier].apart
            if place != later
        ):
            continue
        second = cleared(poses[later], targets[later], trial)
        if room_left(second, targets[later], trial) >= -FINE:
            return {earlier: first, later: second}
    return {}
