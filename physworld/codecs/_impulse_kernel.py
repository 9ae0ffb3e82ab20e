"""L2: compiled writer of `impulse` ids. The format is described, and owned, by impulse.py."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from physworld.codecs.numbers import number_index
from physworld.geometry import CIRCLE, Solids, find_contacts

MAX_PARTNERS = 6  # contacts spelled out per body, nearest first


@njit(cache=True)
def _relative(ax, ay, va, wa, bx, by, vb, wb, nx, ny, px, py, ka, kb, out, at):
    """VN VT AN AT BN BT of point p between body a at (ax, ay) and partner b, into out[at:at+6] (mirror not applied)."""
    rx, ry, sx, sy = px - ax, py - ay, px - bx, py - by
    ux = (va[0] - wa * ry) - (vb[0] - wb * sy)
    uy = (va[1] + wa * rx) - (vb[1] + wb * sx)
    out[at] = ux * nx + uy * ny
    out[at + 1] = uy * nx - ux * ny
    out[at + 2] = (rx * ny - ry * nx) / ka
    out[at + 3] = (rx * nx + ry * ny) / ka
    out[at + 4] = (sx * ny - sy * nx) / kb if kb > 0.0 else 0.0
    out[at + 5] = (sx * nx + sy * ny) / kb if kb > 0.0 else 0.0


@njit(cache=True)
def _write(
    header, kind, extent, rounding, static_pose, friction, restitution, mass, gyration,
    joints, fields, position, velocity, angle, spin, gravity, dt, margin, words, ids, listed, frames,
):  # fmt: skip
    """Fill ids; returns (ids written, bodies listed)."""
    base, first_body, fixed, w_ball, w_box, w_self, w_touch, w_touch2, w_link, w_pull, w_next = words
    n = len(angle)
    at = len(header)
    ids[:at] = header
    for i in range(n):
        ids[at] = w_ball if kind[i] == CIRCLE else w_box
        ids[at + 1] = first_body + i
        ids[at + 2] = base + number_index(position[i, 0])
        ids[at + 3] = base + number_index(position[i, 1])
        ids[at + 4] = base + number_index(angle[i])
        ids[at + 5] = base + number_index(velocity[i, 0])
        ids[at + 6] = base + number_index(velocity[i, 1])
        ids[at + 7] = base + number_index(spin[i])
        at += 8
        if kind[i] == CIRCLE:
            ids[at] = base + number_index(extent[i, 0])
            at += 1
        else:
            ids[at] = base + number_index(2 * extent[i, 0])
            ids[at + 1] = base + number_index(2 * extent[i, 1])
            at += 2
        ids[at] = base + number_index(mass[i])
        ids[at + 1] = base + number_index(friction[i])
        ids[at + 2] = base + number_index(restitution[i])
        at += 3

    coming = position + velocity * dt
    turned = angle + spin * dt
    capacity = 8 * n + 64
    body, partner, points = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    normal, gap, place = np.empty((capacity, 2)), np.empty((capacity, 2)), np.empty((capacity, 2, 2))
    count = find_contacts(
        kind, extent, rounding, static_pose, coming, turned, margin, body, partner, normal, points, gap, place
    )
    # rows of each body's partners: the pair as found, or its mirror image
    per = np.zeros(n, np.int64)
    rows = np.empty((n, MAX_PARTNERS), np.int64)
    nearest = np.empty(count)
    for c in range(count):
        nearest[c] = gap[c, 0] if points[c] == 1 else min(gap[c, 0], gap[c, 1])
    for c in range(count):
        for side in range(2):
            i = body[c] if side == 0 else partner[c]
            if i >= n:
                continue
            k = min(per[i], MAX_PARTNERS)
            place_at = k
            while place_at > 0 and nearest[rows[i, place_at - 1]] > nearest[c]:
                place_at -= 1
            if place_at >= MAX_PARTNERS:
                continue
            for m in range(min(k, MAX_PARTNERS - 1), place_at, -1):
                rows[i, m] = rows[i, m - 1]
            rows[i, place_at] = c
            per[i] = min(per[i] + 1, MAX_PARTNERS)

    still = np.zeros(2)
    rel = np.empty(6)
    link_rows = len(joints)
    m = 0
    for i in range(n):
        linked = -1
        for j in range(link_rows):
            if joints[j, 0] == i or joints[j, 1] == i:
                linked = j
                break
        if linked < 0 and per[i] == 0 and len(fields) == 0:
            continue
        # own frame from the first partner
        nx, ny, slip = 0.0, 1.0, 0.0
        if linked >= 0:
            nx, ny, _, other = _link(joints[linked], i, coming, turned, velocity, spin, gyration, still, rel)
            slip = rel[1]
        elif per[i] > 0:
            c = rows[i, 0]
            nx, ny, other = _pair(c, i, body, partner, normal, n)
            _point(i, other, n, coming, velocity, spin, gyration, nx, ny, place[c, 0], still, rel)
            slip = rel[1]
        else:
            dx, dy = coming[i, 0] - fields[0, 0], coming[i, 1] - fields[0, 1]
            d = math.sqrt(dx * dx + dy * dy)
            if d > 1e-9:
                nx, ny = dx / d, dy / d
            slip = velocity[i, 1] * nx - velocity[i, 0] * ny
        hand = 1.0 if slip >= 0.0 else -1.0
        listed[m] = i
        frames[m, 0], frames[m, 1], frames[m, 2] = nx, ny, hand
        m += 1
        tx, ty = -hand * ny, hand * nx
        ids[at], ids[at + 1] = w_self, first_body + i
        ids[at + 2] = base + number_index(nx)
        ids[at + 3] = base + number_index(ny)
        ids[at + 4] = base + number_index(hand)
        ids[at + 5] = base + number_index(velocity[i, 0] * nx + velocity[i, 1] * ny)
        ids[at + 6] = base + number_index(velocity[i, 0] * tx + velocity[i, 1] * ty)
        ids[at + 7] = base + number_index(hand * spin[i] * gyration[i])
        ids[at + 8] = base + number_index((gravity[0] * nx + gravity[1] * ny) * dt)
        ids[at + 9] = base + number_index((gravity[0] * tx + gravity[1] * ty) * dt)
        at += 10
        for j in range(link_rows):
            if joints[j, 0] != i and joints[j, 1] != i:
                continue
            lx, ly, stretch, other = _link(joints[j], i, coming, turned, velocity, spin, gyration, still, rel)
            share = 1.0 if other < 0 else mass[other] / (mass[i] + mass[other])
            ids[at], ids[at + 1] = w_link, first_body + i
            ids[at + 2] = fixed if other < 0 else first_body + other
            ids[at + 3] = base + number_index(share)
            ids[at + 4] = base + number_index(lx * nx + ly * ny)
            ids[at + 5] = base + number_index(lx * tx + ly * ty)
            ids[at + 6] = base + number_index(stretch)
            ids[at + 7] = base + number_index(rel[0])
            ids[at + 8] = base + number_index(hand * rel[1])
            ids[at + 9] = base + number_index(hand * rel[2])
            ids[at + 10] = base + number_index(hand * rel[4])
            at += 11
        for r in range(per[i]):
            c = rows[i, r]
            cx, cy, other = _pair(c, i, body, partner, normal, n)
            share = 1.0 if other >= n else mass[other] / (mass[i] + mass[other])
            ids[at] = w_touch if points[c] == 1 else w_touch2
            ids[at + 1] = first_body + i
            ids[at + 2] = fixed if other >= n else first_body + other
            ids[at + 3] = base + number_index(restitution[i] * restitution[other])
            ids[at + 4] = base + number_index(friction[i] * friction[other])
            ids[at + 5] = base + number_index(share)
            ids[at + 6] = base + number_index(cx * nx + cy * ny)
            ids[at + 7] = base + number_index(cx * tx + cy * ty)
            at += 8
            for p in range(points[c]):
                _point(i, other, n, coming, velocity, spin, gyration, cx, cy, place[c, p], still, rel)
                ids[at] = base + number_index(gap[c, p] - rel[0] * dt)
                ids[at + 1] = base + number_index(gap[c, p])
                ids[at + 2] = base + number_index(rel[0])
                ids[at + 3] = base + number_index(hand * rel[1])
                ids[at + 4] = base + number_index(hand * rel[2])
                ids[at + 5] = base + number_index(rel[3])
                ids[at + 6] = base + number_index(hand * rel[4])
                ids[at + 7] = base + number_index(rel[5])
                at += 8
        for f in range(len(fields)):
            dx, dy = coming[i, 0] - fields[f, 0], coming[i, 1] - fields[f, 1]
            d = math.sqrt(dx * dx + dy * dy)
            ux, uy = (dx / d, dy / d) if d > 1e-9 else (0.0, 1.0)
            ids[at], ids[at + 1] = w_pull, first_body + i
            ids[at + 2] = base + number_index(ux * nx + uy * ny)
            ids[at + 3] = base + number_index(ux * tx + uy * ty)
            ids[at + 4] = base + number_index(d)
            ids[at + 5] = base + number_index(fields[f, 2] / 1e4)
            at += 6
    ids[at] = w_next
    return at + 1, m


@njit(cache=True)
def _pair(c, i, body, partner, normal, n):
    """(nx, ny, partner) of contact c seen from body i."""
    if body[c] == i:
        return normal[c, 0], normal[c, 1], partner[c]
    return -normal[c, 0], -normal[c, 1], body[c]


@njit(cache=True)
def _point(i, other, n, coming, velocity, spin, gyration, nx, ny, place, still, rel):
    if other >= n:
        _relative(
            coming[i, 0], coming[i, 1], velocity[i], spin[i], place[0], place[1], still, 0.0,
            nx, ny, place[0], place[1], gyration[i], 0.0, rel, 0,
        )  # fmt: skip
    else:
        _relative(
            coming[i, 0], coming[i, 1], velocity[i], spin[i], coming[other, 0], coming[other, 1], velocity[other],
            spin[other], nx, ny, place[0], place[1], gyration[i], gyration[other], rel, 0,
        )  # fmt: skip


@njit(cache=True)
def _link(joint, i, coming, turned, velocity, spin, gyration, still, rel):
    """(nx, ny, stretch, partner or -1) of a rod seen from body i; its relative motion goes into rel."""
    a, b = int(joint[0]), int(joint[1])
    bx = coming[b, 0] + math.cos(turned[b]) * joint[4] - math.sin(turned[b]) * joint[5]
    by = coming[b, 1] + math.sin(turned[b]) * joint[4] + math.cos(turned[b]) * joint[5]
    if a < 0:
        ax, ay = joint[2], joint[3]
    else:
        ax = coming[a, 0] + math.cos(turned[a]) * joint[2] - math.sin(turned[a]) * joint[3]
        ay = coming[a, 1] + math.sin(turned[a]) * joint[2] + math.cos(turned[a]) * joint[3]
    other, mx, my, ox, oy = (a, bx, by, ax, ay) if b == i else (b, ax, ay, bx, by)
    dx, dy = mx - ox, my - oy
    d = math.sqrt(dx * dx + dy * dy)
    nx, ny = (dx / d, dy / d) if d > 1e-9 else (0.0, 1.0)
    stretch = d - joint[6]
    # the two ends are different points: velocities at each end, arms of each end
    rx, ry = mx - coming[i, 0], my - coming[i, 1]
    ux, uy = velocity[i, 0] - spin[i] * ry, velocity[i, 1] + spin[i] * rx
    rel[4] = 0.0
    if other >= 0:
        sx, sy = ox - coming[other, 0], oy - coming[other, 1]
        ux -= velocity[other, 0] - spin[other] * sy
        uy -= velocity[other, 1] + spin[other] * sx
        rel[4] = (sx * ny - sy * nx) / gyration[other]
    rel[0] = ux * nx + uy * ny
    rel[1] = uy * nx - ux * ny
    rel[2] = (rx * ny - ry * nx) / gyration[i]
    return nx, ny, stretch, other


@njit(cache=True)
def _answer(listed, change, push, after, values, grid_ids, words, quiet, still, event_speed, ids, event):
    """Fill answer ids and event flags; returns how many."""
    first_body, coast, rest, end = words
    at = 0
    for row in range(len(listed)):
        largest = max(abs(change[row, 0]), abs(change[row, 1]), abs(change[row, 2]))
        is_event = max(abs(change[row, 0]), abs(change[row, 1])) > event_speed
        begin = at
        ids[at] = first_body + listed[row]
        at += 1
        if largest < quiet and abs(push[row]) < quiet:
            ids[at] = coast
            at += 1
        elif after[row] < still and abs(push[row]) < quiet:
            ids[at] = rest
            at += 1
        else:
            for k in range(4):
                value = push[row] if k == 3 else change[row, k]
                right = np.searchsorted(values, value)
                if right == len(values) or (right > 0 and value - values[right - 1] <= values[right] - value):
                    right -= 1
                ids[at] = grid_ids[right]
                at += 1
        for k in range(begin + 1, at):
            event[k] = is_event
    ids[at] = end
    return at + 1


WORDS: np.ndarray = np.zeros(0, np.int64)  # set once by impulse.py: ids of the words the writer uses


def write_prompt(header, packed: Solids, joints, fields, position, velocity, angle, spin, gravity, dt, margin):
    """(ids (L,), listed bodies (M,), own frames (M, 3)); see impulse.py for the text."""
    n = len(angle)
    room = len(header) + 23 * n + n * (24 * MAX_PARTNERS + 6 * len(fields)) + 22 * len(joints) + 1
    ids, listed, frames = np.empty(room, np.int64), np.empty(n, np.int64), np.empty((n, 3))
    used, m = _write(
        header, *packed_arrays(packed), joints, fields, np.ascontiguousarray(position), np.ascontiguousarray(velocity),
        np.ascontiguousarray(angle), np.ascontiguousarray(spin), gravity, dt, margin, WORDS, ids, listed, frames,
    )  # fmt: skip
    return ids[:used], listed[:m], frames[:m]


def packed_arrays(packed: Solids) -> tuple[np.ndarray, ...]:
    return (
        packed.kind, packed.extent, packed.rounding, packed.static_pose, packed.friction, packed.restitution,
        packed.mass, packed.gyration,
    )  # fmt: skip


def write_answer(listed, change, push, after, values, grid_ids, words, quiet, still, event_speed):
    """(ids (L,), event (L,) bool) for impulses of the listed bodies."""
    ids, event = np.empty(5 * len(listed) + 1, np.int64), np.zeros(5 * len(listed) + 1, np.bool_)
    used = _answer(listed, change, push, after, values, grid_ids, words, quiet, still, event_speed, ids, event)
    return ids[:used], event[:used]
