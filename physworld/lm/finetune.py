"""Next-token training of pretrained networks: the loop of `NextTokenModule` with the usual optimisers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from physworld.lm.next_token import NextTokenModule
from physworld.lm.packed_lm import PackedLM
from physworld.optim import check_schedule, make_optimizer, schedule_rate
from physworld.types import Batch

MEANS = ("examples", "tokens")


class FinetuneModule(NextTokenModule):
    """Trains what of `network` is trainable; checkpoints hold that and nothing else."""

    sharded_method = "token_losses"
    figures = ("loss", "token_loss", "accuracy", "event_loss")

    def __init__(
        self,
        *,
        network: PackedLM,
        total_steps: int,
        optimizer: str = "adamw",
        learning_rate: float = 2e-4,
        adam_learning_rate: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.01,
        warmup_steps: int = 10,
        warmup_fraction: float | None = None,
        schedule: str = "linear",
        mean_over: str = "examples",
    ) -> None:
        """
        Args:
            optimizer, learning_rate, adam_learning_rate, betas: see optim.make_optimizer.
            warmup_fraction: share of the steps, in the place of `warmup_steps`.
            schedule: after the warm-up: linear or cosine to zero at the last step, or constant.
            mean_over: whether every example counts the same in the loss, or every scored token.

        Raises:
            ValueError: an option is unknown.
        """
        check_schedule(schedule)
        if mean_over not in MEANS:
            raise ValueError(f"mean_over={mean_over} is unknown; choose one of {', '.join(MEANS)}")
        super().__init__(
            network=network, total_steps=total_steps, optimizer=optimizer, learning_rate=learning_rate,
            adam_learning_rate=adam_learning_rate, weight_decay=weight_decay,
            warmup_steps=warmup_steps if warmup_fraction is None else warmup_fraction * total_steps,
        )  # fmt: skip
        self.schedule, self.mean_over = schedule, mean_over
        self.betas = (float(betas[0]), float(betas[1]))
        self.strict_loading = False  # frozen weights are not in checkpoints; `check_fits` has compared the rest

    def setup(self, stage: str) -> None:
        precision = str(self.trainer.precision)
        if precision.startswith("bf16") and self.network.tuning == "lora" and not self._shards():
            self.network.lower_base(torch.bfloat16)

    def unshardable(self) -> str:
        """Why the model cannot be split over devices, else ''."""
        if self.network.tuning == "qlora":
            return "4-bit weights (model.network.tuning=qlora) cannot be split over devices"
        if self.network.by_value:
            return "numbers by value (model.network.numbers=value) cannot be split over devices"
        if "8bit" in self.optimizer_name:
            return f"8-bit state (model.optimizer={self.optimizer_name}) cannot be split over devices; adamw can"
        return ""

    def _shards(self) -> bool:
        return self._device_mesh is not None

    def eval_network(self) -> Any:
        network = super().eval_network()
        network.train(False)
        return network

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        scored = self.network.token_losses(batch.input_ids, batch.labels, mean_over=self.mean_over)
        self._log_pass(batch, **self._scored_figures(scored, batch))
        rows = len(batch.seed)
        self.log("data/token_efficiency", scored.real / scored.computed, batch_size=rows)
        self.log("data/scored_share", len(scored.losses) / scored.real, batch_size=rows)
        self.log("data/mean_length", scored.real / rows, batch_size=rows)
        if self.mean_over == "tokens":
            count = scored.loss.new_tensor(len(scored.losses), dtype=torch.float32)
            return self._of_step(scored.loss * count, count, rows)
        loss: Tensor = scored.loss
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        scored = self.network.token_losses(batch.input_ids, batch.labels, mean_over=self.mean_over)
        self.val_figures.update(len(batch.seed), **self._scored_figures(scored, batch))

    def _scored_figures(self, scored: Any, batch: Batch) -> dict[str, Tensor]:
        """The loss is a mean over examples; the rest are values of tokens."""
        event = batch.event.flatten()[scored.place]
        tokens = self._figures(scored.losses, event, scored.right)
        return {**tokens, "loss": scored.loss, "token_loss": scored.losses}

    def _optimizer(self) -> Any:
        return make_optimizer(
            self.network, self.optimizer_name, lr=self.learning_rate, adam_lr=self.adam_learning_rate,
            weight_decay=self.weight_decay, betas=self.betas,
        )  # fmt: skip

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step."""
        return schedule_rate(self.schedule, step, total=self.total_steps, warmup=self.warmup_steps)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        whole: dict[str, Any] = super().state_dict(*args, **kwargs)
        if self._sharded():
            return whole
        trained = {name for name, p in self.named_parameters(remove_duplicate=False) if p.requires_grad}
        return {name: value for name, value in whole.items() if name in trained}
