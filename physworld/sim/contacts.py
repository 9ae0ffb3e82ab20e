"""Which bodies touch, and where. Pure geometry, compiled by numba; no dynamics.

Chipmunk moves bodies first and collides them at their new places, so contacts are sought at the *coming* positions
p + v·dt. Every pair closer than `margin` gives one contact: a unit normal that points from the partner towards the
body, and one or two points with their gap (negative = overlap). Circles are exact; rectangles and walls are convex
polygons with a rounding radius, separated along the axis of largest gap (SAT) and clipped to the facing edge; where a
rectangle rests on the round end of a wall, that differs from Chipmunk by up to the rounding.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from physworld.types import Peg, Scene

CIRCLE, RECT, SEGMENT = 0, 1, 2


class Solids(NamedTuple):
    """A scene's N bodies, then its S static shapes, as arrays that compiled code reads."""

    kind: np.ndarray  # (N+S,) int64 CIRCLE, RECT or SEGMENT
    extent: np.ndarray  # (N+S, 2) px: circle (radius, 0), rect half (width, height), segment (half length, 0)
    rounding: np.ndarray  # (N+S,) px: a segment's radius, else 0
    static_pose: np.ndarray  # (S, 3) px, px, rad
    static_corners: np.ndarray  # (S, 4, 2) px, see `_corners`
    static_box: np.ndarray  # (4, S) px: lowest x, highest x, lowest y, highest y, rounding included
    friction: np.ndarray  # (N+S,)
    restitution: np.ndarray  # (N+S,)
    mass: np.ndarray  # (N,) kg
    gyration: np.ndarray  # (N,) px


class Contacts(NamedTuple):
    """Unordered pairs; `partner` >= N is static shape `partner - N`."""

    body: np.ndarray  # (C,) int64
    partner: np.ndarray  # (C,) int64
    normal: np.ndarray  # (C, 2) from partner to body
    points: np.ndarray  # (C,) int64 1 or 2
    gap: np.ndarray  # (C, 2) px
    place: np.ndarray  # (C, 2, 2) px


def solids(scene: Scene) -> Solids:
    """Pack a scene for compiled code."""
    shapes, poses = [], []  # kind, extent x, extent y, rounding, friction, restitution; x, y, angle
    for body in scene.bodies:
        wide, high = (body.size[0], 0.0) if body.shape == "circle" else (body.size[0] / 2, body.size[1] / 2)
        shapes.append((CIRCLE if body.shape == "circle" else RECT, wide, high, 0.0, body.friction, body.restitution))
    for part in scene.static:
        if isinstance(part, Peg):
            shapes.append((CIRCLE, part.radius, 0.0, 0.0, part.friction, part.restitution))
            poses.append((*part.center, 0.0))
        else:
            (ax, ay), (bx, by) = part.start, part.end
            half = math.hypot(bx - ax, by - ay) / 2
            shapes.append((SEGMENT, half, 0.0, part.radius, part.friction, part.restitution))
            poses.append(((ax + bx) / 2, (ay + by) / 2, math.atan2(by - ay, bx - ax)))
    kind, *sizes = np.array(shapes, np.float64).reshape(-1, 6).T.copy()
    extent, rounding, friction, restitution = np.stack(sizes[:2], axis=1), *sizes[2:]
    pose, kinds, count = np.array(poses, np.float64).reshape(-1, 3), kind.astype(np.int64), len(scene.bodies)
    corners, box = np.zeros((len(poses), 4, 2)), np.zeros((4, len(poses)))
    _place(kinds[count:], extent[count:], rounding[count:], pose[:, :2], pose[:, 2], corners, box)
    return Solids(
        kind=kinds,
        extent=extent,
        rounding=rounding,
        static_pose=pose,
        static_corners=corners,
        static_box=box,
        friction=friction,
        restitution=restitution,
        mass=np.array([b.mass for b in scene.bodies], np.float64),
        gyration=np.array([b.gyration for b in scene.bodies], np.float64),
    )


@njit(cache=True)
def _place(kind, extent, rounding, position, angle, corners, box):
    """Fill, for every shape at its pose, corners (4 of a rectangle counter-clockwise, 2 of a segment) and its box."""
    for i in range(len(angle)):
        x, y, hx, hy = position[i, 0], position[i, 1], extent[i, 0], extent[i, 1]
        wide = high = hx
        if kind[i] != CIRCLE:
            c, s = math.cos(angle[i]), math.sin(angle[i])
            wide, high = abs(c) * hx + abs(s) * hy + rounding[i], abs(s) * hx + abs(c) * hy + rounding[i]
            if kind[i] == SEGMENT:
                corners[i, 0, 0], corners[i, 0, 1] = x - c * hx, y - s * hx
                corners[i, 1, 0], corners[i, 1, 1] = x + c * hx, y + s * hx
            else:
                for k in range(4):
                    u = hx if k == 1 or k == 2 else -hx
                    v = hy if k >= 2 else -hy
                    corners[i, k, 0], corners[i, k, 1] = x + c * u - s * v, y + s * u + c * v
        box[0, i], box[1, i], box[2, i], box[3, i] = x - wide, x + wide, y - high, y + high


