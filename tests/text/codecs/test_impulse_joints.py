"""Joints, belts and fields in the impulse text: each record holds what the simulator's next step follows from.

Every law reads printed numbers only. Its tolerance is what the rounding of those numbers can do to it, no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import RECORDS
from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Motor,
    MutualGravity,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    Segment,
    Spring,
    Trajectory,
    Wind,
)

from impulse_scenes import CODEC, mirror_image, own_lines, step, stirred, true_answer, turned
from worlds import disc, world

DT = 1 / 60
DOWN = (0.0, -981.0)
SOLVER = 1e-6  # px/s: ten iterations of Chipmunk's solver on a single joint
LINK = ("SHARE", "CN", "CT", "STRETCH", "VN", "VT", "AN", "BN")
POINT = ("GAP", "NEXT", "VN", "VT", "AN", "AT", "BN", "BT")
COLUMNS = {
    "self": ("NX", "NY", "HAND", "VN", "VT", "VS", "GN", "GT"),
    "link": LINK,
    "tie": LINK,
    "hold": ("SHARE", "EN", "ET", "VN", "VT", "AN", "AT", "BN", "BT"),
    "coil": ("SHARE", "CN", "CT", "KICK", "DAMP", "VN", "VT", "AN", "BN"),
    "drive": ("SHARE", "LACK", "MOST"),
    "touch": ("E", "MU", "SHARE", "CN", "CT", *POINT),
    "pull": ("CN", "CT", "DISTANCE", "SOFTENING", "STRENGTH"),
    "air": ("WN", "WT", "RATE"),
}
Record = dict[str, float]
Vector = Sequence[float] | np.ndarray


def box(x: float, y: float, **rest) -> Body:
    return Body(shape="rect", size=(60.0, 20.0), position=(x, y), **rest)


def lines(now: Trajectory, word: str) -> list[str]:
    return [line for line in CODEC.text(CODEC.prompt(now)).split("\n") if line.split(" ")[0] == word]


def records(now: Trajectory, word: str, body: int = 0) -> list[Record]:
    """The lines that start with `word oBODY`, by the names of the format's description."""
    found = []
    for line in lines(now, word):
        name, *items = line.split(" ")[1:]
        if name == f"o{body}":
            values = [float(item) for item in items[RECORDS[word][0] - 1 :]]
            found.append(dict(zip(COLUMNS[word], values, strict=True)))
    return found


def own(now: Trajectory, word: str, body: int = 0) -> Record:
    """The body's only such line, with the gravity of its `self` line."""
    (one,) = records(now, word, body)
    (me,) = records(now, "self", body)
    return one | {"GN": me["GN"], "GT": me["GT"]}


def change(now: Trajectory, body: int = 0) -> np.ndarray:
    """(3,) px/s: what Pymunk's next step does to the body beyond gravity, in its own frame (n, t, gyration)."""
    then = simulate(now.scene, 2, start=now.frame(0)).frame(1)
    _, listed, frames = CODEC._views(now)
    return CODEC._impulses(now.scene, listed, frames, now.frame(0), then)[0][listed.tolist().index(body)]


def agree(law: Callable[[list[Record]], Vector], said: list[Record], truth: Vector) -> None:
    """law(said) is `truth` to what half a last digit of every number in `said` can change."""
    value = np.asarray(law(said), float)
    slack = np.full(value.shape, SOLVER)
    for k, record in enumerate(said):
        for name, number in record.items():
            if name == "SHARE" and number == 1:
                continue  # what is fixed: not a rounded number
            half = float(step(np.array(number))) / 2
            for sign in (-1, 1):
                moved = [*said[:k], record | {name: number + sign * half}, *said[k + 1 :]]
                slack += np.abs(np.asarray(law(moved)) - value) / 2 * 1.05
    assert (np.abs(value - truth) <= slack).all(), (value, truth, slack)
    assert (slack < 0.05 + 0.02 * np.abs(truth).max()).all(), "such numbers say nothing"


def start(scene: Scene) -> Trajectory:
    return simulate(scene, 1)


def partners(record: Record) -> float:
    """Body's mass over its partner's, 0 for what is fixed."""
    return 1 / record["SHARE"] - 1


