"""A turned scene, simulated, is the simulated scene, turned."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.sim.turning import turned
from physworld.types import (
    FIXED,
    Body,
    Gear,
    GrooveJoint,
    Joint,
    Ratchet,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    Trajectory,
)

ANGLE = 1.1


def assert_turned(scene: Scene, angle: float, frames: int) -> Trajectory:
    path, other = simulate(scene, frames), simulate(turned(scene, angle), frames)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = np.array(scene.canvas) / 2
    np.testing.assert_allclose(other.position, (path.position - middle) @ turn.T + middle, atol=1e-3)
    np.testing.assert_allclose(other.velocity, path.velocity @ turn.T, atol=0.05)
    np.testing.assert_allclose(other.angle, path.angle + angle, atol=1e-4)
    np.testing.assert_allclose(other.spin, path.spin, atol=5e-3)
    return path


@pytest.mark.parametrize("name", scenarios.names())
def test_every_type_of_scene(name: str) -> None:
    # from a moment in the middle, where nothing touches by a hair as at the start; and few frames: what is rounded in
    # the last bit grows with every contact
    scene = scenarios.build(name, generator(3, "test", 1), 1)
    now = simulate(scene, 41).frame(40)
    states = zip(scene.bodies, now.position.tolist(), now.velocity.tolist(), now.angle, now.spin, strict=True)
    bodies = tuple(
        replace(body, position=tuple(p), velocity=tuple(v), angle=float(a), spin=float(w))
        for body, p, v, a, w in states
    )
    assert_turned(replace(scene, bodies=bodies), ANGLE, 3)


JOINTS = [
    GrooveJoint(body_a=FIXED, body_b=0, groove_start=(300.0, 300.0), groove_end=(500.0, 330.0)),
    Gear(body_a=FIXED, body_b=0, ratio=2.0, phase=0.3),
    Ratchet(body_a=FIXED, body_b=0, ratchet=0.5, phase=0.1),
    RotaryLimit(body_a=FIXED, body_b=0, lowest=-0.1, highest=0.2),
    RotarySpring(body_a=FIXED, body_b=0, rest_angle=0.7, stiffness=3e5, damping=1e3),
]


@pytest.mark.parametrize("joint", JOINTS, ids=lambda joint: type(joint).__name__)
def test_joints_that_know_the_worlds_angle(joint: Joint) -> None:
    spin = -2.1 if isinstance(joint, Ratchet) else 2.1
    body = Body(shape="rect", size=(40.0, 20.0), position=(400.0, 310.0), velocity=(30.0, 10.0), spin=spin)
    scene = Scene(name="one", category="", difficulty=1, text="", bodies=(body,), joints=(joint,))
    path = assert_turned(scene, ANGLE, 30)
    free = simulate(replace(scene, joints=()), 30)
    assert np.abs(path.spin - free.spin).max() + np.abs(path.position - free.position).max() > 0.1  # the joint acts


TWO = [
    Gear(body_a=0, body_b=1, ratio=2.0, phase=-0.7),
    Ratchet(body_a=0, body_b=1, ratchet=0.5, phase=0.1),
    RotaryLimit(body_a=0, body_b=1, lowest=-0.5, highest=-0.2),
    RotarySpring(body_a=0, body_b=1, rest_angle=0.7, stiffness=3e5, damping=1e3),
]


@pytest.mark.parametrize("joint", TWO, ids=lambda joint: type(joint).__name__)
def test_joints_of_two_bodies_that_know_their_angles(joint: Joint) -> None:
    wheel = Body(shape="circle", size=(20.0,), position=(300.0, 300.0), angle=0.3, spin=2.0)
    other = Body(shape="circle", size=(10.0,), position=(400.0, 300.0), angle=-0.2, spin=1.0)
    scene = Scene(bodies=(wheel, other), joints=(joint,), gravity=(0.0, 0.0))
    path = assert_turned(scene, ANGLE, 30)
    if isinstance(joint, Gear):  # the wheels stand as it wants them and spin at its ratio: it has nothing to do
        np.testing.assert_allclose(path.spin, [[2.0, 1.0]] * 30, atol=1e-9)


def test_a_one_way_wall_keeps_its_solid_side() -> None:
    ball = Body(shape="circle", size=(10.0,), position=(400.0, 300.0), velocity=(0.0, -200.0))
    wall = Segment(start=(300.0, 270.0), end=(500.0, 270.0), one_way=(0.0, 1.0))
    scene = Scene(name="one", category="", difficulty=1, text="", bodies=(ball,), static=(wall,), gravity=(0.0, 0.0))
    path = assert_turned(scene, ANGLE, 30)
    assert path.velocity[-1, 0, 1] > 0  # it bounced
