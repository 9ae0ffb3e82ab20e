"""How long a rollout stays right, and how much better than extrapolation it is."""

from __future__ import annotations

import numpy as np

from physworld.metrics.errors import per_horizon
from physworld.types import Trajectory

THRESHOLD = 0.5  # of the truth's own spread, as in Vlachas et al. 2020 (arXiv 1910.05266)
SMALLEST_SPREAD = 5.0  # px; about a third of a small body: for scenes that hardly move


def valid_prediction_time(target: Trajectory, predicted: Trajectory, threshold: float = THRESHOLD) -> int:
    """Frames before the normalised error first exceeds `threshold`; all of them if it never does.

    The error is position RMSE over the truth's spread sqrt(mean over frames and bodies of |x - mean over frames|²),
    the normalisation of Vlachas et al. 2020, at least SMALLEST_SPREAD. A NaN exceeds every threshold.
    """
    errors = per_horizon(target, predicted)
    truth = target.position[: len(errors)]
    spread = float(np.sqrt(np.square(truth - truth.mean(axis=0)).sum(-1).mean()))
    wrong = ~(errors <= threshold * max(spread, SMALLEST_SPREAD))
    return int(np.argmax(wrong)) if wrong.any() else len(errors)


def skill(rmse: float, rmse_reference: float) -> float | None:
    """1 - RMSE / reference RMSE: 1 perfect, 0 no better than the reference, negative worse; None if that is 0.

    Murphy 1988, with the root so that it stays linear in px.
    """
    return 1 - rmse / rmse_reference if rmse_reference > 0 else None
