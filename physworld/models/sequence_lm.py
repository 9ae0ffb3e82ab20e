"""L3: next-token training of any transformers causal LM, from scratch or pretrained, for Lightning."""

from __future__ import annotations

from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from physworld.models.optim import MuonAdamW
from physworld.types import Batch

IGNORE = -100
OPTIMIZERS = ("muon", "adamw", "adamw8bit")


class NothingToLearn(ValueError):
    """A row of a batch has no scored token: its loss would be 0, and nobody would notice."""


class SequenceLM(lightning.LightningModule):
    """Trains `network` on the labels of a batch; the loss is the mean over scored tokens."""

    objective = "likelihood"

    def __init__(
        self,
        *,
        network: nn.Module,
        total_steps: int,
        optimizer: str = "muon",
        learning_rate: float = 0.006,
        adam_learning_rate: float = 0.003,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.03,
        decay_fraction: float = 0.6,
        length_groups: int = 3,
        event_weight: float = 1.0,
    ) -> None:
        """
        Args:
            optimizer: muon (Muon for the layers' matrices, AdamW for the rest), adamw, or adamw8bit (bitsandbytes).
            learning_rate: of Muon, or of AdamW where that is the only one.
            adam_learning_rate: of the AdamW beside Muon.
            decay_fraction: last share of the steps over which the rates fall linearly to zero.
            length_groups: a batch is cut into so many parts of similar length, to pad less.
            event_weight: in training, of the tokens that a rule decides; they are few, and all that rules are about.
        """
        super().__init__()
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer {optimizer!r} is unknown; choose one of {', '.join(OPTIMIZERS)}")
        self.network: Any = network
        self.total_steps, self.optimizer_name = total_steps, optimizer
        self.learning_rate, self.adam_learning_rate = learning_rate, adam_learning_rate
        self.weight_decay, self.length_groups, self.event_weight = weight_decay, length_groups, event_weight
        self.warmup_fraction, self.decay_fraction = warmup_fraction, decay_fraction

    def eval_network(self) -> Any:
        """The weights to judge and save, in evaluation mode."""
        return self.network.eval()

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        losses, event, right = self._losses(batch)
        self._say("train", losses.detach(), event, right, len(batch.seed))
        weight = torch.where(event, self.event_weight, 1.0)
        return (losses * weight).sum() / weight.sum()

    def validation_step(self, batch: Batch, _index: int) -> None:
        self._say("val", *self._losses(batch), len(batch.seed))

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(loss (M,), event (M,) bool, right (M,) bool) of all scored tokens."""
        check_labels(batch.labels)
        losses, events, right = [], [], []
        # Right padding needs no mask: no real token sees what stands behind it.
        lengths = last_label(batch.labels) + 1
        for part in lengths.argsort().chunk(min(self.length_groups, len(lengths))):
            longest = int(lengths[part].max())
            ids, labels = batch.input_ids[part, :longest], batch.labels[part, :longest]
            logits, target, place = scored_logits(self.network, ids, labels)
            losses.append(F.cross_entropy(logits.float(), target, reduction="none"))
            events.append(batch.event[part, :longest].flatten()[place])
            right.append(logits.argmax(dim=-1) == target)
        return torch.cat(losses), torch.cat(events), torch.cat(right)

    def _say(self, stage: str, losses: Tensor, event: Tensor, right: Tensor, rows: int) -> None:
        self.log(f"{stage}/loss", losses.mean(), prog_bar=stage == "train", batch_size=rows)
        self.log(f"{stage}/accuracy", right.float().mean(), batch_size=rows)
        if event.any():
            self.log(f"{stage}/event_loss", losses[event].mean(), batch_size=rows)
            self.log(f"{stage}/event_accuracy", right[event].float().mean(), batch_size=rows)

    def configure_optimizers(self) -> Any:
        matrices, rest = split_layers(self.network)
        optimizer: Any
        if self.optimizer_name == "muon":
            optimizer = MuonAdamW(
                matrices, rest, lr=self.learning_rate, adam_lr=self.adam_learning_rate, weight_decay=self.weight_decay
            )
        elif self.optimizer_name == "adamw":
            optimizer = torch.optim.AdamW(
                [*matrices, *rest], lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=self.weight_decay
            )
        else:
            from bitsandbytes.optim import AdamW8bit

            optimizer = AdamW8bit(
                [*matrices, *rest], lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=self.weight_decay
            )
        schedule = LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Warm-up, plateau, linear decay to zero (arXiv 2405.18392)."""
        warmup = max(1.0, self.warmup_fraction * self.total_steps)
        left = (self.total_steps - step) / max(1.0, self.decay_fraction * self.total_steps)
        return min(1.0, (step + 1) / warmup, max(0.0, left))


def check_labels(labels_BL: Tensor) -> None:
    """Raises: NothingToLearn."""
    empty = (labels_BL == IGNORE).all(dim=1)
    if bool(empty.any()):
        row = int(empty.nonzero()[0])
        raise NothingToLearn(f"row {row} of a batch has no scored token: its answer was cut off, or is missing")


def last_label(labels_BL: Tensor) -> Tensor:
    """(B,) place of each row's last scored token."""
    place = torch.arange(labels_BL.shape[1], device=labels_BL.device)
    return torch.where(labels_BL != IGNORE, place, 0).amax(dim=1)


def scored_logits(network: Any, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(logits (M, V), target (M,), flat place in (B, L)) of every scored label; no others are computed."""
    body = network.get_base_model() if hasattr(network, "get_base_model") else network
    hidden_BLD = body.model(input_ids=ids_BL, use_cache=False).last_hidden_state
    b, i = (labels_BL != IGNORE).nonzero(as_tuple=True)
    return body.lm_head(hidden_BLD[b, i - 1]), labels_BL[b, i], b * labels_BL.shape[1] + i


def split_layers(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices inside the layers, all other trainable parameters)."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (matrices if ".layers." in name and parameter.ndim == 2 else rest).append(parameter)
    return matrices, rest
