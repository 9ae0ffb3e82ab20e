"""What training computes in. A network brings what it reads to the type of its weights itself."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from torch import nn

from physworld.errors import UserError

SPLIT = ("32-true", "bf16-mixed", "bf16-true")  # those that a network split over devices can have


AVERAGE = "average."  # how names of a module's running average of weights begin


class _Weights(Precision):
    """All weights of one type. What a network keeps beside them (values of number tokens, a noise schedule) stays
    exact, and so does what it computes of it. A running average has 32 bits at least: a thousandth of the way to the
    weights is less than bfloat16 can add."""

    def __init__(self, precision: str, dtype: torch.dtype) -> None:
        self.precision: Any = precision
        self.dtype = dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        for name, parameter in module.named_parameters():
            if parameter.is_floating_point():
                least = torch.float32 if name.startswith(AVERAGE) else self.dtype
                parameter.data = parameter.data.to(torch.promote_types(self.dtype, least))
        return module


def plugin(precision: str, device: str, *, split: bool = False) -> Precision:
    """What a Trainer computes in.

    Args:
        precision: one of hardware.PRECISIONS but auto.
        device: cpu or cuda; 16-mixed is 16-mixed on both, where Lightning would take bf16 on a CPU.
        split: the network is split over devices.

    Raises:
        UserError: it cannot be split in this precision.
    """
    valid = [name for name in SPLIT if name != "bf16-true" or device != "cpu"]  # gloo adds up no bf16
    if split and precision not in valid:
        raise UserError(
            f"hardware.precision={precision} does not go with hardware.strategy=fsdp on {device}; "
            f"choose one of {', '.join(valid)}."
        )
    if precision == "32-true":
        return Precision()
    if precision == "64-true":
        return _Weights(precision, torch.float64)
    if precision == "bf16-true":
        return _Weights(precision, torch.bfloat16)
    return MixedPrecision(precision, device)  # type: ignore[arg-type]
