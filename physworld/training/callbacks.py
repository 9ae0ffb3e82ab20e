"""Callbacks of every training run: progress bar, throughput and seeds."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar

from physworld.reporting.screen import screen


class SeedEachPass(Callback):
    """Dropout and noise of pass k are a function of (seed, k, rank), so a resumed run draws what it would have."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
        done = total.processed
        state = np.random.SeedSequence(entropy=self.seed, spawn_key=(done, trainer.global_rank)).generate_state(1)
        torch.manual_seed(int(state[0]))


class Throughput(Callback):
    """Counts tokens, samples and seconds; the counts are in the checkpoint, so a resumed run states its whole cost.

    `pad_id` is None where batches hold no tokens: then only samples are counted.
    """

    def __init__(self, pad_id: int | None, every_n_steps: int) -> None:
        self.pad_id, self.every = pad_id, every_n_steps
        self.tokens = self.samples = 0  # of this run, all ranks
        self.seconds = 0.0  # spent in training, validation included
        self.rates: dict[str, float] = {}
        self._mark = (0.0, 0, 0)  # time, tokens, samples at the last reading
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "samples": self.samples, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens, self.samples, self.seconds = state["tokens"], state["samples"], state["seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._clock = time.perf_counter()
        self._mark = (self._clock, self.tokens, self.samples)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._mark = (time.perf_counter(), self.tokens, self.samples)  # a rate is of training alone

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.pad_id is not None:
            self.tokens += int((batch.input_ids != self.pad_id).sum()) * trainer.world_size
        self.samples += len(batch.seed) * trainer.world_size
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        since, tokens, samples = self._mark
        if (batch_idx + 1) % (self.every * trainer.accumulate_grad_batches) == 0 and now > since:
            self.rates = {"samples/s": (self.samples - samples) / (now - since)}
            if self.pad_id is not None:
                self.rates["tokens/s"] = (self.tokens - tokens) / (now - since)
            self._mark = (now, self.tokens, self.samples)
            module.log_dict({f"speed/{key}": value for key, value in self.rates.items()}, rank_zero_only=True)


class ProgressBar(RichProgressBar):
    """Loss, tokens/s, samples/s and time left; a line a minute where there is no terminal to redraw."""

    def __init__(self, throughput: Throughput, plain_every: float = 60.0) -> None:
        super().__init__(refresh_rate=4, leave=True)
        self.throughput, self.plain_every = throughput, plain_every
        self.console = screen()
        self._spoken, self._step = 0.0, 0  # when a line was last printed, and of which step
        if not self.console.is_terminal:
            self.disable()

    @property
    def total_train_batches(self) -> int:
        """The stream has no end; the optimiser steps do."""
        return self.trainer.max_steps * self.trainer.accumulate_grad_batches

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{'Training':{len(self.validation_description)}}"

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        items = super().get_metrics(trainer, module)
        items.pop("v_num", None)
        return {**items, **{key: round(value, 1) for key, value in self.throughput.rates.items()}}

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        now = time.perf_counter()
        if self.console.is_terminal or not trainer.is_global_zero:
            return
        last = trainer.global_step == trainer.max_steps != self._step
        if now - self._spoken < self.plain_every and not last:
            return
        self._step = trainer.global_step
        self._spoken = now
        done, rate = self.throughput.samples, self.throughput.rates.get("samples/s")
        per_step = len(batch.seed) * trainer.world_size * trainer.accumulate_grad_batches
        left = (trainer.max_steps - trainer.global_step) * per_step
        parts = [f"step {trainer.global_step}/{trainer.max_steps}", f"{done} samples"]
        parts += [f"{key} {value:.3g}" for key, value in self.get_metrics(trainer, module).items()]
        parts += [f"{left / rate:.0f} s left"] if rate else []
        print(" · ".join(parts), flush=True)

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._stop_progress()  # Lightning leaves the live display running, and it would swallow what is printed next
