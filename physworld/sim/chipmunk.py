"""Scenes in Chipmunk itself, through the C functions that Pymunk ships: the hot path of `simulate`.

Pymunk's objects cost more than the physics: making and freeing twenty bodies takes as long as stepping them forty
times. So the space is made by its C functions, in the order in which `build_space` calls them, and one compiled loop
steps it and reads all bodies. The results are those of Pymunk's own objects to the last bit (tests/test_chipmunk.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from pymunk._chipmunk_cffi import ffi, lib

from physworld.sim import fields as fields_of
from physworld.sim.compiling import kept
from physworld.sim.fields import Fields, accelerate
from physworld.types import (
    EVERYTHING,
    FIXED,
    Body,
    Filter,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
    Peg,
    PinJoint,
    PivotJoint,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    SlideJoint,
    Spring,
    State,
)

COLUMNS = 6  # x, y, angle, vx, vy, spin: the order in which Pymunk's batch functions write and read
_STATE = lib.POSITION | lib.ANGLE | lib.VELOCITY | lib.ANGULAR_VELOCITY


def _address(name: str) -> int:
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))


_STEP, _EACH = _address("cpSpaceStep"), _address("cpSpaceEachBody")
_READ, _WRITE = _address("pmSpaceBodyGetIteratorFuncBatched"), _address("pmSpaceBodySetIteratorFuncBatched")


@intrinsic
def _step(_typing, function, space, dt):
    """cpSpaceStep(space, dt) at that address."""

    def generate(context, builder, _signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64), ir.DoubleType()])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), generate


@intrinsic
def _each(_typing, function, space, visit, data):
    """cpSpaceEachBody(space, visit, data) at that address."""

    def generate(context, builder, _signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@kept("roll", fields_of.__file__, __file__)
def _roll(calls, space, dt, rows, kicked, kicks, kicked_rows, fields, mass, force, data):
    """Fill rows (T, W, 6). `data` are the batch structures that read rows, write kicked_rows and write force."""
    step, each, read, write = calls
    read_data, kick_data, force_data = data
    poles, mutual, masses, winds, shares = fields
    n = len(mass)
    ahead, velocity, push = np.empty((n, 2)), np.empty((n, 2)), np.empty((n, 2))
    kick = 0
    for frame in range(len(kicked)):
        if frame:
            if len(force):
                for i in range(n):
                    velocity[i, 0], velocity[i, 1] = rows[frame - 1, i, 3], rows[frame - 1, i, 4]
                    ahead[i, 0] = rows[frame - 1, i, 0] + velocity[i, 0] * dt
                    ahead[i, 1] = rows[frame - 1, i, 1] + velocity[i, 1] * dt
                accelerate(poles, mutual, masses, winds, shares, ahead, velocity, push)
                for i in range(n):
                    force[frame - 1, i, 0], force[frame - 1, i, 1] = mass[i] * push[i, 0], mass[i] * push[i, 1]
                _each(each, space, write, force_data)
            _step(step, space, dt)
        _each(each, space, read, read_data)
        if kicked[frame]:
            for i in range(n):
                rows[frame, i, 0] += kicks[frame, i, 0]
                rows[frame, i, 1] += kicks[frame, i, 1]
                rows[frame, i, 2] += kicks[frame, i, 4]
                rows[frame, i, 3] += kicks[frame, i, 2]
                rows[frame, i, 4] += kicks[frame, i, 3]
                rows[frame, i, 5] += kicks[frame, i, 5]
            kicked_rows[kick] = rows[frame]
            kick += 1
            _each(each, space, write, kick_data)


class _Block:
    """A numpy array that Pymunk's batch functions fill or read from its beginning on, one visit of all bodies a time.

    The functions keep their place, and take a new block of their own once one is full: leave a row free at the end.
    """

    def __init__(self, fields: int, values: np.ndarray) -> None:
        self._memory = ffi.from_buffer("cpFloat[]", values)  # kept alive as long as the block
        self._floats = ffi.new("pmFloatArray *", {"num": 0, "max": values.size, "arr": self._memory})
        self._ints = ffi.new("pmIntArray *", {"num": 0, "max": 0, "arr": ffi.NULL})
        self._data = ffi.new("pmBatchedData *", {"fields": fields, "floatArray": self._floats, "intArray": self._ints})
        self.address = int(ffi.cast("uintptr_t", self._data))


def roll(scene: Scene, start: State, num_frames: int, kicks: np.ndarray | None) -> np.ndarray:
    """(num_frames, N, 6) x, y, angle, vx, vy, spin; see `pymunk_sim.simulate` for the arguments."""
    count = len(scene.bodies)
    width = count + needs_static_body(scene)
    rows = np.zeros((num_frames + 1, width, COLUMNS))
    kicked = np.zeros(num_frames, bool) if kicks is None else np.any(kicks, axis=(1, 2))
    kicked_rows = np.zeros((int(kicked.sum()), width, COLUMNS))
    force = np.zeros((num_frames if scene.fields else 0, width, 2))
    fields = Fields(scene).tables
    read, kick = _Block(_STATE, rows), _Block(_STATE, kicked_rows)
    push = _Block(lib.FORCE, force)
    with _space(scene, start) as space:
        _roll(
            (_STEP, _EACH, _READ, _WRITE), space, scene.dt, rows, kicked,
            np.zeros((0, 0, COLUMNS)) if kicks is None else np.ascontiguousarray(kicks, np.float64),
            kicked_rows, fields, fields[2], force, (read.address, kick.address, push.address),
        )  # fmt: skip
    return rows[:num_frames, :count]


def needs_static_body(scene: Scene) -> bool:
    return bool(scene.static) or any(joint.body_a == FIXED for joint in scene.joints)


def along(belt: Segment) -> tuple[float, float]:
    """Velocity of a belt's surface, px/s."""
    (ax, ay), (bx, by) = belt.start, belt.end
    share = belt.surface_speed / math.hypot(bx - ax, by - ay)
    return (bx - ax) * share, (by - ay) * share