# --- springs


def along(record: Record, impulse: float) -> tuple[float, float, float]:
    """An impulse j/m along the partner's normal, as a change (n, t, gyration) of the body."""
    return impulse * record["CN"], impulse * record["CT"], impulse * record["AN"]


SPRING = Spring(body_a=FIXED, body_b=0, anchor_a=(310.0, 255.0), anchor_b=(12.0, 5.0), length=80.0, stiffness=120.0)
PAIR = replace(SPRING, body_a=1, anchor_a=(-9.0, 6.0))
MOVING = box(390, 300, velocity=(40, -70), angle=0.4, spin=1.5, mass=2.0)
OTHER = box(260, 230, velocity=(-30, 20), angle=-0.7, spin=-2.0, mass=3.0)


@pytest.mark.parametrize("spring", [SPRING, PAIR, replace(PAIR, length=250.0), replace(SPRING, anchor_b=(0.0, 0.0))])
def test_kick_is_what_a_spring_adds(spring: Spring) -> None:
    now = start(world(MOVING, OTHER, joints=(spring,)))
    sides = (0, 1) if spring.body_a == 1 else (0,)
    for body in sides:
        coil = own(now, "coil", body)
        assert coil["DAMP"] == 0 and (coil["CN"], coil["CT"]) == (1, 0)
        assert (coil["KICK"] > 0) == (spring.length > 200)  # short springs pull
        agree(lambda said: along(said[0], said[0]["KICK"]), [coil], change(now, body))
    assert (own(now, "coil")["SHARE"] == 1) == (len(sides) == 1)


def test_two_springs_add_up() -> None:
    second = replace(SPRING, anchor_a=(400.0, 420.0), anchor_b=(-20.0, -3.0), stiffness=75.0)
    now = start(world(MOVING, joints=(SPRING, second), gravity=DOWN))
    bends = records(now, "coil")
    assert len(bends) == 2 and abs(bends[1]["CT"]) > 0.3
    agree(lambda said: np.sum([along(one, one["KICK"]) for one in said], axis=0), bends, change(now))


@pytest.mark.parametrize("damping", [3.0, 60.0])
@pytest.mark.parametrize("spring", [SPRING, PAIR])
def test_a_damper_takes_its_percent_of_the_relative_speed(spring: Spring, damping: float) -> None:
    damper = replace(spring, stiffness=0.0, damping=damping)
    now = start(world(MOVING, OTHER, joints=(damper,)))

    def law(said: list[Record]) -> Vector:
        """The anchors come apart by (1 + AN² + m/M·(1 + BN²)) px/s for each px/s that the body gets."""
        one = said[0]
        softness = 1 + one["AN"] ** 2 + partners(one) * (1 + one["BN"] ** 2)
        return along(one, -one["DAMP"] / 100 * one["VN"] / softness)

    for body in (0, 1) if spring.body_a == 1 else (0,):
        coil = own(now, "coil", body)
        assert coil["KICK"] == 0 and 0 < coil["DAMP"] < 100 and abs(coil["VN"]) > 3
        agree(law, [coil], change(now, body))


def test_a_damper_takes_from_the_speed_that_spring_and_gravity_leave() -> None:
    now = start(world(MOVING, joints=(replace(SPRING, damping=20.0),), gravity=DOWN))

    def law(said: list[Record]) -> Vector:
        one = said[0]
        softness = 1 + one["AN"] ** 2
        speed = one["VN"] + one["GN"] + one["KICK"] * softness
        return along(one, one["KICK"] - one["DAMP"] / 100 * speed / softness)

    agree(law, [own(now, "coil")], change(now))


# --- wind


def breeze(said: list[Record]) -> Vector:
    rate = said[0]["RATE"] / 100
    return said[0]["WN"] * rate, said[0]["WT"] * rate, 0.0


