"""Training ends at the first number that is no number, and nothing of it reaches the disk."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from physworld.training.finite import REPLAY, Diverged, StopWhereNotFinite, refuse


class Fragile(pl.LightningModule):
    """A weight of two numbers whose loss is what `losses` makes of it at each pass."""

    def __init__(self, losses: list[str], val: float = 1.0, rate: float = 0.1) -> None:
        super().__init__()
        self.weight, self.losses, self.val, self.rate = nn.Parameter(torch.ones(2)), losses, val, rate

    def training_step(self, batch: Any, index: int) -> Tensor:
        kind, loss = self.losses[index], self.weight.square().sum()
        if kind == "gradient":  # the loss is 0, its slope infinite
            return (self.weight - self.weight.detach()).abs().sqrt().sum()
        return loss * {"fine": 1.0, "nan": float("nan"), "inf": float("inf"), "large": 1e10}[kind]

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val/loss", torch.tensor(self.val), batch_size=1)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.rate)


def train(directory: Path, module: Fragile, *, accumulate: int = 1, every: int = 1, budget: int = 0) -> None:
    seeds = [SimpleNamespace(seed=torch.tensor([2 * k, 2 * k + 1])) for k in range(len(module.losses))]
    trainer = pl.Trainer(
        default_root_dir=directory, max_steps=len(module.losses) // accumulate, accumulate_grad_batches=accumulate,
        logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", val_check_interval=1,
        num_sanity_val_steps=0, log_every_n_steps=1,
        callbacks=[
            StopWhereNotFinite(directory, budget),
            ModelCheckpoint(directory, filename="last", every_n_train_steps=every, enable_version_counter=False),
        ],
    )  # fmt: skip
    trainer.fit(module, *(DataLoader(data, batch_size=None) for data in (seeds, [0])))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["nan", "inf", "gradient"])
def test_the_first_such_loss_or_gradient_ends_it(kind: str, tmp_path: Path) -> None:
    module = Fragile(["fine", "fine", kind, "fine"])
    what = "norm of the gradient is" if kind == "gradient" else f"the loss is {kind}"
    with pytest.raises(Diverged, match=f"Training diverged at step 3: .*{what}"):
        train(tmp_path, module)
    assert module.weight.detach().isfinite().all()  # the step was not made
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 2 and kept["state_dict"]["weight"].tolist() == pytest.approx([0.64, 0.64])
    assert json.loads((tmp_path / REPLAY).read_text())["seeds"] == [4, 5]


def test_all_passes_of_a_step_are_looked_at_and_recorded(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="step 2"):
        train(tmp_path, Fragile(["fine", "fine", "nan", "fine"]), accumulate=2)
    said = json.loads((tmp_path / REPLAY).read_text())
    assert said["step"] == 2 and said["seeds"] == [4, 5, 6, 7]


def test_weights_that_a_step_breaks_are_not_saved(tmp_path: Path) -> None:
    """The gradient is finite; the weights that it makes, at this rate, are not."""
    with pytest.raises(Diverged, match=r"by step 1: numbers in weights\.weight are not finite"):
        train(tmp_path, Fragile(["large"], rate=1e30))
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_validation_loss_that_is_none_ends_it(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="at step 1: the validation loss is nan"):
        train(tmp_path, Fragile(["fine", "fine"], val=float("nan")), every=5)
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_finite_run_is_left_alone(tmp_path: Path) -> None:
    module = Fragile(["fine"] * 4)
    train(tmp_path, module)
    assert module.weight.tolist() == pytest.approx([0.8**4] * 2) and not (tmp_path / REPLAY).exists()


def test_a_budget_leaves_steps_out_and_then_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two finite steps of four: each multiplies the weights by 0.8."""
    module = Fragile(["fine", "nan", "gradient", "fine"])
    train(tmp_path, module, budget=2)
    assert module.weight.tolist() == pytest.approx([0.64, 0.64])
    said = capsys.readouterr().out
    assert "Step 2 is left out (1 of skip_steps=2): the loss is nan." in said and "Step 3 is left out (2 of" in said
    with pytest.raises(Diverged, match="step 3, after 1 steps that were left out"):
        train(tmp_path / "more", Fragile(["fine", "nan", "nan"]), budget=1)


def test_whole_numbers_are_no_trouble_and_the_tensor_is_named() -> None:
    refuse({"a": [torch.ones(2), {"b": torch.arange(3)}], "c": 4}, step=1)
    with pytest.raises(Diverged, match=r"numbers in a\.1\.b are not finite"):
        refuse({"a": [torch.ones(2), {"b": torch.tensor([1.0, float("-inf")])}]}, step=1)
