"""Springs, wind, belts and gravity between bodies in the impulse text: what the next step follows from.

Every law reads printed numbers only. Its tolerance is what the rounding of those numbers can do to it, no more.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from physworld.types import (
    Attractor,
    Body,
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
    lines,
    own,
    partners,
    records,
    start,
)
from impulse_scenes import CODEC, true_answer
from worlds import disc, world


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
