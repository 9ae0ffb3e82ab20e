"""Laws that Pymunk's step must obey as documented in pymunk_sim; tolerances follow from the integrator."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.fields import Fields
from physworld.sim.pymunk_sim import simulate
from physworld.types import FIXED, Attractor, Body, PinJoint, Scene, Segment, State

import worlds
from repository import ROOT
from worlds import DT, ULP, digest, disc, energy, world


def test_free_fall_follows_chipmunks_recurrence() -> None:
    rolled = simulate(world(disc(400, 500, velocity=(30, 50), spin=2.0), gravity=(0.0, -981.0)), 60)
    np.testing.assert_allclose(rolled.position[1:], rolled.position[:-1] + rolled.velocity[:-1] * DT, atol=ULP)
    np.testing.assert_allclose(rolled.velocity[1:], rolled.velocity[:-1] + np.array([0.0, -981.0]) * DT, atol=ULP)
    np.testing.assert_allclose(rolled.angle[1:], rolled.angle[:-1] + rolled.spin[:-1] * DT, atol=ULP)
    # Old velocities move the body, so it lags the parabola by exactly g·dt·t/2.
    t = np.arange(60) * DT
    np.testing.assert_allclose(rolled.position[:, 0, 1], 500 + 50 * t - 981 * t**2 / 2 + 981 * DT * t / 2, atol=1e-8)


@pytest.mark.parametrize("restitution", [1.0, 0.6, 0.0])
def test_wall_bounce_returns_restitution_times_the_speed(restitution: float) -> None:
    wall = Segment(start=(700, 0), end=(700, 600), radius=5, restitution=1.0, friction=0.0)
    rolled = simulate(
        world(disc(600, 300, velocity=(240, 70), restitution=restitution, friction=0.0), static=(wall,)), 60
    )
    np.testing.assert_allclose(rolled.velocity[-1, 0], (-240 * restitution, 70), atol=1e-6)


def test_gravity_bounce_keeps_elastic_speed_to_one_step_of_gravity() -> None:
    floor = Segment(start=(0, 0), end=(800, 0), radius=5, restitution=1.0)
    rolled = simulate(world(disc(400, 300, restitution=1.0), static=(floor,), gravity=(0.0, -981.0)), 60)
    hit = int(np.argmax(rolled.velocity[:, 0, 1] > 0))
    assert 0 < hit < 59
    # The bounce takes the speed before gravity is added, and the contact may be found up to one step late.
    assert abs(rolled.velocity[hit, 0, 1] + rolled.velocity[hit - 1, 0, 1]) <= 981 * DT + ULP


@pytest.mark.parametrize("offset", [0.0, 9.0])
def test_disc_collision_keeps_momentum_and_restitution(offset: float) -> None:
    left = disc(300, 300, velocity=(200, 0), mass=1.5, restitution=0.8, friction=0.0)
    right = disc(500, 300 + offset, velocity=(-100, 0), mass=4.0, restitution=0.9, friction=0.0)
    rolled = simulate(world(left, right), 120)
    mass = np.array([1.5, 4.0])
    # Impulses are equal and opposite, whatever the number of iterations.
    momentum = np.einsum("n,tnc->tc", mass, rolled.velocity)
    np.testing.assert_allclose(momentum, momentum[:1].repeat(120, 0), atol=1e-6)
    assert np.abs(rolled.velocity[-1] - rolled.velocity[0]).max() > 50, "the discs never met"
    if offset == 0.0:
        separation = rolled.velocity[-1, 1, 0] - rolled.velocity[-1, 0, 0]
        assert separation == pytest.approx(0.8 * 0.9 * 300, abs=1e-6)  # Chipmunk multiplies the two restitutions


def test_rod_keeps_its_length_and_energy() -> None:
    length = 200.0
    bob = disc(400 + length * math.sin(1.0), 500 - length * math.cos(1.0), mass=3.0)
    rod = PinJoint(body_a=FIXED, body_b=0, anchor_a=(400, 500), length=length)
    rolled = simulate(world(bob, joints=(rod,), gravity=(0.0, -981.0)), 300)
    stretch = np.linalg.norm(rolled.position[:, 0] - (400, 500), axis=-1) - length
    # A step along the tangent leaves the circle by (v·dt)²/2L; the joint takes back 10 % of the error per frame.
    fastest = np.linalg.norm(rolled.velocity, axis=-1).max() * DT
    assert np.abs(stretch).max() <= fastest**2 / (2 * length) / 0.1
    depth = 981 * length * (1 - math.cos(1.0)) * 3.0
    assert np.abs(energy(rolled) - energy(rolled)[0]).max() < 0.1 * depth
    assert rolled.position[:, 0, 0].min() < 400 - 0.9 * length * math.sin(1.0), "it never swung to the other side"


def test_joint_keeps_the_length_written_in_the_scene() -> None:
    """The rod is shorter than the distance at the start: it must pull in to its own length, not keep the distance."""
    rod = PinJoint(body_a=FIXED, body_b=0, anchor_a=(400, 500), length=150.0)
    rolled = simulate(world(disc(400, 300), joints=(rod,), gravity=(0.0, -981.0)), 200)
    assert np.linalg.norm(rolled.position[-1, 0] - (400, 500)) == pytest.approx(150.0, abs=981 * DT**2 / 0.1)


def orbit(eccentricity: float = 0.2) -> Scene:
    pole = Attractor(center=(400, 300), strength=1e7)
    speed = math.sqrt(1e7 / 150 * (1 + eccentricity))
    return world(disc(550, 300, velocity=(0, speed), mass=7.0), fields=(pole,))


def test_orbit_energy_drift_is_bounded() -> None:
    rolled = simulate(orbit(), 600)
    radius = np.linalg.norm(rolled.position[:, 0] - (400, 300), axis=-1)
    # Position runs half a step ahead of velocity in symplectic Euler: compare with velocities of the half step.
    energies = np.sum(rolled.velocity[:, 0] ** 2, axis=-1) / 2 - 1e7 / radius
    omega_dt = math.sqrt(1e7 / radius.min() ** 3) * DT
    assert np.abs(energies / energies[0] - 1).max() < omega_dt  # first order in omega·dt at any time ...
    early, late = energies[:150].mean(), energies[-150:].mean()
    assert abs(late / early - 1) < omega_dt / 4  # ... and no growth; explicit Euler gains a third over these frames
    # A central kick at the moved position leaves the angular momentum alone.
    arm, velocity = rolled.position[:, 0] - (400, 300), rolled.velocity[:, 0]
    moment = arm[:, 0] * velocity[:, 1] - arm[:, 1] * velocity[:, 0]
    np.testing.assert_allclose(moment, moment[0], rtol=1e-9)


def test_attractor_acts_where_the_step_puts_the_body() -> None:
    scene = orbit()
    rolled = simulate(scene, 3)
    want = rolled.velocity[:-1] + Fields(scene).acceleration(rolled.position[1:], rolled.velocity[:-1]) * DT
    np.testing.assert_allclose(rolled.velocity[1:], want, atol=ULP)
    softened = replace(scene, bodies=scene.bodies[:1], fields=(Attractor(center=(0, 0), strength=8.0, softening=3.0),))
    pull = Fields(softened).acceleration(np.array([[4.0, 0.0]]), np.zeros((1, 2)))
    np.testing.assert_allclose(pull, [[-8.0 * 4 / 125, 0.0]])


def test_static_pile_stays() -> None:
    floor = Segment(start=(0, 50), end=(800, 50), radius=5, friction=0.8, restitution=0.2)
    blocks = [
        Body(shape="rect", size=(50, 25), position=(400, 55 + 12.5 + 25 * k), mass=2.0, friction=0.7, restitution=0.0)
        for k in range(8)
    ]
    rolled = simulate(world(*blocks, static=(floor,), gravity=(0.0, -981.0)), 300)
    # Contacts may sink by the 0.1 px slop each, plus one step of gravity before the first impulse is found.
    assert np.abs(rolled.position - rolled.position[0]).max() <= 8 * (0.1 + 981 * DT**2)
    # A block tilts when its two ends sink differently, on the face below and the face above.
    assert np.abs(rolled.angle).max() <= 4 * (0.1 + 981 * DT**2) / 50


def test_bodies_come_back_in_scene_order_without_the_static_body() -> None:
    walls = (Segment(start=(0, 0), end=(800, 0)),)
    bodies = [disc(100 + 60 * k, 300 + 7 * k, velocity=(k, 0)) for k in (4, 1, 7, 0, 3)]
    bodies.insert(2, Body(shape="rect", size=(10, 20), position=(700, 500), velocity=(9, 0)))
    for static in ((), walls):
        rolled = simulate(world(*bodies, static=static), 5)
        assert rolled.position.shape == (5, 6, 2)
        np.testing.assert_array_equal(rolled.position[0], [b.position for b in bodies])
        np.testing.assert_array_equal(rolled.velocity[-1, :, 0], [b.velocity[0] for b in bodies])


def test_kicks_are_added_right_after_the_frame() -> None:
    scene = world(disc(400, 300, velocity=(60, 0)), disc(100, 300), static=(Segment(start=(0, 0), end=(800, 0)),))
    kicks = np.zeros((6, 2, 6))
    kicks[0, 1] = [5, 0, 0, 12, 0, 0]
    kicks[3, 0] = [1, 2, 30, 40, 0.5, 0.25]
    rolled, plain = simulate(scene, 6, kicks=kicks), simulate(scene, 6)
    np.testing.assert_array_equal(rolled.position[:3, 0], plain.position[:3, 0])
    np.testing.assert_allclose(rolled.position[3, 0] - plain.position[3, 0], [1, 2], atol=ULP)
    np.testing.assert_allclose(rolled.velocity[3:, 0] - plain.velocity[3:, 0], [[30, 40]] * 3, atol=ULP)
    np.testing.assert_allclose(rolled.position[4, 0], rolled.position[3, 0] + rolled.velocity[3, 0] * DT, atol=ULP)
    assert (rolled.angle[3, 0], rolled.spin[5, 0]) == pytest.approx((0.5, 0.25), abs=ULP)
    np.testing.assert_allclose(rolled.position[:, 1], [[105, 300 + 12 * DT * t] for t in range(6)], atol=ULP)
    np.testing.assert_array_equal(simulate(scene, 6, kicks=np.zeros((6, 2, 6))).position, plain.position)


def test_start_replaces_the_initial_state() -> None:
    scene = world(disc(400, 300, velocity=(60, 0), spin=1.0), gravity=(0.0, -981.0))
    whole = simulate(scene, 40)
    rest = simulate(scene, 21, start=whole.frame(19))
    np.testing.assert_allclose(rest.position, whole.position[19:], atol=ULP)  # free flight has no hidden state
    np.testing.assert_allclose(rest.angle, whole.angle[19:], atol=ULP)


def test_a_simulation_leaves_nothing_to_the_next_and_one_frame_is_the_initial_state() -> None:
    scenes = [scenarios.build(name, generator(0, "val", 5), 2) for name in ("billiards", "pendulum", "orbit")]
    rolled = [simulate(scene, 30) for scene in scenes]
    for scene, first in zip(reversed(scenes), reversed(rolled), strict=True):
        np.testing.assert_array_equal(simulate(scene, 30).position, first.position)
    np.testing.assert_array_equal(simulate(scenes[0], 1).position[0], scenes[0].state.position)


def test_wrong_shapes_are_named() -> None:
    scene = world(disc(400, 300))
    with pytest.raises(ValueError, match="num_frames must be a whole number, 1 or more, got 0"):
        simulate(scene, 0)
    with pytest.raises(ValueError, match=r"kicks must have shape \(4, 1, 6\), got \(3, 1, 6\)"):
        simulate(scene, 4, kicks=np.zeros((3, 1, 6)))
    two = State(position=np.zeros((2, 2)), velocity=np.zeros((2, 2)), angle=np.zeros(2), spin=np.zeros(2))
    with pytest.raises(ValueError, match="start holds 2 bodies but scene 'test' has 1"):
        simulate(scene, 4, start=two)
    one = scene.state
    for name, wrong in (("position", np.zeros((1, 3))), ("velocity", np.zeros((2, 2))), ("angle", np.zeros((1, 1)))):
        with pytest.raises(ValueError, match=f"start must have {name} of shape"):
            simulate(scene, 4, start=replace(one, **{name: wrong}))
    with pytest.raises(ValueError, match=r"start must have spin of shape \(1,\), got \(\)"):
        simulate(scene, 4, start=replace(one, spin=np.zeros(())))


@pytest.mark.slow
def test_same_bits_in_two_processes_and_any_order() -> None:
    path = str(Path(worlds.__file__).parent)
    code = f"import sys; sys.path[:0] = {[path, str(ROOT)]}; from worlds import digest; print(digest(%d))"
    outputs = [
        subprocess.run([sys.executable, "-c", code % order], capture_output=True, text=True, check=True).stdout.strip()
        for order in (1, -1)
    ]
    assert outputs[0] == outputs[1] == digest(1)
