"""Adapters trained for comparison: the placebo, and the published recipe on right and on wrong clips."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from physworld.errors import call
from physworld.io.checksums import digest_of, refuse_changed
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.seeding import short
from physworld.training import finite
from physworld.training.resuming import FREE_TO_CHANGE
from physworld.video.build import VideoParts, make_module, own_clips
from physworld.video.evaluation import (
    CARD,
    CARD_PLACEBO,
    PLACEBO,
)
from physworld.video.network import EPSILON, LORA_FILE
from physworld.video.stream import ClipData

console = screen()

HOW = "control.json"  # beside a control's weights: how they were made
CONTROLS = {PLACEBO: ("placebo", None), CARD: ("correct", EPSILON), CARD_PLACEBO: ("placebo", EPSILON)}


def train_controls(cfg: DictConfig, parts: VideoParts, directory: Path) -> dict[str, Path]:
    """The same base, settings and clips' scenes; only physics or target differ.

    One that is finished is not made again, unless the settings or the number of steps are other ones by now.
    """
    found = {}
    chosen = [name for name in parts.evaluation.controls if name == PLACEBO or not own_clips(cfg)]
    for name in chosen:  # the published recipe's are scored by a metric of simulated clips
        folder = directory / "model" / name
        found[name] = folder
        physics, target = CONTROLS[name]
        usual, card = parts.evaluation.control_steps or cfg.steps, parts.evaluation.card_steps
        steps = usual if name == PLACEBO else card
        made = {"steps": steps, "settings": _settings(cfg)}
        if _made(folder) == made:
            continue
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
        runs.write_result(folder / HOW, made)
    return found


def _settings(cfg: DictConfig) -> str:
    """Digest of all that decides what a control learns, but for its steps."""
    resolved: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    kept = {key: value for key, value in runs.flatten(resolved).items() if not key.startswith(FREE_TO_CHANGE)}
    return digest_of(json.dumps({**kept, "steps": None}, sort_keys=True))


def _made(folder: Path) -> Any:
    """How the control there was made; None where none is, or none that is whole."""
    try:
        refuse_changed(folder)
        return json.loads((folder / HOW).read_text(encoding="utf-8")) if (folder / LORA_FILE).is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
