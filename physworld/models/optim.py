"""L3: Muon for the blocks' matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


class MuonAdamW(Optimizer):
    """`torch.optim.Muon` (Newton-Schulz-orthogonalised momentum) and AdamW behind one `step`.

    Both keep their own state; the parameter groups are shared with them, so a scheduler that sets `lr` reaches both.
    """

    def __init__(self, matrices: list[nn.Parameter], rest: list[nn.Parameter], *, lr: float, adam_lr: float, weight_decay: float) -> None:
        self.parts: list[Optimizer] = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=0.95),
            torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=weight_decay),
        ]
        super().__init__([{"params": [*matrices, *rest]}], {"lr": lr})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices inside `model.blocks`, all other trainable parameters)."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (matrices if name.startswith("blocks.") and parameter.ndim == 2 else rest).append(parameter)
    return matrices, rest
