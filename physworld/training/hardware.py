"""What the machine offers. Never changes the experiment: batch size and learning rate are set elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.errors import SweepError, UserError
from physworld.settings.checks import whole
from physworld.settings.program import program, typed_command

ACCELERATORS = ("auto", "cpu", "cuda")
STRATEGIES = ("auto", "ddp", "fsdp")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    accelerator: str  # auto, cpu or cuda
    devices: int | str  # processes, one device each; auto = every GPU, or one CPU process
    precision: str  # auto, or Lightning's names: 32-true, bf16-mixed ...
    micro_batch: int | None  # samples per device and pass; None = as many as the global batch allows
    num_workers: int | None  # processes that simulate, per device; None = as the machine allows
    strategy: str  # auto, ddp or fsdp
    nodes: int = 1  # machines; more than one are started by torchrun or SLURM

    def __post_init__(self) -> None:
        for name, value, valid in (
            ("accelerator", self.accelerator, ACCELERATORS),
            ("strategy", self.strategy, STRATEGIES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in valid:
                raise UserError(f"hardware.{name}={value} is unknown; choose one of {', '.join(valid)}.")
        whole("hardware.num_workers", self.num_workers, 0, or_null=True)
        whole("hardware.nodes", self.nodes, 1)
        whole("hardware.micro_batch", self.micro_batch, 1, or_null=True)
        if self.devices != "auto":
            whole("hardware.devices", self.devices, 1)

    @property
    def gpu(self) -> bool:
        return self.accelerator == "cuda" or (self.accelerator == "auto" and torch.cuda.is_available())

    @property
    def device_count(self) -> int:
        if self.devices == "auto":
            return torch.cuda.device_count() if self.gpu else 1
        return int(self.devices)

    @property
    def ranks(self) -> int:
        return self.device_count * self.nodes

    def check(self, choice: str) -> None:
        """Refuse hardware that is not there.

        Raises:
            UserError: names the choice and what would work.
        """
        available = torch.cuda.device_count()
        if self.gpu and self.device_count > available:
            have = f"only {available} of them are" if available else "none is"
            raise UserError(
                f"hardware={choice} wants {self.device_count} NVIDIA GPU(s) but {have} visible here; "
                f"use hardware=auto or hardware=cpu."
            )
        if self.device_count < 1:
            raise UserError(f"hardware.devices={self.devices} leaves nothing to run on; give 1 or more.")

    def refuse_sweep(self, *, multirun: bool, arguments: str) -> None:
        """A sweep's process that starts its own ranks would train different settings in each of them.

        Raises:
            SweepError: with the commands that do work.
        """
        if self.devices == "auto":
            arguments += f" hardware.devices={self.device_count}"  # SLURM is asked for a number of tasks
        launched = any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "LOCAL_RANK"))
        if multirun and self.device_count > 1 and not launched:
            script = "train.py" if program("train")[0] == "python" else "-m physworld train"
            raise SweepError(
                f"A sweep (-m) cannot start {self.device_count} ranks itself: they would train different settings. "
                f"Use one device per job (hardware.devices=1), or SLURM with one task per device "
                f"({typed_command('train', [])} -m hydra/launcher=slurm {arguments}), or run the jobs one by one with "
                f"torchrun --nproc-per-node={self.device_count} {script} hardware=ddp ..."
            )

    def device(self) -> torch.device:
        """Where single-process work (evaluate, predict) happens."""
        return torch.device("cuda" if self.gpu else "cpu")

    def workers(self) -> int:
        if self.num_workers is not None:
            return self.num_workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        # On a CPU the network wants the cores too: one worker keeps simulation off its critical path.
        return min(8, max(1, cores // self.device_count - 1)) if self.gpu else 1

    def split(self, global_batch: int) -> tuple[int, int]:
        """(samples per device and pass, passes per optimiser step).

        Raises:
            UserError: when the global batch does not come out even.
        """
        count = self.ranks
        micro = self.micro_batch if self.micro_batch is not None else max(1, global_batch // count)
        if micro < 1 or global_batch % (micro * count):
            raise UserError(
                f"global_batch={global_batch} is no multiple of hardware.micro_batch={micro} × {count} device(s); "
                f"change one of them so that every optimiser step sees exactly global_batch samples."
            )
        return micro, global_batch // (micro * count)

    def trainer_arguments(self, *plugins: Any) -> dict[str, Any]:
        """What Lightning's Trainer needs to know.

        Args:
            plugins: others than that of the precision.
        """
        from physworld.training.precision import plugin  # late: it loads Lightning

        # A batch without, say, a joint leaves the weights that read joints unused, on one rank and not on another.
        strategy: Any = "ddp_find_unused_parameters_true" if self.strategy == "ddp" else self.strategy
        if self.strategy == "fsdp":
            from lightning.pytorch.strategies import ModelParallelStrategy  # FSDP2; the older `fsdp` refuses CPUs

            # One ordinary file instead of a folder of shards, so that every checkpoint reads the same.
            # Left to itself, Lightning would take a machine's ranks for tensor parallelism, and with no layer split
            # that way each rank would train a model of its own.
            strategy = ModelParallelStrategy(
                data_parallel_size=self.ranks, tensor_parallel_size=1, save_distributed_checkpoint=False
            )
        precision = self.precision
        if precision == "auto":
            precision = "bf16-mixed" if self.gpu and torch.cuda.is_bf16_supported() else "32-true"
        device = "cuda" if self.gpu else "cpu"
        return {
            "accelerator": device,
            "devices": self.device_count,
            "num_nodes": self.nodes,
            "plugins": [plugin(precision, device, split=self.strategy == "fsdp"), *plugins],
            "strategy": strategy,
        }


def placed(cfg: DictConfig) -> Hardware:
    """The hardware of a configuration, checked to be there."""
    hardware: Hardware = instantiate(cfg.hardware)
    hardware.check(
        HydraConfig.get().runtime.choices["hardware"] if HydraConfig.initialized() else cfg.hardware.accelerator
    )
    return hardware
