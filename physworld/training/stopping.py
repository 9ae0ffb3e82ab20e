"""A clean way to stop: Ctrl-C, SIGTERM or SIGUSR1 of `timeout`, a batch system or a person. Nothing trained is lost.

In training the optimiser step under way is finished, `last` is saved, and the command says how to go on. A validation
is left at once and done again by the continuation. A second Ctrl-C stops at once. Worker processes take no part:
they ignore all of them (`data.worker`), as a signal often goes to the whole process group.

A job that submitit gave to SLURM knows two more. SIGUSR2, before the time limit and of a cluster that announces
preemption by it: saved, and put into the queue again. SIGTERM there is the beginning of the end, by preemption or by
scancel, and SLURM alone knows whether the job comes back: saved, and trained on until SLURM ends it. A job that ended
by itself in the grace time of a preemption would have failed, and SLURM would not start it again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from physworld.settings import signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
INTERRUPTED, AGAIN = 130, 75  # exit codes: of Ctrl-C; EX_TEMPFAIL of sysexits.h, "the same command again goes on"
PREEMPTION = signal.SIGUSR2  # of submitit's jobs: their own handler puts the job into the queue again


class Interrupted(BaseException):
    """Stopped from outside, after a checkpoint had been saved.

    As KeyboardInterrupt, it is no Exception: it may come anywhere, also where a library turns every error into another.
    """

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        """
        Args:
            number: the signal; of a rank that stops because another one was told to, SIGTERM.
        """
        super().__init__(step)
        self.code = INTERRUPTED if number == signal.SIGINT else AGAIN


def in_slurm() -> bool:
    """Whether SLURM runs this process, as a job of submitit."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


@contextmanager
def heard(ask: Callable[[int, Any], None], numbers: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Within the block the signals call `ask`; afterwards they mean what they meant before."""
    previous = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def stops_at_once(step: int) -> Iterator[None]:
    """Within the block a signal raises `Interrupted`, another Ctrl-C KeyboardInterrupt."""

    def ask(number: int, _frame: Any) -> None:
        signals.note(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise Interrupted(step, number)

    with heard(ask, [number for number in SIGNALS if number != signal.SIGTERM or not in_slurm()]):
        yield


class GracefulStop(Callback):
    """Stops between two optimiser steps, or in a validation. `with stop.listening()` goes around `Trainer.fit`."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.asked = 0  # the signal
        self.ending = False  # SLURM ends the job soon
        self.step = 0
        self.due = False  # a validation: it begins next, or is under way
        self.validating = False  # nothing that is learned changes until it is over, so it may be left anywhere
        self.ranks = 1
        self.numbers: tuple[int, ...] = SIGNALS
        self.preempted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """A job that is preempted saves first; then the handler that was there puts it into the queue again."""
        if callable(signal.getsignal(PREEMPTION)):
            self.numbers = (*SIGNALS, PREEMPTION)
        try:
            with heard(self._ask, self.numbers):
                yield
        except Interrupted:
            self.requeue()
            raise

    def requeue(self) -> None:
        """Hand the preemption on, now that everything is saved."""
        if self.preempted:
            signal.raise_signal(PREEMPTION)

    def _ask(self, number: int, _frame: Any) -> None:
        if number == signal.SIGTERM and in_slurm():
            self.ending = True
            return
        self.asked = number
        self.preempted = self.preempted or number == PREEMPTION
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Several ranks leave it together, between two batches: one alone would leave the others waiting for it.
        if self.validating and self.ranks == 1:
            signals.note(number)
            raise Interrupted(self.step, number)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.step, self.ranks = trainer.global_step, trainer.world_size
        for number in self.numbers:  # Lightning has put its own before them
            signal.signal(number, self._ask)

    def _leave_if_asked(self, trainer: pl.Trainer) -> None:
        # Any rank's signal stops all ranks, at the same place.
        if trainer.strategy.reduce_boolean_decision(bool(self.asked), all=False):
            raise Interrupted(trainer.global_step, self.asked or signal.SIGTERM)
        if in_slurm() and trainer.strategy.reduce_boolean_decision(self.ending, all=False):
            self.ending = False
            trainer.save_checkpoint(self.checkpoint)
            if trainer.is_global_zero:
                print(f"SIGTERM: step {trainer.global_step} is saved; training goes on until SLURM ends the job.")

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self.due = False

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self.due = (trainer.fit_loop.total_batch_idx + 1) % (trainer.val_check_batch or 1) == 0
        # Between the passes of one optimiser step gradients are under way, and a checkpoint does not hold them.
        if trainer.global_step != self.step:
            self.step = trainer.global_step
            self._leave_if_asked(trainer)

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.validating = True
        self._leave_if_asked(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        self._leave_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._leave_if_asked(trainer)
        self.due = self.validating = False  # `best` is saved from here on

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, Interrupted):
            self.validating = False
            trainer.save_checkpoint(self.checkpoint)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """A validation that was due and is not done is done by the continuation, from its beginning."""
        if not self.due:
            return
        state = checkpoint["loops"]["fit_loop"]
        # As Lightning itself leaves it when it dies within the first batch of a validation.
        for progress in ("total", "current"):
            state["epoch_loop.val_loop.batch_progress"][progress] = {
                "ready": 1, "started": 1, "processed": 0, "completed": 0
            }  # fmt: skip
        done = state["epoch_loop.batch_progress"]["total"]
        if (
            done["completed"] < done["processed"]
        ):  # saved before the pass was counted, which Lightning then makes up for
            state["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