@njit(cache=True)
def _best_axis(corners, a, na, b, nb):
    """Edge normal of shape `a` with the largest gap to shape `b`: (gap, edge, nx, ny), normal out of `a`."""
    best, edge, best_x, best_y = -1e18, 0, 0.0, 0.0
    for i in range(na):
        j = (i + 1) % na
        ex, ey = corners[a, j, 0] - corners[a, i, 0], corners[a, j, 1] - corners[a, i, 1]
        length = math.sqrt(ex * ex + ey * ey)
        if length == 0.0:
            continue
        nx, ny = ey / length, -ex / length
        low = 1e18
        for k in range(nb):
            low = min(low, (corners[b, k, 0] - corners[a, i, 0]) * nx + (corners[b, k, 1] - corners[a, i, 1]) * ny)
        if low > best:
            best, edge, best_x, best_y = low, i, nx, ny
    return best, edge, best_x, best_y


@njit(cache=True)
def _polygons(corners, a, na, b, nb, rounding, margin, gap, place, row):
    """Contact of two rounded polygons: (points, nx, ny) with the normal from `a` to `b`; 0 points beyond the margin."""
    gap_a, edge_a, ax, ay = _best_axis(corners, a, na, b, nb)
    if gap_a - rounding > margin:
        return 0, ax, ay
    gap_b, edge_b, bx, by = _best_axis(corners, b, nb, a, na)
    if gap_b - rounding > margin:
        return 0, bx, by
    swapped = gap_b > gap_a + 1e-3  # prefer one side, so that a resting pair does not flicker between two answers
    if swapped:
        ref, nr, inc, ni, edge, nx, ny = b, nb, a, na, edge_b, bx, by
    else:
        ref, nr, inc, ni, edge, nx, ny = a, na, b, nb, edge_a, ax, ay
    lowest, first = 1e18, 0
    for i in range(ni):  # incident edge: the one whose two corners lie lowest along the normal
        j = (i + 1) % ni
        depth = (corners[inc, i, 0] + corners[inc, j, 0]) * nx + (corners[inc, i, 1] + corners[inc, j, 1]) * ny
        if depth < lowest - 1e-9:
            lowest, first = depth, i
    r0x, r0y = corners[ref, edge, 0], corners[ref, edge, 1]
    r1x, r1y = corners[ref, (edge + 1) % nr, 0], corners[ref, (edge + 1) % nr, 1]
    length = math.sqrt((r1x - r0x) ** 2 + (r1y - r0y) ** 2)
    tx, ty = (r1x - r0x) / length, (r1y - r0y) / length
    p, q = first, (first + 1) % ni
    p_t = (corners[inc, p, 0] - r0x) * tx + (corners[inc, p, 1] - r0y) * ty
    q_t = (corners[inc, q, 0] - r0x) * tx + (corners[inc, q, 1] - r0y) * ty
    p_n = (corners[inc, p, 0] - r0x) * nx + (corners[inc, p, 1] - r0y) * ny
    q_n = (corners[inc, q, 0] - r0x) * nx + (corners[inc, q, 1] - r0y) * ny
    count = 0
    last = -1e18
    for end in range(2):
        at, depth = (p_t, p_n) if end == 0 else (q_t, q_n)
        bound = min(max(at, 0.0), length)
        if bound != at and abs(q_t - p_t) > 1e-9:  # clip the incident edge to the reference edge
            share = (bound - p_t) / (q_t - p_t)
            if share < 0.0 or share > 1.0:
                continue
            depth = p_n + share * (q_n - p_n)
        elif bound != at:
            continue
        if count == 1 and abs(bound - last) < 1e-6:
            continue
        last = bound
        gap[row, count] = depth - rounding
        # Half way between the two surfaces; the rounding lies around `a`.
        middle = (depth - rounding) / 2 if swapped else (depth + rounding) / 2
        place[row, count, 0] = r0x + tx * bound + nx * middle
        place[row, count, 1] = r0y + ty * bound + ny * middle
        count += 1
    if count == 0:  # past each other's ends: nearest corner pair stands in
        near = p if p_n < q_n else q
        gap[row, 0] = min(p_n, q_n) - rounding
        place[row, 0, 0], place[row, 0, 1] = corners[inc, near, 0], corners[inc, near, 1]
        at = p_t if near == p else q_t
        beyond = max(-at, at - length, 0.0)
        gap[row, 0] = math.sqrt(max(min(p_n, q_n), 0.0) ** 2 + beyond**2) - rounding
        count = 1
    if swapped:
        nx, ny = -nx, -ny
    return count, nx, ny


