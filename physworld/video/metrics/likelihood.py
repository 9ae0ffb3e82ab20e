"""What a denoiser's losses say about physics: does it find a wrong clip less likely than the right one?

Losses come in pairs: the same scene with right (c+) and wrong (c-) physics, the same noise, the same timesteps.
A loss that is no finite number is an error of the model: its pair counts as wrong in PPE, and what is a mean of losses
stays NaN. n clips, t timesteps. Gap and PPE as in LikePhys (arXiv 2510.11512).
"""

from __future__ import annotations

import numpy as np

from physworld.metrics.bootstrap import bootstrap_mean, paired_ratio, share
from physworld.types import Interval


def preference_error(right: np.ndarray, wrong: np.ndarray) -> Interval:
    """PPE: share of pairs (n,) in which the wrong clip does not have the higher loss; 0.5 is chance."""
    found = (wrong > right) & np.isfinite(wrong) & np.isfinite(right)
    return share(~found)


def mean(values: np.ndarray) -> Interval:
    """Of (n,) losses or differences of them; NaN if one of them is no finite number."""
    return bootstrap_mean(values) if np.isfinite(values).all() else _unknown(len(values))


def _unknown(count: int) -> Interval:
    return Interval(mean=float("nan"), low=float("nan"), high=float("nan"), count=count)


def relative_gap(right: np.ndarray, wrong: np.ndarray) -> Interval:
    """mean(L(c-) - L(c+)) / mean L(c+) over pairs (n,)."""
    if not (np.isfinite(wrong) & np.isfinite(right)).all():
        return _unknown(len(right))
    return paired_ratio(wrong - right, right)


def specificity(
    base_right: np.ndarray, tuned_right: np.ndarray, base_wrong: np.ndarray, tuned_wrong: np.ndarray
) -> Interval:
    """`[L_base - L_tuned](c+) - [L_base - L_tuned](c-)` over pairs (n,).

    Above 0: tuning helped right physics more than wrong. A tuning that makes every clip likelier scores 0.
    """
    return mean((base_right - tuned_right) - (base_wrong - tuned_wrong))


def by_time(losses: np.ndarray, bins: int) -> list[float]:
    """Mean loss (n, t) within consecutive groups of the t-grid, low noise first."""
    return [float(part.mean()) for part in np.array_split(losses, bins, axis=1)]
