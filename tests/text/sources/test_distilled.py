"""Samples whose target is what finished runs answer: their mean, in a share of the training samples alone."""

from __future__ import annotations

import numpy as np
import pytest

from physworld.errors import UserError
from physworld.runs.checkpoints import load_model
from physworld.runs.directory import find_run
from physworld.text.rollout import rollout
from physworld.text.sources.distilled import DistilledSource
from physworld.text.sources.physics import PhysicsSource
from physworld.types import Sample, Trajectory

PHYSICS = {"seed": 3, "names": ("billiards", "tower"), "difficulties": (1,), "windows_per_scene": 4}
TEACHERS = ["shipped", "solver"]


def make(**other: object) -> DistilledSource:
    return DistilledSource(**{"runs": TEACHERS, "split": "train", **PHYSICS, **other})


def equal(one: Trajectory, other: Trajectory) -> bool:
    parts = ("position", "velocity", "angle", "spin")
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in parts)


def same(a: Sample, b: Sample) -> bool:
    return equal(a.given, b.given) and equal(a.target, b.target)


def answer_of(name: str, given: Trajectory) -> Trajectory:
    model, codec, _ = load_model(find_run(name), "cpu")
    return rollout(model, codec, [given], 1).predicted[0]


def test_the_target_is_the_mean_of_the_teachers_answers() -> None:
    """As each of them gives it when it is asked alone, shown as many frames as it reads."""
    shown = PhysicsSource(split="train", context_frames=2, **PHYSICS)
    source = make()
    for k in range(8):
        sample, given = source.sample(k), shown.sample(k).given
        one, other = (answer_of(name, given) for name in TEACHERS)
        assert len(sample.given) == 1 and equal(sample.given, given.window(1, 2))
        assert np.allclose(sample.target.velocity, (one.velocity + other.velocity) / 2, atol=1e-9)
        assert np.allclose(sample.target.position, (one.position + other.position) / 2, atol=1e-9)


def test_a_sample_follows_from_its_index() -> None:
    forwards, backwards = make(share=0.5), make(share=0.5)
    first = [forwards.sample(k) for k in range(12)]
    again = [backwards.sample(k) for k in reversed(range(12))][::-1]
    assert all(map(same, first, again))


def test_a_share_is_taught_and_the_rest_is_simulated() -> None:
    plain = PhysicsSource(split="train", context_frames=2, **PHYSICS)
    source, count = make(runs=["solver"], share=0.25), 200
    taught = sum(not equal(source.sample(k).target, plain.sample(k).target) for k in range(count))
    assert 0.12 * count < taught < 0.38 * count


def test_validation_is_not_taught() -> None:
    source, plain = make(split="val"), PhysicsSource(split="val", **PHYSICS)
    assert all(same(source.sample(k), plain.sample(k)) for k in range(8))


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"share": 0}, ValueError, "share must be above 0 and at most 1, got 0"),
        ({"runs": []}, ValueError, "must be a list of finished runs"),
        ({"runs": "solver"}, ValueError, "must be a list of finished runs"),
        ({"runs": 3}, ValueError, "must be a list of finished runs"),
        ({"runs": ["solver", "solver"]}, ValueError, "data.source.runs names solver twice"),
        ({"runs": ["solver", "nobody"]}, UserError, "data.source.runs=nobody is no run directory"),
    ],
)
def test_wrong_settings(wrong: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(**wrong)
