"""Lightning's Trainer with everything that belongs to one run directory."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError, call
from physworld.runs import directory as runs
from physworld.runs import lineage
from physworld.runs.state import Record
from physworld.settings import checks
from physworld.settings.messages import override
from physworld.settings.program import typed_command
from physworld.training import early
from physworld.training.callbacks import ProgressBar, SeedEachPass, Throughput
from physworld.training.checkpoint_io import AtomicCheckpointIO
from physworld.training.finite import StopWhereNotFinite
from physworld.training.followed import Followed
from physworld.training.loggers import make_loggers
from physworld.training.resuming import AsConfigured
from physworld.training.stopping import GracefulStop, Interrupted

if TYPE_CHECKING:
    from physworld.training.parts import Parts


# What of a run directory goes to loggers that keep files.
ARTEFACTS = ("config.yaml", "versions.json", "metrics.json", "report.md", "report.html", "model/*", "adapter/*")


@dataclass(frozen=True, kw_only=True)
class Trained:
    first_rank: bool  # ranks beyond the first have nothing more to do
    cost: dict[str, Any]
    step: int  # that was reached
    loggers: list[Any]  # as training.loggers.RunLogger

    def log_result(self, directory: Path, headline: dict[str, float], score: float) -> None:
        """What came of the run: figures, pictures and files. `score` has the same name whatever was evaluated."""
        final = {f"final/{key}": value for key, value in {"score": score, **headline}.items() if math.isfinite(value)}
        pictures = sorted(path for path in (directory / "pictures").glob("*") if path.suffix in (".gif", ".png"))
        files = [path for name in ARTEFACTS for path in sorted(directory.glob(name)) if path.is_file()]
        for logger in self.loggers:
            for path in pictures:
                logger.show_picture(f"final/{path.stem}", path.read_bytes(), self.step)
            logger.conclude(final, files)


def fit(
    cfg: DictConfig,
    resolved: dict[str, Any],
    parts: Parts,
    directory: Path,
    checkpoint: Path | None,
    reached: int,
    changed: Sequence[str] = (),
    record: Record | None = None,
) -> Trained:
    """Run the training loop.

    Args:
        reached: the checkpoint's step; 0 without one.
        changed: settings that differ from the checkpoint's run.
        record: told how far the run is.

    Raises:
        Interrupted: stopped from outside; the checkpoint is saved.
        Diverged: a number is not finite; checkpoints stay as they were.
        Pruned: the search that the run belongs to gives it up.
    """
    throughput = Throughput(parts.pad_id, cfg.trainer.log_every_n_steps)
    saving: dict[str, Any] = {
        "dirpath": directory / "checkpoints",
        "enable_version_counter": False,
        "save_on_train_epoch_end": False,
    }
    stop = GracefulStop(directory / "checkpoints" / "last.ckpt")
    if cfg.keep_last > 1 and parts.hardware.strategy == "fsdp":
        raise UserError(f"keep_last={cfg.keep_last} is not for hardware=fsdp, which writes its checkpoints itself.")
    halts: Any = None
    if cfg.early_stopping.patience is not None:
        halts = call(instantiate(cfg.early_stopping), best=parts.monitor)
    limit = early.TimeLimit(checks.duration("max_time", cfg.max_time)) if cfg.max_time is not None else None
    # Order: the system's own figures must have been logged when `best` looks at them.
    callbacks = [
        AsConfigured(),
        SeedEachPass(cfg.seed),
        StopWhereNotFinite(directory, cfg.skip_steps),
        throughput,
        *parts.callbacks,
        *([LearningRateMonitor()] if cfg.logger else []),
        ModelCheckpoint(filename="last", every_n_train_steps=cfg.checkpoint_every, **saving),
        ModelCheckpoint(filename="best", monitor=parts.monitor, mode="min", **saving),
        ProgressBar(throughput),
        *[callback for callback in (halts, limit) if callback is not None],
        *([] if record is None else [Followed(record, parts.monitor, directory)]),
        stop,
    ]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it announces which devices it does not use
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")  # the number is chosen in hardware.py
        warnings.filterwarnings("ignore", "The `srun` command is available.*")  # said outside of any job, too
        warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's own, against torch 2.13
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`.*")  # `last` by another interval
        warnings.filterwarnings("ignore", "The dirpath has changed.*")  # a run that goes on in another folder
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # a continued run's checkpoint folder
        loggers = make_loggers(cfg.logger, directory, reached)
        trainer: Trainer = call(
            instantiate(cfg.trainer),
            max_steps=cfg.steps,
            accumulate_grad_batches=parts.accumulate,
            val_check_interval=cfg.validate_every * parts.accumulate,
            check_val_every_n_epoch=None,  # the stream is one endless epoch: count steps
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # the stream strides over ranks itself
            enable_model_summary=False,
            default_root_dir=directory,
            logger=loggers or False,
            callbacks=callbacks,
            # FSDP2's strategy gathers and writes checkpoints itself.
            **parts.hardware.trainer_arguments(
                *([] if parts.hardware.strategy == "fsdp" else [AtomicCheckpointIO(cfg.keep_last)])
            ),
        )
        if trainer.is_global_zero:
            directory.mkdir(parents=True, exist_ok=True)
            if changed and (directory / "config.yaml").is_file():
                (directory / "config.yaml").replace(directory / f"config_until_step_{reached}.yaml")
            runs.write_config(directory / "config.yaml", resolved)
            if parts.scenarios:
                lineage.note(directory, parts.scenarios, resolved, checkpoint)
            runs.write_json(directory / "versions.json", runs.versions())
            command = "" if record is None else str(record.content["command"])
            for logger in loggers:
                logger.begin(asked(resolved), {"command": command, "config": OmegaConf.to_yaml(resolved)})
        with stop.listening():
            trainer.fit(parts.module, datamodule=parts.data, ckpt_path=checkpoint, weights_only=True)
            trainer.save_checkpoint(stop.checkpoint)  # on every rank: they meet in it
    if stop.asked:  # after the last step
        stop.requeue()
        raise Interrupted(trainer.global_step, stop.asked)
    if limit is not None and limit.over and trainer.is_global_zero:
        print(f"max_time={cfg.max_time} is over at step {trainer.global_step} of {cfg.steps}; it is saved.")
    said = halts.conclude(trainer, parts.module, directory / "checkpoints" / "best.ckpt") if halts is not None else ""
    if said and trainer.is_global_zero:
        print(said)
    cost = {"seconds": round(throughput.seconds, 1), "samples": throughput.samples, "tokens": throughput.tokens}
    return Trained(first_rank=trainer.is_global_zero, cost=cost, step=trainer.global_step, loggers=loggers)


def asked(resolved: dict[str, Any]) -> dict[str, Any]:
    """What runs are compared by: every group's choice, and the settings of the run and its model."""
    groups: dict[str, Any] = {}
    if HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
        groups = {group: str(choice) for group, choice in choices.items() if "/" not in group and choice is not None}
    settings = runs.flatten({key: resolved[key] for key in ("seed", "steps", "global_batch", "model")})
    return {**groups, **{key: v for key, v in settings.items() if not key.rpartition(".")[2].startswith("_")}}


def resume_command(directory: Path) -> str:
    """What to type to go on in the same run directory.

    `init_from=last` is left out: it may be another run by then, and the configuration in the directory names it.
    """
    skip = ("ckpt=", "init_from=", "hydra.mode=", "hydra.run.dir=", "hydra.sweep")
    overrides = HydraConfig.get().overrides
    kept = [o for o in (*overrides.task, *overrides.hydra) if not o.lstrip("+").startswith(skip)]
    return typed_command("train", [*kept, "ckpt=last", override("hydra.run.dir", os.fspath(directory))])
