"""Compiled writer of `impulse` prompts. The format is described, and owned, by impulse.py."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from physworld.sim import contacts as geometry
from physworld.sim.compiling import kept
from physworld.sim.contacts import CIRCLE, find_contacts
from physworld.text.codecs import numbers
from physworld.text.codecs.numbers import number_index

LIMIT = 1 << 20  # above all ids
MAX_PARTNERS = 6  # contacts spelled out per body, nearest first
MAX_PULLS = 6  # pulls of other bodies spelled out per body, strongest first
NO_SLIP = 1e-6  # px/s; what is slower is rounding, and gravity (then spin) says which way a frame is handed
ROD, HINGE, ROPE, SPRING, MOTOR = 0, 1, 2, 3, 4  # Parts.joints[:, 0]
POLE, MUTUAL, WIND = 0, 1, 2  # Parts.fields[:, 0]
GYRATION, JOINTS, FIELDS, GRAVITY, DT = 12, 13, 17, 18, 19  # places in what `world_of` gives
compiled = kept("impulse", geometry.__file__, numbers.__file__, __file__)

# Arrays come as arguments and are indexed in place: a part of an array as argument, or a function that picks among
# arrays, makes the compiler count references, which costs more than the arithmetic. Numbers come back as tuples.
_index = njit(inline="always")(number_index.py_func)  # as a call it would keep the loop over tokens from being SIMD


@compiled
def _seen(ax, ay, vax, vay, wa, ka, bx, by, vbx, vby, wb, kb, nx, ny, px, py, qx, qy):
    """VN VT AN AT BN BT of point p of the body at (ax, ay) against point q of its partner (mirror not applied)."""
    rx, ry, sx, sy = px - ax, py - ay, qx - bx, qy - by
    ux = (vax - wa * ry) - (vbx - wb * sy)
    uy = (vay + wa * rx) - (vby + wb * sx)
    bn = (sx * ny - sy * nx) / kb if kb > 0.0 else 0.0
    bt = (sx * nx + sy * ny) / kb if kb > 0.0 else 0.0
    return ux * nx + uy * ny, uy * nx - ux * ny, (rx * ny - ry * nx) / ka, (rx * nx + ry * ny) / ka, bn, bt


@compiled
def _relative(i, other, position, velocity, spin, gyration, nx, ny, px, py, qx, qy):
    """`_seen` for body i and body `other`, or what does not move when that is negative."""
    if other < 0:
        return _seen(
            position[i, 0], position[i, 1], velocity[i, 0], velocity[i, 1], spin[i], gyration[i],
            qx, qy, 0.0, 0.0, 0.0, 0.0, nx, ny, px, py, qx, qy,
        )  # fmt: skip
    return _seen(
        position[i, 0], position[i, 1], velocity[i, 0], velocity[i, 1], spin[i], gyration[i],
        position[other, 0], position[other, 1], velocity[other, 0], velocity[other, 1], spin[other], gyration[other],
        nx, ny, px, py, qx, qy,
    )  # fmt: skip


@compiled
def _facing(mx, my, ox, oy):
    """(nx, ny, distance): unit vector from (ox, oy) to (mx, my)."""
    dx, dy = mx - ox, my - oy
    d = math.sqrt(dx * dx + dy * dy)
    if d > 1e-9:
        return dx / d, dy / d, d
    return 0.0, 1.0, d


@compiled
def scratch_for(n, joints, room):
    """Room for the contacts of n bodies, for each body's own, and for a prompt of up to `room` tokens."""
    c = 8 * n + 64
    raw = np.empty(room)
    return (
        np.empty(c, np.int64), np.empty(c, np.int64), np.empty(c, np.int64), np.empty((c, 2)), np.empty((c, 2)),
        np.empty((c, 2, 2)), np.empty(c), np.empty((n, MAX_PARTNERS), np.int64), np.empty(n, np.int64),
        np.empty((n, 2)), np.empty(n), np.empty((joints, 2, 2)), np.empty(MAX_PULLS, np.int64), np.empty(MAX_PULLS),
        np.empty(6 * n, np.int64), raw, raw.view(np.int64),
    )  # fmt: skip


@compiled
def _strongest(i, coming, mass, softening, others, pulls):
    """Fill the bodies that pull body i most, strongest first; returns how many."""
    count = 0
    for j in range(len(mass)):
        if j == i:
            continue
        dx, dy = coming[j, 0] - coming[i, 0], coming[j, 1] - coming[i, 1]
        d2 = dx * dx + dy * dy
        pull = mass[j] * math.sqrt(d2) / (d2 + softening * softening) ** 1.5 if d2 > 0.0 else 0.0
        k = min(count, MAX_PULLS)
        while k > 0 and pulls[k - 1] < pull:
            k -= 1
        if k >= MAX_PULLS:
            continue
        for m in range(min(count, MAX_PULLS - 1), k, -1):
            others[m], pulls[m] = others[m - 1], pulls[m - 1]
        others[k], pulls[k] = j, pull
        count = min(count + 1, MAX_PULLS)
    return count


