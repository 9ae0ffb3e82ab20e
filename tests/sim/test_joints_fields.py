"""Joints, belts and fields obey the formulas that pymunk_sim's docstring states; tolerances follow from the steps."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from physworld.metrics.energy import linear_momentum, total_energy
from physworld.metrics.errors import event_mask
from physworld.scenarios._parts import mirrored
from physworld.sim.fields import Fields
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Filter,
    Motor,
    MutualGravity,
    PivotJoint,
    Rope,
    Scene,
    Segment,
    Spring,
    Wind,
)

from worlds import DT, ULP, disc, energy, world

DOWN = (0.0, -981.0)


def plank(x: float, y: float, **rest) -> Body:
    return Body(shape="rect", size=(200.0, 10.0), position=(x, y), mass=2.0, **rest)


def test_hinge_holds_its_point_and_swings_like_a_physical_pendulum() -> None:
    lean = 0.1
    bar = plank(400 + 100 * math.sin(lean), 400 - 100 * math.cos(lean), angle=lean - math.pi / 2)
    hinge = PivotJoint(body_a=FIXED, body_b=0, anchor_a=(400, 400), anchor_b=(-100, 0))
    rolled = simulate(world(bar, joints=(hinge,), gravity=DOWN), 400)
    end = rolled.position[:, 0] - 100 * np.stack([np.cos(rolled.angle[:, 0]), np.sin(rolled.angle[:, 0])], axis=-1)
    # A step along the tangent leaves the circle by (v·dt)²/2r; the joint takes back 10 % of the error per frame.
    fastest = np.abs(rolled.spin).max() * DT
    assert np.abs(end - (400, 400)).max() <= 100 * fastest**2 / 2 / 0.1 + ULP
    swing = rolled.position[:, 0, 0] - 400
    up = np.flatnonzero((swing[:-1] < 0) & (swing[1:] >= 0))
    period = np.diff(up + swing[up] / (swing[up] - swing[up + 1])).mean() * DT
    about = bar.moment + bar.mass * 100**2
    assert period == pytest.approx(
        2 * math.pi * math.sqrt(about / (bar.mass * 981 * 100)) * (1 + lean**2 / 16), rel=0.01
    )


def test_rope_does_nothing_while_slack_and_holds_when_taut() -> None:
    rope = Rope(body_a=FIXED, body_b=0, anchor_a=(400, 500), length=150.0)
    tied = simulate(world(disc(400, 460), joints=(rope,), gravity=DOWN), 200)
    free = simulate(world(disc(400, 460), gravity=DOWN), 200)
    slack = int(np.argmax(500 - free.position[:, 0, 1] > 150.0))
    np.testing.assert_array_equal(tied.velocity[:slack, 0], free.velocity[:slack, 0])
    assert tied.velocity[slack, 0, 1] > free.velocity[slack, 0, 1] + 100, "the rope did not stop the fall"
    over = 500 - tied.position[:, 0, 1] - 150.0
    assert over.max() <= abs(free.velocity[slack, 0, 1]) * DT  # found taut up to one step late
    assert abs(over[-1]) <= 981 * DT**2 / 0.1
    pushed = simulate(world(disc(400, 460, velocity=(0, 50)), joints=(rope,)), 60)
    assert (pushed.velocity[:, 0] == (0, 50)).all(), "a rope must not push"


@pytest.mark.parametrize("damping", [0.0, 3.0])
def test_spring_follows_its_recurrence(damping: float) -> None:
    spring = Spring(body_a=FIXED, body_b=0, anchor_a=(300, 300), length=100.0, stiffness=80.0, damping=damping)
    rolled = simulate(world(disc(460, 300, mass=2.0), joints=(spring,)), 300)
    speed, distance = rolled.velocity[:, 0, 0], rolled.position[:, 0, 0] - 300
    # Stiffness acts at the new place, then the damper takes its share of the new speed.
    want = (speed[:-1] + 80.0 * (100 - distance[1:]) / 2.0 * DT) * math.exp(-damping / 2.0 * DT)
    np.testing.assert_allclose(speed[1:], want, atol=ULP)
    if not damping:
        returns = np.flatnonzero((speed[:-1] > 0) & (speed[1:] <= 0))
        assert np.diff(returns).mean() * DT == pytest.approx(2 * math.pi * math.sqrt(2.0 / 80.0), rel=0.02)
        energies = total_energy(rolled)
        assert np.ptp(energies) / energies.mean() < math.sqrt(80.0 / 2.0) * DT  # symplectic: first order in omega·dt
        assert abs(energies[:150].mean() / energies[-150:].mean() - 1) < 0.01


def test_spring_between_two_bodies_keeps_momentum() -> None:
    spring = Spring(body_a=0, body_b=1, anchor_a=(0, 8), anchor_b=(0, 8), length=60.0, stiffness=50.0, damping=1.0)
    rolled = simulate(world(disc(300, 300, mass=1.0), disc(420, 300, mass=3.0), joints=(spring,)), 200)
    assert np.abs(rolled.spin).max() > 0.1, "anchors off the centre must turn the bodies"
    np.testing.assert_allclose(linear_momentum(rolled), 0.0, atol=1e-9)


def test_motor_spins_up_with_its_torque_and_then_holds_its_spin() -> None:
    bar = plank(400, 300)
    joints = (
        PivotJoint(body_a=FIXED, body_b=0, anchor_a=(400, 300)),
        Motor(body_a=FIXED, body_b=0, spin=5.0, torque=4e4),
    )
    rolled = simulate(world(bar, joints=joints), 120)
    ramp = 4e4 / bar.moment * DT
    want = np.minimum(ramp * np.arange(120), 5.0)
    np.testing.assert_allclose(rolled.spin[:, 0], want, atol=1e-6)
    assert 0 < np.argmax(want == 5.0) < 60


@pytest.mark.parametrize("shape", ["rect", "circle"])
def test_belt_drags_by_friction_until_it_is_as_fast(shape: str) -> None:
    belt = Segment(start=(0, 95), end=(800, 95), radius=5.0, friction=0.5, restitution=0.0, surface_speed=120.0)
    size = (20.0, 20.0) if shape == "rect" else (10.0,)
    box = Body(shape=shape, size=size, position=(100, 110), friction=0.4, restitution=0.0)  # type: ignore[arg-type]
    rolled = simulate(world(box, static=(belt,), gravity=DOWN), 120)
    pull = 0.5 * 0.4 * 981 * DT  # px/s per frame: Chipmunk multiplies the two
    early = rolled.velocity[3:10, 0, 0]  # a ball rolls from frame 12 on
    assert np.diff(early) == pytest.approx(pull, rel=0.02)
    if shape == "rect":
        assert rolled.velocity[-1, 0, 0] == pytest.approx(120.0, rel=1e-3)
    else:  # a ball ends up rolling: the belt's speed where they touch
        assert rolled.velocity[-1, 0, 0] + 10 * rolled.spin[-1, 0] == pytest.approx(120.0, rel=1e-2)
    back = replace(belt, start=belt.end, end=belt.start)
    assert simulate(world(box, static=(back,), gravity=DOWN), 30).velocity[-1, 0, 0] < 0


def test_wind_is_exact_drag_whatever_the_mass() -> None:
    wind = Wind(velocity=(300.0, 40.0), drag=0.05)
    light, heavy = disc(100, 300, mass=0.001), disc(100, 500, mass=4.0, velocity=(0, 90))
    rolled = simulate(world(light, heavy, fields=(wind,)), 100)
    t = np.arange(100) * DT
    rate = 0.05 * 20 / 4.0
    want = np.array([300.0, 40.0]) + np.exp(-rate * t)[:, None] * (np.array([0.0, 90.0]) - [300.0, 40.0])
    np.testing.assert_allclose(rolled.velocity[:, 1], want, atol=1e-8)
    np.testing.assert_allclose(rolled.velocity[2:, 0], np.broadcast_to((300.0, 40.0), (98, 2)), atol=1e-6)
    falling = simulate(world(heavy, fields=(wind,), gravity=DOWN), 50)
    step = np.array(DOWN) * DT + (1 - math.exp(-rate * DT)) * (np.array(wind.velocity) - falling.velocity[:-1, 0])
    np.testing.assert_allclose(falling.velocity[1:, 0] - falling.velocity[:-1, 0], step, atol=1e-8)


def two_stars() -> Scene:
    strength, apart = 4e5, 200.0
    omega = math.sqrt(strength * (6.0 + 2.0) / apart**3)
    return world(
        disc(350, 300, mass=6.0, velocity=(0, -50 * omega)),
        disc(550, 300, mass=2.0, velocity=(0, 150 * omega)),
        fields=(MutualGravity(strength=strength),),
    )


def test_mutual_gravity_keeps_two_stars_on_circles() -> None:
    scene = two_stars()
    rolled = simulate(scene, 600)
    apart = np.linalg.norm(rolled.position[:, 1] - rolled.position[:, 0], axis=-1)
    omega = scene.bodies[1].velocity[1] / 150
    assert np.abs(apart / 200 - 1).max() < omega * DT  # symplectic Euler: first order in omega·dt, at any time
    np.testing.assert_allclose(linear_momentum(rolled), 0.0, atol=1e-9)
    energies = total_energy(rolled)
    assert np.ptp(energies) < omega * DT * abs(energies.mean())
    turns = np.unwrap(np.arctan2(*(rolled.position[:, 1] - rolled.position[:, 0]).T[::-1]))
    assert (turns[-1] - turns[0]) / (599 * DT) == pytest.approx(omega, rel=0.01)


def test_fields_say_what_a_step_adds_so_that_events_are_contacts_only() -> None:
    scene = replace(two_stars(), fields=(*two_stars().fields, Wind(velocity=(50.0, 0.0), drag=0.02)))
    rolled = simulate(scene, 30)
    added = Fields(scene).acceleration(rolled.position[1:], rolled.velocity[:-1]) * DT
    np.testing.assert_allclose(rolled.velocity[1:], rolled.velocity[:-1] + added, atol=ULP)
    assert not event_mask(rolled, threshold=1e-6).any()


def test_where_a_field_has_no_direction_it_pulls_nowhere() -> None:
    """At an attractor's centre, and two bodies on one spot: what is there stays, as if the field were not there."""
    centre = world(disc(400.0, 300.0), fields=(Attractor(center=(400.0, 300.0), strength=1e8),))
    twins = [replace(disc(400.0, 300.0), filter=Filter(group=1)) for _ in range(2)]
    together = world(*twins, fields=(MutualGravity(strength=1e8),))
    for scene in (centre, together):
        rolled = simulate(scene, 20)
        np.testing.assert_array_equal(rolled.position, np.broadcast_to(scene.state.position, rolled.position.shape))
        assert not event_mask(rolled, threshold=1e-6).any()


