"""What the compiled writer of `impulse` prompts reads of a scene, as tables of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from physworld.sim.contacts import Solids
from physworld.text.codecs._impulse_kernel import (
    FIELDS,
    HINGE,
    JOINTS,
    MAX_PARTNERS,
    MAX_PULLS,
    MOTOR,
    MUTUAL,
    POLE,
    ROD,
    ROPE,
    SPRING,
    WIND,
    write_alone,
)
from physworld.types import (
    FIXED,
    Anchored,
    Attractor,
    Motor,
    MutualGravity,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    Segment,
    Spring,
)

WORDS: np.ndarray = np.zeros(0, np.int64)  # set once by impulse.py: ids of the words the writer uses


def world_of(scene: Scene, header: np.ndarray, slots: np.ndarray, packed: Solids, margin: float) -> tuple[Any, ...]:
    """What compiled code reads of a scene.

    Args:
        header: (H,) ids of the lines that stay, and of the bodies' lines.
        slots: (N,) where in the header each body's X Y ANGLE VX VY SPIN belong.
    """
    _, first_body, bodies = WORDS[:3]
    named = np.flatnonzero((header >= first_body) & (header < first_body + bodies))
    solids = (
        packed.kind, packed.extent, packed.rounding, packed.static_pose, packed.static_corners, packed.static_box,
        packed.friction, packed.restitution, packed.mass, packed.gyration,
    )  # fmt: skip
    gravity = np.array(scene.gravity)
    return (
        header,
        named,
        slots,
        *solids,
        *_joints(scene),
        _belts(scene),
        _fields(scene),
        gravity,
        scene.dt,
        margin,
        WORDS,
    )


def _joints(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (kind, body a, body b, anchor a, anchor b, three numbers of its kind); then, for body i,
    mine[first[i] : first[i + 1]] = 2·row + (1 if it is body b): its joints, motors last."""
    table = np.zeros((len(scene.joints), 10))
    ends: list[list[int]] = [[] for _ in scene.bodies]
    for row, joint in enumerate(scene.joints):
        match joint:
            case PinJoint():
                own: tuple[float, ...] = (ROD, joint.length)
            case PivotJoint():
                own = (HINGE,)
            case Rope():
                own = (ROPE, joint.length)
            case Spring():
                own = (SPRING, joint.length, joint.stiffness, joint.damping)
            case Motor():
                own = (MOTOR, joint.spin, joint.torque)
        table[row, 0:3] = own[0], joint.body_a, joint.body_b
        table[row, 7 : 6 + len(own)] = own[1:]
        if isinstance(joint, Anchored):
            table[row, 3:7] = *joint.anchor_a, *joint.anchor_b
        if joint.body_a != FIXED:
            ends[joint.body_a].append(2 * row)
        ends[joint.body_b].append(2 * row + 1)
    for some in ends:
        some.sort(key=lambda end: table[end >> 1, 0] == MOTOR)
    first = np.cumsum([0, *(len(some) for some in ends)])
    return table, first.astype(np.int64), np.array([end for some in ends for end in some], np.int64)


def _belts(scene: Scene) -> np.ndarray:
    """(S, 2) px/s: velocity of each static shape's surface."""
    found = np.zeros((len(scene.static), 2))
    for row, part in enumerate(scene.static):
        if isinstance(part, Segment) and part.surface_speed:
            along = np.subtract(part.end, part.start)
            found[row] = part.surface_speed * along / math.hypot(*along)
    return found


def _fields(scene: Scene) -> np.ndarray:
    """Rows (POLE, x, y, strength, softening), (MUTUAL, 0, 0, strength, softening) or (WIND, vx, vy, drag, 0)."""
    rows = []
    for field in scene.fields:
        if isinstance(field, Attractor):
            rows.append((POLE, *field.center, field.strength, field.softening))
        elif isinstance(field, MutualGravity):
            rows.append((MUTUAL, 0.0, 0.0, field.strength, field.softening))
        else:
            rows.append((WIND, *field.velocity, field.drag, 0.0))
    return np.array(sorted(rows, key=lambda row: row[0]), np.float64).reshape(-1, 5)


def room(world: tuple[Any, ...], bodies: int) -> int:
    """Ids that a prompt has at most."""
    header, joints, fields = world[0], world[JOINTS], world[FIELDS]
    per_body = 10 + 24 * MAX_PARTNERS + 7 * MAX_PULLS * len(fields)
    return len(header) + bodies * per_body + 24 * len(joints) + 1


def write_prompt(
    world: tuple[Any, ...], position: np.ndarray, velocity: np.ndarray, angle: np.ndarray, spin: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids (L,), listed bodies (M,), own frames (M, 3)); see impulse.py for the text."""
    n = len(angle)
    ids, listed, frames = np.empty(room(world, n), np.int64), np.empty(n, np.int64), np.empty((n, 3))
    used, m = write_alone(
        world, np.ascontiguousarray(position), np.ascontiguousarray(velocity), np.ascontiguousarray(angle),
        np.ascontiguousarray(spin), ids, listed, frames,
    )  # fmt: skip
    return ids[:used], listed[:m], frames[:m]
