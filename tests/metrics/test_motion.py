"""Copies are told from motion in the first frame."""

from __future__ import annotations

import numpy as np
import pytest

from physworld.metrics.motion import copied, moves_right
from physworld.types import Body, Scene, State, Trajectory

BODY = Body(shape="circle", size=(5.0,), position=(0.0, 0.0))
SCENE = Scene(name="billiards", category="collision", difficulty=1, text="", bodies=(BODY,) * 4)


def state(places: list[tuple[float, float]]) -> State:
    return State(position=np.array(places), velocity=np.zeros((4, 2)), angle=np.zeros(4), spin=np.zeros(4))


def one(places: list[tuple[float, float]]) -> Trajectory:
    return Trajectory.of(SCENE, [state(places)])


BEFORE = state([(0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 0.0)])
TRUTH = one([(2.0, 0.0), (10.0, -2.0), (22.0, 0.0), (30.1, 0.0)])  # the last one hardly moves: it is not asked about


@pytest.mark.parametrize(
    ("said", "copies", "right"),
    [
        (TRUTH, 0.0, 1.0),
        (one([tuple(place) for place in BEFORE.position]), 1.0, 0.0),
        (one([(0.04, 0.0), (10.0, -1.1), (18.0, 0.0), (99.0, 0.0)]), 1 / 3, 1 / 3),  # copied; about right; backwards
        (one([(3.1, 0.0), (10.0, -2.9), (22.0, 0.9), (30.0, 0.0)]), 0.0, 2 / 3),  # too far by more than half
    ],
)
def test_shares(said: Trajectory, copies: float, right: float) -> None:
    assert copied(TRUTH, said, BEFORE) == pytest.approx(copies)
    assert moves_right(TRUTH, said, BEFORE) == pytest.approx(right)


def test_where_nothing_moves_there_is_no_share() -> None:
    still = one([tuple(place) for place in BEFORE.position])
    assert copied(still, TRUTH, BEFORE) is None and moves_right(still, TRUTH, None) is None
