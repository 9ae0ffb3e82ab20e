"""What contacts and joints did in the frame before, inferred from two frames, and written behind their lines.

Chipmunk's solver begins each frame with the impulses that it ended the last one with, and no state holds them. But it
moves bodies first and collides them where they then are, so what acted in the last frame are the contacts of the state
as it is now, and their impulses must add up to the change of velocity since the frame before. Where several share a
body, the impulses are those that non-negative sweeps arrive at (projected Gauss-Seidel), which is how the solver itself
shares them out.
"""

from __future__ import annotations

import math

import numpy as np

from physworld.sim.contacts import find_contacts
from physworld.text.codecs._impulse_kernel import (
    HINGE,
    MOTOR,
    ROD,
    ROPE,
    SPRING,
    _index,
    _seen,
    compiled,
    ends_of,
    meetings,
    scratch_for,
)
from physworld.text.codecs._impulse_words import LENGTH, MEMORY, MEMORY_WORD

NEAR = 0.02  # px; bodies that have come nearer than this touched: rounding, and Chipmunk's own tolerance of 0
SWEEPS = 300  # at most
SETTLED = 0.02  # px/s; sweeps end when no point is left with more
PLUS = np.arange(len(LENGTH))  # id of a line's word -> of the same with memory behind it
GAINS = np.zeros(len(LENGTH), np.int64)  # numbers that the memory is
for _word, _count in MEMORY.items():
    PLUS[MEMORY_WORD[_word]], GAINS[MEMORY_WORD[_word]] = MEMORY_WORD[f"{_word}+"], _count


@compiled
def _row(a, b, n, position, gyration, nx, ny, px, py, qx, qy):
    """Arms AN AT BN BT of points p and q along (nx, ny) and a quarter to its left; b >= n or below 0 does not move."""
    if b < 0 or b >= n:
        _, _, an, at, bn, bt = _seen(
            position[a, 0], position[a, 1], 0.0, 0.0, 0.0, gyration[a], qx, qy, 0.0, 0.0, 0.0, 0.0, nx, ny, px, py,
            qx, qy,
        )  # fmt: skip
        return an, at, 0.0, 0.0
    _, _, an, at, bn, bt = _seen(
        position[a, 0], position[a, 1], 0.0, 0.0, 0.0, gyration[a], position[b, 0], position[b, 1], 0.0, 0.0, 0.0,
        gyration[b], nx, ny, px, py, qx, qy,
    )  # fmt: skip
    return an, at, bn, bt


