"""Training scenes that are turned or made of other stuff, and context that is noisy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physworld.text.evaluation.baselines import ballistic
from physworld.text.sources.physics import KICK_SIZE, PhysicsSource


def source(**options: Any) -> PhysicsSource:
    return PhysicsSource(
        seed=0, split="train", names=["projectile", "billiards"], difficulties=[1], windows_per_scene=4, frames=40,
        kicked_scenes=0.0, **options,
    )  # fmt: skip


def test_turned_scenes_are_right_physics_under_gravity_of_any_direction() -> None:
    plain, turned = source(), source(turned_scenes=1.0)
    directions = set()
    for index in range(0, 64, 4):
        one, other = plain.sample(index), turned.sample(index)
        pull = np.array(other.given.scene.gravity)
        assert np.hypot(*pull) == pytest.approx(np.hypot(*one.given.scene.gravity))
        directions.add(round(float(np.arctan2(*pull)), 3))
        if one.given.scene.name == "billiards":  # balls that overlap are moved apart, whatever their velocity
            continue
        # a body that nothing touches falls the way gravity points
        guess = ballistic(other.given, 1)
        near = np.abs(guess.velocity - other.target.velocity).max(axis=(0, 2)) < 1e-6
        moved = np.abs(guess.position - other.target.position).max(axis=(0, 2))
        assert (moved[near] < 1e-6).all()
    assert len(directions) > 5


def test_noise_is_on_the_last_given_frame_alone_and_of_its_size() -> None:
    plain, noisy = source(), source(context_noise=0.5)
    off = []
    for index in range(160):
        one, other = plain.sample(index), noisy.sample(index)
        if index % 4 == 0:  # the noise is drawn after the windows of a scene, so the first scene's are the same
            assert np.array_equal(one.target.position, other.target.position)
        now, then = one.given.frame(-1), other.given.frame(-1)
        off.append(
            np.column_stack(
                [
                    then.position - now.position,
                    then.velocity - now.velocity,
                    then.angle - now.angle,
                    then.spin - now.spin,
                ]
            )
        )
    spread = np.concatenate(off).std(axis=0)
    np.testing.assert_allclose(spread, 0.5 * KICK_SIZE, rtol=0.2)


def test_none_of_either_draws_nothing() -> None:
    one, other = source(), source(turned_scenes=0.0, varied_scenes=0.0, context_noise=0.0)
    for index in (0, 7, 33):
        assert np.array_equal(one.sample(index).given.position, other.sample(index).given.position)


def test_varied_scenes_fill_the_range_that_training_has_and_stay_inside() -> None:
    found = []
    for index in range(0, 400, 4):
        one, other = source().sample(index), source(varied_scenes=1.0).sample(index)
        bodies = other.given.scene.bodies
        assert np.array_equal([body.position for body in bodies], [body.position for body in one.given.scene.bodies])
        found += [(body.mass, body.friction, body.restitution) for body in bodies]
    mass, friction, restitution = np.array(found).T
    # a share of q lies below the q-quantile of what is drawn
    for drawn, low, high in ((np.log(mass), np.log(0.5), np.log(20)), (friction, 0.1, 1.0), (restitution, 0.0, 0.95)):
        assert drawn.min() >= low and drawn.max() <= high
        np.testing.assert_allclose(
            (np.quantile(drawn, [0.1, 0.5, 0.9]) - low) / (high - low), [0.1, 0.5, 0.9], atol=0.06
        )
    plain, half = source(), source(varied_scenes=0.5)
    moved = [
        plain.sample(index).given.scene.bodies[0].mass != half.sample(index).given.scene.bodies[0].mass
        for index in range(0, 400, 4)
    ]
    assert 0.35 < np.mean(moved) < 0.65


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"turned_scenes": 1.5}, "turned_scenes=1.5 must be from 0 to 1"),
        ({"turned_scenes": -0.1}, "turned_scenes=-0.1 must be from 0 to 1"),
        ({"varied_scenes": 2}, "varied_scenes=2 must be from 0 to 1"),
        ({"context_noise": -1.0}, "context_noise=-1.0 must be 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        source(**options)
