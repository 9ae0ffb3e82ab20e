"""Next-token training from scratch of rows with long prompts of which nothing is scored: spatial scenes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.next_token import NextTokenModule
from physworld.types import Batch

IGNORE = -100


class NothingToLearn(ValueError):
    """A row of a batch has no scored token: its loss would be 0, and nobody would notice."""


class SequenceModule(NextTokenModule):
    """Trains a `PackedLM` on the labels of a batch; the loss is the mean over scored tokens."""

    figures: tuple[str, ...] = ("loss", "accuracy", "event_loss", "event_accuracy")

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
            optimizer, learning_rate, adam_learning_rate: see optim.make_optimizer.
            decay_fraction: last share of the steps over which the rates fall linearly to zero.
            length_groups: a batch is cut into so many parts of similar length, to pad less.
            event_weight: in training, of the tokens that a rule decides; they are few, and all that rules are about.
        """
        super().__init__(
            network=network, total_steps=total_steps, optimizer=optimizer, learning_rate=learning_rate,
            adam_learning_rate=adam_learning_rate, weight_decay=weight_decay,
            warmup_steps=warmup_fraction * total_steps, decay_fraction=decay_fraction, length_groups=length_groups,
            event_weight=event_weight,
        )  # fmt: skip

    def unshardable(self) -> str:
        return "Models of spatial scenes cannot be split over devices"

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        check_labels(batch.labels)
        losses, events, right = [], [], []
        # Right padding needs no mask: no real token sees what stands behind it.
        lengths = last_label(batch.labels) + 1
        for part in lengths.argsort().chunk(min(self.length_groups, len(lengths))):
            longest = int(lengths[part].max())
            ids, labels = batch.input_ids[part, :longest], batch.labels[part, :longest]
            logits, target, place = self.network.scored(ids, labels)
            losses.append(F.cross_entropy(logits.float(), target, reduction="none"))
            events.append(batch.event[part, :longest].flatten()[place])
            right.append(logits.argmax(dim=-1) == target)
        return torch.cat(losses), torch.cat(events), torch.cat(right)

    def _figures(self, losses: Tensor, event: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {**super()._figures(losses, event, right), "event_accuracy": right[event]}


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
