"""Whether a prediction moves at all, and which way: what tells a model that copies from one that has learned."""

from __future__ import annotations

import numpy as np

from physworld.types import State, Trajectory

MOVED = 0.5  # px in one frame, 30 px/s: bodies that move less are not asked about
STOOD = 0.05  # px: a copy, but for the rounding of any text here
NEAR = 0.5  # of the true way, by which a predicted one may miss


def _ways(target: Trajectory, predicted: Trajectory, before: State | None) -> tuple[np.ndarray, np.ndarray] | None:
    """(true, predicted) way (M, 2) px in the first frame, of the M bodies that really move."""
    if before is None:
        return None
    true, said = target.position[0] - before.position, predicted.position[0] - before.position
    moves = np.linalg.norm(true, axis=1) > MOVED
    return (true[moves], said[moves]) if moves.any() else None


def copied(target: Trajectory, predicted: Trajectory, before: State | None) -> float | None:
    """Share of the bodies that really move in the first frame which are predicted to stand where they were; None where
    none moves."""
    ways = _ways(target, predicted, before)
    return None if ways is None else float(np.mean(np.linalg.norm(ways[1], axis=1) <= STOOD))


def moves_right(target: Trajectory, predicted: Trajectory, before: State | None) -> float | None:
    """Share of the same bodies whose predicted way misses the true one by less than half of it."""
    ways = _ways(target, predicted, before)
    if ways is None:
        return None
    true, said = ways
    return float(np.mean(np.linalg.norm(said - true, axis=1) < NEAR * np.linalg.norm(true, axis=1)))
