"""A run that ends before its steps are done: by its figures, with its best weights, or by the clock."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from physworld.errors import UserError
from physworld.settings import checks
from physworld.training.early import EarlyStop, TimeLimit


class Counting(pl.LightningModule):
    """Its weight is the number of steps it made; its figures at each validation are given."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.weight, self.losses = nn.Parameter(torch.zeros(1)), losses

    def training_step(self, batch: Any, index: int) -> Tensor:
        return -self.weight.sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val/loss", torch.tensor(self.losses[self.trainer.global_step - 1]), batch_size=1)
        self.log("val/accuracy", torch.tensor(-self.losses[self.trainer.global_step - 1]), batch_size=1)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def train(
    directory: Path, losses: list[float], halts: Callback, steps: int | None = None, checkpoint: Path | None = None
) -> tuple[pl.Trainer, Counting]:
    module = Counting(losses)
    best = ModelCheckpoint(
        directory, filename="best", monitor="val/loss", mode="min", enable_version_counter=False,
        save_on_train_epoch_end=False,
    )  # fmt: skip
    trainer = pl.Trainer(
        default_root_dir=directory, max_steps=steps or len(losses), logger=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", val_check_interval=1, check_val_every_n_epoch=None,
        num_sanity_val_steps=0, callbacks=[best, halts],
    )  # fmt: skip
    many: Any = [torch.zeros(1)] * (steps or len(losses))
    trainer.fit(module, DataLoader(many), DataLoader(many[:1]), ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(directory / "last.ckpt")
    return trainer, module


def stop(**some: Any) -> EarlyStop:
    settings = {"best": "val/loss", "patience": 2, "monitor": None, "mode": "min", "min_delta": 0.0, **some}
    return EarlyStop(**settings)


def test_it_stops_after_its_patience_and_what_follows_is_of_the_best_weights(tmp_path: Path) -> None:
    halts = stop()
    trainer, module = train(tmp_path, [5.0, 3.0, 4.0, 3.5, 1.0, 0.0], halts)
    assert trainer.global_step == 4 and module.weight.item() == 4
    said = halts.conclude(trainer, module, tmp_path / "best.ckpt")
    assert said == (
        "Stopped early at step 4: no better val/loss in 2 validations (best 3). What follows is of best.ckpt, step 2."
    )
    assert module.weight.item() == 2


def test_another_figure_keeps_the_last_weights(tmp_path: Path) -> None:
    halts = stop(monitor="val/accuracy", mode="max", patience=1, min_delta=1.5)
    trainer, module = train(tmp_path, [5.0, 4.0, 1.0], halts)  # better by 1 is not better
    assert trainer.global_step == 2
    assert halts.conclude(trainer, module, tmp_path / "best.ckpt").endswith("val/accuracy in 1 validations (best -5).")
    assert module.weight.item() == 2


@pytest.mark.parametrize(("patience", "reached"), [(2, 4), (3, 6)])
def test_a_stopped_run_that_goes_on_has_this_commands_patience(patience: int, reached: int, tmp_path: Path) -> None:
    """With the same one it is as good as over, as where its evaluation was interrupted; with more it trains on."""
    losses = [5.0, 3.0, 4.0, 3.5, 1.0, 0.0]
    trainer, _ = train(tmp_path, losses, stop())
    assert trainer.global_step == 4
    halts = stop(patience=patience)
    trainer, module = train(tmp_path, losses, halts, checkpoint=tmp_path / "last.ckpt")
    assert trainer.global_step == module.weight.item() == reached
    said = halts.conclude(trainer, module, tmp_path / "best.ckpt")
    assert said.startswith("Stopped early at step 4: no better val/loss in 2 validations (best 3).") == (reached == 4)
    assert module.weight.item() == (2 if said else 6)


def test_an_infinite_figure_is_no_reason_and_a_run_that_improves_goes_to_its_end(tmp_path: Path) -> None:
    halts = stop(patience=3)
    trainer, module = train(tmp_path, [float("inf"), float("inf"), 3.0, 2.0], halts)
    assert trainer.global_step == 4 and halts.conclude(trainer, module, tmp_path / "best.ckpt") == ""


def test_a_figure_that_nobody_logs_is_named(tmp_path: Path) -> None:
    sentence = r"monitor=val/los is not logged .* Did you mean val/loss\? Choose one of val/accuracy, val/loss\."
    with pytest.raises(UserError, match=sentence):
        train(tmp_path, [5.0, 4.0], stop(monitor="val/los"))


@pytest.mark.parametrize("monitor", ["train/loss", "speed/samples", "lr-AdamW"])
def test_a_figure_of_training_is_refused_before_it(monitor: str) -> None:
    with pytest.raises(UserError, match=f"^early_stopping.monitor={monitor} is not logged by a validation; choose val"):
        stop(monitor=monitor)


def test_time_ends_a_run(tmp_path: Path) -> None:
    limit = TimeLimit(timedelta(seconds=0.3))
    trainer, _ = train(tmp_path, [1.0] * 100_000, limit)
    assert limit.over and 0 < trainer.global_step < 100_000
    limit = TimeLimit(timedelta(hours=1))
    assert train(tmp_path, [1.0] * 3, limit)[0].global_step == 3 and not limit.over


@pytest.mark.parametrize(("typed", "seconds"), [("00:30:00", 1800), ("01:02:03:04", 93784), ("0:0:0:1", 1)])
def test_durations(typed: str, seconds: int) -> None:
    assert checks.duration("max_time", typed).total_seconds() == seconds


@pytest.mark.parametrize("typed", ["00:00:00", "3600", "1h", 5, "1:2:3:4:5", "-1:00:00", "10000000000:0:0:0"])
def test_no_durations(typed: Any) -> None:
    with pytest.raises(UserError, match=f"max_time={typed} must be DD:HH:MM:SS, for example max_time=00:11:30:00"):
        checks.duration("max_time", typed)
