"""Next-token training of a network over a codec's tokens, for Lightning."""

from __future__ import annotations

import copy
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from physworld.accumulators import Means
from physworld.optim import check_optimizer, make_optimizer, plateau_rate, scheduled
from physworld.types import Batch


class NextTokenModule(lightning.LightningModule):
    """Trains `network` on the labels of a batch; the loss is the mean over the scored tokens of a step.

    `network` offers `places`, `scored`, `losses` and `generate` as GPT does; `pad`, the padding's token; `flops`, for
    TFLOP/s (None where nobody counts them); `save_run` (see lm/saved.py); `blocks` and `unsharded`, where it may be
    split over devices.
    """

    objective = "likelihood"
    sharded_method = "scored"  # the network's, which gathers weights that are split over devices
    figures: tuple[str, ...] = ("loss", "accuracy", "event_loss")  # logged as train/NAME and val/NAME
    shown: tuple[str, ...] = ("loss",)  # in the progress bar

    def __init__(
        self,
        *,
        network: nn.Module,
        total_steps: int,
        optimizer: str = "muon",
        learning_rate: float = 0.02,
        adam_learning_rate: float = 0.003,
        weight_decay: float = 0.01,
        warmup_steps: float = 30,
        decay_fraction: float = 0.6,
        ema_decay: float = 0.0,
        length_groups: int = 3,
        event_weight: float = 1.0,
    ) -> None:
        """
        Args:
            optimizer, learning_rate, adam_learning_rate: see optim.make_optimizer.
            decay_fraction: last share of the steps over which both rates fall linearly to zero.
            ema_decay: decay per step of the running average of weights that is evaluated and saved; 0 = none.
            length_groups: a batch is cut into so many parts of similar length, to pad less.
            event_weight: in training, of the tokens that `Batch.event` marks: collisions, or what a rule decides.
        """
        super().__init__()
        check_optimizer(optimizer)
        self.optimizer_name = optimizer
        self.network: Any = network
        self.train_figures, self.val_figures = Means(*self.figures, sync_on_compute=False), Means(*self.figures)
        self.ranks_meet = False
        self.total_steps, self.warmup_steps, self.decay_fraction = total_steps, warmup_steps, decay_fraction
        self.learning_rate, self.adam_learning_rate = learning_rate, adam_learning_rate
        self.weight_decay, self.length_groups, self.ema_decay = weight_decay, length_groups, ema_decay
        self.event_weight = event_weight
        self._pending: list[Tensor] = []  # (weight of the tokens, samples) of each pass of the step under way
        self.average: Any = copy.deepcopy(network).requires_grad_(False) if ema_decay > 0 else None

    def eval_network(self) -> Any:
        """The weights to roll out and save, in evaluation mode. Sharded ones are gathered: all ranks must call."""
        if self.average is not None:
            return self.average.eval()
        if not self._sharded():
            return self.network.eval()
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        whole = self.network.unsharded()
        whole.load_state_dict(get_model_state_dict(self.network, options=StateDictOptions(full_state_dict=True)))
        return whole.to(self.device).eval()

    def unshardable(self) -> str:
        """Why the model cannot be split over devices, else ''."""
        return ""

    def configure_model(self) -> None:
        mesh = self._device_mesh
        if mesh is None or self._sharded():
            return
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        for block in self.network.blocks:
            fully_shard(block, mesh=mesh["data_parallel"])
        fully_shard(self.network, mesh=mesh["data_parallel"])
        register_fsdp_forward_method(self.network, self.sharded_method)

    def _sharded(self) -> bool:
        return any(type(p).__name__ == "DTensor" for p in self.network.parameters())

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(loss (M,), event (M,) bool, right (M,) bool) of all scored tokens."""
        network = self.network
        length = (batch.input_ids != network.pad).sum(dim=1)
        losses, events, right = [], [], []
        order = network.places(batch.input_ids)[2].argsort()
        for part in order.chunk(min(self.length_groups, len(order))):
            longest = int(length[part].max())
            ids, labels = batch.input_ids[part, :longest], batch.labels[part, :longest]
            logits, target, place = network.scored(ids, labels)
            losses.append(network.losses(logits, target))
            events.append(batch.event[part, :longest].flatten()[place])
            right.append(logits.argmax(dim=-1) == target)
        return torch.cat(losses), torch.cat(events), torch.cat(right)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        losses, event, right = self._losses(batch)
        self._log_pass(batch, **self._figures(losses, event, right))
        if self.event_weight == 1:
            count = losses.new_tensor(len(losses), dtype=torch.float32)
            return self._of_step(losses.sum(), count, len(batch.seed))
        weight = torch.where(event, self.event_weight, 1.0)
        return self._of_step((losses * weight).sum(), weight.sum(), len(batch.seed))

    def _of_step(self, total: Tensor, weight: Tensor, rows: int) -> Tensor:
        """The loss of a pass, which is its part of a mean over all tokens of the step.

        Passes hold unlike numbers of tokens, so the mean of their means would be another loss than that of one large
        pass. What all of them hold is known after the last one: until then each is a mean over its samples.

        Args:
            total: sum of the losses, each times its weight ().
            weight: sum of the weights ().
            rows: samples of the pass.
        """
        trainer = self._trainer
        if trainer is None or trainer.accumulate_grad_batches * trainer.world_size == 1:
            return total / weight
        self._pending.append(torch.stack([weight.detach().float(), torch.full_like(weight, rows).float()]))
        return total / rows

    def on_after_backward(self) -> None:
        """After the last pass of a step the gradient becomes that of the mean over its tokens, on all ranks alike."""
        if not self._pending or len(self._pending) < self.trainer.accumulate_grad_batches:
            return
        weight, rows = self.trainer.strategy.reduce(torch.stack(self._pending).sum(dim=0), reduce_op="sum")
        self._pending = []
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(rows / weight)

    def validation_step(self, batch: Batch, _index: int) -> None:
        self.val_figures.update(len(batch.seed), **self._figures(*self._losses(batch)))

    def _figures(self, losses: Tensor, event: Tensor, right: Tensor) -> dict[str, Tensor]:
        """Name -> values of all scored tokens, or of those among them that are events."""
        return {"loss": losses, "accuracy": right, "event_loss": losses[event]}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Ranks meet only where the figures are written down: a meeting at every step would cost time.
        trainer: Any = self.trainer  # its interval of logging is no declared attribute
        self.ranks_meet = (trainer.global_step + 1) % trainer.log_every_n_steps == 0

    def _log_pass(self, batch: Batch, **figures: Tensor) -> None:
        """Log the figures of one training pass."""
        rows = len(batch.seed)
        for name, value in self.train_figures.alone(rows, over_ranks=self.ranks_meet, **figures).items():
            self.log(f"train/{name}", value, prog_bar=name in self.shown, batch_size=rows)

    def on_validation_epoch_end(self) -> None:
        """Means over all tokens of all validation batches and ranks."""
        self.log_dict({f"val/{name}": value for name, value in self.val_figures.compute().items()})
        self.val_figures.reset()

    def configure_optimizers(self) -> Any:
        return scheduled(self._optimizer(), self._rate)

    def _optimizer(self) -> Any:
        return make_optimizer(
            self.network, self.optimizer_name, lr=self.learning_rate, adam_lr=self.adam_learning_rate,
            weight_decay=self.weight_decay,
        )  # fmt: skip

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step."""
        return plateau_rate(step, total=self.total_steps, warmup=self.warmup_steps, decay_fraction=self.decay_fraction)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One step, then the average follows: once per step whatever the accumulation, and before `last` is saved."""
        super().optimizer_step(*args, **kwargs)
        if self.average is None:
            return
        step = self.trainer.global_step + 1
        decay = min(self.ema_decay, (1 + step) / (10 + step))  # young averages follow faster
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now.to(mean.dtype), 1 - decay)
