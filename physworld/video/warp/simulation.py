"""Rigid bodies in the vertical plane, thousands of worlds per launch, the whole rollout in one kernel (Warp).

Motion between impacts is exact (uniform acceleration); impacts happen at their own time inside a step, so the energy of
a bounce does not depend on the frame rate. Contacts that rest or slide are solved as constraints. SI units, y up.
"""

from __future__ import annotations

import numpy as np
import warp as wp

from physworld.video.warp.contacts import (
    FAR,
    REST,
    SLOP,
    Bodies,
    approach,
    place,
    probe,
    solve,
    time_of_impact,
)
from physworld.video.warp.device import device as find_device
from physworld.video.warp.worlds import BOX, NOTHING, Rollout, Worlds

FINE_STEP = 1 / 960  # s: longest step where boxes or several bodies meet; a corner turns 1° in it at 17 rad/s
IMPACTS = wp.constant(64)  # per step; a ball that comes to rest has fewer


@wp.kernel
def _roll(
    b: Bodies,
    frames: int,
    frame_time: float,
    steps: wp.array(dtype=wp.int32),
    alone: wp.array(dtype=wp.int32),
    out_position: wp.array3d(dtype=wp.vec2),
    out_velocity: wp.array3d(dtype=wp.vec2),
    out_angle: wp.array3d(dtype=float),
    out_spin: wp.array3d(dtype=float),
):
    e = wp.tid()
    count = b.shape.shape[1]
    for t in range(frames):
        for i in range(count):
            out_position[e, t, i] = b.position[e, i]
            out_velocity[e, t, i] = b.velocity[e, i]
            out_angle[e, t, i] = b.angle[e, i]
            out_spin[e, t, i] = b.spin[e, i]
        if t < frames - 1:
            for _ in range(steps[e]):
                _step(b, e, frame_time / float(steps[e]), alone[e] > 0)


@wp.func
def _step(b: Bodies, e: int, dt: float, alone: bool):
    """One step: rest and slide, find the first impact, move there, bounce, and again with the time that is left."""
    bodies, contacts = b.shape.shape[1], b.contacts.shape[0]
    left = float(dt)
    for _ in range(IMPACTS):
        if left <= 0.0:
            break
        for i in range(bodies):
            b.next_velocity[e, i] = b.velocity[e, i]
            b.next_spin[e, i] = b.spin[e, i]
        resting = int(0)
        for k in range(contacts):
            b.wanted[e, k] = FAR
            normal, point, gap = probe(b, e, k, 0.0, left)
            if gap < SLOP and wp.abs(approach(b, e, k, normal, point)) < REST:
                b.wanted[e, k] = 0.0
                resting += 1
        for i in range(bodies):
            if b.inverse_mass[e, i] > 0.0:
                b.next_velocity[e, i] = b.velocity[e, i] + b.gravity[e] * left
        if resting > 0:
            solve(b, e, left)
        first = float(left)
        hit = int(-1)
        for k in range(contacts):
            if b.wanted[e, k] >= FAR:
                when = time_of_impact(b, e, k, left)
                if when < first:
                    first = when
                    hit = k
        for i in range(bodies):
            there = place(b, e, i, first, left)
            share = first / left
            b.velocity[e, i] = b.velocity[e, i] + (b.next_velocity[e, i] - b.velocity[e, i]) * share
            b.spin[e, i] = b.spin[e, i] + (b.next_spin[e, i] - b.spin[e, i]) * share
            b.position[e, i] = wp.vec2(there[0], there[1])
            b.angle[e, i] = there[2]
        left -= first
        if hit >= 0:
            _bounce(b, e, hit)
        if resting > 0 or not alone:
            _part(b, e)


@wp.func
def _bounce(b: Bodies, e: int, hit: int):
    """All contacts that touch and close get their restitution times the approach speed, together."""
    for i in range(b.shape.shape[1]):
        b.next_velocity[e, i] = b.velocity[e, i]
        b.next_spin[e, i] = b.spin[e, i]
    for k in range(b.contacts.shape[0]):
        b.wanted[e, k] = FAR
        normal, point, gap = probe(b, e, k, 0.0, 1.0)
        if gap < SLOP or k == hit:
            speed = approach(b, e, k, normal, point)
            restitution = b.restitution[e, b.contacts[k][0]]
            if b.contacts[k][1] >= 0:
                restitution *= b.restitution[e, b.contacts[k][1]]
            b.wanted[e, k] = 0.0
            if speed < -REST:
                b.wanted[e, k] = -restitution * speed
    solve(b, e, 1.0)
    for i in range(b.shape.shape[1]):
        b.velocity[e, i] = b.next_velocity[e, i]
        b.spin[e, i] = b.next_spin[e, i]


