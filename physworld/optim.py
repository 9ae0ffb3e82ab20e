"""Optimisers of all language models here, from scratch or pretrained: parameter groups, 8-bit state, schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

OPTIMIZERS = ("adamw", "adamw8bit", "paged_adamw8bit", "muon")
SCHEDULES = ("linear", "cosine", "constant")


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` (momentum, orthogonalised by Newton-Schulz steps), whose steps on a CPU are in float32.

    PyTorch's are in bfloat16 everywhere. A processor without instructions for it takes twenty times as long for them as
    in float32; with such instructions, float32 costs at most some hundredths of a training step. So one rule serves all
    CPUs, and a run may go from one to another. Every parameter group says its `precision`; it is saved with the state.
    """

    def __init__(self, params: list[nn.Parameter], **options: Any) -> None:
        super().__init__(params, **options)
        for group in self.param_groups:
            group["precision"] = "float32" if group["params"][0].device.type == "cpu" else "bfloat16"

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        for group in self.param_groups:
            if group["precision"] == "bfloat16":
                return super().step(closure)
            lr, beta = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                mean = state.setdefault("momentum_buffer", torch.zeros_like(weight.grad))
                mean.lerp_(weight.grad, 1 - beta)
                change = orthogonal(weight.grad.lerp(mean, beta), group["ns_coefficients"], group["ns_steps"])
                rows, columns = weight.shape
                weight.mul_(1 - lr * group["weight_decay"])
                weight.add_(change, alpha=-lr * math.sqrt(max(1, rows / columns)))
        return None


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """(R, C) of about the same singular vectors, its singular values near 1, in the precision of `matrix`."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class MuonAdamW(Optimizer):
    """Muon and AdamW behind one `step`.

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
            self.parts.append(Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=0.95))
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
        for part in self.parts:
            for group in part.param_groups if isinstance(part, Muon) else ():
                group.setdefault("precision", "bfloat16")  # what earlier versions used and did not say


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
    """Warm-up, then linear or cosine down to what would be zero one step after the last, or constant."""
    warm = min(1.0, (step + 1) / max(1, warmup))
    done = min(1.0, max(0.0, (step - warmup) / max(1, total - warmup)))
    if name == "linear":
        return warm * (1 - done)
    return warm * (0.5 + 0.5 * math.cos(math.pi * done) if name == "cosine" else 1.0)
