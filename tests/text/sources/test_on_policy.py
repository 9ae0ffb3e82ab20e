"""Samples from a finished run's own rollouts: the simulator's answer to states that a model brought about."""

from __future__ import annotations

import numpy as np
import pytest

from physworld import scenarios
from physworld.errors import UserError
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.sources import on_policy as own_states
from physworld.text.sources.on_policy import OnPolicySource, answer
from physworld.text.sources.physics import KICK_SIZE, PhysicsSource
from physworld.types import Sample

PHYSICS = {"seed": 3, "names": ("billiards", "tower"), "difficulties": (1,)}


def same(a: Sample, b: Sample) -> bool:
    pairs = zip((a.given, a.target), (b.given, b.target), strict=True)
    return all(np.array_equal(x.position, y.position) and np.array_equal(x.velocity, y.velocity) for x, y in pairs)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_states, "SCENES_AT_ONCE", 2)
    monkeypatch.setattr(own_states, "FROM_EACH", 4)


def make(**other: object) -> OnPolicySource:
    return OnPolicySource(**{"run": "shipped", "share": 0.5, "rollout_frames": 3, "split": "train", **PHYSICS, **other})


@pytest.mark.usefixtures("small")
def test_a_sample_follows_from_its_index() -> None:
    forwards, backwards = make(), make()
    first = [forwards.sample(k) for k in range(20)]  # 10 own ones, of two blocks
    again = [backwards.sample(k) for k in reversed(range(20))][::-1]
    assert all(map(same, first, again))
    assert not same(first[1], first[3])


@pytest.mark.usefixtures("small")
def test_own_ones_are_the_share_and_the_simulator_answers_them() -> None:
    source = make(share=0.25)
    plain = PhysicsSource(split="train", **PHYSICS)
    samples = [source.sample(k) for k in range(16)]
    own = [k for k, sample in enumerate(samples) if not same(sample, plain.sample(k))]
    assert own == [3, 7, 11, 15]
    for k in own:
        given, target = samples[k].given, samples[k].target
        assert len(given) == 1
        assert np.array_equal(target.velocity, answer(given.scene, given.frame(-1), 1).velocity)


@pytest.mark.usefixtures("small")
def test_own_ones_are_turned_and_of_other_stuff_too() -> None:
    plain, other = make(share=1.0), make(share=1.0, turned_scenes=1.0, varied_scenes=1.0)
    for k in range(0, 8, 4):
        usual, scene = plain.sample(k).given.scene, other.sample(k).given.scene
        assert usual.gravity[0] == 0.0
        assert scene.gravity[0] != 0.0 or scene.name == "billiards"  # whose table lies flat
        known = {(body.mass, body.friction, body.restitution) for body in usual.bodies}
        assert not known & {(body.mass, body.friction, body.restitution) for body in scene.bodies}


@pytest.mark.usefixtures("small")
def test_own_ones_have_noise_on_the_last_given_frame_alone() -> None:
    plain, noisy = make(share=1.0, context_frames=2), make(share=1.0, context_frames=2, context_noise=0.5)
    for k in range(8):
        one, other = plain.sample(k), noisy.sample(k)
        assert np.array_equal(one.target.position, other.target.position)
        assert np.array_equal(one.given.position[0], other.given.position[0])
        assert 0 < np.abs(other.given.position[1] - one.given.position[1]).max() < 5 * 0.5 * KICK_SIZE[0]


def test_validation_has_none() -> None:
    source, plain = make(split="val"), PhysicsSource(split="val", **PHYSICS)
    assert all(same(source.sample(k), plain.sample(k)) for k in range(8))


def test_answer_in_free_flight_is_exact() -> None:
    path = simulate(scenarios.build("projectile", generator(0, "val", 1), 1), 3)
    after = answer(path.scene, path.frame(1), 1)
    flying = [0, 1, 2]  # the others stand on the ground
    fallen = path.velocity[1, flying] + np.array(path.scene.gravity) * path.scene.dt
    assert np.abs(after.velocity[0, flying] - fallen).max() < 1e-9
    assert np.abs(after.position[0, flying] - path.position[2, flying]).max() < 1e-9


def test_answer_knows_what_held_the_bodies() -> None:
    """A pendulum's rod is as taut after a restart as it was: the solver's impulses are brought back."""
    path = simulate(scenarios.build("pendulum", generator(0, "val", 5), 3), 60)
    times = range(30, 59, 4)
    cold = [simulate(path.scene, 2, start=path.frame(t)).velocity[1] - path.velocity[t + 1] for t in times]
    warm = [answer(path.scene, path.frame(t), 1).velocity[0] - path.velocity[t + 1] for t in times]
    assert np.abs(warm).max(axis=(1, 2)).mean() < 0.3 * np.abs(cold).max(axis=(1, 2)).mean()


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"run": "shipped", "share": 1.5}, ValueError, "share must be from 0 to 1, got 1.5"),
        ({"run": "shipped", "rollout_frames": 150}, ValueError, "rollout_frames must be from 1 to frames - 1 = 149"),
        ({"run": "solver", "frames": 20, "rollout_frames": 19}, ValueError, "must be at most frames - 2 = 18"),
        ({"context_frames": 4, "frames": 20, "rollout_frames": 17}, ValueError, "must be at most frames - 4 = 16"),
        ({"run": None}, UserError, "data.source.run"),
    ],
)
def test_wrong_settings(wrong: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(**wrong)


@pytest.mark.usefixtures("small")
def test_the_longest_rollout_begins_with_the_first_frames() -> None:
    source = make(share=1.0, context_frames=4, frames=8, rollout_frames=4)
    assert len(source.sample(0).given) == 4
