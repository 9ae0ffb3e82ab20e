"""Laws of polygons, compounds, kinematic bodies, sensors, filters, one-way walls and the joints between angles."""

from __future__ import annotations

import math

import numpy as np
import pymunk
import pytest

from physworld.metrics.energy import total_energy
from physworld.metrics.errors import event_mask
from physworld.metrics.violations import joint_drift, penetration
from physworld.sim.fields import Fields, gravity
from physworld.sim.pymunk_sim import _stepped, build_space, simulate
from physworld.text.evaluation.baselines import ballistic
from physworld.types import (
    FIXED,
    Body,
    Filter,
    Gear,
    GrooveJoint,
    MutualGravity,
    Part,
    Peg,
    Ratchet,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    SlideJoint,
    Trajectory,
    Wind,
)

from worlds import DT, disc, world

G = 981.0  # px/s²
DOWN = (0.0, -G)
FLOOR = Segment(start=(0.0, 0.0), end=(800.0, 0.0), friction=0.9, restitution=0.0)
TRIANGLE = ((0.0, 0.0), (60.0, 0.0), (0.0, 45.0))
HAMMER = (
    Part(shape="rect", size=(80.0, 10.0)),
    Part(shape="circle", size=(14.0,), at=(40.0, 3.0), density=3.0),
    Part(shape="polygon", vertices=((0.0, 0.0), (20.0, 0.0), (0.0, 20.0)), at=(-40.0, 5.0), angle=0.4),
)


def states(run: Trajectory) -> np.ndarray:
    return np.concatenate([run.position, run.angle[..., None], run.velocity, run.spin[..., None]], axis=2)


def everything() -> Scene:
    """One of each, with wind and gravity between bodies."""
    return world(
        Body.polygon(TRIANGLE, position=(100.0, 200.0), angle=0.3, velocity=(30.0, 0.0)),
        Body.compound(HAMMER, position=(300.0, 200.0), friction=0.9),
        Body(shape="rect", size=(80.0, 10.0), position=(100.0, 30.0), velocity=(30.0, 0.0), kind="kinematic"),
        disc(100.0, 300.0, radius=30.0, sensor=True),
        disc(500.0, 50.0, filter=Filter(categories=2, mask=5)),
        static=(FLOOR, Peg(center=(520.0, 30.0), radius=9.0, filter=Filter(group=4))),
        joints=(
            Gear(body_a=FIXED, body_b=0, ratio=2.0),
            SlideJoint(body_a=0, body_b=1, anchor_a=(0.0, 0.0), shortest=100.0, longest=220.0),
            GrooveJoint(body_a=FIXED, body_b=1, groove_start=(200.0, 200.0), groove_end=(500.0, 240.0)),
            RotaryLimit(body_a=0, body_b=1, lowest=-0.2, highest=0.5),
            RotarySpring(body_a=0, body_b=1, rest_angle=0.1, stiffness=1e5, damping=1e3),
            Ratchet(body_a=0, body_b=3, ratchet=0.3),
        ),
        fields=(Wind(velocity=(80.0, 0.0), drag=0.01), MutualGravity(strength=1e5, softening=20.0)),
        gravity=DOWN,
    )


def test_the_fast_path_and_pymunks_objects_agree_to_the_bit() -> None:
    scene = everything()
    rng = np.random.default_rng(0)
    kicks = rng.normal(size=(90, 5, 6)) * (rng.random((90, 1, 1)) < 0.1)
    assert states(simulate(scene, 90)).tobytes() == _stepped(scene, scene.state, 90, None).tobytes()
    assert states(simulate(scene, 90, kicks=kicks)).tobytes() == _stepped(scene, scene.state, 90, kicks).tobytes()


# --- shapes


def test_a_polygon_has_pymunks_moment_and_stays_where_its_corners_were() -> None:
    body = Body.polygon(TRIANGLE, position=(100.0, 200.0), angle=0.7, mass=2.5)
    assert body.moment == pytest.approx(pymunk.moment_for_poly(2.5, body.vertices), rel=1e-12)
    assert body.area == pytest.approx(60 * 45 / 2)
    cos, sin = math.cos(0.7), math.sin(0.7)
    for (x, y), (u, v) in zip(body.vertices, TRIANGLE, strict=True):
        mine = body.position[0] + cos * x - sin * y, body.position[1] + sin * x + cos * y
        assert mine == pytest.approx((100 + cos * u - sin * v, 200 + sin * u + cos * v))


