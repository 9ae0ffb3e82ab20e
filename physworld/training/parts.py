"""What a training run is made of, whichever system it is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from physworld.training.hardware import Hardware


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the training loop needs, whichever system it is."""

    hardware: Hardware
    module: Any  # LightningModule with `.network` and `.eval_network()`
    data: Any  # LightningDataModule
    accumulate: int  # passes per optimiser step
    monitor: str  # the logged figure that `best.ckpt` has lowest
    callbacks: list[Any] = field(default_factory=list)  # the system's own, such as rollouts at each validation
    scenarios: tuple[str, ...] = ()  # types whose scenes are learned from; none of them where data are no such scenes
    pad_id: int | None = None  # tokens are counted without it; None where batches hold no tokens