@pytest.mark.parametrize("gravity", [(0.0, 0.0), DOWN])
@pytest.mark.parametrize("body", [disc(300, 300, velocity=(50, -80), mass=0.3), box(300, 300, spin=2.0, angle=0.5)])
def test_wind_gives_a_share_of_the_airs_relative_velocity(body: Body, gravity: tuple[float, float]) -> None:
    scene = world(body, fields=(Wind(velocity=(240.0, 35.0), drag=0.02),), gravity=gravity)
    now = start(scene)
    air = own(now, "air")
    across = 2 * body.reach
    assert air["RATE"] == pytest.approx(100 * -math.expm1(-0.02 * across / body.mass * DT), rel=1e-3)
    assert math.hypot(air["WN"], air["WT"]) == pytest.approx(math.dist((240, 35), body.velocity), rel=1e-3)
    agree(breeze, [air], change(now))


def test_a_body_as_fast_as_the_air_feels_none() -> None:
    scene = world(disc(300, 300, velocity=(240, 35)), fields=(Wind(velocity=(240.0, 35.0), drag=0.02),))
    now = start(scene)
    air = own(now, "air")
    assert (air["WN"], air["WT"]) == (0, 0) and air["RATE"] > 0
    assert CODEC.text(true_answer(now)) == "o0 coast\nend"


# --- motors


@pytest.mark.parametrize("partner", [FIXED, 1])
@pytest.mark.parametrize(("spin", "torque"), [(5.0, 4e9), (-5.0, 4e9), (5.0, 2e4), (-5.0, 2e4), (1.5, 2e4)])
def test_a_motor_gives_what_is_lacking_as_far_as_it_can(partner: int, spin: float, torque: float) -> None:
    motor = Motor(body_a=partner, body_b=0, spin=spin, torque=torque)
    now = start(world(MOVING, OTHER, joints=(motor,)))

    def law(said: list[Record]) -> Vector:
        one = said[0]
        return 0.0, 0.0, float(np.clip(one["LACK"] * one["SHARE"], -one["MOST"], one["MOST"]))

    for body in (0,) if partner == FIXED else (0, 1):
        drive = own(now, "drive", body)
        assert (drive["SHARE"] == 1) == (partner == FIXED)
        truth = change(now, body)
        agree(law, [drive], truth)
        strong = abs(drive["LACK"] * drive["SHARE"]) < drive["MOST"]
        assert strong == (torque > 1e9 or (spin == 1.5 and partner == FIXED))
    lack = records(now, "drive")[0]["LACK"] * records(now, "self")[0]["HAND"]
    theirs = 0.0 if partner == FIXED else OTHER.spin
    assert lack == pytest.approx((spin + theirs - MOVING.spin) * MOVING.gyration, abs=0.06)


# --- belts


def on_belt(speed: float, *, above: bool = True, friction: float = 0.3, velocity: float = 0.0) -> Trajectory:
    """A disc that rests on (or, with gravity upside down, under) a belt, 0.05 px deep."""
    side = 1 if above else -1
    belt = Segment(start=(0, 300), end=(800, 300), radius=5.0, friction=friction, restitution=0.0, surface_speed=speed)
    body = disc(400, 300 + side * 14.95, velocity=(velocity, 0), friction=1.0, restitution=0.0)
    return start(world(body, static=(belt,), gravity=(0.0, -981.0 * side)))


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("speed", [120.0, -120.0])
def test_a_belt_is_read_against_its_surface(speed: float, above: bool) -> None:
    now = on_belt(speed, above=above)
    assert lines(now, "wall") == [f"wall 0 300 800 300 5 0.3 0 {speed:.0f}"]
    touch, me = own(now, "touch"), own(now, "self")
    tangent_x = -me["HAND"] * me["NY"]  # t = HAND·(-NY, NX)
    assert touch["VT"] * tangent_x == -speed  # the body stands still: it slips backwards on the surface
    assert touch["VT"] > 0 and me["VT"] == 0

    def law(said: list[Record]) -> Vector:
        """The floor bears the weight; friction is at its limit, against the slip."""
        one = said[0]
        return -one["GN"], one["MU"] * one["GN"], -one["GN"] * one["AN"] + one["MU"] * one["GN"] * one["AT"]

    truth = change(now)
    assert truth[1] * tangent_x * speed > 0, "a belt drags along its own way"
    np.testing.assert_allclose(truth[:2], law([touch])[:2], atol=0.01)
    np.testing.assert_allclose(truth[2], law([touch])[2], atol=0.05)  # half of 0.05 px of overlap, as a lever
    assert own(on_belt(-speed, above=above), "self")["HAND"] == -me["HAND"]


