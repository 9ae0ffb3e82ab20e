"""Warp functions on one environment `e`: contact geometry, impulses, times of impact.

Bodies move in the plane: shape 0 is nothing, 1 a ball (size[0] is its radius), 2 a box (size holds half its sides).
A contact is numbered (i, j, c): body i against body j >= 0, or against half-space -1 - j; c counts corners.
Half-space (n_x, n_y, d) allows n·x >= d. Units: m, s, rad, kg.
"""

from __future__ import annotations

import warp as wp

FAR = wp.constant(1.0e9)  # gap of a contact that does not exist, m
SLOP = wp.constant(2.0e-4)  # bodies nearer than this touch, m: far above float32 rounding at 10 m (1e-6)
REST = wp.constant(0.02)  # slower approaches do not bounce, m/s: the bounce would be 20 micrometres high
ROUNDS = wp.constant(30)  # of Gauss-Seidel over the contacts of one environment


@wp.struct
class Bodies:
    """State and material of E environments with N bodies."""

    shape: wp.array2d(dtype=wp.int32)
    size: wp.array2d(dtype=wp.vec2)
    inverse_mass: wp.array2d(dtype=float)
    inverse_inertia: wp.array2d(dtype=float)
    friction: wp.array2d(dtype=float)
    restitution: wp.array2d(dtype=float)
    planes: wp.array2d(dtype=wp.vec3)
    gravity: wp.array(dtype=wp.vec2)
    position: wp.array2d(dtype=wp.vec2)
    angle: wp.array2d(dtype=float)
    velocity: wp.array2d(dtype=wp.vec2)
    spin: wp.array2d(dtype=float)
    next_velocity: wp.array2d(dtype=wp.vec2)  # at the end of the step under way
    next_spin: wp.array2d(dtype=float)
    wanted: wp.array2d(dtype=float)  # (E, C) normal velocity a contact shall have at least; FAR: it does not act
    impulse: wp.array2d(dtype=wp.vec2)  # (E, C) normal and tangential
    contacts: wp.array(dtype=wp.vec3i)  # (C,)


@wp.func
def cross(w: float, v: wp.vec2) -> wp.vec2:
    return wp.vec2(-w * v[1], w * v[0])


@wp.func
def turned(angle: float, v: wp.vec2) -> wp.vec2:
    c, s = wp.cos(angle), wp.sin(angle)
    return wp.vec2(c * v[0] - s * v[1], s * v[0] + c * v[1])


@wp.func
def corner_of(size: wp.vec2, c: int) -> wp.vec2:
    x, y = size[0], size[1]
    if c % 2 == 1:
        x = -x
    if c // 2 % 2 == 1:
        y = -y
    return wp.vec2(x, y)


@wp.func
def place(b: Bodies, e: int, i: int, ahead: float, dt: float) -> wp.vec3:
    """(x, y, angle) a time `ahead` into a step of length dt, moving uniformly accelerated."""
    v, w = b.velocity[e, i], b.spin[e, i]
    half = 0.5 * ahead * ahead / dt
    x = b.position[e, i] + v * ahead + (b.next_velocity[e, i] - v) * half
    return wp.vec3(x[0], x[1], b.angle[e, i] + w * ahead + (b.next_spin[e, i] - w) * half)


@wp.func
def box_gap(p: wp.vec2, size: wp.vec2) -> wp.vec3:
    """Point p in a box's own frame: (outward normal, signed distance)."""
    qx, qy = wp.abs(p[0]) - size[0], wp.abs(p[1]) - size[1]
    sx, sy = wp.sign(p[0]), wp.sign(p[1])
    if qx > 0.0 and qy > 0.0:
        d = wp.sqrt(qx * qx + qy * qy)
        return wp.vec3(sx * qx / d, sy * qy / d, d)
    if qx > qy:
        return wp.vec3(sx, 0.0, qx)
    return wp.vec3(0.0, sy, qy)


@wp.func
def probe(b: Bodies, e: int, k: int, ahead: float, dt: float):
    """Contact k a time `ahead` into the step: (normal towards body i, point, gap)."""
    which = b.contacts[k]
    i, j, c = which[0], which[1], which[2]
    normal, point, gap = wp.vec2(0.0, 1.0), wp.vec2(0.0, 0.0), float(FAR)
    kind = b.shape[e, i]
    here = place(b, e, i, ahead, dt)
    x = wp.vec2(here[0], here[1])
    size = b.size[e, i]
    if j < 0:
        plane = b.planes[e, -1 - j]
        n = wp.vec2(plane[0], plane[1])
        if kind == 1 and c == 0:
            normal, point, gap = n, x - n * size[0], wp.dot(n, x) - size[0] - plane[2]
        if kind == 2:
            p = x + turned(here[2], corner_of(size, c))
            normal, point, gap = n, p, wp.dot(n, p) - plane[2]
        return normal, point, gap
    other = b.shape[e, j]
    there = place(b, e, j, ahead, dt)
    y, reach = wp.vec2(there[0], there[1]), b.size[e, j]
    if kind == 1 and other == 1 and c == 0:
        d = x - y
        apart = wp.length(d)
        if apart > 0.0:
            normal = d / apart
        gap = apart - size[0] - reach[0]
        point = y + normal * reach[0]
    if kind == 1 and other == 2 and c == 0:
        q = box_gap(turned(-there[2], x - y), reach)
        normal = turned(there[2], wp.vec2(q[0], q[1]))
        gap, point = q[2] - size[0], x - normal * size[0]
    if kind == 2 and other == 1 and c == 0:
        q = box_gap(turned(-here[2], y - x), size)
        normal = -turned(here[2], wp.vec2(q[0], q[1]))
        gap, point = q[2] - reach[0], y + normal * reach[0]
    if kind == 2 and other == 2:
        # Convex polygons first touch with a corner: four of i against box j, four of j against box i.
        if c < 4:
            p = x + turned(here[2], corner_of(size, c))
            q = box_gap(turned(-there[2], p - y), reach)
            normal, point, gap = turned(there[2], wp.vec2(q[0], q[1])), p, q[2]
        else:
            p = y + turned(there[2], corner_of(reach, c - 4))
            q = box_gap(turned(-here[2], p - x), size)
            normal, point, gap = -turned(here[2], wp.vec2(q[0], q[1])), p, q[2]
    return normal, point, gap


