"""Work at validation, shared among the ranks."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.strategies import ModelParallelStrategy


def share(trainer: pl.Trainer, count: int) -> list[int]:
    """Numbers of this rank's samples among `count`; `accumulators.Samples` brings the ranks' figures together.

    A network that is split over the ranks needs all of them in every pass, so each rank takes all samples.
    """
    if isinstance(trainer.strategy, ModelParallelStrategy):
        return list(range(count))
    return list(range(trainer.global_rank, count, trainer.world_size))