def test_a_belt_stops_the_slip_where_friction_is_enough() -> None:
    now = on_belt(10.0, friction=5.0)
    touch = own(now, "touch")
    truth = change(now)
    assert touch["VT"] == 10 and truth[1] > -touch["MU"] * truth[0]
    assert truth[1] == pytest.approx(-touch["VT"] / (1 + touch["AT"] ** 2), rel=0.01)


def test_a_body_as_fast_as_the_belt_does_not_slip() -> None:
    assert own(on_belt(120.0, velocity=120.0), "touch")["VT"] == 0
    assert own(on_belt(120.0, velocity=-30.0), "touch")["VT"] == 150
    assert own(on_belt(0.0, velocity=-30.0), "touch")["VT"] == 30


# --- hinges


def hinge_law(said: list[Record], rate: float) -> Vector:
    """The impulse after which the anchors' relative velocity is -rate·(EN, ET): two equations."""
    one = said[0]
    ratio = partners(one)
    an, at, bn, bt = one["AN"], one["AT"], one["BN"], one["BT"]
    softness = np.array(
        [
            [1 + an * an + ratio * (1 + bn * bn), an * at + ratio * bn * bt],
            [an * at + ratio * bn * bt, 1 + at * at + ratio * (1 + bt * bt)],
        ]
    )
    falls = 0.0 if ratio else 1.0  # two bodies fall together
    before = np.array([one["VN"] + falls * one["GN"], one["VT"] + falls * one["GT"]])
    wanted = -rate * np.array([one["EN"], one["ET"]])
    impulse = np.linalg.solve(softness, wanted - before)
    return *impulse, float(impulse @ (an, at))


def correction(dt: float) -> float:
    """1/s: Chipmunk's default error_bias is (1 - 0.1)^60, the part of an error that is left after a second."""
    return (1 - ((1 - 0.1) ** 60) ** dt) / dt


@pytest.mark.parametrize("dt", [1 / 60, 1 / 120, 1 / 30])
@pytest.mark.parametrize("body", [MOVING, replace(MOVING, angle=-2.0, spin=-6.0), disc(388, 295, velocity=(9, 4))])
def test_a_hinge_to_the_world_is_solved_from_its_record(body: Body, dt: float) -> None:
    cos, sin = math.cos(body.angle), math.sin(body.angle)
    place = np.add(body.position, (cos * -25 - sin * 4, sin * -25 + cos * 4))
    joint = PivotJoint(body_a=FIXED, body_b=0, anchor_a=(place[0] + 1.5, place[1] - 0.8), anchor_b=(-25.0, 4.0))
    now = start(replace(world(body, joints=(joint,), gravity=DOWN), dt=dt))
    hold = own(now, "hold")
    assert math.hypot(hold["EN"], hold["ET"]) > 0.3
    assert hold["AN"] == 0 and hold["AT"] == pytest.approx(-math.hypot(25, 4) / body.gyration, abs=6e-4)
    truth = change(now)
    agree(lambda said: hinge_law(said, correction(dt)), [hold], truth)
    if dt == 1 / 60:
        assert correction(dt) == pytest.approx(0.1 / dt)
    with pytest.raises(AssertionError):
        agree(lambda said: hinge_law(said, 1.5 * correction(dt)), [hold], truth)  # the numbers tell the rate


def test_a_hinge_between_two_bodies_is_solved_from_its_record() -> None:
    joint = PivotJoint(body_a=1, body_b=0, anchor_a=(60.0, 55.0), anchor_b=(-27.0, -9.0))
    now = start(world(MOVING, OTHER, joints=(joint,), gravity=DOWN))
    for body in (0, 1):
        hold = own(now, "hold", body)
        assert 0 < hold["SHARE"] < 1 and abs(hold["BN"] * hold["BT"]) > 0.1
        agree(lambda said: hinge_law(said, correction(DT)), [hold], change(now, body))


def hinged_in_the_middle(angle: float) -> Trajectory:
    body = replace(MOVING, angle=angle)
    joint = PivotJoint(body_a=FIXED, body_b=0, anchor_a=(391.0, 299.0))
    return start(world(body, joints=(joint,), gravity=DOWN))


