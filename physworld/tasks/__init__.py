"""L4: one module per system, and the file name is what `data.task` says. Each offers

build(cfg) -> Parts                       everything a training run is made of
conclude(cfg, parts, network, directory, *, command, cost) -> (headline, score)
                                          saves the model, judges it, writes the report; a search lowers `score`
evaluate(cfg), predict(cfg), simulate(cfg)   what the mains of those names do for a run (or data) of this system
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.errors import UserError, suggest
from physworld.hardware import Hardware


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the training loop needs, whichever system it is."""

    hardware: Hardware
    module: Any  # LightningModule with `.network` and `.eval_network()`
    data: Any  # LightningDataModule
    accumulate: int  # passes per optimiser step
    monitor: str  # the logged figure that `best.ckpt` has lowest
    callbacks: list[Any] = field(default_factory=list)  # the system's own, such as rollouts at each validation
    pad_id: int | None = None  # tokens are counted without it; None where batches hold no tokens


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The system's module.

    Raises:
        UserError: there is no such system.
    """
    if name not in names():
        raise UserError(f"task={name} is unknown.{suggest(name, names())} Choose one of {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}")


def placed(cfg: DictConfig) -> Hardware:
    """The hardware of a configuration, checked to be there."""
    hardware: Hardware = instantiate(cfg.hardware)
    hardware.check(
        HydraConfig.get().runtime.choices["hardware"] if HydraConfig.initialized() else cfg.hardware.accelerator
    )
    return hardware
