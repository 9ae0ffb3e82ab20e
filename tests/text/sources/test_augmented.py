"""Training scenes that are turned, and context that is noisy."""

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
    one, other = source(), source(turned_scenes=0.0, context_noise=0.0)
    for index in (0, 7, 33):
        assert np.array_equal(one.sample(index).given.position, other.sample(index).given.position)


@pytest.mark.parametrize("options", [{"turned_scenes": 1.5}, {"turned_scenes": -0.1}, {"context_noise": -1.0}])
def test_what_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        source(**options)
