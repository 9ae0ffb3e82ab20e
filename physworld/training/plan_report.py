"""`physworld plan`: a plan as a table on the screen and as plan.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from physworld.errors import UserError, counted
from physworld.lm.next_token import NextTokenModule
from physworld.runs.directory import write_json
from physworld.training import plan as plans
from physworld.training.fake import numberless


def report(
    cfg: DictConfig,
    compose: Callable[[DictConfig, str, int], plans.Planned],
    choices: Mapping[str, str],
    directory: Path,
    console: Console,
) -> plans.Plan:
    """Make the plan of a configuration, print it, and write DIRECTORY/plan.json.

    Args:
        compose: a system's (configuration, precision, samples of a pass) -> Planned.
        choices: of Hydra's groups.

    Raises:
        UserError: something is not there, or does not fit together.
    """
    name, hardware = plans.choose(cfg.gpu, choices["hardware"], instantiate(cfg.hardware))
    machine = plans.target(name, hardware.precision, cfg.mfu, cfg.price)
    micro_batch, _ = hardware.split(cfg.global_batch)
    with numberless() as mode:
        planned = compose(cfg, hardware.precision, micro_batch)
        if hardware.strategy == "fsdp":
            module = planned.module
            whole = module.unshardable() if isinstance(module, NextTokenModule) else "Video models cannot be split"
            if whole:
                raise UserError(f"{whole}; use hardware=ddp.")
        plan = plans.make(mode, planned, hardware, machine, cfg.global_batch)
    write_json(directory / "plan.json", dataclasses.asdict(plan))
    show(plan, hardware.precision, hardware.strategy, console)
    console.print(f"-> {directory / 'plan.json'}", soft_wrap=True)
    return plan


def show(plan: plans.Plan, precision: str, strategy: str, console: Console) -> None:
    """Print a plan."""
    need, machine = plan.need, plan.target
    share = plan.trainable / plan.parameters
    how = f", {strategy}" if plan.devices > 1 and strategy != "auto" else ""
    passes = counted(plan.accumulate, "pass", "passes")
    passes += f" of {counted(plan.micro_batch, 'sample')} a step and device"
    lines = [
        f"{plan.parameters:,} parameters, {plan.trainable:,} of them trained ({share:.2%})",
        f"{plan.devices} x {machine.name}{how}, {precision}, {passes}",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    table = Table(title="Memory of a device, GB", title_justify="left")
    rows = {
        "weights": need.weights, "gradients": need.gradients, "optimiser": need.optimiser,
        "activations": need.activations,
    }  # fmt: skip
    if plan.devices > 1:
        rows["exchange"] = need.exchange
    rows["peak"] = need.peak
    for head in rows:
        table.add_column(head, justify="right")
    table.add_row(*(gigabytes(value) for value in rows.values()))
    console.print(table)
    if need.with_checkpointing is not None:
        console.print(
            f"Activations: {gigabytes(need.with_checkpointing)} GB with gradient checkpointing, "
            f"{gigabytes(need.without_checkpointing)} GB without.", soft_wrap=True,
        )  # fmt: skip
    verdict = "It fits" if plan.fits else "IT DOES NOT FIT"
    console.print(f"{verdict} into the {machine.memory / 1e9:.0f} GB of {machine.name}.", soft_wrap=True)
    stages = Table(title="Training, without validation and evaluation", title_justify="left")
    for head in ("stage", "steps", "tokens a sample", "TFLOP a step", "s a step", "hours", "dollars"):
        stages.add_column(head, justify="left" if head == "stage" else "right")
    for part in plan.stages:
        tokens = "–" if part.tokens is None else f"{part.tokens:,}"
        figures = [f"{part.flops / 1e12:,.3g}", f"{part.seconds:.3g}", f"{part.hours:.2f}", f"{part.dollars:,.2f}"]
        stages.add_row(part.name, f"{part.steps:,}", tokens, *figures)
    if len(plan.stages) > 1:
        hours, dollars = sum(part.hours for part in plan.stages), sum(part.dollars for part in plan.stages)
        steps = sum(part.steps for part in plan.stages)
        stages.add_row("all", f"{steps:,}", "", "", "", f"{hours:.2f}", f"{dollars:,.2f}")
    console.print(stages)
    for note in (machine.assumed, *plan.notes):
        if note:
            console.print(note, soft_wrap=True)


def gigabytes(value: int) -> str:
    """Bytes as GB (10^9) with three figures or so."""
    return f"{value / 1e9:.3g}"