@compiled
def _sort_contacts(n, count, body, partner, nearest, rows, per):
    """rows[i, : per[i]]: the contacts of body i, nearest first."""
    per[:] = 0
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


@compiled
def ends_of(joints, position, angle, ends):
    """Fill the world's places of each joint's anchors (J, 2, 2)."""
    for j in range(len(joints)):
        for side in range(2):
            i, x, y = int(joints[j, 1 + side]), joints[j, 3 + 2 * side], joints[j, 4 + 2 * side]
            if i >= 0:
                cos, sin = math.cos(angle[i]), math.sin(angle[i])
                x, y = position[i, 0] + cos * x - sin * y, position[i, 1] + sin * x + cos * y
            ends[j, side, 0], ends[j, side, 1] = x, y


@njit(inline="always")  # a call would count references of all these arrays
def meetings(world, scratch, position, velocity, angle, spin):
    """Fill the scratch's places that bodies come to in a step, the contacts there, and each body's own, nearest first.

    Returns: number of contacts.
    """
    (
        _, _, _, kind, extent, rounding, static_pose, static_corners, static_box, _, _, _, _, _, _, _, _, _, _, dt,
        margin, _,
    ) = world  # fmt: skip
    body, partner, points, normal, gap, place, nearest, rows, per, coming, turned, _, _, _, _, _, _ = scratch
    n = len(angle)
    for i in range(n):
        coming[i, 0] = position[i, 0] + velocity[i, 0] * dt
        coming[i, 1] = position[i, 1] + velocity[i, 1] * dt
        turned[i] = angle[i] + spin[i] * dt
    count = find_contacts(
        kind, extent, rounding, static_pose, static_corners, static_box, coming, turned, margin,
        body, partner, normal, points, gap, place,
    )  # fmt: skip
    for c in range(count):
        nearest[c] = gap[c, 0] if points[c] == 1 else min(gap[c, 0], gap[c, 1])
    _sort_contacts(n, count, body, partner, nearest, rows, per)
    return count


