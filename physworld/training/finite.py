"""Training stops at the first number that is no number: in a loss, a gradient, or a weight about to be saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from physworld.lm.weights import not_finite
from physworld.runs.directory import write_json

REPLAY = "diverged.json"  # in the run's folder: the step, and the seeds of the samples it was made of


class Diverged(Exception):
    """The message is one sentence without its advice: what is not finite, and at which step."""


class StopWhereNotFinite(Callback):
    """Looks at every loss and gradient before the optimiser uses them, and at every checkpoint before it is written.

    So a checkpoint on disk always holds finite numbers, and the step that broke the run can be made again.
    """

    def __init__(self, directory: Path, budget: int = 0) -> None:
        """
        Args:
            budget: steps of the whole run that may be left out instead; the weights stay as they are in such a step.
        """
        self.directory, self.budget = directory, budget
        self.left_out = 0
        self.seeds: list[int] = []  # of the samples of the optimiser step under way, on this rank
        self.losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        return {"left_out": self.left_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left_out = state["left_out"]

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self.seeds += batch.seed.tolist()

    def on_before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
        self.losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        """Raises: Diverged, on every rank at the same step."""
        loss = torch.stack(self.losses).float().mean()
        # In 16-mixed the scaler itself leaves out steps whose gradients overflow, and lowers its scale.
        norm = _gradient_norm(module)
        if norm.isfinite():
            module.log("train/gradient_norm", norm)  # before it is clipped
        scaled = trainer.precision == "16-mixed"
        broken = "" if scaled or norm.isfinite() else f"the norm of the gradient is {norm.item():g}"
        what = f"the loss is {loss.item():g}" if not loss.isfinite() else broken
        if trainer.strategy.reduce_boolean_decision(bool(what), all=False):
            what = what or "a loss or a gradient of another rank is not finite"
            self._record(trainer, loss=str(loss.item()), what=what)
            step, self.left_out = trainer.global_step + 1, self.left_out + 1
            if self.left_out > self.budget:
                many = f", after {self.budget} steps that were left out" if self.budget else ""
                raise Diverged(f"Training diverged at step {step}{many}: {what}.")
            optimizer.zero_grad(set_to_none=True)  # optimisers leave alone what has no gradient
            if trainer.is_global_zero:
                print(f"Step {step} is left out ({self.left_out} of skip_steps={self.budget}): {what}.", flush=True)
        self.seeds, self.losses = [], []

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Raises: Diverged."""
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not loss.isfinite():
            raise Diverged(f"Training diverged at step {trainer.global_step}: the validation loss is {loss.item():g}.")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: Mapping[str, Any]
    ) -> None:
        """Raises: Diverged."""
        refuse(
            {"weights": checkpoint["state_dict"], "optimizer": checkpoint.get("optimizer_states", [])},
            step=trainer.global_step,
        )

    def _record(self, trainer: pl.Trainer, **what: Any) -> None:
        name = REPLAY if trainer.world_size == 1 else REPLAY.replace(".", f"_rank_{trainer.global_rank}.")
        write_json(self.directory / name, {"step": trainer.global_step + 1, **what, "seeds": self.seeds})


def refuse(tree: Any, *, step: int) -> None:
    """Refuse numbers that are not finite, in nested mappings and lists of tensors.

    Raises:
        Diverged: names the first such tensor.
    """
    broken = not_finite(_tensors(tree))
    if broken is not None:
        raise Diverged(f"Training diverged by step {step}: numbers in {broken} are not finite.")


def _gradient_norm(module: nn.Module) -> Tensor:
    """Of all gradients together."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Of a tensor that is split over devices, this one's share."""
    if isinstance(tree, Tensor):
        yield name, tree.to_local() if isinstance(tree, DTensor) else tree
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    for key, value in items:
        yield from _tensors(value, f"{name}.{key}" if name else str(key))
