"""A run that is followed from outside: its record says how far it is, and its search may give it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from physworld.runs.directory import first_rank
from physworld.runs.state import Pruned, Record
from physworld.runs.trial import Trial


class Followed(Callback):
    """Tells the record every step and every validation, and a search the figure of each validation."""

    def __init__(self, record: Record, monitor: str, directory: Path) -> None:
        self.record, self.monitor = record, monitor
        self.trial = Trial.of(directory) if first_rank() else None

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.record.set(step=trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Raises: Pruned, on every rank at the same step."""
        value = trainer.callback_metrics.get(self.monitor)
        figure = float("nan") if value is None else float(value)
        self.record.better(self.monitor, figure, trainer.global_step)
        hopeless = self.trial is not None and self.trial.hopeless(figure, trainer.global_step)
        if trainer.strategy.reduce_boolean_decision(hopeless, all=False):
            raise Pruned(f"Given up by its search at step {trainer.global_step}, {self.monitor}={figure:.4g}.")