def test_a_compound_has_pymunks_centre_of_mass_and_moment() -> None:
    live = pymunk.Body()
    space = pymunk.Space()
    shapes: list[pymunk.Shape] = []
    for part in HAMMER:
        made = pymunk.Circle(live, part.size[0], part.at) if part.shape == "circle" else pymunk.Poly(live, part.corners)
        made.density = part.density
        shapes.append(made)
    space.add(live, *shapes)
    body = Body.compound(HAMMER, position=(0.0, 0.0), mass=live.mass)
    assert body.position == pytest.approx(tuple(live.center_of_gravity), abs=1e-9)
    assert body.moment == pytest.approx(live.moment, rel=1e-9)
    assert body.centre == pytest.approx((0.0, 0.0), abs=1e-9)


@pytest.mark.parametrize("sides", [3, 5, 8])
def test_a_polygon_comes_to_rest_flat_on_one_of_its_sides(sides: int) -> None:
    corners = [(30 * math.cos(2 * math.pi * k / sides), 30 * math.sin(2 * math.pi * k / sides)) for k in range(sides)]
    body = Body.polygon(corners, position=(400.0, 60.0), angle=0.15, friction=0.9, restitution=0.0)
    run = simulate(world(body, static=(FLOOR,), gravity=DOWN), 400)
    height = 30 * math.cos(math.pi / sides) + FLOOR.radius  # of the centre, above the wall's middle line
    assert run.position[-1, 0, 1] == pytest.approx(height, abs=0.2)
    assert abs(run.spin[-1, 0]) < 1e-2
    tilt = (run.angle[-1, 0] + math.pi / sides + math.pi / 2) % (2 * math.pi / sides)  # 0 where a side lies below
    assert min(tilt, 2 * math.pi / sides - tilt) < 0.01


def test_a_free_compound_flies_as_a_point_and_keeps_its_spin() -> None:
    body = Body.compound(HAMMER, position=(100.0, 300.0), velocity=(50.0, 200.0), spin=3.0)
    run = simulate(world(body, gravity=DOWN), 60)
    np.testing.assert_allclose(states(run)[1:], states(ballistic(run.window(0, 1), 59)), atol=1e-9)


def test_a_compound_touches_with_every_part() -> None:
    dumbbell = Body.compound(
        [Part(shape="circle", size=(10.0,), at=(x, 0.0)) for x in (-40.0, 40.0)],
        position=(400.0, 60.0),
        restitution=0.0,
    )
    run = simulate(world(dumbbell, static=(FLOOR,), gravity=DOWN), 200)
    assert run.position[-1, 0, 1] == pytest.approx(12.0, abs=0.2)
    assert penetration(run.scene, run.frame(-1)) < 0.2
    bar = disc(400.0, 12.0, radius=11.0)  # between the two discs, where the dumbbell has nothing
    assert penetration(world(dumbbell, bar), world(dumbbell, bar).state) == 0.0


# --- bodies


def test_a_kinematic_body_moves_at_its_velocity_and_pushes_without_being_pushed() -> None:
    plough = Body(shape="rect", size=(20.0, 60.0), position=(100.0, 32.0), velocity=(120.0, 0.0), kind="kinematic")
    ball = disc(200.0, 12.0, mass=50.0)
    run = simulate(world(plough, ball, static=(FLOOR,), gravity=DOWN), 120)
    np.testing.assert_allclose(run.position[:, 0, 0], 100 + 120 * DT * np.arange(120), rtol=1e-12)
    assert (run.velocity[:, 0] == (120.0, 0.0)).all() and (run.position[:, 0, 1] == 32.0).all()
    assert run.velocity[-1, 1, 0] >= 120.0 - 1e-6
    assert not event_mask(run)[:, 0].any()  # gravity that does not move it is no contact