def test_a_hinge_through_the_middle_has_a_frame_that_turns_with_the_body() -> None:
    first = own(hinged_in_the_middle(0.0), "self")
    for angle in (0.3, 1.9, -2.5):
        now = hinged_in_the_middle(angle)
        me = own(now, "self")
        turn = math.atan2(me["NY"], me["NX"]) - math.atan2(first["NY"], first["NX"])
        assert math.remainder(turn - angle, 2 * math.pi) == pytest.approx(0, abs=2e-3)
        assert me["VS"] > 0  # spin is what the mirror goes by
        hold = own(now, "hold")
        assert (hold["AN"], hold["AT"]) == (0, 0)
        agree(lambda said: hinge_law(said, correction(DT)), [hold], change(now))


# --- rods and ropes


def tied(length: float, *, rod: bool = False, partner: int = FIXED, velocity: tuple = (40.0, -70.0)) -> Trajectory:
    anchor = (310.0, 255.0) if partner == FIXED else (-9.0, 6.0)
    kind = PinJoint if rod else Rope
    joint = kind(body_a=partner, body_b=0, anchor_a=anchor, anchor_b=(12.0, 5.0), length=length)
    return start(world(replace(MOVING, velocity=velocity), OTHER, joints=(joint,), gravity=DOWN))


def rod_law(said: list[Record]) -> Vector:
    one = said[0]
    ratio = partners(one)
    softness = 1 + one["AN"] ** 2 + ratio * (1 + one["BN"] ** 2)
    before = one["VN"] + (0.0 if ratio else one["GN"])
    return along(one, -(before + correction(DT) * one["STRETCH"]) / softness)


@pytest.mark.parametrize("partner", [FIXED, 1])
@pytest.mark.parametrize("length", [90.0, 110.0])
def test_a_rod_is_solved_from_its_record(partner: int, length: float) -> None:
    now = tied(length, rod=True, partner=partner)
    for body in (0,) if partner == FIXED else (0, 1):
        agree(rod_law, [own(now, "link", body)], change(now, body))


@pytest.mark.parametrize("partner", [FIXED, 1])
def test_a_taut_rope_is_a_rod(partner: int) -> None:
    apart = (300.0, 100.0)
    rope, rod = (tied(90.0, rod=rod, partner=partner, velocity=apart) for rod in (False, True))
    for body in (0,) if partner == FIXED else (0, 1):
        tie, link = own(rope, "tie", body), own(rod, "link", body)
        assert tie == link and tie["STRETCH"] > 0 and tie["VN"] > 50
        np.testing.assert_allclose(change(rope, body), change(rod, body), atol=1e-9)
        agree(rod_law, [tie], change(rope, body))
    assert CODEC.text(true_answer(rope)) == CODEC.text(true_answer(rod))
    assert [line.split(" ")[0] for line in CODEC.text(CODEC.prompt(rope)).split("\n")].count("tie") == 1 + (
        partner == 1
    )


def test_a_slack_rope_changes_nothing() -> None:
    now = tied(260.0)
    assert own(now, "tie")["STRETCH"] < -100
    np.testing.assert_allclose(change(now), 0, atol=1e-9)
    assert CODEC.text(true_answer(now)) == "o0 coast\nend"


def test_a_rope_never_pushes() -> None:
    inwards = (-400.0, -200.0)
    rope, rod = (tied(95.0, rod=rod, velocity=inwards) for rod in (False, True))
    assert own(rope, "tie")["STRETCH"] > 0 and rod_law([own(rope, "tie")])[0] > 10
    assert change(rod)[0] > 10
    np.testing.assert_allclose(change(rope), 0, atol=1e-9)


# --- gravity between bodies


def cluster(count: int) -> Scene:
    """Bodies of many masses on a spiral, none near another."""
    bodies = [
        disc(
            400 + (60 + 24 * k) * math.cos(1.3 * k),
            300 + (60 + 24 * k) * math.sin(1.3 * k),
            radius=5.0,
            mass=0.5 + (7 * k % 5),
            velocity=(20.0 * (k % 3), -30.0 + 9 * k),
        )
        for k in range(count)
    ]
    return world(*bodies, fields=(MutualGravity(strength=3e6, softening=15.0),))


