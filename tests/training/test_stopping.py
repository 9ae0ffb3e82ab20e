"""A signal while a run trains or validates: the checkpoint is there, and what goes on from it is the whole run."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from physworld.data import IndexBatches, worker
from physworld.training.stopping import GracefulStop, Interrupted, heard, stops_at_once

STEPS, EVERY, BATCHES = 6, 3, 4


class Numbers(Dataset[Tensor]):
    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor([float(index % 7)])


class Data(pl.LightningDataModule):
    start = 0

    def train_dataloader(self) -> Any:
        return DataLoader(Numbers(), batch_sampler=IndexBatches(size=2, start=self.start), worker_init_fn=worker)

    def val_dataloader(self) -> Any:
        return DataLoader(Numbers(), batch_sampler=IndexBatches(size=2, samples=2 * BATCHES))

    def state_dict(self) -> dict[str, Any]:
        return {"start": self.trainer.fit_loop.epoch_loop.batch_progress.total.processed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.start = state_dict["start"]


class Line(pl.LightningModule):
    """Fits a line, and signals its own process at one place."""

    def __init__(self, at: tuple[str, int] | None = None) -> None:
        super().__init__()
        self.line, self.at, self.validated = torch.nn.Linear(1, 1), at, [0]
        torch.nn.init.ones_(self.line.weight)
        torch.nn.init.zeros_(self.line.bias)

    def signal(self, place: str, number: int) -> None:
        if self.at == (place, number):
            self.at = None  # once
            os.kill(os.getpid(), signal.SIGTERM)

    def training_step(self, batch: Tensor, _index: int) -> Tensor:
        self.signal("train", self.trainer.global_step)
        return (self.line(batch) - 2 * batch).square().mean()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.signal("validation", index)
        self.validated[-1] += 1

    def on_validation_epoch_end(self) -> None:
        self.signal("rollouts", self.trainer.global_step)
        self.validated.append(0)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.1)


def fitted(folder: Path, module: Line, checkpoint: Path | None = None) -> Line:
    stop = GracefulStop(folder / "last.ckpt")
    trainer = pl.Trainer(
        max_steps=STEPS, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, callbacks=[stop],
        val_check_interval=EVERY, check_val_every_n_epoch=None, num_sanity_val_steps=0, default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with stop.listening():
        trainer.fit(module, datamodule=Data(), ckpt_path=checkpoint, weights_only=True)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("at", "step"),
    [
        (("train", 1), 2),  # the step is finished first
        (("train", 2), 3),  # a validation is due right after it
        (("validation", 0), 3),
        (("validation", BATCHES - 1), 3),
        (("rollouts", 3), 3),
        (("rollouts", STEPS), STEPS),
    ],
)
def test_stopped_anywhere_and_gone_on_it_is_the_whole_run(at: tuple[str, int], step: int, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    whole = fitted(tmp_path, Line())
    assert whole.validated == [BATCHES, BATCHES, 0]
    with pytest.raises(Interrupted) as caught:
        fitted(tmp_path, Line(at))
    assert str(caught.value) == str(step)
    checkpoint = tmp_path / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == step
    again = fitted(tmp_path, Line(), checkpoint)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    # A validation that was left is done again, from its beginning; that of the last step is left to the evaluation.
    assert again.validated == [*[BATCHES] * (2 if step <= EVERY else 0), 0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.filterwarnings("ignore")
def test_a_preempted_job_saves_before_it_is_put_into_the_queue_again(tmp_path: Path) -> None:
    """As submitit does it: its handler of SIGUSR2 requeues the job and ends the process."""
    steps = []

    def requeue(_number: int, _frame: Any) -> None:
        steps.append(torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"])
        raise SystemExit(-1)

    class Preempted(Line):
        def signal(self, place: str, number: int) -> None:
            if (place, number) == ("train", 1):
                os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(SystemExit):
            fitted(tmp_path, Preempted())
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert steps == [2]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("at", "step"), [(("train", 1), 2), (("validation", 1), 3)])
def test_a_job_that_slurm_is_about_to_end_saves_and_goes_on(
    at: tuple[str, int], step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(tmp_path, Line())
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    told = fitted(tmp_path, Line(at))
    assert told.validated == whole.validated
    checkpoint = tmp_path / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == step
    again = fitted(tmp_path, Line(), checkpoint)
    assert again.validated == [*[BATCHES] * 2, 0]  # the validation that was due is made whole
    for name, value in whole.state_dict().items():
        assert torch.equal(value, told.state_dict()[name]) and torch.equal(value, again.state_dict()[name])
    heard_of = []
    with heard(lambda number, _: heard_of.append(number), [signal.SIGTERM]), stops_at_once(7):
        os.kill(os.getpid(), signal.SIGTERM)  # nor is the final evaluation left: what is trained is saved
    assert heard_of == [signal.SIGTERM]


def test_outside_of_training_a_signal_stops_at_once() -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)):
        with pytest.raises(Interrupted, match="7") as caught, stops_at_once(7):
            os.kill(os.getpid(), number)
            raise AssertionError("it went on")
        assert caught.value.code == code


def test_a_second_ctrl_c_stops_a_step_that_takes_long(tmp_path: Path) -> None:
    stop = GracefulStop(tmp_path / "last.ckpt")
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")


class Slow(Dataset[int]):
    """The worker's own number; a signal to it, as `timeout` sends it to the whole group, changes nothing."""

    def __getitem__(self, index: int) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        return os.getpid()


def test_workers_outlive_signals_and_end_with_their_trainer() -> None:
    child = os.fork()
    if not child:  # a trainer that is killed while its worker runs
        loader = iter(DataLoader(Slow(), batch_sampler=IndexBatches(size=1), num_workers=1, worker_init_fn=worker))
        numbers = {int(next(loader)) for _ in range(3)}
        (Path(os.environ["WORKER_NOTE"])).write_text(str(numbers.pop()))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    number = int(Path(os.environ["WORKER_NOTE"]).read_text())
    with heard(lambda *_: None):
        for _ in range(100):
            try:
                os.kill(number, 0)
            except ProcessLookupError:
                return
            signal.sigtimedwait([], 0.05)
    raise AssertionError("the worker is still there")


@pytest.fixture(autouse=True)
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_NOTE", str(tmp_path / "worker"))


def test_a_stop_is_not_taken_for_an_error_by_code_that_catches_all_errors() -> None:
    with pytest.raises(Interrupted), stops_at_once(3), contextlib.suppress(Exception):
        signal.raise_signal(signal.SIGTERM)