def test_no_force_acts_on_a_kinematic_body() -> None:
    scene = everything()
    pull = Fields(scene).acceleration(scene.state.position, scene.state.velocity)
    assert (pull[2] == 0.0).all() and (pull[[0, 1]] != 0.0).any()
    assert (gravity(scene)[2] == 0.0).all() and (gravity(scene)[0] == DOWN).all()
    run = simulate(scene, 2)
    assert (ballistic(run.window(0, 1), 30).velocity[-1, 2] == (30.0, 0.0)).all()


def test_a_sensor_touches_nothing() -> None:
    ghost = disc(400.0, 100.0, radius=40.0, sensor=True)
    run = simulate(world(ghost, disc(400.0, 200.0, velocity=(1.0, 0.0)), static=(FLOOR,), gravity=DOWN), 40)
    fall = G * DT * DT * np.arange(40) * np.arange(-1, 39) / 2
    np.testing.assert_allclose(run.position[:, 0, 1], 100 - fall, atol=1e-9)
    np.testing.assert_allclose(run.position[:26, 1, 1], 200 - fall[:26], atol=1e-9)
    assert penetration(run.scene, run.frame(20)) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "touch"),
    [
        (Filter(), Filter(), True),
        (Filter(group=3), Filter(group=3), False),
        (Filter(group=3), Filter(group=4), True),
        (Filter(categories=1, mask=2), Filter(categories=2, mask=1), True),
        (Filter(categories=1, mask=1), Filter(categories=2), False),
    ],
)
def test_filters_say_who_meets_whom(one: Filter, other: Filter, touch: bool) -> None:
    left, right = disc(100.0, 100.0, velocity=(100.0, 0.0), filter=one), disc(160.0, 100.0, filter=other)
    run = simulate(world(left, right), 60)
    if touch:
        assert run.velocity[-1, 1, 0] > 10
    else:
        np.testing.assert_allclose(run.position[:, 0, 0], 100 + 100 * DT * np.arange(60))
        assert (run.position[:, 1] == (160.0, 100.0)).all()
        assert penetration(run.scene, run.frame(36)) == 0.0


def test_a_one_way_wall_lets_through_from_below_and_holds_from_above() -> None:
    wall = Segment(start=(300.0, 200.0), end=(500.0, 200.0), one_way=(0.0, 3.0), restitution=0.0)
    below = disc(400.0, 150.0, velocity=(0.0, 500.0), restitution=0.0)
    run = simulate(world(below, static=(wall,), gravity=DOWN), 240)
    rise = 500 * DT * np.arange(14) - G * DT * DT * np.arange(14) * np.arange(-1, 13) / 2
    np.testing.assert_allclose(run.position[:14, 0, 1], 150 + rise, atol=1e-9)  # through it, as if it were not there
    assert run.position[:, 0, 1].max() > 270
    assert run.position[-1, 0, 1] == pytest.approx(212.0, abs=0.2)  # and it lies on top
    above = disc(400.0, 300.0, velocity=(0.0, -200.0), restitution=0.0)
    assert (
        simulate(world(above, static=(wall,), gravity=DOWN), 240).position[:, 0, 1].min() > 204
    )  # one frame deep at most
    turned = Segment(start=(300.0, 200.0), end=(500.0, 200.0), one_way=(0.0, -1.0))
    assert simulate(world(above, static=(turned,), gravity=DOWN), 240).position[-1, 0, 1] < 0


def test_a_body_that_turns_back_inside_a_one_way_wall_falls_out_again() -> None:
    wall = Segment(start=(300.0, 200.0), end=(500.0, 200.0), one_way=(0.0, 1.0))
    slow = disc(400.0, 150.0, velocity=(0.0, 310.0))  # turns at about 201
    run = simulate(world(slow, static=(wall,), gravity=DOWN), 120)
    assert 188 < run.position[:, 0, 1].max() < 212
    assert run.position[-1, 0, 1] < 0


# --- joints


def spinning(*joints, bodies=2, **rest) -> Scene:
    spins = rest.pop("spins", (4.0, 0.0, 0.0))
    discs = [disc(200.0 + 100 * k, 300.0, mass=1.0 + k, spin=spins[k]) for k in range(bodies)]
    return world(*discs, joints=joints)


