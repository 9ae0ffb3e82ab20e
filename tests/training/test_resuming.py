"""A run that goes on: settings that are typed take effect, or are refused by name; hardware moves no sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError
from physworld.run import build
from physworld.runs.directory import flatten
from physworld.training.fit import fit
from physworld.training.resuming import changes

from repository import composed

pytestmark = pytest.mark.slow

FEW = ("hardware=cpu", "hardware.num_workers=0", "global_batch=4", "validate_every=100", "checkpoint_every=100")
SYSTEMS = {
    "text": (
        *("evaluation=quick", "evaluation.val_rollouts=1", "scenario.names=[projectile]", "model.network.width=32"),
        *("model.network.depth=1", "data.stream.val_samples=4", "data.source.frames=12", "model.warmup_steps=1"),
    ),
    "text_adamw": (
        *("evaluation=quick", "evaluation.val_rollouts=1", "scenario.names=[projectile]", "model.network.width=32"),
        *("model.network.depth=1", "data.stream.val_samples=4", "data.source.frames=12", "model.optimizer=adamw"),
    ),
    "spatial": (
        "model=tiny_gravity",
        "model.network.depth=1",
        "model.network.copying_layers=0",
        "data.stream.val_samples=4",
    ),
    "video": (
        *("model=tiny_video", "model.network.base=null", "model.network.layers=1", "model.network.lora=null"),
        *("data.stream.val_samples=4", "model.warmup_steps=1", "evaluation.val_clips=0", "evaluation.controls=[]"),
    ),
    "video_muon": (
        *("model=tiny_video", "model.network.base=null", "model.network.layers=1", "model.network.lora=null"),
        *("data.stream.val_samples=4", "model.muon_lr=0.01", "evaluation.val_clips=0", "evaluation.controls=[]"),
    ),
}


class Seen(Callback):
    """The rates and samples that each step really used."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.groups: list[dict[str, Any]] = []
        self.samples: list[int] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        self.groups = [dict(group, params=None) for group in trainer.optimizers[0].param_groups]
        self.samples += batch.seed.tolist()


def config(name: str, *more: str) -> DictConfig:
    return composed("train", *FEW, *SYSTEMS[name], *more)


def run(cfg: DictConfig, folder: Path, checkpoint: Path | None = None) -> tuple[Seen, Any, Path]:
    """(what was seen, module, checkpoint at its end)."""
    parts, seen = build(cfg), Seen()
    parts.callbacks[:] = [seen]
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    fit(cfg, resolved, parts, folder, checkpoint, 0)
    return seen, parts.module, folder / "checkpoints" / "last.ckpt"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_prolonged_run_has_this_commands_rates_from_its_first_step(name: str, tmp_path: Path) -> None:
    _, _, checkpoint = run(config(name, "steps=2"), tmp_path / "short")
    key = "model.muon_lr" if name == "video_muon" else "model.learning_rate"
    more = ["steps=5", f"{key}=0.0123", "model.weight_decay=0.07"]
    seen, module, _ = run(config(name, *more), tmp_path / "long", checkpoint)
    assert len(seen.rates) == 3
    fresh = module.configure_optimizers()
    bases = [group["initial_lr"] for group in fresh["optimizer"].param_groups]
    assert bases[0] == 0.0123
    for step, rates in enumerate(seen.rates, start=2):
        assert rates == [base * module._rate(step) for base in bases], step
        assert rates[0] > 0
    assert all(group["weight_decay"] == 0.07 for group in seen.groups)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("first", "then"), [("null", "1"), ("2", "4"), ("1", "2")])
def test_a_step_may_be_cut_otherwise_after_a_checkpoint(first: str, then: str, tmp_path: Path) -> None:
    whole, *_ = run(config("text", "steps=4"), tmp_path / "whole")
    assert whole.samples == list(range(16))
    _, _, checkpoint = run(config("text", "steps=1", f"hardware.micro_batch={first}"), tmp_path / "short")
    later, again, _ = run(config("text", "steps=4", f"hardware.micro_batch={then}"), tmp_path / "long", checkpoint)
    assert later.samples == list(range(4, 16))
    assert again.trainer.global_step == 4
    assert again.trainer.fit_loop.epoch_loop.batch_progress.total.processed == 4 * (4 // int(then))


def settings(**some: Any) -> dict[str, Any]:
    return {
        "steps": 300, "init_from": None, "model": {"optimizer": "muon", "ema_decay": 0.0, "muon_lr": None, **some},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": "adamw"}, "model.optimizer=adamw cannot take effect: a.ckpt holds the state of"),
        ({"ema_decay": 0.9}, "model.ema_decay=0.9 cannot take effect"),
        ({"muon_lr": 0.1}, "model.muon_lr=0.1 cannot take effect: a.ckpt holds the state of model.muon_lr=null"),
    ],
)
def test_what_the_state_fixes_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        changes(Path("a.ckpt"), flatten(settings()), {**settings(**change), "steps": 400}, 300)


def test_what_would_change_nothing_is_refused_by_name() -> None:
    was, now = flatten(settings(learning_rate=0.1)), settings(learning_rate=0.5)
    with pytest.raises(UserError, match=r"model.learning_rate=0.5 would change nothing: a.ckpt is at step 300 already"):
        changes(Path("a.ckpt"), was, now, 300)
    assert changes(Path("a.ckpt"), was, {**now, "steps": 400}, 300) == ["model.learning_rate", "steps"]
    assert changes(Path("a.ckpt"), was, settings(learning_rate=0.1), 300) == []
    assert changes(Path("a.ckpt"), was, {**settings(learning_rate=0.1), "new": 1}, 300) == ["new"]  # of a later version
    with pytest.raises(UserError, match="init_from=other cannot take effect"):
        changes(Path("a.ckpt"), was, {**now, "init_from": "other"}, 100)