def test_mirror_turns_motors_belts_and_wind() -> None:
    joints = (
        PivotJoint(body_a=FIXED, body_b=0, anchor_a=(300, 300), anchor_b=(20, 0)),
        Motor(body_a=FIXED, body_b=0, spin=4.0, torque=1e5),
        Spring(body_a=0, body_b=1, anchor_a=(80, 3), anchor_b=(2, 5), length=50.0, stiffness=60.0, damping=1.0),
        Rope(body_a=FIXED, body_b=1, anchor_a=(500, 500), length=180.0),
    )
    belt = Segment(start=(100, 95), end=(700, 80), radius=5.0, friction=0.9, surface_speed=150.0)
    scene = world(
        plank(280, 300),
        disc(420, 360),
        disc(500, 103),
        joints=joints,
        static=(belt,),
        fields=(Wind(velocity=(200.0, 30.0), drag=0.03), MutualGravity(strength=1e4, softening=9.0)),
        gravity=DOWN,
    )
    plain, image = simulate(scene, 40), simulate(mirrored(scene), 40)
    np.testing.assert_allclose(image.position[..., 0], 800 - plain.position[..., 0], atol=1e-6)
    np.testing.assert_allclose(image.spin, -plain.spin, atol=1e-6)
    assert np.abs(plain.velocity[-1]).min() > 1, "everything should have moved"