@contextmanager
def _space(scene: Scene, start: State) -> Iterator[int]:
    """Address of a cpSpace in that state; it is freed in the end, with all that it holds."""
    space = lib.cpSpaceNew()
    lib.cpSpaceSetGravity(space, scene.gravity)
    bodies: list[Any] = []
    shapes: list[Any] = []
    joints: list[Any] = []
    try:
        _add_bodies(space, scene, start, bodies, shapes)
        if needs_static_body(scene):
            ground = lib.cpBodyNewStatic()
            bodies.append(ground)
            lib.cpSpaceAddBody(space, ground)
            _add_static(space, scene, ground, shapes)
            for joint in scene.joints:
                end_a = ground if joint.body_a == FIXED else bodies[joint.body_a]
                joints.append(_joint(joint, end_a, bodies[joint.body_b]))
        else:
            joints.extend(_joint(joint, bodies[joint.body_a], bodies[joint.body_b]) for joint in scene.joints)
        for joint in joints:
            lib.cpSpaceAddConstraint(space, joint)
        yield int(ffi.cast("uintptr_t", space))
    finally:
        lib.cpSpaceFree(space)  # it wakes its bodies, so they go after it
        for shape in shapes:
            lib.cpShapeFree(shape)
        for joint in joints:
            lib.cpConstraintFree(joint)
        for body in bodies:
            lib.cpBodyFree(body)