@compiled
def write_one(world, scratch, position, velocity, angle, spin, shift, ids, listed, frames):
    """Fill ids; returns (ids written, bodies listed).

    Words go into `code`, numbers as they are into `raw`, which is the same memory. One loop, which handles several
    numbers at once, turns both into ids in the end. Bits below LIMIT are words: as a number, less than 1e-317.
    """
    (
        header, named, slots, kind, extent, _, _, _, _, friction, restitution, mass, gyration, joints, first, mine,
        belts, fields, gravity, dt, _, words,
    ) = world  # fmt: skip
    (
        base, first_body, bodies, fixed, w_self, w_touch, w_touch2, w_link, w_hold, w_tie, w_coil,
        w_drive, w_pull, w_air, w_next,
    ) = words  # fmt: skip
    (
        body, partner, points, normal, gap, place, _, rows, per, coming, turned, ends, others, pulls, said, raw, code,
    ) = scratch  # fmt: skip
    n = len(angle)
    constant = len(header)
    for k in range(constant):
        ids[k] = header[k]
    for k in range(len(named)):
        ids[named[k]] += shift
    # The states, side by side so that one loop without branches turns them into ids; raw's beginning is free for it.
    for i in range(n):
        raw[6 * i] = position[i, 0]
        raw[6 * i + 1] = position[i, 1]
        raw[6 * i + 2] = angle[i]
        raw[6 * i + 3] = velocity[i, 0]
        raw[6 * i + 4] = velocity[i, 1]
        raw[6 * i + 5] = spin[i]
    for k in range(6 * n):
        said[k] = base + _index(raw[k])
    for i in range(n):
        for k in range(6):
            ids[slots[i] + k] = said[6 * i + k]

    meetings(world, scratch, position, velocity, angle, spin)
    ends_of(joints, coming, turned, ends)
    m, at = 0, constant
    for i in range(n):
        if first[i] == first[i + 1] and per[i] == 0 and len(fields) == 0:
            continue
        # own frame from the first partner
        j = mine[first[i]] >> 1 if first[i] < first[i + 1] else -1
        if j >= 0 and (joints[j, 0] == HINGE or joints[j, 0] == MOTOR):
            side = mine[first[i]] & 1
            nx, ny, arm = -math.sin(turned[i]), math.cos(turned[i]), 0.0
            if joints[j, 0] == HINGE:
                fx, fy, arm = _facing(coming[i, 0], coming[i, 1], ends[j, side, 0], ends[j, side, 1])
                if arm > 1e-6:
                    nx, ny = fx, fy
            slip = spin[i]
        elif j >= 0:
            side = mine[first[i]] & 1
            other, px, py = int(joints[j, 2 - side]), ends[j, side, 0], ends[j, side, 1]
            qx, qy = ends[j, 1 - side, 0], ends[j, 1 - side, 1]
            nx, ny, _ = _facing(px, py, qx, qy)
            _, slip, _, _, _, _ = _relative(i, other, coming, velocity, spin, gyration, nx, ny, px, py, qx, qy)
        elif per[i] > 0:
            c = rows[i, 0]
            other, facing = (partner[c], 1.0) if body[c] == i else (body[c], -1.0)
            nx, ny = facing * normal[c, 0], facing * normal[c, 1]
            slip = 0.0
            if other >= n:
                slip = -points[c] * (belts[other - n, 1] * nx - belts[other - n, 0] * ny)
                other = -1
            for p in range(points[c]):
                px, py = place[c, p, 0], place[c, p, 1]
                _, part, _, _, _, _ = _relative(i, other, coming, velocity, spin, gyration, nx, ny, px, py, px, py)
                slip += part
        else:
            if fields[0, 0] == POLE:
                nx, ny, _ = _facing(coming[i, 0], coming[i, 1], fields[0, 1], fields[0, 2])
            elif fields[0, 0] == WIND:
                nx, ny, _ = _facing(fields[0, 1], fields[0, 2], velocity[i, 0], velocity[i, 1])
            elif _strongest(i, coming, mass, fields[0, 4], others, pulls) > 0:
                nx, ny, _ = _facing(coming[i, 0], coming[i, 1], coming[others[0], 0], coming[others[0], 1])
            else:
                nx, ny = 0.0, 1.0
            slip = velocity[i, 1] * nx - velocity[i, 0] * ny
        if abs(slip) < NO_SLIP:
            slip = gravity[1] * nx - gravity[0] * ny
        if abs(slip) < NO_SLIP:
            slip = spin[i]
        hand = 1.0 if slip >= 0.0 else -1.0
        listed[m] = i
        frames[m, 0], frames[m, 1], frames[m, 2] = nx, ny, hand
        m += 1
        tx, ty = -hand * ny, hand * nx
        code[at], code[at + 1] = w_self, first_body + i
        raw[at + 2] = nx
        raw[at + 3] = ny
        raw[at + 4] = hand
        raw[at + 5] = velocity[i, 0] * nx + velocity[i, 1] * ny
        raw[at + 6] = velocity[i, 0] * tx + velocity[i, 1] * ty
        raw[at + 7] = hand * spin[i] * gyration[i]
        raw[at + 8] = (gravity[0] * nx + gravity[1] * ny) * dt
        raw[at + 9] = (gravity[0] * tx + gravity[1] * ty) * dt
        at += 10
        for k in range(first[i], first[i + 1]):
            j, side = mine[k] >> 1, mine[k] & 1
            sort, other = int(joints[j, 0]), int(joints[j, 2 - side])
            code[at + 1], code[at + 2] = first_body + i, fixed if other < 0 else first_body + other
            if sort == MOTOR:
                inertia = mass[i] * gyration[i] * gyration[i]
                against, share = 0.0, 1.0
                if other >= 0:
                    against = spin[other]
                    theirs = mass[other] * gyration[other] * gyration[other]
                    share = theirs / (inertia + theirs)
                wanted = against + (joints[j, 7] if side == 1 else -joints[j, 7])
                code[at] = w_drive
                raw[at + 3] = share
                raw[at + 4] = hand * (wanted - spin[i]) * gyration[i]
                raw[at + 5] = joints[j, 8] * dt / inertia * gyration[i]
                at += 6
                continue
            px, py = ends[j, side, 0], ends[j, side, 1]
            qx, qy = ends[j, 1 - side, 0], ends[j, 1 - side, 1]
            share = 1.0 if other < 0 else mass[other] / (mass[i] + mass[other])
            raw[at + 3] = share
            if sort == HINGE:
                vn, vt, an, ac, bn, bt = _relative(i, other, coming, velocity, spin, gyration, nx, ny, px, py, qx, qy)
                code[at] = w_hold
                raw[at + 4] = (px - qx) * nx + (py - qy) * ny
                raw[at + 5] = (px - qx) * tx + (py - qy) * ty
                raw[at + 6] = vn
                raw[at + 7] = hand * vt
                raw[at + 8] = hand * an
                raw[at + 9] = ac
                raw[at + 10] = hand * bn
                raw[at + 11] = bt
                at += 12
                continue
            lx, ly, distance = _facing(px, py, qx, qy)
            vn, vt, an, _, bn, _ = _relative(i, other, coming, velocity, spin, gyration, lx, ly, px, py, qx, qy)
            raw[at + 4] = lx * nx + ly * ny
            raw[at + 5] = lx * tx + ly * ty
            if sort == SPRING:
                code[at] = w_coil
                softness = (1 + an * an) / mass[i]
                if other >= 0:
                    softness += (1 + bn * bn) / mass[other]
                raw[at + 6] = joints[j, 8] * (joints[j, 7] - distance) * dt / mass[i]
                raw[at + 7] = 100 * (1 - math.exp(-joints[j, 9] * softness * dt))
                at += 1
            else:
                code[at] = w_link if sort == ROD else w_tie
                raw[at + 6] = distance - joints[j, 7]
            raw[at + 7] = vn
            raw[at + 8] = hand * vt
            raw[at + 9] = hand * an
            raw[at + 10] = hand * bn
            at += 11
        for r in range(per[i]):
            c = rows[i, r]
            other, facing = (partner[c], 1.0) if body[c] == i else (body[c], -1.0)
            cx, cy, moving = facing * normal[c, 0], facing * normal[c, 1], other < n
            share = mass[other] / (mass[i] + mass[other]) if moving else 1.0
            code[at] = w_touch if points[c] == 1 else w_touch2
            code[at + 1] = first_body + i
            code[at + 2] = first_body + other if moving else fixed
            raw[at + 3] = restitution[i] * restitution[other]
            raw[at + 4] = friction[i] * friction[other]
            raw[at + 5] = share
            raw[at + 6] = cx * nx + cy * ny
            raw[at + 7] = cx * tx + cy * ty
            at += 8
            belt = 0.0 if moving else belts[other - n, 1] * cx - belts[other - n, 0] * cy
            other = other if moving else -1
            # Two points come in the order of their lever arms AN, which neither turning nor mirroring changes.
            along = (place[c, 1, 0] - place[c, 0, 0]) * cy - (place[c, 1, 1] - place[c, 0, 1]) * cx
            backwards = points[c] == 2 and hand * along < 0.0
            for k in range(points[c]):
                p = 1 - k if backwards else k
                px, py = place[c, p, 0], place[c, p, 1]
                vn, vt, an, ac, bn, bt = _relative(i, other, coming, velocity, spin, gyration, cx, cy, px, py, px, py)
                raw[at] = gap[c, p] - vn * dt
                raw[at + 1] = gap[c, p]
                raw[at + 2] = vn
                raw[at + 3] = hand * (vt - belt)
                raw[at + 4] = hand * an
                raw[at + 5] = ac
                raw[at + 6] = hand * bn
                raw[at + 7] = bt
                at += 8
        for f in range(len(fields)):
            if fields[f, 0] == WIND:
                across = 2 * (extent[i, 0] if kind[i] == CIRCLE else math.hypot(extent[i, 0], extent[i, 1]))
                dx, dy = fields[f, 1] - velocity[i, 0], fields[f, 2] - velocity[i, 1]
                code[at], code[at + 1] = w_air, first_body + i
                raw[at + 2] = dx * nx + dy * ny
                raw[at + 3] = dx * tx + dy * ty
                raw[at + 4] = 100 * (1 - math.exp(-fields[f, 3] * across / mass[i] * dt))
                at += 5
                continue
            several = 1 if fields[f, 0] == POLE else _strongest(i, coming, mass, fields[f, 4], others, pulls)
            for k in range(several):
                strength, px, py = fields[f, 3], fields[f, 1], fields[f, 2]
                if fields[f, 0] == MUTUAL:
                    strength *= mass[others[k]]
                    px, py = coming[others[k], 0], coming[others[k], 1]
                ux, uy, distance = _facing(coming[i, 0], coming[i, 1], px, py)
                code[at], code[at + 1] = w_pull, first_body + i
                raw[at + 2] = ux * nx + uy * ny
                raw[at + 3] = ux * tx + uy * ty
                raw[at + 4] = distance
                raw[at + 5] = fields[f, 4]
                raw[at + 6] = strength / 1e4
                at += 7
    code[at] = w_next
    at += 1
    for k in range(constant, at):
        word = code[k]
        is_word = 0 < word < LIMIT
        # A word read as a number is denormal, and one of those in a multiplication takes as long as a hundred others.
        number = base + _index(0.0 if is_word else raw[k])
        ids[k] = word + shift if first_body <= word < first_body + bodies else word if is_word else number
    return at, m


@compiled
def write_alone(world, position, velocity, angle, spin, ids, listed, frames):
    scratch = scratch_for(len(angle), len(world[JOINTS]), len(ids))
    return write_one(world, scratch, position, velocity, angle, spin, 0, ids, listed, frames)