@compiled
def impulses_before(world, gain, position, angle, force, jforce, found):
    """What each contact and joint gave in the step that ended in this state.

    Args:
        gain: (N, 3) px/s of x, y and gyration speed that gravity and fields do not explain; used up.
        force: (C, 2, 2) filled with impulses along normal and tangent, kg·px/s, of each contact's points.
        jforce: (J, 2) the same of joints, along x and y of the world (rods, ropes: their length and nothing).
        found: body, partner, points, normal and place of the contacts, filled.

    Returns: number of contacts.
    """
    (
        _, _, _, kind, extent, rounding, static_pose, static_corners, static_box, friction, _, mass, gyration, joints,
        _, _, _, _, _, _, _, _,
    ) = world  # fmt: skip
    body, partner, points, normal, gap, place = found
    n = len(angle)
    count = find_contacts(
        kind, extent, rounding, static_pose, static_corners, static_box, position, angle, NEAR,
        body, partner, normal, points, gap, place,
    )  # fmt: skip
    ends = np.empty((len(joints), 2, 2))
    ends_of(joints, position, angle, ends)
    total = 2 * count + len(joints)
    # rows: body, partner (-1: fixed), direction, arms along it and across
    first, other, way, arms = (
        np.empty(total, np.int64),
        np.empty(total, np.int64),
        np.empty((total, 2)),
        np.empty((total, 4)),
    )
    for c in range(count):
        for p in range(points[c]):
            row = 2 * c + p
            first[row], other[row] = body[c], partner[c] if partner[c] < n else -1
            way[row, 0], way[row, 1] = normal[c, 0], normal[c, 1]
            x, y = place[c, p, 0], place[c, p, 1]
            arms[row, 0], arms[row, 1], arms[row, 2], arms[row, 3] = _row(
                body[c], partner[c], n, position, gyration, normal[c, 0], normal[c, 1], x, y, x, y
            )
    for j in range(len(joints)):
        row = 2 * count + j
        a, b = int(joints[j, 1]), int(joints[j, 2])
        nx, ny = 1.0, 0.0
        sort = int(joints[j, 0])
        if sort in (ROD, ROPE, SPRING):
            dx, dy = ends[j, 1, 0] - ends[j, 0, 0], ends[j, 1, 1] - ends[j, 0, 1]
            d = math.sqrt(dx * dx + dy * dy)
            if d > 1e-9:
                nx, ny = dx / d, dy / d
        first[row], other[row] = b, a
        way[row, 0], way[row, 1] = nx, ny
        arms[row, 0], arms[row, 1], arms[row, 2], arms[row, 3] = _row(
            b, a, n, position, gyration, nx, ny, ends[j, 1, 0], ends[j, 1, 1], ends[j, 0, 0], ends[j, 0, 1]
        )
    force[:count] = 0.0
    jforce[:] = 0.0
    for sweep in range(SWEEPS):
        largest = 0.0
        for k in range(total):
            row = k if sweep % 2 == 0 else total - 1 - k
            touching = row < 2 * count
            c, p = row >> 1, row & 1
            j = row - 2 * count
            if touching and p >= points[c]:
                continue
            a, b = first[row], other[row]
            sort = -1 if touching else int(joints[j, 0])
            if sort == MOTOR:
                spin = gain[a, 2] / gyration[a] - (gain[b, 2] / gyration[b] if b >= 0 else 0.0)
                ease = 1.0 / (mass[a] * gyration[a] ** 2) + (1.0 / (mass[b] * gyration[b] ** 2) if b >= 0 else 0.0)
                step = spin / ease
                jforce[j, 0] += step
                gain[a, 2] -= step / (mass[a] * gyration[a])
                if b >= 0:
                    gain[b, 2] += step / (mass[b] * gyration[b])
                continue
            for axis in range(2):
                if axis == 1 and sort in (ROD, ROPE, SPRING):
                    continue
                nx, ny = (way[row, 0], way[row, 1]) if axis == 0 else (-way[row, 1], way[row, 0])
                an, bn = arms[row, axis], arms[row, 2 + axis]
                left = gain[a, 0] * nx + gain[a, 1] * ny + an * gain[a, 2]
                ease = (1.0 + an * an) / mass[a]
                if b >= 0:
                    left -= gain[b, 0] * nx + gain[b, 1] * ny + bn * gain[b, 2]
                    ease += (1.0 + bn * bn) / mass[b]
                step = left / ease
                if touching:
                    old = force[c, p, axis]
                    if axis == 0:
                        new = max(0.0, old + step)
                    else:
                        most = friction[a] * friction[partner[c]] * force[c, p, 0]
                        new = min(most, max(-most, old + step))
                    force[c, p, axis], step = new, new - old
                elif sort == ROPE:
                    new = min(0.0, jforce[j, 0] + step)
                    jforce[j, 0], step = new, new - jforce[j, 0]
                else:
                    jforce[j, axis] += step
                largest = max(largest, abs(step) * ease)
                gain[a, 0] -= step * nx / mass[a]
                gain[a, 1] -= step * ny / mass[a]
                gain[a, 2] -= step * an / mass[a]
                if b >= 0:
                    gain[b, 0] += step * nx / mass[b]
                    gain[b, 1] += step * ny / mass[b]
                    gain[b, 2] += step * bn / mass[b]
        if largest < SETTLED:
            break
    return count


