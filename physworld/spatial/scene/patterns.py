"""How objects move: the patterns that a rule can ask for, what counts as one, and the plain one that is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from physworld.spatial.scene.terms import SLACK, Pose, snap, turn, wrapped

# still: it stands; drift: round the listener one way; sway: away and back; circle: once round the listener;
# rise: upwards; approach: nearer.
PATTERNS = ("still", "drift", "sway", "circle", "rise", "approach")
LEAST = 5.0  # degrees below which nobody would call it moving
SWEEP = 30.0  # degrees of a plain drift, sway or rise, where there is room
NEARER, PLAIN_NEARER = 0.8, 0.6  # of its first distance to which an approaching object comes, at most and plainly
FARTHER = 1.0  # m at which a plain approach begins, at least
LOWEST_DISTANCE = 0.5  # m


def moves_as(pattern: str, path: Sequence[tuple[float, Pose]]) -> bool:
    """Whether a path of (t, pose), in ascending t, is of a pattern."""
    poses = [pose for _, pose in path]
    first, last = poses[0], poses[-1]
    turns = [wrapped(b[0] - a[0]) for a, b in pairwise(poses)]
    one_way = all(t >= -SLACK for t in turns) or all(t <= SLACK for t in turns)
    if pattern == "still":
        return all(pose == first for pose in poses)
    if pattern == "drift":
        return one_way and LEAST - SLACK <= abs(sum(turns)) < 360 - SLACK
    if pattern == "sway":
        return abs(sum(turns)) <= SLACK and max(turn(pose[0], first[0]) for pose in poses) >= LEAST - SLACK
    if pattern == "circle":
        return one_way and max(map(abs, turns), default=0) < 180 and abs(sum(turns)) >= 360 - SLACK
    if pattern == "rise":
        return all(b[1] >= a[1] - SLACK for a, b in pairwise(poses)) and last[1] - first[1] >= LEAST - SLACK
    assert pattern == "approach"
    return all(b[2] <= a[2] + SLACK for a, b in pairwise(poses)) and last[2] <= NEARER * first[2] + SLACK


def hindrance(pattern: str, *, still: bool, apart: bool, reach: float, el: tuple[float, float]) -> str:
    """Why an object is not asked to move so, "" where it is.

    This is a convention, and no proof: angles are taken at elevation 0, and what is kept apart stands still. At an
    elevation of 60° a circle fits a limit of 70° (180° - 2 x 60° and more), yet no plain pattern is written there.

    Args:
        reach: degrees that it may move away.
        el: lowest and highest elevation, degrees.
    """
    if pattern == "still":
        return ""
    if still:
        return "it is held still"
    if apart:
        return "it is kept apart from others, and so stands still"
    if pattern == "circle" and reach < 180:
        return f"a limit of {reach:g}° leaves no circle"
    if pattern in ("drift", "sway", "rise") and reach < LEAST:
        return f"a limit of {reach:g}° leaves no room"
    if pattern == "rise" and math.floor(el[1] + SLACK) - math.ceil(el[0] - SLACK) < LEAST:
        return f"elevations of {el[0]:g}° to {el[1]:g}° leave no room"
    return ""


def beginning(pattern: str, pose: Pose, highest: float) -> Pose:
    """The nearest pose from which there is room for the plain pattern.

    Args:
        highest: elevation, degrees.
    """
    az, el, dist = pose
    if pattern == "rise":
        el = min(el, math.floor(highest + SLACK) - LEAST)
    if pattern == "approach":
        dist = max(dist, FARTHER)
    return az, snap("el_deg", el), snap("dist_m", dist)


def plain(pattern: str, pose: Pose, *, reach: float, highest: float) -> list[tuple[float, Pose]]:
    """(t, pose) of the plainest motion of a pattern from a pose that leaves room for it; outwards where it turns."""
    az, el, dist = pose
    sweep = math.floor(min(SWEEP, reach) + SLACK)

    def at(t: float, by: float = 0.0, up: float = 0.0, metres: float = dist) -> tuple[float, Pose]:
        return t, (snap("az_deg", az + math.copysign(by, az)), snap("el_deg", el + up), snap("dist_m", metres))

    start = (0.0, pose)
    if pattern == "drift":
        return [start, at(1.0, by=sweep)]
    if pattern == "sway":
        return [start, at(0.5, by=sweep), (1.0, pose)]
    if pattern == "circle":
        return [start, *(at(k / 4, by=90.0 * k) for k in (1, 2, 3)), (1.0, pose)]
    if pattern == "rise":
        return [start, at(1.0, up=min(sweep, math.floor(highest + SLACK) - el))]
    assert pattern == "approach"
    return [start, at(1.0, metres=max(LOWEST_DISTANCE, PLAIN_NEARER * dist))]