def _add_bodies(space: Any, scene: Scene, start: State, bodies: list[Any], shapes: list[Any]) -> None:
    position, velocity = start.position.tolist(), start.velocity.tolist()
    angle, spin = start.angle.tolist(), start.spin.tolist()
    for index, body in enumerate(scene.bodies):
        live = lib.cpBodyNew(body.mass, body.moment) if body.kind == "dynamic" else lib.cpBodyNewKinematic()
        bodies.append(live)
        lib.cpBodySetPosition(live, position[index])
        lib.cpBodySetVelocity(live, velocity[index])
        lib.cpBodySetAngle(live, angle[index])
        lib.cpBodySetAngularVelocity(live, spin[index])
        added = _shapes(live, body)
        shapes.extend(added)
        for shape in added:
            lib.cpShapeSetFriction(shape, body.friction)
            lib.cpShapeSetElasticity(shape, body.restitution)
            if body.sensor:
                lib.cpShapeSetSensor(shape, True)
            _filter(shape, body.filter)
        lib.cpSpaceAddBody(space, live)
        for shape in added:
            lib.cpSpaceAddShape(space, shape)


def _shapes(live: Any, body: Body) -> list[Any]:
    if body.shape == "circle":
        return [lib.cpCircleShapeNew(live, body.size[0], (0.0, 0.0))]
    if body.shape == "rect":
        return [lib.cpBoxShapeNew(live, body.size[0], body.size[1], 0.0)]
    if body.shape == "polygon":
        return [_polygon(live, body.vertices)]
    return [
        lib.cpCircleShapeNew(live, part.size[0], part.at) if part.shape == "circle" else _polygon(live, part.corners)
        for part in body.parts
    ]


def _polygon(live: Any, corners: tuple[tuple[float, float], ...]) -> Any:
    return lib.cpPolyShapeNew(live, len(corners), list(corners), (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 0.0)


def _filter(shape: Any, chosen: Filter) -> None:
    if chosen is not EVERYTHING:
        lib.cpShapeSetFilter(shape, (chosen.group, chosen.categories, chosen.mask))


def _add_static(space: Any, scene: Scene, ground: Any, shapes: list[Any]) -> None:
    for part in scene.static:
        match part:
            case Segment():
                shape = lib.cpSegmentShapeNew(ground, part.start, part.end, part.radius)
                if part.surface_speed:
                    lib.cpShapeSetSurfaceVelocity(shape, along(part))
            case Peg():
                shape = lib.cpCircleShapeNew(ground, part.radius, part.center)
        shapes.append(shape)
        lib.cpShapeSetFriction(shape, part.friction)
        lib.cpShapeSetElasticity(shape, part.restitution)
        _filter(shape, part.filter)
        lib.cpSpaceAddShape(space, shape)


def _joint(joint: Joint, a: Any, b: Any) -> Any:
    match joint:
        case PinJoint():
            made = lib.cpPinJointNew(a, b, joint.anchor_a, joint.anchor_b)
            lib.cpPinJointSetDist(made, joint.length)
        case PivotJoint():
            made = lib.cpPivotJointNew2(a, b, joint.anchor_a, joint.anchor_b)
        case Rope():
            made = lib.cpSlideJointNew(a, b, joint.anchor_a, joint.anchor_b, 0.0, joint.length)
        case SlideJoint():
            made = lib.cpSlideJointNew(a, b, joint.anchor_a, joint.anchor_b, joint.shortest, joint.longest)
        case GrooveJoint():
            made = lib.cpGrooveJointNew(a, b, joint.groove_start, joint.groove_end, joint.anchor_b)
        case Spring():
            made = lib.cpDampedSpringNew(
                a, b, joint.anchor_a, joint.anchor_b, joint.length, joint.stiffness, joint.damping
            )
        case RotarySpring():
            made = lib.cpDampedRotarySpringNew(a, b, joint.rest_angle, joint.stiffness, joint.damping)
        case RotaryLimit():
            made = lib.cpRotaryLimitJointNew(a, b, joint.lowest, joint.highest)
        case Gear():
            made = lib.cpGearJointNew(a, b, joint.phase, joint.ratio)
        case Ratchet():
            made = lib.cpRatchetJointNew(a, b, joint.phase, joint.ratchet)
        case Motor():
            made = lib.cpSimpleMotorNew(a, b, -joint.spin)  # Chipmunk's rate is that of a against b
            lib.cpConstraintSetMaxForce(made, joint.torque)
    return made
