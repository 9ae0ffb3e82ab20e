"""What a denoiser's losses say about physics: does it find a wrong clip less likely than the right one?

Losses come in pairs: the same scene with right (c+) and wrong (c-) physics, the same noise, the same timesteps.
n clips, t timesteps. Gap and PPE as in LikePhys (arXiv 2510.11512).
"""

from __future__ import annotations

import numpy as np

from physworld.metrics.bootstrap import bootstrap_mean, paired_ratio
from physworld.types import Interval


def preference_error(right: np.ndarray, wrong: np.ndarray) -> Interval:
    """PPE: share of pairs (n,) in which the wrong clip has the lower (or equal) loss; 0.5 is chance."""
    return bootstrap_mean((wrong <= right).astype(float))


def relative_gap(right: np.ndarray, wrong: np.ndarray) -> Interval:
    """mean(L(c-) - L(c+)) / mean L(c+) over pairs (n,)."""
    return paired_ratio(wrong - right, right)


def specificity(
    base_right: np.ndarray, tuned_right: np.ndarray, base_wrong: np.ndarray, tuned_wrong: np.ndarray
) -> Interval:
    """`[L_base - L_tuned](c+) - [L_base - L_tuned](c-)` over pairs (n,).

    Above 0: tuning helped right physics more than wrong. A tuning that makes every clip likelier scores 0.
    """
    return bootstrap_mean((base_right - tuned_right) - (base_wrong - tuned_wrong))


def by_time(losses: np.ndarray, bins: int) -> list[float]:
    """Mean loss (n, t) within consecutive groups of the t-grid, low noise first."""
    return [float(part.mean()) for part in np.array_split(losses, bins, axis=1)]
