"""L3: Muon for the blocks' matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


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
        self.parts: list[Optimizer] = [torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=0.95)]
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


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """(matrices inside `model.blocks`, all other trainable parameters)."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (matrices if name.startswith("blocks.") and parameter.ndim == 2 else rest).append(parameter)
    return matrices, rest