@njit(cache=True)
def _disc_polygon(cx, cy, radius, corners, other, n, rounding, gap, place, row):
    """Contact of a disc with a rounded polygon: (points, nx, ny), normal from the polygon to the disc."""
    inside, deepest, in_x, in_y = n > 2, -1e18, 0.0, 1.0
    best, near_x, near_y = 1e18, 0.0, 0.0
    for i in range(n if n > 2 else 1):
        j = (i + 1) % n
        ex, ey = corners[other, j, 0] - corners[other, i, 0], corners[other, j, 1] - corners[other, i, 1]
        dx, dy = cx - corners[other, i, 0], cy - corners[other, i, 1]
        square = ex * ex + ey * ey
        length = math.sqrt(square) if square > 0.0 else 1.0
        out = (dx * ey - dy * ex) / length
        if out > 0.0:
            inside = False
        if out > deepest:
            deepest, in_x, in_y = out, ey / length, -ex / length
        t = min(max((dx * ex + dy * ey) / square, 0.0), 1.0) if square > 0.0 else 0.0
        px, py = corners[other, i, 0] + t * ex, corners[other, i, 1] + t * ey
        d = (cx - px) ** 2 + (cy - py) ** 2
        if d < best:
            best, near_x, near_y = d, px, py
    distance = math.sqrt(best)
    if inside:
        nx, ny, distance = in_x, in_y, deepest
    elif distance > 1e-9:
        nx, ny = (cx - near_x) / distance, (cy - near_y) / distance
    else:
        nx, ny = in_x, in_y
    gap[row, 0] = distance - radius - rounding
    offset = radius + gap[row, 0] / 2
    place[row, 0, 0], place[row, 0, 1] = cx - nx * offset, cy - ny * offset
    return 1, nx, ny


@njit(cache=True)
def find_contacts(
    kind, extent, rounding, static_pose, static_corners, static_box, position, angle, margin,
    body, partner, normal, points, gap, place,
):  # fmt: skip
    """Fill the contact arrays for bodies at `position` (N, 2) px, `angle` (N,) rad; returns how many were found."""
    n = len(angle)
    total = len(kind)
    capacity = len(body)
    count = 0
    corners, box, near = np.empty((total, 4, 2)), np.empty((4, total)), np.empty(total, np.int64)
    _place(kind, extent, rounding, position, angle, corners, box)
    corners[n:] = static_corners
    box[:, n:] = static_box
    for i in range(n):
        xi, yi = position[i, 0], position[i, 1]
        left, right, low, high = box[0, i] - margin, box[1, i] + margin, box[2, i] - margin, box[3, i] + margin
        some = 0
        for j in range(i + 1, total):  # no branch: a wrong guess would cost more than the comparisons
            near[some] = j
            some += (box[0, j] <= right) & (box[1, j] >= left) & (box[2, j] <= high) & (box[3, j] >= low)
        for k in range(some):
            j = near[k]
            if count == capacity:
                return count
            sides = 2 if kind[j] == SEGMENT else 4
            if kind[j] == CIRCLE:
                xj, yj = (position[j, 0], position[j, 1]) if j < n else (static_pose[j - n, 0], static_pose[j - n, 1])
            if kind[i] == CIRCLE and kind[j] == CIRCLE:
                dx, dy = xi - xj, yi - yj
                d = math.sqrt(dx * dx + dy * dy)
                nx, ny = (dx / d, dy / d) if d > 1e-9 else (0.0, 1.0)
                gap[count, 0] = d - extent[i, 0] - extent[j, 0]
                offset = extent[i, 0] + gap[count, 0] / 2
                place[count, 0, 0], place[count, 0, 1] = xi - nx * offset, yi - ny * offset
                found = 1
            elif kind[i] == CIRCLE:
                found, nx, ny = _disc_polygon(xi, yi, extent[i, 0], corners, j, sides, rounding[j], gap, place, count)
            elif kind[j] == CIRCLE:
                found, nx, ny = _disc_polygon(xj, yj, extent[j, 0], corners, i, 4, 0.0, gap, place, count)
                nx, ny = -nx, -ny
            else:
                found, nx, ny = _polygons(corners, j, sides, i, 4, rounding[j], margin, gap, place, count)
            if found == 0:
                continue
            if found == 2 and gap[count, 0] > margin:
                gap[count, 0] = gap[count, 1]
                place[count, 0, 0], place[count, 0, 1] = place[count, 1, 0], place[count, 1, 1]
                found = 1
            elif found == 2 and gap[count, 1] > margin:
                found = 1
            if gap[count, 0] > margin:
                continue
            body[count], partner[count], points[count] = i, j, found
            normal[count, 0], normal[count, 1] = nx, ny
            count += 1
    return count


def contacts(
    packed: Solids, position: np.ndarray, angle: np.ndarray, *, margin: float, capacity: int = 4096
) -> Contacts:
    """Contacts of bodies at `position` (N, 2) px and `angle` (N,) rad closer than `margin` px."""
    body, partner, points = (np.empty(capacity, np.int64) for _ in range(3))
    normal, gap, place = np.empty((capacity, 2)), np.empty((capacity, 2)), np.empty((capacity, 2, 2))
    n = find_contacts(
        packed.kind, packed.extent, packed.rounding, packed.static_pose, packed.static_corners, packed.static_box,
        position, angle, margin,
        body, partner, normal, points, gap, place,
    )  # fmt: skip
    return Contacts(body[:n], partner[:n], normal[:n], points[:n], gap[:n], place[:n])
