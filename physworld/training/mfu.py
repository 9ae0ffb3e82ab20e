"""How much of the hardware a run uses: floating-point operations of the model over the peak of the device."""

from __future__ import annotations

import re
import time
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

# Dense bf16 tensor-core peaks, FLOP/s, without sparsity, from NVIDIA's data sheets.
PEAKS = {
    "H200": 989.4e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835.5e12,
    "H100": 989.4e12,  # SXM
    "A100": 312e12,
    "RTX A6000": 154.8e12,
    "L40S": 362e12,
    "A40": 149.7e12,
    "L4": 121e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
}


def peak(device_name: str) -> float | None:
    """FLOP/s of the device, by the longest name of the table that is part of its name; None when there is none."""
    known = [name for name in PEAKS if is_called(device_name, name)]
    return PEAKS[max(known, key=len)] if known else None


def is_called(device_name: str, name: str) -> bool:
    """Whether a device is of this kind: an L40 is no L4."""
    return re.search(rf"\b{re.escape(name)}\b", device_name) is not None


def lengths(labels_BL: Tensor) -> Tensor:
    """(B,) tokens of right-padded examples, which end with a scored one."""
    place = torch.arange(1, labels_BL.shape[1] + 1, device=labels_BL.device)
    return torch.where(labels_BL != -100, place, 0).amax(dim=1)


class MFUCallback(Callback):
    """Logs TFLOP/s, and the share of the device's peak where that is known (MFU), between validations."""

    def __init__(self, every_n_steps: int) -> None:
        self.every = every_n_steps
        self.tokens: Any = 0
        self.attended: Any = 0
        self.scored: Any = 0
        self.since = 0.0

    def _restart(self) -> None:
        self.tokens, self.attended, self.scored, self.since = 0, 0, 0, time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._restart()

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._restart()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        length = lengths(batch.labels)  # added up on the device: reading them off would wait for it
        self.tokens, self.attended = self.tokens + length.sum(), self.attended + (length * length).sum()
        self.scored = self.scored + (batch.labels != -100).sum()
        if (batch_idx + 1) % (self.every * trainer.accumulate_grad_batches):
            return
        network: Any = module.network
        work = network.flops(int(self.tokens), int(self.attended), int(self.scored))
        rate = work / (time.perf_counter() - self.since)
        module.log("speed/tflops", rate / 1e12, rank_zero_only=True)
        device = module.device
        best = peak(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
        if best is not None:
            module.log("speed/mfu", rate / best, rank_zero_only=True)
            module.log("speed/peak_memory_gb", torch.cuda.max_memory_allocated(device) / 1e9, rank_zero_only=True)
        self._restart()
