"""Joints, belts and fields in the impulse text: each record holds what the simulator's next step follows from.

Every law reads printed numbers only. Its tolerance is what the rounding of those numbers can do to it, no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Motor,
    MutualGravity,
    PinJoint,
    PivotJoint,
    Rope,
    Segment,
    Spring,
    Trajectory,
    Wind,
)

from impulse_records import (
    DOWN,
    DT,
    MOVING,
    OTHER,
    PAIR,
    SPRING,
    Record,
    Vector,
    agree,
    along,
    box,
    change,
    cluster,
    own,
    partners,
    records,
    start,
)
from impulse_scenes import CODEC, mirror_image, own_lines, step, stirred, true_answer, turned
from worlds import disc, world


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