@wp.func
def _part(b: Bodies, e: int):
    """Push overlapping bodies apart, the lighter one further."""
    for i in range(b.shape.shape[1]):
        b.next_velocity[e, i] = b.velocity[e, i]
        b.next_spin[e, i] = b.spin[e, i]
    for k in range(b.contacts.shape[0]):
        normal, _point, gap = probe(b, e, k, 0.0, 1.0)
        if gap < 0.0:
            i, j = b.contacts[k][0], b.contacts[k][1]
            mine, other = b.inverse_mass[e, i], float(0.0)
            if j >= 0:
                other = b.inverse_mass[e, j]
            b.position[e, i] = b.position[e, i] - normal * (gap * mine / (mine + other))
            if j >= 0:
                b.position[e, j] = b.position[e, j] + normal * (gap * other / (mine + other))


def _contacts(worlds: Worlds) -> np.ndarray:
    """(C, 3) every contact that some world may have: body, other body or -1 - plane, corner."""
    shape = worlds.shape
    found = []
    for i in range(shape.shape[1]):
        corners = 4 if (shape[:, i] == BOX).any() else 1
        found += [(i, -1 - p, c) for p in range(worlds.planes.shape[1]) for c in range(corners)]
        for j in range(i):
            if ((shape[:, i] != NOTHING) & (shape[:, j] != NOTHING)).any():
                boxes = ((shape[:, i] == BOX) & (shape[:, j] == BOX)).any()
                found += [(i, j, c) for c in range(8 if boxes else 1)]
    return np.array(found, np.int32).reshape(-1, 3)


def steps_per_frame(worlds: Worlds, fps: float) -> np.ndarray:
    """(E,) Balls that meet only half-spaces are exact in one step; corners and pairs want short ones."""
    simple = _alone(worlds) & ~(worlds.shape == BOX).any(1)
    return np.where(simple, 1, max(1, int(np.ceil(1 / fps / FINE_STEP - 1e-9))))


def _alone(worlds: Worlds) -> np.ndarray:
    """(E,) bool, one body at most."""
    return (worlds.shape != NOTHING).sum(1) <= 1


def roll(
    worlds: Worlds,
    frames: int,
    fps: float,
    *,
    steps: int | None = None,
    device: str = "cpu",
    allow_violation: bool = False,
) -> Rollout:
    """Simulate all worlds for `frames` frames (the first is the initial state).

    Args:
        steps: per frame; None chooses by `steps_per_frame`.
        device: cpu, cuda or auto.
        allow_violation: let restitution exceed 1.

    Raises:
        ValueError: worlds, frames or fps make no sense.
    """
    worlds.check(allow_violation=allow_violation)
    if frames < 1 or fps <= 0:
        raise ValueError(f"frames={frames} and fps={fps:g} must be positive")
    where = find_device(device)
    bodies = _upload(worlds, where)
    count, many = worlds.shape.shape
    out = [wp.zeros((count, frames, many), dtype=kind, device=where) for kind in (wp.vec2, wp.vec2, float, float)]
    each = steps_per_frame(worlds, fps) if steps is None else np.full(count, steps)
    whole = [wp.array(v.astype(np.int32), dtype=wp.int32, device=where) for v in (each, _alone(worlds))]
    wp.launch(_roll, dim=count, inputs=[bodies, frames, 1.0 / fps, *whole], outputs=out, device=where)
    position, velocity, angle, spin = (array.numpy() for array in out)
    return Rollout(worlds=worlds, position=position, velocity=velocity, angle=angle, spin=spin)


def _upload(worlds: Worlds, where: str) -> Bodies:
    """The kernel's own copy."""
    present = worlds.shape != NOTHING
    contacts = _contacts(worlds)
    count = len(worlds)
    bodies = Bodies()

    def put(name: str, value: np.ndarray, kind: type) -> None:
        setattr(bodies, name, wp.array(np.ascontiguousarray(value), dtype=kind, device=where))

    put("shape", worlds.shape.astype(np.int32), wp.int32)
    for name, value in (
        ("inverse_mass", np.where(present, 1 / np.where(present, worlds.mass, 1), 0)),
        ("inverse_inertia", np.where(present, 1 / np.where(present, worlds.inertia, 1), 0)),
        ("friction", worlds.friction),
        ("restitution", worlds.restitution),
        ("angle", worlds.angle),
        ("spin", worlds.spin),
        ("next_spin", worlds.spin),
        ("wanted", np.zeros((count, len(contacts)))),
    ):
        put(name, value.astype(np.float32), float)
    for name, value in (
        ("size", worlds.size),
        ("gravity", worlds.gravity),
        ("position", worlds.position),
        ("velocity", worlds.velocity),
        ("next_velocity", worlds.velocity),
        ("impulse", np.zeros((count, len(contacts), 2))),
    ):
        put(name, value.astype(np.float32), wp.vec2)
    put("planes", worlds.planes.astype(np.float32), wp.vec3)
    put("contacts", contacts, wp.vec3i)
    return bodies