def pulled(said: list[Record]) -> Vector:
    total = np.zeros(3)
    for one in said:
        soft = (one["DISTANCE"] ** 2 + one["SOFTENING"] ** 2) ** 1.5
        speed = one["STRENGTH"] * 1e4 * one["DISTANCE"] / soft * DT
        total -= speed * np.array([one["CN"], one["CT"], 0.0])  # normals point from what pulls to the body
    return total


@pytest.mark.parametrize("count", [2, 4, 7])
def test_pulls_add_up_to_what_gravity_between_bodies_does(count: int) -> None:
    now = start(cluster(count))
    for body in range(count):
        pulls, truth = records(now, "pull", body), change(now, body)
        assert len(pulls) == count - 1 and np.abs(truth).max() > 0.2
        agree(pulled, pulls, truth)
        np.testing.assert_allclose(pulled(pulls), truth, atol=0.01 * np.abs(truth).max())


def test_of_many_pulls_the_six_strongest_are_listed_strongest_first() -> None:
    now = start(cluster(12))
    scene = now.scene
    ahead = now.position[0] + now.velocity[0] * DT
    mass = np.array([body.mass for body in scene.bodies])
    for body in range(12):
        apart = np.linalg.norm(ahead - ahead[body], axis=1)
        pull = 3e6 * mass * apart / (apart**2 + 15.0**2) ** 1.5
        best = np.argsort(-pull)[:6]
        pulls = records(now, "pull", body)
        assert len(pulls) == 6
        for one, other in zip(pulls, best, strict=True):
            assert one["STRENGTH"] == pytest.approx(300 * mass[other], rel=1e-3)
            assert one["DISTANCE"] == pytest.approx(apart[other], rel=1e-3)
            assert one["SOFTENING"] == 15
        said = [np.linalg.norm(pulled([one])) for one in pulls]
        np.testing.assert_allclose(said, pull[best] * DT, rtol=2e-3)
        truth = change(now, body)
        assert np.linalg.norm(pulled(pulls) - truth) <= 1.01 * np.sort(pull)[:6].sum() * DT + 0.01


def test_poles_pull_together_with_bodies_and_wind() -> None:
    scene = cluster(3)
    pole = Attractor(center=(520.0, 190.0), strength=8e5, softening=30.0)
    now = start(replace(scene, fields=(Wind(velocity=(80.0, 0.0), drag=0.01), *scene.fields, pole), gravity=DOWN))
    for body in range(3):
        pulls, air = records(now, "pull", body), records(now, "air", body)
        assert [one["SOFTENING"] for one in pulls] == [30, 15, 15]
        agree(lambda said: pulled(said[:-1]) + breeze(said[-1:]), [*pulls, *air], change(now, body))


# --- seen from elsewhere


