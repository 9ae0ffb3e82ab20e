"""Several sampled rollouts of one moment: best, mean, and whether their spread tells how wrong they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physworld.metrics.errors import position_rmse
from physworld.types import Trajectory


@dataclass(frozen=True, kw_only=True)
class EnsembleScore:
    """S samples at one horizon, px."""

    best: float  # RMSE of the best sample: luck grows with S, so S must stand beside it
    mean: float  # mean of the samples' RMSE
    of_mean: float  # RMSE of the samples' mean position
    spread: float  # sqrt(mean over bodies of the samples' variance, with S - 1)

    @property
    def calibration(self) -> float | None:
        """Spread over the error of the mean, corrected for S (Fortin et al. 2014, eq. 15): 1 = honest, below 1 =
        too sure. Meaningful as a ratio of averages over many moments, not of one."""
        return self.spread / self.of_mean if self.of_mean > 0 else None


def score_ensemble(target: Trajectory, samples: Sequence[Trajectory], horizon: int) -> EnsembleScore:
    """Score S >= 2 samples at exactly frame `horizon`. The spread carries Fortin's factor sqrt((S + 1) / S)."""
    count = len(samples)
    if count < 2:
        raise ValueError(f"a spread needs at least 2 samples, got {count}")
    errors = [position_rmse(target, sample, horizon) for sample in samples]
    errors = [np.inf if np.isnan(error) else error for error in errors]  # infinitely wrong; min() would skip some
    places = np.stack([sample.position[horizon - 1] for sample in samples])  # (S, N, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        middle = places.mean(axis=0)
        off = np.sqrt(np.square(middle - target.position[horizon - 1]).sum(-1).mean())
        variance = np.square(places - middle).sum(-1).sum(0) / (count - 1)  # (N,)
        spread = np.sqrt((count + 1) / count * variance.mean())
    return EnsembleScore(best=min(errors), mean=float(np.mean(errors)), of_mean=float(off), spread=float(spread))
