"""L2: compiled writer of `impulse` prompts. The format is described, and owned, by impulse.py."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit

from physworld import geometry
from physworld.codecs import numbers
from physworld.codecs.numbers import number_index
from physworld.geometry import CIRCLE, Solids, find_contacts

LIMIT = 1 << 20  # above all ids
MAX_PARTNERS = 6  # contacts spelled out per body, nearest first
_SOURCES = b"".join(Path(file).read_bytes() for file in (geometry.__file__, numbers.__file__, __file__))


def compiled(function: Callable[..., Any]) -> Any:
    """numba's `njit`, kept on disk for as long as these modules stay as they are.

    By itself numba looks at a function's own file only, and goes on using what it compiled from older versions of the
    functions that it calls in other files.
    """
    config: Any = numba.config
    home = config.CACHE_DIR
    folder = Path(home or Path(__file__).parent / "__pycache__")
    config.CACHE_DIR = str(folder / f"impulse-{hashlib.sha256(_SOURCES).hexdigest()[:12]}")
    try:
        return njit(cache=True)(function)
    finally:
        config.CACHE_DIR = home


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
def scratch_for(n, rods, room):
    """Room for the contacts of n bodies, for each body's own, and for a prompt of up to `room` tokens."""
    c = 8 * n + 64
    raw = np.empty(room)
    return (
        np.empty(c, np.int64), np.empty(c, np.int64), np.empty(c, np.int64), np.empty((c, 2)), np.empty((c, 2)),
        np.empty((c, 2, 2)), np.empty(c), np.empty((n, MAX_PARTNERS), np.int64), np.empty(n, np.int64),
        np.empty((n, 2)), np.empty(n), np.empty((rods, 2, 2)), raw, raw.view(np.int64),
    )  # fmt: skip


@compiled
def write_one(world, scratch, position, velocity, angle, spin, shift, ids, listed, frames):
    """Fill ids; returns (ids written, bodies listed).

    Words go into `code`, numbers as they are into `raw`, which is the same memory. One loop, which handles several
    numbers at once, turns both into ids in the end. Bits below LIMIT are words: as a number, less than 1e-317.
    """
    (
        header, kind, extent, rounding, static_pose, friction, restitution, mass, gyration, joints, fields, gravity, dt,
        margin, words,
    ) = world  # fmt: skip
    base, first_body, bodies, fixed, w_ball, w_box, w_self, w_touch, w_touch2, w_link, w_pull, w_next = words
    body, partner, points, normal, gap, place, nearest, rows, per, coming, turned, ends, raw, code = scratch
    n = len(angle)
    at = len(header)
    for k in range(at):
        code[k] = header[k]
    for i in range(n):
        code[at] = w_ball if kind[i] == CIRCLE else w_box
        code[at + 1] = first_body + i
        raw[at + 2] = position[i, 0]
        raw[at + 3] = position[i, 1]
        raw[at + 4] = angle[i]
        raw[at + 5] = velocity[i, 0]
        raw[at + 6] = velocity[i, 1]
        raw[at + 7] = spin[i]
        at += 8
        if kind[i] == CIRCLE:
            raw[at] = extent[i, 0]
            at += 1
        else:
            raw[at] = 2 * extent[i, 0]
            raw[at + 1] = 2 * extent[i, 1]
            at += 2
        raw[at] = mass[i]
        raw[at + 1] = friction[i]
        raw[at + 2] = restitution[i]
        at += 3

    for i in range(n):
        coming[i, 0] = position[i, 0] + velocity[i, 0] * dt
        coming[i, 1] = position[i, 1] + velocity[i, 1] * dt
        turned[i] = angle[i] + spin[i] * dt
    count = find_contacts(
        kind, extent, rounding, static_pose, coming, turned, margin, body, partner, normal, points, gap, place
    )
    # rows of each body's partners: the pair as found, or its mirror image
    per[:] = 0
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

    for j in range(len(joints)):
        for side in range(2):
            i, x, y = int(joints[j, side]), joints[j, 2 + 2 * side], joints[j, 3 + 2 * side]
            if i >= 0:
                cos, sin = math.cos(turned[i]), math.sin(turned[i])
                x, y = coming[i, 0] + cos * x - sin * y, coming[i, 1] + sin * x + cos * y
            ends[j, side, 0], ends[j, side, 1] = x, y
    m = 0
    for i in range(n):
        linked = -1
        for j in range(len(joints)):
            if joints[j, 0] == i or joints[j, 1] == i:
                linked = j
                break
        if linked < 0 and per[i] == 0 and len(fields) == 0:
            continue
        # own frame from the first partner
        if linked >= 0:
            side = 0 if joints[linked, 1] != i else 1
            other, px, py = int(joints[linked, 1 - side]), ends[linked, side, 0], ends[linked, side, 1]
            qx, qy = ends[linked, 1 - side, 0], ends[linked, 1 - side, 1]
            nx, ny, _ = _facing(px, py, qx, qy)
            _, slip, _, _, _, _ = _relative(i, other, coming, velocity, spin, gyration, nx, ny, px, py, qx, qy)
        elif per[i] > 0:
            c = rows[i, 0]
            other, facing = (partner[c], 1.0) if body[c] == i else (body[c], -1.0)
            nx, ny = facing * normal[c, 0], facing * normal[c, 1]
            other = other if other < n else -1
            slip = 0.0
            for p in range(points[c]):
                px, py = place[c, p, 0], place[c, p, 1]
                _, part, _, _, _, _ = _relative(i, other, coming, velocity, spin, gyration, nx, ny, px, py, px, py)
                slip += part
        else:
            nx, ny, _ = _facing(coming[i, 0], coming[i, 1], fields[0, 0], fields[0, 1])
            slip = velocity[i, 1] * nx - velocity[i, 0] * ny
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
        for j in range(len(joints)):
            if joints[j, 0] != i and joints[j, 1] != i:
                continue
            side = 0 if joints[j, 1] != i else 1
            other, px, py = int(joints[j, 1 - side]), ends[j, side, 0], ends[j, side, 1]
            qx, qy = ends[j, 1 - side, 0], ends[j, 1 - side, 1]
            lx, ly, distance = _facing(px, py, qx, qy)
            vn, vt, an, _, bn, _ = _relative(i, other, coming, velocity, spin, gyration, lx, ly, px, py, qx, qy)
            share = 1.0 if other < 0 else mass[other] / (mass[i] + mass[other])
            code[at], code[at + 1] = w_link, first_body + i
            code[at + 2] = fixed if other < 0 else first_body + other
            raw[at + 3] = share
            raw[at + 4] = lx * nx + ly * ny
            raw[at + 5] = lx * tx + ly * ty
            raw[at + 6] = distance - joints[j, 6]
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
                raw[at + 3] = hand * vt
                raw[at + 4] = hand * an
                raw[at + 5] = ac
                raw[at + 6] = hand * bn
                raw[at + 7] = bt
                at += 8
        for f in range(len(fields)):
            ux, uy, distance = _facing(coming[i, 0], coming[i, 1], fields[f, 0], fields[f, 1])
            code[at], code[at + 1] = w_pull, first_body + i
            raw[at + 2] = ux * nx + uy * ny
            raw[at + 3] = ux * tx + uy * ty
            raw[at + 4] = distance
            raw[at + 5] = fields[f, 2] / 1e4
            at += 6
    code[at] = w_next
    at += 1
    for k in range(at):
        word = code[k]
        if 0 < word < LIMIT:
            ids[k] = word + shift if first_body <= word < first_body + bodies else word
        else:
            ids[k] = base + _index(raw[k])
    return at, m


