"""Events, horizons, conservation, violations and ensembles on worlds small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physworld.metrics.conservation import flight_errors, relative_energy_error, relative_momentum_error
from physworld.metrics.ensembles import score_ensemble
from physworld.metrics.errors import (
    angle_rmse,
    body_distances,
    event_velocity_rmse,
    per_horizon,
    position_mae,
    spin_rmse,
    velocity_mae,
)
from physworld.metrics.events import event_jumps, score_events
from physworld.metrics.horizon import SMALLEST_SPREAD, skill, valid_prediction_time
from physworld.metrics.violations import escaped, joint_drift, penetration
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.evaluation.baselines import ballistic, copy_last, linear, random_impulses
from physworld.types import Body, PinJoint, PivotJoint, Rope, Scene, Segment, Trajectory

DT = 1 / 60


def world(*bodies: Body, **more) -> Scene:
    return Scene(
        **{"name": "hand", "category": "test", "difficulty": 1, "text": "", "bodies": bodies, "gravity": (0, 0)} | more
    )


def ball(x: float, y: float = 300.0, vx: float = 0.0, vy: float = 0.0, **more) -> Body:
    return Body(**{"shape": "circle", "size": (10.0,), "position": (x, y), "velocity": (vx, vy), "mass": 2.0} | more)


def path(scene: Scene, position, velocity) -> Trajectory:
    """A trajectory from (T, N, 2) lists, without turning."""
    position, velocity = np.asarray(position, float), np.asarray(velocity, float)
    nothing = np.zeros(position.shape[:2])
    return Trajectory(scene=scene, position=position, velocity=velocity, angle=nothing, spin=nothing.copy())


def bounce() -> tuple[Trajectory, Trajectory]:
    """(given, truth): a ball flies at 300 px/s, 5 px a frame, into a wall whose face it meets between frames 4 and 5
    of the truth, and comes back at half the speed."""
    wall = Segment(start=(100.0, 0.0), end=(100.0, 600.0), radius=2.0, restitution=1.0, friction=0.0)
    scene = world(ball(65.5, vx=300.0, restitution=0.5, friction=0.0), static=(wall,))
    run = simulate(scene, 12)
    return run.window(0, 1), run.window(1, 12)


def test_wall_bounce_by_hand() -> None:
    given, truth = bounce()
    start = given.frame(-1)
    # Face at 98, centre stops at 88: 65.5 + 5 k passes it at k = 5 (90.5), which is row 4; from there -150 px/s.
    assert truth.position[:5, 0, 0] == pytest.approx([70.5, 75.5, 80.5, 85.5, 90.5])
    assert truth.velocity[:6, 0, 0] == pytest.approx([300, 300, 300, 300, -150, -150])
    through = linear(given, 11)
    assert event_velocity_rmse(truth, through, start) == pytest.approx(450)  # 300 - (-150), one body, one event frame
    assert event_velocity_rmse(truth, truth, start) == 0
    seen = score_events(truth, through, start)
    assert (seen.true, seen.said, seen.matched) == (1, 0, 0) and seen.recall == 0 and seen.precision is None
    assert event_jumps(truth, through, start).tolist() == [[pytest.approx(450), 0.0]]
    # Energy: E = 2·3²/2 = 9 J before, 2·1.5²/2 = 2.25 J after; the flyer keeps 9: (9 - 2.25) / 9.
    assert relative_energy_error(truth, through)[[3, 4]] == pytest.approx([0, 0.75], abs=1e-12)
    # Momentum: 2·3 against -2·1.5 over the largest carried 2·3.
    assert relative_momentum_error(truth, through)[[3, 4]] == pytest.approx([0, 1.5], abs=1e-12)
    # The truth flies freely in every frame but row 4, and so does the straight line: no error there.
    assert flight_errors(truth, through, start) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize(("late", "matched"), [(0, 1), (1, 1), (2, 0)])
def test_events_may_come_late_by_the_tolerance(late: int, matched: int) -> None:
    given, truth = bounce()
    velocity = truth.velocity.copy()
    velocity[4 : 4 + late] = (300, 0)
    said = path(truth.scene, truth.position, velocity)
    got = score_events(truth, said, given.frame(-1))
    assert (got.true, got.said, got.matched) == (1, 1, matched)
    assert got.timing == (late if matched else None)
    assert got.precision == got.recall == matched


def test_an_event_is_matched_once_and_on_its_own_body() -> None:
    scene = world(ball(100), ball(300))
    still = np.zeros((8, 2, 2))
    true, said = still.copy(), still.copy()
    true[3:, 0, 0] = 50.0  # one jump of body 0 at row 3
    said[2:, 0, 0] = 50.0
    said[4:, 0, 0] = 90.0  # two near it: the nearer or, at the same distance, the earlier is taken
    said[3:, 1, 0] = 50.0  # and one of the other body
    got = score_events(path(scene, still, true), path(scene, still, said), simulate(scene, 1).frame(0))
    assert (got.true, got.said, got.matched, got.late) == (1, 3, 1, 1)
    assert got.precision == pytest.approx(1 / 3)


def test_a_contact_weighs_its_impulse() -> None:
    """Two onsets, a tick of 20 px/s and a blow of 180: who finds the blow alone has half of them, and nine tenths."""
    scene = world(ball(100), ball(300))  # 2 kg each
    still = np.zeros((8, 2, 2))
    true, said = still.copy(), still.copy()
    true[3:, 0, 0], true[5:, 1, 0] = 20.0, 180.0
    said[5:, 1, 0], said[2:, 1, 1] = 60.0, 40.0  # the blow, too weak, and one that never was
    got = score_events(path(scene, still, true), path(scene, still, said), simulate(scene, 1).frame(0))
    assert (got.true_impulse, got.said_impulse) == (pytest.approx(2 * 2.0), pytest.approx(2 * 1.0))  # kg·m/s
    assert got.recall == 0.5 and got.impulse_recall == pytest.approx(0.9)
    assert got.precision == 0.5 and got.impulse_precision == pytest.approx(0.6)


def test_lying_on_the_floor_is_one_event_not_one_a_frame() -> None:
    floor = Segment(start=(0.0, 288.0), end=(800.0, 288.0), radius=2.0, restitution=0.0)
    run = simulate(world(ball(400, 340, restitution=0.0), static=(floor,), gravity=(0.0, -981.0)), 60)
    assert score_events(run.window(1, 60), run.window(1, 60), run.frame(0)).true == 1


def test_a_contact_that_lasts_since_before_the_rollout_is_no_onset() -> None:
    """Else copy-last, which hangs in the air, would be right about every body that lies on the floor."""
    floor = Segment(start=(0.0, 288.0), end=(800.0, 288.0), radius=2.0, restitution=0.0)
    run = simulate(world(ball(400, 300, restitution=0.0), static=(floor,), gravity=(0.0, -981.0)), 60)
    given, truth = run.window(0, 40), run.window(40, 60)
    got = score_events(truth, copy_last(given, 20), given.frame(-1))
    assert (got.true, got.said) == (0, 0)
    bounced = score_events(bounce()[1].window(4, 9), bounce()[1].window(4, 9), bounce()[1].frame(3))
    assert (bounced.true, bounced.matched) == (1, 1)  # a bounce on the first frame is over on the second


def test_two_discs_exchange_their_velocities_and_the_placebos_do_not() -> None:
    a, b = ball(100, vx=240.0, restitution=1.0, friction=0.0), ball(143.95, restitution=1.0, friction=0.0)
    run = simulate(world(a, b), 16)
    given, truth = run.window(0, 1), run.window(1, 16)
    # Equal masses, elastic: 4 px a frame closes the gap of 23.95 px on reaching frame 6, row 5;
    # the overlap of 0.05 px stays below the slop, so nothing is pushed apart.
    assert truth.velocity[4:7, :, 0] == pytest.approx(np.array([[240, 0], [0, 240], [0, 240]]), abs=1e-6)
    start = given.frame(-1)
    # Two bodies, each wrong by 240 px/s at the one event frame.
    assert event_velocity_rmse(truth, linear(given, 15), start) == pytest.approx(240)
    assert event_velocity_rmse(truth, copy_last(given, 15), start) == pytest.approx(240)
    # Momentum is the same before and after; only where the bodies are told to stand still is it lost in flight.
    assert relative_momentum_error(truth, linear(given, 15)) == pytest.approx(np.zeros(15), abs=1e-9)
    # linear: after the impact each body is off by 4 px a frame, in the same direction: h = 15 is 9 frames on (+1 late)
    assert per_horizon(truth, linear(given, 15))[:6] == pytest.approx(np.zeros(6), abs=1e-6)
    assert per_horizon(truth, linear(given, 15))[14] == pytest.approx(4 * 9, abs=1e-6)
    assert position_mae(truth, linear(given, 15), 15) == pytest.approx(36, abs=1e-6)


def test_copy_last_and_linear_in_flight_are_what_theory_says() -> None:
    scene = world(ball(100, 300, vx=60.0, vy=120.0), gravity=(0.0, -981.0))
    run = simulate(scene, 41)
    given, truth = run.window(0, 1), run.window(1, 41)
    g, frames = 981 * DT * DT, np.arange(1, 41)  # px a frame², Chipmunk's order: p moves with the old velocity
    assert per_horizon(truth, ballistic(given, 40)) == pytest.approx(np.zeros(40), abs=1e-9)
    assert per_horizon(truth, linear(given, 40)) == pytest.approx(g * frames * (frames - 1) / 2, abs=1e-9)
    expected = np.hypot(frames * 1.0, frames * 2.0 - g * frames * (frames - 1) / 2)
    assert per_horizon(truth, copy_last(given, 40)) == pytest.approx(expected, abs=1e-9)
    # In free flight linear lacks g·dt of velocity change in every step.
    momentum, _ = flight_errors(truth, linear(given, 40), given.frame(-1))
    assert momentum == pytest.approx(981 * DT)
    assert flight_errors(truth, ballistic(given, 40), given.frame(-1)) == pytest.approx((0, 0), abs=1e-9)


def test_the_placebo_kicks_as_often_and_as_hard_as_it_says() -> None:
    scene = world(*(ball(100 + 50 * i, vx=100.0) for i in range(10)), gravity=(0.0, -981.0))
    given = simulate(scene, 1)
    said = [random_impulses(given, 200, generator(0, "test", k)) for k in range(20)]
    off = np.stack([s.velocity - ballistic(given, 200).velocity for s in said])  # (20, T, N, 2)
    kicks = np.diff(np.concatenate([np.zeros((20, 1, 10, 2)), off], axis=1), axis=1)
    struck = np.abs(kicks).sum(-1) > 1e-9
    assert struck.mean() == pytest.approx(0.1, abs=0.005)  # 40,000 draws: 3.3 standard errors
    assert np.sqrt(np.square(kicks[struck]).sum(-1).mean()) == pytest.approx(100, rel=0.05)
    # Chipmunk's order: a place moves with the velocity before it.
    moved = said[0].position[1:] - said[0].position[:-1]
    assert moved == pytest.approx(said[0].velocity[:-1] * DT, abs=1e-9)
    assert np.array_equal(said[3].position, random_impulses(given, 200, generator(0, "test", 3)).position)


def test_pendulum_swings_on_its_rod_and_linear_leaves_it() -> None:
    rod = PinJoint(body_a=-1, body_b=0, anchor_a=(400.0, 500.0), length=100.0)
    scene = world(ball(500, 500), joints=(rod,), gravity=(0.0, -981.0))
    run = simulate(scene, 60)
    given, truth = run.window(20, 21), run.window(21, 60)
    # The solver's own drift: a frame leaves the circle by (v·dt)²/2L <= (443/60)²/200 = 0.27 px, a tenth goes a frame.
    assert joint_drift(truth).max() < 2.8
    flown = linear(given, 39)
    leave, speed = given.position[-1, 0] - (400, 500), given.velocity[-1, 0]
    by_hand = [abs(math.hypot(*(leave + k * DT * speed)) - 100.0) for k in range(1, 40)]
    assert joint_drift(flown) == pytest.approx(by_hand)
    # The rod's pull is an impulse in every frame, so the pendulum never flies and has no flight error.
    assert flight_errors(truth, truth, given.frame(-1)) in ((0.0, 0.0), (None, None))


def test_hinges_and_ropes_drift_as_defined() -> None:
    hinge = PivotJoint(body_a=-1, body_b=0, anchor_a=(100.0, 300.0), anchor_b=(10.0, 0.0))
    rope = Rope(body_a=0, body_b=1, anchor_a=(0.0, 0.0), length=50.0)
    scene = world(ball(90), ball(130), joints=(hinge, rope))
    run = path(scene, [[[90, 300], [130, 300]], [[93, 304], [153, 304]]], np.zeros((2, 2, 2)))
    assert joint_drift(run) == pytest.approx([0, (5 + 10) / 2])  # slack rope 0; hinge 5 px off, rope 60 of 50
    run.angle[0, 0] = math.pi  # the hinge's point is on the other side now: 20 px off, the rope still slack
    assert joint_drift(run)[0] == pytest.approx(10)
    assert joint_drift(path(world(ball(1)), [[[1, 2]]], [[[0, 0]]])).tolist() == [0]


def test_penetration_is_the_deepest_overlap() -> None:
    wall = Segment(start=(0.0, 280.0), end=(800.0, 280.0), radius=2.0)
    scene = world(ball(100, 300), ball(115, 300), ball(300, 289), static=(wall,))
    assert penetration(scene, scene.state) == pytest.approx(5)  # 20 - 15; the wall is in by 12 - 9 = 3
    apart = world(ball(100, 300), ball(121, 300), static=(wall,))
    assert penetration(apart, apart.state) == 0
    lost = simulate(apart, 1).frame(0)
    lost.position[0] = np.nan
    assert penetration(apart, lost) == math.inf


def test_escaped_bodies_are_those_that_the_truth_keeps() -> None:
    scene = world(ball(100), ball(200), ball(300))
    truth = path(scene, [[[100, 300], [200, 300], [2000, 300]]], np.zeros((1, 3, 2)))
    said = path(scene, [[[100, 900], [np.nan, 0], [2000, 300]]], np.zeros((1, 3, 2)))
    assert escaped(truth, said, 1) == 2
    assert escaped(truth, truth, 1) == 0


def test_angles_go_the_shorter_way_round() -> None:
    scene = world(ball(100), ball(200))
    truth, said = (
        path(scene, np.zeros((1, 2, 2)), np.zeros((1, 2, 2))),
        path(scene, np.zeros((1, 2, 2)), np.zeros((1, 2, 2))),
    )
    truth.angle[0], said.angle[0] = (3.0, 0.0), (-3.0, 2 * math.pi + 0.5)
    assert angle_rmse(truth, said, 1) == pytest.approx(math.sqrt(((2 * math.pi - 6) ** 2 + 0.25) / 2))
    said.spin[0] = (3.0, -4.0)
    assert spin_rmse(truth, said, 1) == pytest.approx(math.sqrt(12.5))
    said.velocity[0] = ((3, 4), (0, 1))
    assert velocity_mae(truth, said, 1) == pytest.approx(3)
    said.position[0] = ((0, 5), (12, 5))
    assert body_distances(truth, said, 1).tolist() == [5, 13]


def test_valid_prediction_time_counts_frames_below_the_threshold() -> None:
    scene = world(ball(0))
    truth = path(scene, [[[10.0 * t, 0]] for t in range(10)], np.zeros((10, 1, 2)))
    spread = 10 * math.sqrt((100 - 1) / 12)  # of ten even steps: 28.7 px; half of it is 14.4
    off = truth.position.copy()
    off[:, 0, 1] = [0, 4, 8, 12, 14, 14.5, 20, 0, 0, 0]
    assert 14 < spread / 2 < 14.5
    assert valid_prediction_time(truth, path(scene, off, truth.velocity)) == 5
    assert valid_prediction_time(truth, truth) == 10
    off[2] = np.nan
    assert valid_prediction_time(truth, path(scene, off, truth.velocity)) == 2
    rest = path(scene, np.zeros((4, 1, 2)), np.zeros((4, 1, 2)))
    near = path(scene, [[[0, 0.49 * SMALLEST_SPREAD]]] * 4, np.zeros((4, 1, 2)))
    far = path(scene, [[[0, 0.51 * SMALLEST_SPREAD]]] * 4, np.zeros((4, 1, 2)))
    assert (valid_prediction_time(rest, near), valid_prediction_time(rest, far)) == (4, 0)


def test_skill() -> None:
    assert skill(2.0, 8.0) == 0.75 and skill(8.0, 8.0) == 0 and skill(16.0, 8.0) == -1 and skill(1.0, 0.0) is None


def test_an_ensemble_by_hand() -> None:
    scene = world(ball(0))
    truth = path(scene, [[[0, 0]]], [[[0, 0]]])
    samples = [path(scene, [[[x, 0]]], [[[0, 0]]]) for x in (1.0, 3.0, 5.0)]
    got = score_ensemble(truth, samples, 1)
    assert (got.best, got.mean, got.of_mean) == (1, 3, 3)
    assert got.spread == pytest.approx(math.sqrt(4 / 3 * 4))  # variance 4, factor (S + 1) / S
    with pytest.raises(ValueError, match="at least 2 samples"):
        score_ensemble(truth, samples[:1], 1)


def test_a_calibrated_ensemble_has_calibration_one() -> None:
    """Truth and samples from the same distribution: spread over RMSE of the mean is 1, over many moments."""
    rng = np.random.default_rng(0)
    scene = world(*(ball(0) for _ in range(2000)))
    places = rng.normal(0, 7, (5, 1, 2000, 2))
    truth, *samples = (path(scene, place, np.zeros((1, 2000, 2))) for place in places)
    assert score_ensemble(truth, samples, 1).calibration == pytest.approx(1, abs=0.05)
