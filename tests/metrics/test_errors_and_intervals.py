"""Errors, conserved quantities and intervals against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physworld.metrics.bootstrap import bootstrap_mean, paired_ratio
from physworld.metrics.energy import (
    energy_error,
    kinetic_energy,
    linear_momentum,
    potential_energy,
    total_energy,
)
from physworld.metrics.errors import event_mask, event_velocity_rmse, per_horizon, position_rmse, velocity_rmse
from physworld.sim.pymunk_sim import simulate
from physworld.types import Attractor, Body, Interval, Scene, Segment, Trajectory


def scene(count: int = 2, **kwargs) -> Scene:
    places = [(100.0 * (i + 1), 300.0) for i in range(count)]
    bodies = tuple(Body(shape="circle", size=(10.0,), position=place, mass=2.0) for place in places)
    return Scene(**{"name": "hand", "category": "test", "difficulty": 1, "text": "", "bodies": bodies, **kwargs})


def still(frames: int = 3, count: int = 2, **kwargs) -> Trajectory:
    world = scene(count, **kwargs)
    return Trajectory(
        scene=world,
        position=np.repeat(world.state.position[None], frames, 0),
        velocity=np.zeros((frames, count, 2)),
        angle=np.zeros((frames, count)),
        spin=np.zeros((frames, count)),
    )


def test_rmse_is_root_mean_over_bodies_of_squared_distance_at_one_frame():
    target, said = still(), still()
    said.position[1, 0] += (3.0, 4.0)  # 5 px off; the other body is right: sqrt((25 + 0) / 2)
    said.velocity[2, 1] += (0.0, -6.0)
    assert position_rmse(target, said, 2) == pytest.approx(math.sqrt(12.5))
    assert position_rmse(target, said, 1) == position_rmse(target, said, 3) == 0
    assert velocity_rmse(target, said, 3) == pytest.approx(math.sqrt(18))
    assert per_horizon(target, said) == pytest.approx([0, math.sqrt(12.5), 0])


@pytest.mark.parametrize("horizon", [0, 4, -1])
def test_horizon_outside_the_frames_is_refused(horizon):
    with pytest.raises(ValueError, match=r"outside 1\.\.3"):
        position_rmse(still(), still(), horizon)


def test_other_number_of_bodies_and_no_bodies_are_refused():
    with pytest.raises(ValueError, match="1 bodies but the target has 2"):
        position_rmse(still(), still(count=1), 1)
    with pytest.raises(ValueError, match="no bodies"):
        position_rmse(still(count=0), still(count=0), 1)


def test_event_is_a_velocity_jump_beyond_gravity():
    fall = still(4)
    fall.velocity[..., 1] = -981 / 60 * np.arange(4)[:, None]  # free fall: no event, though dv is 16.35
    assert not event_mask(fall).any()
    fall.velocity[2:, 1, 0] += 10.5  # one kick sideways, above 10 px/s
    fall.velocity[3:, 0, 0] += 9.5  # and one below
    assert np.argwhere(event_mask(fall)).tolist() == [[2, 1]]


def test_first_frame_needs_the_frame_before():
    resting = still(3)  # at rest in gravity: held by 16.35 px/s each frame
    assert event_mask(resting).tolist() == [[False, False], [True, True], [True, True]]
    assert event_mask(resting.window(1, 3), before=resting.frame(0)).all()


def test_simulated_flight_has_no_event_and_a_bounce_has():
    pull = (Attractor(center=(400.0, 300.0), strength=5e7, softening=5.0),)
    orbit = simulate(scene(1, gravity=(0.0, 0.0), fields=pull), 40)
    assert np.abs(np.diff(orbit.velocity, axis=0)).max() > 10  # the attractor alone would look like an event
    assert not event_mask(orbit).any()
    floor = (Segment(start=(0.0, 280.0), end=(800.0, 280.0)),)
    assert event_mask(simulate(scene(1, static=floor), 30)).any()


def test_event_velocity_rmse_looks_at_the_targets_events_only():
    target, said = still(3, gravity=(0.0, 0.0)), still(3, gravity=(0.0, 0.0))
    assert event_velocity_rmse(target, said) is None
    target.velocity[1:, 0, 0] = 20.0
    said.velocity[1, 0] = (17.0, 4.0)  # off by (3, 4) at the event
    said.velocity[2, 1] = 999.0  # no event there
    assert event_velocity_rmse(target, said) == pytest.approx(5)


def test_energy_and_momentum_by_hand():
    one = still(1)
    one.velocity[0] = ((300.0, 0.0), (0.0, -100.0))
    one.spin[0] = (0.0, 10.0)
    # 2 kg at 3 m/s: 9 J; 2 kg at 1 m/s: 1 J; disc I = 2·0.1²/2 = 0.01 kg·m² at 10 rad/s: 0.5 J
    assert kinetic_energy(one) == pytest.approx([10.5])
    assert potential_energy(one) == pytest.approx([2 * 2 * 9.81 * 3])
    assert linear_momentum(one)[0] == pytest.approx([6, -2])
    assert energy_error(still(1), one, 1) == pytest.approx(10.5)


def test_attractor_potential_is_minus_the_integral_of_its_pull():
    pull = (Attractor(center=(0.0, 0.0), strength=3e7, softening=20.0),)
    path = still(2, count=1, gravity=(0.0, 0.0), fields=pull)
    step = 1e-3
    path.position[:, 0] = ((150.0, 0.0), (150.0 + step, 0.0))
    slope = np.diff(potential_energy(path))[0] / step  # J/px
    pulled = 2.0 * 3e7 * 150 / (150**2 + 20**2) ** 1.5 / 1e4  # m·a, in J/px
    assert slope == pytest.approx(pulled, rel=1e-4)


def test_free_fall_keeps_total_energy_to_the_integrators_error():
    fall = simulate(scene(1), 30)
    # p uses the old v, so a frame gains g²dt²/2 per kg: 0.5·9.81²/3600 = 0.01337 J, 2 kg, 29 frames
    assert total_energy(fall)[-1] - total_energy(fall)[0] == pytest.approx(29 * 9.81**2 / 3600, rel=1e-6)


def test_bootstrap_mean_is_the_mean_and_its_interval_is_the_textbook_one():
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    got = bootstrap_mean(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert got.mean == pytest.approx(values.mean()) and got.count == 400
    assert got.high - got.mean == pytest.approx(half, rel=0.1) and got.mean - got.low == pytest.approx(half, rel=0.1)
    assert bootstrap_mean(values) == got != bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, level=0.5).high < got.high


def test_groups_weigh_the_same_whatever_their_size():
    values, groups = [0.0] * 9 + [10.0], ["many"] * 9 + ["one"]
    assert bootstrap_mean(values).mean == 1
    got = bootstrap_mean(values, groups=groups)
    assert (got.mean, got.low, got.high) == (5, 5, 5)  # strata keep their sizes: nothing left to vary


def test_paired_ratio_sees_the_pairing():
    rng = np.random.default_rng(0)
    b = rng.lognormal(0, 2, 100)
    exact = paired_ratio(b / 2, b)
    assert (exact.low, exact.high) == pytest.approx((0.5, 0.5))
    loose = paired_ratio(rng.permutation(b) / 2, b)
    assert loose.mean == pytest.approx(0.5) and loose.high - loose.low > 0.1


def test_paired_ratio_is_of_group_means():
    got = paired_ratio([1.0, 1.0, 1.0, 9.0], [2.0, 2.0, 2.0, 10.0], groups=["a", "a", "a", "b"])
    assert got.mean == pytest.approx((1 + 9) / (2 + 10))


def test_bootstrap_refuses_nothing_and_nan_and_a_zero_below_the_line():
    with pytest.raises(ValueError, match="non-empty"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="1 of 2 values are NaN"):
        bootstrap_mean([1.0, float("nan")])
    with pytest.raises(ValueError, match="mean below the line is 0"):
        paired_ratio([1.0], [0.0])
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="1 group labels"):
        bootstrap_mean([1.0, 2.0], groups=["a"])


def test_an_infinite_error_stays_infinite_and_never_turns_into_nan():
    got = bootstrap_mean([1.0, 2.0, float("inf")])
    assert got.mean == got.high == math.inf and not math.isnan(got.low)
    assert paired_ratio([1.0, math.inf], [1.0, 1.0]).high == math.inf


@pytest.mark.parametrize("each", [2, 3, 5])
def test_intervals_of_few_scenes_a_type_hold_the_truth_as_often_as_they_say(each: int) -> None:
    """Normal scenes of 20 types: n draws out of n held it in 80 % (two a type), 87 and 90 %."""
    rng, groups = np.random.default_rng(0), np.repeat(np.arange(20), each)
    centres = rng.normal(0, 3, 20)
    held = 0
    for _ in range(300):
        found = bootstrap_mean(centres[groups] + rng.normal(0, 1, len(groups)), groups=groups, resamples=500)
        held += found.low <= centres.mean() <= found.high
    assert held > 0.9 * 300


def test_an_interval_in_json_has_no_infinity_and_one_case_no_bounds() -> None:
    sure = Interval(mean=2, low=1.5, high=math.inf, count=8)
    assert sure.to_dict() == {"mean": 2.0, "low": 1.5, "high": None, "count": 8}
    assert sure.to_dict(count="n") == {"mean": 2.0, "low": 1.5, "high": None, "n": 8}
    assert bootstrap_mean([3.0]).to_dict() == {"mean": 3.0, "low": None, "high": None, "count": 1}
    assert bootstrap_mean([3.0, 3.0]).to_dict() == {"mean": 3.0, "low": 3.0, "high": 3.0, "count": 2}
    one_of_one = Interval.of_share(1.0, 1).to_dict()  # a share has a width even there
    assert one_of_one["low"] == pytest.approx(1 / (1 + 1.96**2)) and one_of_one["high"] == 1.0