@wp.func
def approach(b: Bodies, e: int, k: int, normal: wp.vec2, point: wp.vec2) -> float:
    """Normal velocity at the start of the step; negative when the two come nearer, m/s."""
    i, j = b.contacts[k][0], b.contacts[k][1]
    v = b.velocity[e, i] + cross(b.spin[e, i], point - b.position[e, i])
    if j >= 0:
        v = v - b.velocity[e, j] - cross(b.spin[e, j], point - b.position[e, j])
    return wp.dot(v, normal)


@wp.func
def solve(b: Bodies, e: int, dt: float):
    """Impulses that give every acting contact its wanted normal velocity and Coulomb friction, in next_velocity."""
    count = b.contacts.shape[0]
    for k in range(count):
        b.impulse[e, k] = wp.vec2(0.0, 0.0)
    worst = float(1.0)
    for _ in range(ROUNDS):
        if worst < 1.0e-7:
            break
        worst = float(0.0)
        for k in range(count):
            if b.wanted[e, k] < FAR:
                i, j = b.contacts[k][0], b.contacts[k][1]
                normal, point, _gap = probe(b, e, k, 0.0, dt)
                arm = point - b.position[e, i]
                v = b.next_velocity[e, i] + cross(b.next_spin[e, i], arm)
                tangent = wp.vec2(-normal[1], normal[0])
                mass, inertia = b.inverse_mass[e, i], b.inverse_inertia[e, i]
                an, at = wp.dot(arm, tangent), -wp.dot(arm, normal)
                # Lever of a push along n is arm × n = arm·t, along t it is arm × t = -arm·n.
                normal_mass, tangent_mass = mass + inertia * an * an, mass + inertia * at * at
                friction = b.friction[e, i]
                other = wp.vec2(0.0, 0.0)
                if j >= 0:
                    other = point - b.position[e, j]
                    v = v - b.next_velocity[e, j] - cross(b.next_spin[e, j], other)
                    bn, bt = wp.dot(other, tangent), -wp.dot(other, normal)
                    normal_mass += b.inverse_mass[e, j] + b.inverse_inertia[e, j] * bn * bn
                    tangent_mass += b.inverse_mass[e, j] + b.inverse_inertia[e, j] * bt * bt
                    friction *= b.friction[e, j]
                old = b.impulse[e, k]
                push = wp.max(0.0, old[0] + (b.wanted[e, k] - wp.dot(v, normal)) / normal_mass)
                limit = friction * push
                slide = wp.clamp(old[1] - wp.dot(v, tangent) / tangent_mass, -limit, limit)
                b.impulse[e, k] = wp.vec2(push, slide)
                change = (push - old[0]) * normal + (slide - old[1]) * tangent
                b.next_velocity[e, i] = b.next_velocity[e, i] + mass * change
                b.next_spin[e, i] = b.next_spin[e, i] + inertia * (arm[0] * change[1] - arm[1] * change[0])
                if j >= 0:
                    b.next_velocity[e, j] = b.next_velocity[e, j] - b.inverse_mass[e, j] * change
                    b.next_spin[e, j] = b.next_spin[e, j] - b.inverse_inertia[e, j] * (
                        other[0] * change[1] - other[1] * change[0]
                    )
                worst = wp.max(worst, wp.length(change) * mass)


@wp.func
def time_of_impact(b: Bodies, e: int, k: int, dt: float) -> float:
    """When contact k closes at bounce speed within the step, s; FAR if it does not."""
    normal, point, gap = probe(b, e, k, 0.0, dt)
    if gap >= FAR:
        return FAR
    i, j = b.contacts[k][0], b.contacts[k][1]
    v = approach(b, e, k, normal, point)
    if j < 0 and b.shape[e, i] == 1:  # gap + v t + a t²/2 = 0 in closed form
        a = wp.dot(b.next_velocity[e, i] - b.velocity[e, i], normal) / dt
        if gap < 0.0 and v < -REST:
            return 0.0
        inside = v * v - 2.0 * a * gap
        if inside < 0.0:
            return FAR
        root = wp.sqrt(inside)
        if a < 0.0:
            return (v + root) / -a
        if v < 0.0:
            return 2.0 * gap / (root - v)
        return FAR
    if gap <= 0.0:
        if v < -REST:
            return 0.0
        return FAR
    _n, _p, end = probe(b, e, k, dt, dt)
    if end >= 0.0:
        return FAR
    low, high = float(0.0), float(dt)
    for _ in range(24):
        middle = 0.5 * (low + high)
        _n, _p, at = probe(b, e, k, middle, dt)
        if at > 0.0:
            low = middle
        else:
            high = middle
    return high