@compiled
def remembered(world, gain, position, velocity, angle, spin, listed, frames, memory):
    """Fill `memory` (lines, 4), px/s over each body's own mass, of the lines that act, in the order of the text.

    A contact's are JN JT of its points, a rod's and rope's JN, a hinge's JN JT, a motor's JN. Returns how many lines.
    """
    (
        _, _, _, _, _, _, _, _, _, _, _, mass, gyration, joints, begin, mine, _, _, _, dt, _, _,
    ) = world  # fmt: skip
    n = len(angle)
    scratch = scratch_for(n, len(joints), 1)
    body, partner, points, normal, gap, place, _, rows, per, coming, _, _, _, _, _, _, _ = scratch
    was = (
        np.empty_like(body),
        np.empty_like(body),
        np.empty_like(body),
        np.empty_like(normal),
        np.empty_like(gap),
        np.empty_like(place),
    )
    force, jforce = np.zeros((len(body), 2, 2)), np.zeros((len(joints), 2))
    before = impulses_before(world, gain, position, angle, force, jforce, was)
    count = meetings(world, scratch, position, velocity, angle, spin)
    carried = np.zeros((count, 2, 2))
    for c in range(count):
        for w in range(before):
            if was[0][w] != body[c] or was[1][w] != partner[c]:
                continue
            i = body[c]
            cos, sin = math.cos(spin[i] * dt), math.sin(spin[i] * dt)
            apart = np.empty((2, 2))
            for p in range(was[2][w]):
                x, y = was[5][w, p, 0] - position[i, 0], was[5][w, p, 1] - position[i, 1]
                x, y = coming[i, 0] + cos * x - sin * y, coming[i, 1] + sin * x + cos * y
                for k in range(points[c]):
                    apart[p, k] = abs(x - place[c, k, 0]) + abs(y - place[c, k, 1])
            if was[2][w] == 2 and points[c] == 2:
                swapped = apart[0, 1] + apart[1, 0] < apart[0, 0] + apart[1, 1]
                for p in range(2):
                    carried[c, 1 - p if swapped else p] = force[w, p]
            elif was[2][w] == 2:
                carried[c, 0] = force[w, 0] if apart[0, 0] <= apart[1, 0] else force[w, 1]
            elif points[c] == 2:
                carried[c, 0 if apart[0, 0] <= apart[0, 1] else 1] = force[w, 0]
            else:
                carried[c, 0] = force[w, 0]
    at = 0
    for m in range(len(listed)):
        i = listed[m]
        nx, ny, hand = frames[m, 0], frames[m, 1], frames[m, 2]
        tx, ty = -hand * ny, hand * nx
        for k in range(begin[i], begin[i + 1]):
            j, side = mine[k] >> 1, mine[k] & 1
            sort = int(joints[j, 0])
            sign = 1.0 if side == 1 else -1.0
            if sort == SPRING:
                continue
            memory[at] = 0.0
            if sort == MOTOR:
                memory[at, 0] = hand * sign * jforce[j, 0] / (mass[i] * gyration[i])
            elif sort == HINGE:
                memory[at, 0] = sign * (jforce[j, 0] * nx + jforce[j, 1] * ny) / mass[i]
                memory[at, 1] = sign * (jforce[j, 0] * tx + jforce[j, 1] * ty) / mass[i]
            else:
                memory[at, 0] = jforce[j, 0] / mass[i]
            at += 1
        for r in range(per[i]):
            c = rows[i, r]
            facing = 1.0 if body[c] == i else -1.0
            cx, cy = facing * normal[c, 0], facing * normal[c, 1]
            along = (place[c, 1, 0] - place[c, 0, 0]) * cy - (place[c, 1, 1] - place[c, 0, 1]) * cx
            backwards = points[c] == 2 and hand * along < 0.0
            memory[at] = 0.0
            for k in range(points[c]):
                p = 1 - k if backwards else k
                memory[at, 2 * k] = carried[c, p, 0] / mass[i]
                memory[at, 2 * k + 1] = hand * carried[c, p, 1] / mass[i]
            at += 1
    return at


@compiled
def with_memory(ids, start, memory, plus, gains, length, base, end, longer):
    """Write `ids` with the memory behind the lines that have one into `longer`; returns how many ids.

    Args:
        start: number of ids of the header, which stay.
    """
    for k in range(start):
        longer[k] = ids[k]
    at, to, line = start, start, 0
    while at < len(ids):
        word = ids[at]
        if word == end:
            longer[to] = word
            return to + 1
        for k in range(length[word]):
            longer[to + k] = ids[at + k]
        longer[to] = plus[word]
        at += length[word]
        to += length[word]
        for k in range(gains[word]):
            longer[to] = base + _index(memory[line, k])
            to += 1
        line += gains[word] > 0
    return to
