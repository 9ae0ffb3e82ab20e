"""What a training run would need and cost on a given machine, before there is one: memory, time, price.

Memory and operations are of the run's own code on tensors without content (see `fake`); what several devices add is
arithmetic, and the speed is a share of the device's peak that is measured elsewhere or assumed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from physworld.errors import UserError, suggest
from physworld.lm.next_token import NextTokenModule
from physworld.training.fake import Numberless, Pass, cast, run_pass, size
from physworld.training.hardware import Hardware
from physworld.training.mfu import is_called, peak

CPU = "cpu"
ASSUMED_MFU = 0.35  # of a GPU's bf16 peak
ASSUMED_CPU = 0.5  # of what this CPU multiplies
CONTEXT = 0.6e9  # bytes that CUDA and its libraries take on a GPU before anything is trained
SPARE = 0.05  # share of the peak that is lost between the allocator's blocks


@dataclass(frozen=True, kw_only=True)
class Device:
    """A kind of device. Memory and peaks are from NVIDIA's data sheets, prices are round figures, and assumed."""

    name: str  # in mfu.PEAKS
    memory: float  # bytes
    float32: float  # FLOP/s without tensor cores
    price: float  # dollars an hour, rented


DEVICES = {
    "a6000": Device(name="RTX A6000", memory=48e9, float32=38.7e12, price=0.8),
    "a100": Device(name="A100", memory=80e9, float32=19.5e12, price=1.8),
    "h100": Device(name="H100", memory=80e9, float32=67e12, price=3.0),
    "h200": Device(name="H200", memory=141e9, float32=67e12, price=4.0),
    "l40s": Device(name="L40S", memory=48e9, float32=91.6e12, price=1.2),
    "l4": Device(name="L4", memory=24e9, float32=30.3e12, price=0.7),
    "rtx4090": Device(name="RTX 4090", memory=24e9, float32=82.6e12, price=0.5),
    "rtx3090": Device(name="RTX 3090", memory=24e9, float32=35.6e12, price=0.3),
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a run whose samples are alike."""

    name: str
    steps: int  # optimiser steps
    batch: Any  # of one pass, drawn as training draws it
    tokens: int | None  # of the batch, without padding


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a system makes of a configuration, its network without content."""

    module: Any  # LightningModule
    stages: Sequence[Stage]
    checkpointing: Callable[[bool], None] | None  # switches gradient checkpointing; None: the network has none
    checkpointed: bool = False  # whether the configuration has it on
    weights: int | None = None  # bytes, where they lie on the device in another form than the network's
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The machine that is planned for."""

    name: str  # of DEVICES, or cpu
    memory: float  # bytes of a device
    peak: float  # FLOP/s of a device, in the run's precision
    mfu: float  # share of it that training reaches
    price: float  # dollars an hour and device
    assumed: str  # which of these are assumptions, as a sentence; '' = none


def choose(gpu: str | None, choice: str, hardware: Hardware) -> tuple[str, Hardware]:
    """(name of the device, the hardware with nothing left open).

    Args:
        gpu: what was typed; None = what the hardware's name says, else the device of this machine.
        choice: name of the hardware's option.

    Raises:
        UserError: the device is unknown, or a number of devices is not to be known here.
    """
    if gpu is not None and gpu != CPU and gpu not in DEVICES:
        raise UserError(
            f"gpu={gpu} is unknown.{suggest(gpu, DEVICES)} Choose one of {', '.join(DEVICES)}, {CPU}, or null."
        )
    if gpu is None and choice in DEVICES:
        gpu = choice
    elif gpu is None and hardware.gpu and torch.cuda.is_available():
        here = torch.cuda.get_device_name()
        gpu = next((key for key, device in DEVICES.items() if is_called(here, device.name)), None)
    if gpu is None and hardware.accelerator == "cuda":
        raise UserError(f"hardware={choice} names no kind of GPU; give gpu=, one of {', '.join(DEVICES)}.")
    if gpu is None and hardware.accelerator == "auto" and hardware.devices == "auto" and hardware.strategy != "auto":
        raise UserError(
            f"hardware={choice} takes every GPU of a machine, and none is visible here; give gpu=, one of "
            f"{', '.join(DEVICES)}, with hardware.devices=N, or hardware.accelerator=cpu hardware.devices=2."
        )
    name = CPU if gpu is None else gpu
    accelerator = "cpu" if name == CPU else "cuda"
    if name != CPU and hardware.devices == "auto" and not torch.cuda.is_available():
        raise UserError(
            f"hardware={choice} takes every GPU of a machine, and none is visible here; give hardware.devices=N."
        )
    precision = hardware.precision
    if precision == "auto":
        precision = "32-true" if name == CPU else "bf16-mixed"
    return name, replace(hardware, accelerator=accelerator, precision=precision)


def target(name: str, precision: str, mfu: float | None, price: float | None) -> Target:
    """The machine, with what was typed in the place of what is assumed."""
    said = []
    cost = 0.0
    if name == CPU:
        memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        best: float | None = _multiplies(precision)
    else:
        if precision == "64-true":
            raise UserError("hardware.precision=64-true has no known peak on a GPU; choose another one, or gpu=cpu.")
        device = DEVICES[name]
        memory, cost = device.memory, device.price
        best = peak(device.name) if precision.startswith(("bf16", "16")) else device.float32
        if price is None:
            said.append(f"${cost:g} an hour")
    if mfu is None:
        mfu = ASSUMED_CPU if name == CPU else ASSUMED_MFU
        said.append(f"{mfu:.0%} of {'what this CPU multiplies' if name == CPU else 'the peak'}")
    assert best is not None
    return Target(
        name=name, memory=memory, peak=best, mfu=mfu, price=cost if price is None else price,
        assumed=f"Assumed: {' and '.join(said)}." if said else "",
    )  # fmt: skip


def _multiplies(precision: str) -> float:
    """FLOP/s of this machine's CPU, measured on matrix products for a third of a second."""
    dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float32
    n = 512
    a = torch.randn(n, n, dtype=dtype)
    torch.mm(a, a)
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < 0.3:
        torch.mm(a, a)
        count += 1
    return 2 * n**3 * count / spent


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes on one device."""

    weights: int
    gradients: int
    optimiser: int  # its state
    activations: int  # at the highest point, as the configuration has it
    with_checkpointing: int | None  # the same, whatever the configuration has; None: the network has none
    without_checkpointing: int
    exchange: int  # what several devices keep to meet: buckets of gradients, blocks that are gathered
    peak: int  # at the highest point of a step


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stage, and what it takes."""

    name: str
    steps: int
    tokens: int | None  # of a sample, mean
    flops: int  # a step and all devices; what checkpointing computes again is not in it
    computed: int  # the same with it
    seconds: float  # a step
    hours: float
    dollars: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    parameters: int
    trainable: int
    need: Need
    fits: bool
    stages: tuple[Part, ...]
    target: Target
    devices: int
    micro_batch: int
    accumulate: int
    notes: tuple[str, ...]


def make(mode: Numberless, planned: Planned, hardware: Hardware, machine: Target, global_batch: int) -> Plan:
    """Run one pass of every stage without content, and add up.

    Args:
        mode: the network was made in.
        hardware: with a precision that is not auto.
    """
    micro, accumulate = hardware.split(global_batch)
    ranks = hardware.ranks
    network = planned.module.network
    cast(planned.module, hardware.precision)
    plain = [_pass(mode, planned, stage, hardware, accumulate, checkpoint=False) for stage in planned.stages]
    spared = []
    if planned.checkpointing is not None:
        spared = [_pass(mode, planned, stage, hardware, accumulate, checkpoint=True) for stage in planned.stages]
    run = spared if planned.checkpointed else plain
    parts = []
    for stage, without, taken in zip(planned.stages, plain, run, strict=True):
        flops, computed = (one.flops * accumulate * ranks for one in (without, taken))
        seconds = flops / ranks / (machine.peak * machine.mfu)
        hours = seconds * stage.steps / 3600
        parts.append(
            Part(
                name=stage.name, steps=stage.steps, tokens=None if stage.tokens is None else stage.tokens // micro,
                flops=flops, computed=computed, seconds=seconds, hours=hours,
                dollars=hours * machine.price * ranks,
            )
        )  # fmt: skip
    need = _need(planned, plain, spared, hardware, gpu=machine.name != CPU)
    room = need.peak * (1 + SPARE) + CONTEXT if machine.name != CPU else need.peak
    parameters = list(network.parameters())
    return Plan(
        parameters=sum(p.numel() for p in parameters), trainable=sum(p.numel() for p in parameters if p.requires_grad),
        need=need, fits=room <= machine.memory, stages=tuple(parts), target=machine, devices=ranks, micro_batch=micro,
        accumulate=accumulate, notes=tuple(planned.notes),
    )  # fmt: skip


def _pass(
    mode: Numberless, planned: Planned, stage: Stage, hardware: Hardware, accumulate: int, *, checkpoint: bool
) -> Pass:
    if planned.checkpointing is not None:
        planned.checkpointing(checkpoint)
    return run_pass(mode, planned.module, stage.batch, hardware.precision, accumulating=accumulate > 1)


def _need(planned: Planned, plain: Sequence[Pass], spared: Sequence[Pass], hardware: Hardware, *, gpu: bool) -> Need:
    network, ranks = planned.module.network, hardware.ranks
    parameters = list(network.parameters())
    trained = [p for p in parameters if p.requires_grad]
    weights = sum(map(size, parameters)) if planned.weights is None else planned.weights
    weights += sum(map(size, network.buffers()))
    gradients, optimiser = plain[0].gradients, state_bytes(planned.module)
    # AdamW on a GPU works on all weights at once and holds one more number of each; on a CPU, on one weight at a time.
    stepping = gradients if gpu else 2 * max(map(size, trained), default=0)
    exchange = 0
    if ranks > 1 and hardware.strategy == "fsdp":
        blocks = [sum(map(size, block.parameters())) for block in network.blocks]
        whole = sum(map(size, parameters)) - sum(blocks)  # outside the blocks: gathered all the time
        exchange = whole + 3 * max(blocks)  # a block, the next one, and the gradients of one
        weights, gradients, optimiser, stepping = (part // ranks for part in (weights, gradients, optimiser, stepping))
    elif ranks > 1:
        exchange = gradients  # DDP's buckets

    def activations(passes: Sequence[Pass]) -> int:
        return max(max(0, one.peak - one.gradients) for one in passes)

    run = spared if planned.checkpointed else plain
    # Within a pass gradients may be there in part only, so the highest point is not the sum of the parts.
    highest = max(one.peak for one in run) - plain[0].gradients + gradients
    return Need(
        weights=weights, gradients=gradients, optimiser=optimiser, activations=activations(run),
        with_checkpointing=activations(spared) if spared else None, without_checkpointing=activations(plain),
        exchange=exchange, peak=weights + optimiser + exchange + max(highest, gradients + stepping),
    )  # fmt: skip


def state_bytes(module: Any) -> int:
    """Bytes of the optimiser's state: two numbers per weight of AdamW, one of Muon; in 8 bits a byte, and a scale of 4
    bytes for each 256 of them, where a weight has 4,096 numbers or more (bitsandbytes)."""
    trained = [p for p in module.network.parameters() if p.requires_grad]
    if isinstance(module, NextTokenModule) and "8bit" in module.optimizer_name:
        return sum(round(2 * p.numel() * (1 + 4 / 256)) if p.numel() >= 4096 else 8 * p.numel() for p in trained)
    optimizer = module.configure_optimizers()["optimizer"]
    groups = optimizer.param_groups
    return sum((2 if "betas" in group else 1) * sum(map(size, group["params"])) for group in groups)
