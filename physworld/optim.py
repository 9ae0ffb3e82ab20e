"""Optimisers of all language models here, from scratch or pretrained: parameter groups, 8-bit state, schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

OPTIMIZERS = ("adamw", "adamw8bit", "paged_adamw8bit", "muon")
SCHEDULES = ("linear", "cosine", "constant")


class MuonAdamW(Optimizer):
    """`torch.optim.Muon` (Newton-Schulz-orthogonalised momentum) and AdamW behind one `step`.

    Parameter groups and state are shared with the two, so schedulers reach both and the state dict is an ordinary one.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rest: list[nn.Parameter],
        *,
        lr: float,
        adam_lr: float,
        weight_decay: float,
    ) -> None:
        self.parts: list[Optimizer] = []
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=0.95))
        if rest:  # adapters are matrices only
            self.parts.append(torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=weight_decay))
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()


def check_optimizer(name: str) -> None:
    """Raises: ValueError."""
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer {name!r} is unknown; choose one of {', '.join(OPTIMIZERS)}")


def make_optimizer(
    network: nn.Module,
    name: str,
    *,
    lr: float,
    adam_lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.98),
) -> Optimizer:
    """Of everything that is trainable in `network`.

    Args:
        name: adamw; adamw8bit and paged_adamw8bit (bitsandbytes: state in 8 bits, and paged to the host); muon (for the
            matrices inside the layers, AdamW for the rest).
        lr: of Muon, or of AdamW where that is the only one.
        adam_lr: of the AdamW beside Muon.
        betas: of AdamW where that is the only one.

    Raises:
        ValueError: the name is unknown.
    """
    check_optimizer(name)
    matrices, rest = split_layers(network)
    if name == "muon":
        return MuonAdamW(matrices, rest, lr=lr, adam_lr=adam_lr, weight_decay=weight_decay)
    make: Any = torch.optim.AdamW
    if name != "adamw":
        from bitsandbytes import optim

        make = optim.AdamW8bit if name == "adamw8bit" else optim.PagedAdamW8bit
    optimizer: Optimizer = make([*matrices, *rest], lr=lr, betas=betas, weight_decay=weight_decay)
    return optimizer


def scheduled(optimizer: Optimizer, rate: Callable[[int], float]) -> dict[str, Any]:
    """What Lightning's `configure_optimizers` returns: `rate` is the share of the learning rate at a step."""
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}}


def split_layers(network: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(trainable matrices inside `network.blocks`, all other trainable parameters)."""
    inside = {id(parameter) for parameter in network.blocks.parameters()}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    matrices = [p for p in trained if id(p) in inside and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in trained if id(p) not in chosen]


def plateau_rate(step: int, *, total: int, warmup: float, decay_fraction: float) -> float:
    """Warm-up, plateau, linear decay to zero over the last share of the steps (arXiv 2405.18392)."""
    left = (total - step) / max(1.0, decay_fraction * total)
    return min(1.0, (step + 1) / max(1.0, warmup), max(0.0, left))


def check_schedule(name: str) -> None:
    """Raises: ValueError."""
    if name not in SCHEDULES:
        raise ValueError(f"schedule {name!r} is unknown; choose one of {', '.join(SCHEDULES)}")


def schedule_rate(name: str, step: int, *, total: int, warmup: float) -> float:
    """Warm-up, then linear or cosine to zero at the last step, or constant."""
    warm = min(1.0, (step + 1) / max(1, warmup))
    done = min(1.0, max(0.0, (step - warmup) / max(1, total - warmup)))
    if name == "linear":
        return warm * (1 - done)
    return warm * (0.5 + 0.5 * math.cos(math.pi * done) if name == "cosine" else 1.0)