@pytest.mark.parametrize("ratio", [2.0, -0.5])
def test_a_gear_keeps_the_ratio_of_spins(ratio: float) -> None:
    run = simulate(spinning(Gear(body_a=0, body_b=1, ratio=ratio)), 180)  # a tenth of the first slip goes per frame
    np.testing.assert_allclose(run.spin[120:, 0], ratio * run.spin[120:, 1], atol=1e-4)
    np.testing.assert_allclose(run.angle[-1, 1] * ratio - run.angle[-1, 0], 0.0, atol=0.01)
    assert abs(run.spin[-1, 1]) > 0.3


def test_a_slide_keeps_the_distance_in_its_range() -> None:
    slide = SlideJoint(body_a=0, body_b=1, anchor_a=(0.0, 0.0), shortest=60.0, longest=140.0)
    for speed in (150.0, -150.0):
        run = simulate(world(disc(200.0, 300.0), disc(300.0, 300.0, velocity=(speed, 40.0)), joints=(slide,)), 120)
        apart = np.linalg.norm(run.position[:, 1] - run.position[:, 0], axis=1)
        assert apart.min() > 57 and apart.max() < 143
        assert (apart.max() > 138) if speed > 0 else (apart.min() < 62)
        np.testing.assert_allclose(
            joint_drift(run), np.maximum(np.maximum(60 - apart, apart - 140), 0), atol=1e-9
        )  # fmt: skip


def test_a_groove_keeps_its_pin_on_the_line_and_between_its_ends() -> None:
    groove = GrooveJoint(body_a=FIXED, body_b=0, groove_start=(200.0, 300.0), groove_end=(400.0, 200.0))
    run = simulate(world(disc(300.0, 250.0), joints=(groove,), gravity=DOWN), 240)
    along = np.array([2.0, -1.0]) / math.sqrt(5)
    off = run.position[:, 0] - (200.0, 300.0)
    assert np.abs(off @ np.array([along[1], -along[0]])).max() < 1.0
    reach = off @ along
    assert reach.min() > 110 and reach.max() < math.hypot(200, 100) + 5  # a frame's way beyond the end
    assert reach[-1] == pytest.approx(math.hypot(200, 100), abs=1.0)  # it has slid to the lower end
    assert joint_drift(run).max() < 5.0


def test_a_rotary_limit_keeps_the_angle_in_its_range() -> None:
    run = simulate(spinning(RotaryLimit(body_a=0, body_b=1, lowest=-0.4, highest=1.0), spins=(0.0, 3.0, 0.0)), 180)
    between = run.angle[:, 1] - run.angle[:, 0]
    assert 0.95 < between.max() < 1.1 and between.min() > -0.45


def test_a_rotary_spring_swings_about_its_rest_angle_and_keeps_its_energy() -> None:
    body = disc(300.0, 300.0)  # moment 50 kg·px²
    spring = RotarySpring(body_a=FIXED, body_b=0, rest_angle=-0.5, stiffness=50.0 * 4.0**2)  # 4 rad/s
    run = simulate(world(body, joints=(spring,)), 240)
    steps = np.arange(240) * DT
    np.testing.assert_allclose(run.angle[:, 0], 0.5 - 0.5 * np.cos(4.0 * steps), atol=0.03)
    energy = total_energy(run)
    assert np.abs(energy / energy[0] - 1).max() < 0.07  # of semi-implicit steps: half of 4/60


def test_a_ratchet_turns_one_way_only() -> None:
    forth = simulate(spinning(Ratchet(body_a=FIXED, body_b=0, ratchet=0.3), bodies=1), 60)
    back = simulate(spinning(Ratchet(body_a=FIXED, body_b=0, ratchet=0.3), bodies=1, spins=(-4.0,)), 60)
    assert forth.angle[-1, 0] == pytest.approx(4.0 * 59 * DT, rel=1e-6)
    assert back.angle[:, 0].min() > -0.4


def test_pymunks_space_holds_what_the_scene_says() -> None:
    space = build_space(everything())
    kinds = sorted(type(joint).__name__ for joint in space.constraints)
    assert kinds == [
        "DampedRotarySpring", "GearJoint", "GrooveJoint", "RatchetJoint", "RotaryLimitJoint", "SlideJoint",
    ]  # fmt: skip
    assert sum(shape.sensor for shape in space.shapes) == 1
    assert [body.body_type for body in space.bodies].count(pymunk.Body.KINEMATIC) == 1