@compiled
def _write_alone(world, position, velocity, angle, spin, ids, listed, frames):
    return write_one(
        world, scratch_for(len(angle), len(world[9]), len(ids)), position, velocity, angle, spin, 0, ids, listed, frames
    )


WORDS: np.ndarray = np.zeros(0, np.int64)  # set once by impulse.py: ids of the words the writer uses


def world_of(header, packed: Solids, joints, fields, gravity, dt, margin) -> tuple:
    """What compiled code reads of a scene."""
    solids = (
        packed.kind, packed.extent, packed.rounding, packed.static_pose, packed.friction, packed.restitution,
        packed.mass, packed.gyration,
    )  # fmt: skip
    return (header, *solids, joints, fields, gravity, dt, margin, WORDS)


def room(world: tuple, bodies: int) -> int:
    """Ids that a prompt has at most."""
    header, joints, fields = world[0], world[9], world[10]
    return len(header) + 23 * bodies + bodies * (24 * MAX_PARTNERS + 6 * len(fields)) + 22 * len(joints) + 1


def write_prompt(header, packed: Solids, joints, fields, position, velocity, angle, spin, gravity, dt, margin):
    """(ids (L,), listed bodies (M,), own frames (M, 3)); see impulse.py for the text."""
    n = len(angle)
    world = world_of(header, packed, joints, fields, gravity, dt, margin)
    ids, listed, frames = np.empty(room(world, n), np.int64), np.empty(n, np.int64), np.empty((n, 3))
    used, m = _write_alone(
        world, np.ascontiguousarray(position), np.ascontiguousarray(velocity), np.ascontiguousarray(angle),
        np.ascontiguousarray(spin), ids, listed, frames,
    )  # fmt: skip
    return ids[:used], listed[:m], frames[:m]
