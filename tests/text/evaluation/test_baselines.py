"""Baselines against closed forms and against the simulator itself."""

from __future__ import annotations

import numpy as np

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.evaluation.baselines import BASELINES, ballistic, copy_last, linear, rounded_state
from physworld.types import Body, Scene, State

FREE = Scene(
    name="test",
    category="test",
    difficulty=1,
    text="",
    bodies=(Body(shape="rect", size=(20, 10), position=(100, 500), velocity=(40, 90), angle=0.3, spin=-1.5),),
)


def exact(state: State, scene: Scene) -> State:
    return state


def test_copy_last_repeats_the_last_given_frame() -> None:
    given = simulate(FREE, 4)
    predicted = copy_last(given, 7)
    assert len(predicted) == 7
    for name in ("position", "velocity", "angle", "spin"):
        np.testing.assert_array_equal(getattr(predicted, name), np.repeat(getattr(given, name)[-1:], 7, 0))


def test_linear_keeps_velocity_and_spin() -> None:
    given = simulate(FREE, 4)
    predicted = linear(given, 5)
    np.testing.assert_allclose(predicted.position[4], given.position[3] + 5 / 60 * given.velocity[3], atol=1e-9)
    np.testing.assert_allclose(predicted.angle[4], given.angle[3] - 1.5 * 5 / 60, atol=1e-12)
    np.testing.assert_array_equal(predicted.velocity, np.repeat(given.velocity[3:], 5, 0))


def test_ballistic_is_exact_in_free_flight() -> None:
    truth = simulate(FREE, 61)
    predicted = ballistic(truth.window(0, 1), 60)
    np.testing.assert_allclose(predicted.position, truth.position[1:], atol=1e-8)
    np.testing.assert_allclose(predicted.velocity, truth.velocity[1:], atol=1e-8)
    np.testing.assert_allclose(predicted.angle, truth.angle[1:], atol=1e-9)
    np.testing.assert_array_equal(predicted.spin, truth.spin[1:])


def test_ballistic_is_linear_without_gravity() -> None:
    given = simulate(scenarios.build("billiards", generator(0, "val", 0), 2), 3)
    np.testing.assert_array_equal(ballistic(given, 20).position, linear(given, 20).position)


def test_rounded_state_starts_from_the_last_given_frame_as_rounded() -> None:
    scene = scenarios.build("billiards", generator(0, "val", 1), 2)
    truth = simulate(scene, 25)

    def coarse(state: State, scene: Scene) -> State:
        return State(position=np.round(state.position), velocity=state.velocity, angle=state.angle, spin=state.spin)

    predicted = rounded_state(truth.window(0, 4), 6, coarse)
    assert len(predicted) == 6
    want = np.round(truth.position[3]) + truth.velocity[3] / 60
    np.testing.assert_allclose(
        predicted.position[0], want, atol=1e-9
    )  # p += v·dt holds in the first step after a restart


def test_rounded_state_without_rounding_is_the_simulator() -> None:
    scene = scenarios.build("billiards", generator(0, "val", 1), 2)
    truth = simulate(scene, 11)
    np.testing.assert_array_equal(rounded_state(truth.window(0, 1), 10, exact).position, truth.position[1:])


def test_table_holds_the_three_that_need_nothing() -> None:
    assert {"copy_last": copy_last, "linear": linear, "ballistic": ballistic} == BASELINES
