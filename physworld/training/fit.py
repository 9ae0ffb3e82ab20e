"""Lightning's Trainer with everything that belongs to one run directory."""

from __future__ import annotations

import logging
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
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from physworld.errors import call
from physworld.runs import directory as runs
from physworld.runs.checkpoints import AtomicCheckpointIO
from physworld.runs.state import Record
from physworld.settings.messages import override
from physworld.settings.program import typed_command
from physworld.training.callbacks import ProgressBar, SeedEachPass, Throughput
from physworld.training.finite import StopWhereNotFinite
from physworld.training.followed import Followed
from physworld.training.resuming import AsConfigured
from physworld.training.stopping import GracefulStop, Interrupted

if TYPE_CHECKING:
    from physworld.training.parts import Parts


@dataclass(frozen=True, kw_only=True)
class Trained:
    first_rank: bool  # ranks beyond the first have nothing more to do
    cost: dict[str, Any]
    logger: TensorBoardLogger

    def log_result(self, config: dict[str, Any], groups: dict[str, Any], headline: dict[str, float]) -> None:
        """One row in TensorBoard's HParams tab: what was asked, and what came of it."""
        asked = runs.flatten({key: config[key] for key in ("seed", "steps", "global_batch", "model")})
        asked = {key: value for key, value in asked.items() if not key.rpartition(".")[2].startswith("_")}
        self.logger.log_hyperparams({**groups, **asked}, {f"final/{key}": value for key, value in headline.items()})
        self.logger.save()
        self.logger.experiment.close()


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
    logger = TensorBoardLogger(directory, name="tensorboard", version="", default_hp_metric=False)
    throughput = Throughput(parts.pad_id, cfg.trainer.log_every_n_steps)
    saving: dict[str, Any] = {
        "dirpath": directory / "checkpoints",
        "enable_version_counter": False,
        "save_on_train_epoch_end": False,
    }
    stop = GracefulStop(directory / "checkpoints" / "last.ckpt")
    # Order: the system's own figures must have been logged when `best` looks at them.
    callbacks = [
        AsConfigured(),
        SeedEachPass(cfg.seed),
        StopWhereNotFinite(directory),
        throughput,
        *parts.callbacks,
        LearningRateMonitor(),
        ModelCheckpoint(filename="last", every_n_train_steps=cfg.checkpoint_every, **saving),
        ModelCheckpoint(filename="best", monitor=parts.monitor, mode="min", **saving),
        ProgressBar(throughput),
        *([] if record is None else [Followed(record, parts.monitor, directory)]),
        stop,
    ]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it announces which devices it does not use
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")  # the number is chosen in hardware.py
        warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's own, against torch 2.13
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`.*")  # `last` by another interval
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # a continued run's checkpoint folder
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
            logger=logger,
            callbacks=callbacks,
            # FSDP2's strategy gathers and writes checkpoints itself.
            **parts.hardware.trainer_arguments(*([] if parts.hardware.strategy == "fsdp" else [AtomicCheckpointIO()])),
        )
        if trainer.is_global_zero:
            directory.mkdir(parents=True, exist_ok=True)
            if changed and (directory / "config.yaml").is_file():
                (directory / "config.yaml").replace(directory / f"config_until_step_{reached}.yaml")
            OmegaConf.save(resolved, directory / "config.yaml")
            runs.write_json(directory / "versions.json", runs.versions())
        with stop.listening():
            trainer.fit(parts.module, datamodule=parts.data, ckpt_path=checkpoint, weights_only=True)
            trainer.save_checkpoint(stop.checkpoint)  # on every rank: they meet in it
    if stop.asked:  # after the last step
        raise Interrupted(trainer.global_step)
    cost = {"seconds": round(throughput.seconds, 1), "samples": throughput.samples, "tokens": throughput.tokens}
    return Trained(first_rank=trainer.is_global_zero, cost=cost, logger=logger)


def resume_command(directory: Path) -> str:
    """What to type to go on in the same run directory.

    `init_from=last` is left out: it may be another run by then, and the configuration in the directory names it.
    """
    skip = ("ckpt=", "init_from=", "hydra.mode=", "hydra.run.dir=", "hydra.sweep")
    overrides = HydraConfig.get().overrides
    kept = [o for o in (*overrides.task, *overrides.hydra) if not o.lstrip("+").startswith(skip)]
    return typed_command("train", [*kept, "ckpt=last", override("hydra.run.dir", os.fspath(directory))])
