"""A run that goes on from a checkpoint: what the checkpoint fixes, and what the command may change and so changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import Callback

from physworld.errors import FormatError, UserError
from physworld.io.plain_yaml import parse_yaml
from physworld.runs import directory as runs
from physworld.runs.sweeps import FREE
from physworld.settings import checks, folders
from physworld.settings.checks import typed
from physworld.settings.program import typed_command

# Settings that may change between a checkpoint and its continuation without changing what is learned.
FREE_TO_CHANGE = (*FREE, "evaluation.")
COUNTS = ("ready", "started", "processed", "completed")  # Lightning's, of passes
KINDS = {  # the optimiser's state is of the one kind or of the other
    "model.optimizer": lambda value: value,
    "model.muon_lr": lambda value: value is None,
    "model.ema_decay": lambda value: value == 0,
    "init_from": lambda value: value,
}


def before(checkpoint: Path) -> dict[str, Any] | None:
    """Dotted settings of the run that a checkpoint comes from; None if it was moved away from its run."""
    try:
        return runs.flatten(runs.read_config(checkpoint.parent.parent))
    except UserError:
        return None


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Dotted settings that differ and change what is learned."""
    return [key for key in runs.differences([dict(was), dict(now)]) if not key.startswith(FREE_TO_CHANGE)]


def refuse_forgotten(checkpoint: Path, was: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    """A run goes on with what it was told: its defaults are another experiment.

    Args:
        was, resolved: as of `changes`.

    Raises:
        UserError: what its command said and this one leaves out changes what is learned; has the whole command.
    """
    here = checks.overrides()
    typed_now = {_name(override) for override in here}
    now = runs.flatten(resolved)
    untyped = [key for key in _changed(was, now) if not any(f"{key}.".startswith(f"{name}.") for name in typed_now)]
    left_out = [
        override
        for override in _said(checkpoint.parent.parent)
        if _name(override) not in typed_now and not override.lstrip("+~").startswith(FREE_TO_CHANGE)
    ]
    if untyped and left_out:
        command = typed_command("train", [*left_out, *HydraConfig.get().overrides.task, *_folder()])
        raise UserError(
            f"{checkpoint} is of a run with {' '.join(left_out)}, which this command leaves out, so that {untyped[0]} "
            f"would be {typed(now.get(untyped[0]))}. Say it again: {command}"
        )


def _name(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _folder() -> list[str]:
    return [each for each in HydraConfig.get().overrides.hydra if not each.startswith("hydra.mode=")]


def _said(run: Path) -> list[str]:
    """What the last command of a run said, as Hydra noted it; nothing where that cannot be read."""
    try:
        found = parse_yaml(folders.as_it_was(run / ".hydra" / "overrides.yaml"))
    except FormatError:
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def changes(checkpoint: Path, was: Mapping[str, Any], resolved: Mapping[str, Any], reached: int) -> list[str]:
    """Settings that differ from the checkpoint's run and change what is learned; they are told.

    Args:
        was: dotted settings of that run.
        resolved: the configuration of this command.
        reached: the checkpoint's step.

    Raises:
        UserError: one of them could have no effect.
    """
    now = runs.flatten(resolved)
    changed = _changed(was, now)
    for key, kind in KINDS.items():
        if key in was and key in now and kind(was[key]) != kind(now[key]):
            raise UserError(
                f"{key}={typed(now[key])} cannot take effect: {checkpoint} holds the state of "
                f"{key}={typed(was[key])}; leave it as it was, or begin a new run."
            )
    idle = [key for key in changed if key in was and key in now and key != "steps"]
    if idle and reached == now["steps"]:
        raise UserError(
            f"{idle[0]}={typed(now[idle[0]])} would change nothing: {checkpoint} is at step {reached} already, and "
            f"steps={now['steps']}; leave it as it was, or give more steps=."
        )
    if changed:
        print(f"Note: {', '.join(changed)} differ from the run that {checkpoint} comes from.")
    return changed


class AsConfigured(Callback):
    """Learning rates, their schedule and every other option of the optimiser are this command's, not the checkpoint's.

    A checkpoint holds them too, as they were: without this the first step of a prolonged run would still have the rate
    0 with which the shorter one ended.
    """

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Passes are counted anew where another hardware cuts a step into more or fewer of them."""
        passes = checkpoint["global_step"] * trainer.accumulate_grad_batches
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        more = passes - progress["total"]["processed"]
        for part in (progress["total"], progress["current"]):
            part.update({key: part[key] + more for key in COUNTS})
        if more:
            loads: Any = trainer  # its data are no declared attribute
            loads.datamodule.load_state_dict({"batches": passes})

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.ckpt_path is None:
            return
        fresh: Any = module.configure_optimizers()
        scheduler: Any = trainer.lr_scheduler_configs[0].scheduler
        scheduler.base_lrs = fresh["lr_scheduler"]["scheduler"].base_lrs
        rates = [
            base * rate(scheduler.last_epoch)
            for base, rate in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        ]
        groups = list(zip(trainer.optimizers[0].param_groups, fresh["optimizer"].param_groups, rates, strict=True))
        said = moved([group for group, _, _ in groups], [new for _, new, _ in groups])
        if said and trainer.is_global_zero:
            print(said)
        for group, new, rate in groups:
            group.update({key: value for key, value in new.items() if key != "params"}, lr=rate)
        scheduler._last_lr = rates


def moved(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str:
    """What to say where Muon rounded otherwise before the checkpoint; nothing where it did not.

    Args:
        was, now: parameter groups of the checkpoint's optimiser and of this command's.
    """
    for before, after in zip(was, now, strict=True):
        if "precision" in before and before["precision"] != after["precision"]:
            return (
                f"Note: Muon orthogonalised in {before['precision']} until this checkpoint and does so in "
                f"{after['precision']} from here on; losses differ from the other's in their last digits."
            )
    return ""