def test_energy_knows_springs() -> None:
    """A damped spring loses what the damper takes and no more: it ends with weight and spring at rest."""
    spring = Spring(body_a=FIXED, body_b=0, anchor_a=(400, 500), length=100.0, stiffness=60.0, damping=4.0)
    rolled = simulate(world(disc(400, 400, mass=2.0), joints=(spring,), gravity=DOWN), 600)
    sag = 2.0 * 981 / 60.0
    assert rolled.position[-1, 0, 1] == pytest.approx(400 - sag, abs=0.01)
    lost = total_energy(rolled)[0] - total_energy(rolled)[-1]
    assert lost == pytest.approx((2.0 * 981 * sag - 60.0 * sag**2 / 2) / 1e4, rel=1e-3)
    assert energy(rolled)[0] - energy(rolled)[-1] == pytest.approx(2.0 * 981 * sag, rel=1e-3)


def test_no_python_runs_inside_a_step() -> None:
    """Forty springs cost no more than ten times forty rods; a Python spring function would cost hundreds."""
    bodies = [disc(40 + 18 * k, 300, radius=8.0) for k in range(41)]
    springs = tuple(
        Spring(body_a=k, body_b=k + 1, anchor_a=(0, 0), length=18.0, stiffness=50.0, damping=1.0) for k in range(40)
    )
    ropes = tuple(Rope(body_a=k, body_b=k + 1, anchor_a=(0, 0), length=19.0) for k in range(40))

    def spent(joints: tuple) -> float:
        space = build_space(world(*bodies, joints=joints))
        start = time.thread_time()
        for _ in range(200):
            space.step(DT)
        return time.thread_time() - start

    assert min(spent(springs) for _ in range(3)) < 10 * min(spent(ropes) for _ in range(3))