BELT = Segment(start=(100.0, 295.0), end=(700.0, 295.0), radius=5.0, friction=0.4, surface_speed=110.0)
HINGE = PivotJoint(body_a=FIXED, body_b=0, anchor_a=(362.0, 292.0), anchor_b=(-28.0, 3.0))
AIR = Wind(velocity=(0.0, 0.0), drag=0.02)
SPINNING = disc(500, 200, spin=2.0)
SCENES = {
    "spring": world(MOVING, OTHER, joints=(replace(SPRING, damping=2.0), replace(PAIR, damping=5.0)), gravity=DOWN),
    "hinge": world(MOVING, joints=(HINGE,), gravity=DOWN),
    "hinge in the middle": hinged_in_the_middle(0.4).scene,
    "motor": world(MOVING, OTHER, joints=(Motor(body_a=1, body_b=0, spin=4.0, torque=2e5),), gravity=DOWN),
    "rope": world(MOVING, OTHER, joints=(Rope(body_a=1, body_b=0, anchor_a=(20.0, 5.0), length=90.0),), gravity=DOWN),
    "belt": world(box(400.0, 309.9, angle=0.01, velocity=(30, 0)), static=(BELT,), gravity=DOWN),
    "bodies' gravity": cluster(9),
    "wind": world(MOVING, SPINNING, fields=(replace(AIR, velocity=(180.0, -25.0)),), gravity=DOWN),
    "still air": world(MOVING, SPINNING, fields=(AIR,), gravity=DOWN),
    # Not stirred: bodies as scenes put them, straight on.
    "calm: at rest in wind": world(SPINNING, fields=(replace(AIR, velocity=(90.0, 0.0)),), gravity=DOWN),
    "calm: falling in still air": world(replace(SPINNING, velocity=(0, -50)), fields=(AIR,), gravity=DOWN),
}
IMAGES: dict[str, Callable[[Trajectory], Trajectory]] = {
    "a quarter turn": lambda now: turned(now, math.pi / 2),
    "turned": lambda now: turned(now, -2.3),
    "mirrored": mirror_image,
    "mirrored and turned": lambda now: turned(mirror_image(now), 0.9),
}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("kind", SCENES)
def test_each_kind_reads_the_same_from_elsewhere(kind: str, image: str) -> None:
    calm = kind.startswith("calm")
    for seed in range(1 if calm else 4):
        now = start(SCENES[kind]) if calm else stirred(start(SCENES[kind]), seed)
        plain, other = own_lines(now), own_lines(IMAGES[image](now))
        assert [line[:2] for line in plain] == [line[:2] for line in other]
        for (word, names, a), (_, _, b) in zip(plain, other, strict=True):
            assert (np.abs(a - b) <= step(np.maximum(np.abs(a), np.abs(b)))).all(), (word, names, a, b)


# --- header


def test_header_lines_read_back() -> None:
    """Numbers of up to four digits come back as they are, others to half a last digit."""
    joints = (
        PinJoint(body_a=0, body_b=1, anchor_a=(1.5, -2.25), anchor_b=(3.0, 0.0), length=99.7),
        PivotJoint(body_a=FIXED, body_b=0, anchor_a=(250.4, 300.1), anchor_b=(-50.0, 0.125)),
        Rope(body_a=2, body_b=1, anchor_a=(50.0, 0.0), anchor_b=(-1.0, 2.0), length=320.0),
        Spring(body_a=1, body_b=2, anchor_a=(0.0, 1.0), length=80.0, stiffness=33.3, damping=0.7),
        Motor(body_a=FIXED, body_b=2, spin=-3.1, torque=5e4),
    )
    fields = (
        Attractor(center=(1.0, 2.0), strength=5e5, softening=3.0),
        MutualGravity(strength=2e5, softening=5.5),
        Wind(velocity=(90.0, -1.0), drag=0.02),
    )
    static = (replace(BELT, surface_speed=-72.5),)
    bodies = (MOVING, OTHER, disc(600, 500))
    scene = world(*bodies, joints=joints, fields=fields, static=static, gravity=DOWN)
    read = CODEC.read_prompt(CODEC.text(CODEC.prompt(start(scene))))
    assert read is not None
    assert (read.scene.joints, read.scene.fields, read.scene.static) == (joints, fields, static)
    assert (read.scene.gravity, read.scene.dt, read.scene.bodies) == (DOWN, DT, bodies)

    odd = replace(
        scene,
        joints=(
            replace(joints[3], length=81.23456, stiffness=1234.56, damping=0.98765),
            replace(joints[4], torque=98765.4),
        ),
        fields=(MutualGravity(strength=123456.7, softening=7.654321), Wind(velocity=(1 / 3, -200 / 3), drag=0.0123456)),
    )
    text = CODEC.text(CODEC.prompt(start(odd))).split("\n")
    assert "spring o1 o2 0 1 0 0 81.23 1235 0.988" in text and "motor fixed o2 -3.1 9.877" in text
    assert "mutual 12.35 7.654" in text and "wind 0.333 -66.67 1.235" in text
    read = CODEC.read_prompt("\n".join(text))
    assert read is not None and read.scene.joints[1] == replace(joints[4], torque=98770.0)
    pull, air = read.scene.fields
    assert pull == MutualGravity(strength=123500.0, softening=7.654)
    assert isinstance(air, Wind) and air.velocity == (0.333, -66.67) and air.drag == pytest.approx(0.01235, rel=1e-12)
