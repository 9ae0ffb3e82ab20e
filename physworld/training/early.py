"""A run that ends before its steps are done: it no longer improves, or its time is over."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping

from physworld.errors import UserError, suggest
from physworld.runs.checkpoints import read_checkpoint

NOT_OF_VALIDATIONS = ("train/", "speed/", "data/", "lr-")


class EarlyStop(EarlyStopping):
    """Lightning's early stopping, on any figure that a validation logs; the best weights are what is evaluated."""

    def __init__(self, *, best: str, patience: int, monitor: str | None, mode: str, min_delta: float) -> None:
        """
        Args:
            best: the figure that best.ckpt has lowest.
            patience: validations in a row without a better figure.
            monitor: None = `best`.

        Raises:
            UserError: no validation logs `monitor`, as far as its name tells.
        """
        if monitor is not None and monitor.startswith(NOT_OF_VALIDATIONS):
            raise UserError(
                f"early_stopping.monitor={monitor} is not logged by a validation; choose "
                f"{', '.join(dict.fromkeys((best, 'val/loss')))}, or another figure that is."
            )
        # An infinite figure (a baseline without error) is no reason to stop.
        super().__init__(
            monitor or best, patience=patience, mode=mode, min_delta=min_delta, check_finite=False,
            check_on_train_epoch_end=False,
        )  # fmt: skip
        self.follows_best = self.monitor == best and mode == "min"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint's validations said, under this command's patience: with more of it a run goes on."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        if self.wait_count < self.patience:
            self.stopping_reason_message = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.stopping_reason_message is not None:  # it was stopped, and what follows training was interrupted
            trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Raises: UserError, where no such figure is logged."""
        logged = [name for name in trainer.callback_metrics if not name.startswith(NOT_OF_VALIDATIONS)]
        if self.monitor not in logged:
            hint = suggest(self.monitor, logged)
            raise UserError(
                f"early_stopping.monitor={self.monitor} is not logged by a validation.{hint} Choose one of "
                f"{', '.join(sorted(logged))}."
            )
        super().on_validation_end(trainer, module)

    def conclude(self, trainer: pl.Trainer, module: pl.LightningModule, best: Path) -> str:
        """After training: the weights of `best`, where it stopped training and followed the same figure.

        Returns:
            What to tell; '' where it did not stop the run.
        """
        if self.stopping_reason_message is None:
            return ""
        said = (
            f"Stopped early at step {trainer.global_step}: no better {self.monitor} in {self.patience} validations"
            f" (best {float(self.best_score):.4g})"
        )
        if not self.follows_best or not best.is_file():
            return f"{said}."
        content = read_checkpoint(best)
        trainer.strategy.load_model_state_dict(content, strict=module.strict_loading)
        return f"{said}. What follows is of {best.name}, step {content['global_step']}."


class TimeLimit(Callback):
    """Ends training when this process has trained for so long; what follows training is done as ever."""

    def __init__(self, limit: timedelta) -> None:
        self.limit = limit
        self.began = time.monotonic()  # a clock that jumps ends no run
        self.over = False

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        passed = time.monotonic() - self.began > self.limit.total_seconds()
        whole = trainer.fit_loop.total_batch_idx + 1
        if whole % trainer.accumulate_grad_batches == 0 and trainer.strategy.reduce_boolean_decision(passed, all=False):
            self.over = trainer.should_stop = True
