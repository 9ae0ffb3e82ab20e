"""Adapters trained for comparison: the placebo, and the published recipe on right and on wrong clips."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning.pytorch as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.errors import call
from physworld.reporting.screen import screen
from physworld.seeding import short
from physworld.training import finite
from physworld.video.build import VideoParts, make_module, own_clips
from physworld.video.evaluation import (
    CARD,
    CARD_PLACEBO,
    PLACEBO,
)
from physworld.video.network import EPSILON, LORA_FILE
from physworld.video.stream import ClipData

console = screen()


CONTROLS = {PLACEBO: ("placebo", None), CARD: ("correct", EPSILON), CARD_PLACEBO: ("placebo", EPSILON)}


def train_controls(cfg: DictConfig, parts: VideoParts, directory: Path) -> dict[str, Path]:
    """The same base, settings and clips' scenes; only physics or target differ. Finished ones are not made again."""
    found = {}
    chosen = [name for name in parts.evaluation.controls if name == PLACEBO or not own_clips(cfg)]
    for name in chosen:  # the published recipe's are scored by a metric of simulated clips
        folder = directory / "model" / name
        found[name] = folder
        if (folder / LORA_FILE).is_file():
            continue
        physics, target = CONTROLS[name]
        usual, card = parts.evaluation.control_steps or cfg.steps, parts.evaluation.card_steps
        steps = usual if name == PLACEBO else card
        kind = "clips in wrong order" if own_clips(cfg) else f"{physics} clips"
        console.print(f"Control {name}: {steps} steps on {kind}")
        pl.seed_everything(short(cfg.seed), verbose=False)
        train = parts.source("train", physics=physics)
        first = parts.codec.encode(train.samples([0]))
        module = make_module(cfg, parts.codec, train, first, target=target or cfg.model.target, steps=steps)
        data = ClipData(train=train, val=train, codec=parts.codec, micro_batch=parts.data.micro_batch)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's own, against torch 2.13
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            trainer: pl.Trainer = call(
                instantiate({**cfg.trainer, "profiler": None}),  # a profile is of the run itself
                max_steps=steps, accumulate_grad_batches=parts.accumulate, logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
                use_distributed_sampler=False, callbacks=[finite.StopWhereNotFinite(directory)],
                **parts.hardware.trainer_arguments(),
            )  # fmt: skip
            trainer.fit(module, datamodule=data)
        finite.refuse(module.network.state_dict(), step=steps)
        module.network.save(folder)
    return found
