"""`timeout`, a batch system or Ctrl-C signal the whole process group, and nothing that was trained is lost."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from commands import ENVIRONMENT, run, start
from repository import ROOT

TEXT = (
    *("hardware=cpu", "evaluation=quick", "evaluation.horizons=[1,2]", "evaluation.frames=2", "evaluation.rollouts=1"),
    *(
        "evaluation.pictures=1",
        "scenario.names=[billiards,pendulum]",
        "model.network.width=32",
        "model.network.depth=1",
    ),
    *("global_batch=16", "data.stream.val_samples=16", "data.source.frames=40", "validate_every=100000"),
)
VIDEO = (
    *("model=tiny_video", "hardware=cpu", "steps=2", "global_batch=4", "validate_every=2", "data.stream.val_samples=4"),
    *("evaluation.pairs=2", "evaluation.times=2", "evaluation.generated=2", "evaluation.steps=2"),
    *("evaluation.card_noises=2", "evaluation.pictures=1", "evaluation.val_clips=0"),
)


def stopped(where: Path, number: signal.Signals, said: str, *arguments: str) -> str:
    """Signal a run and all it started once it has said something; what it said in the end."""
    log = where / "log"
    with log.open("w") as out:  # started as people start it: who is left behind is looked at
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *arguments], cwd=where, env=ENVIRONMENT, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while said not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        time.sleep(0.3)
        os.killpg(process.pid, number)
        assert process.wait(timeout=60) == (130 if number == signal.SIGINT else 75), log.read_text()
    with pytest.raises(ProcessLookupError):  # no worker is left
        os.killpg(process.pid, 0)
    assert "Traceback" not in log.read_text() and "rror" not in log.read_text(), log.read_text()
    return log.read_text()


def resumed(where: Path, said: str, *more: str) -> str:
    """Type the command that was printed."""
    program, main, *arguments = shlex.split(said.splitlines()[-1])
    assert (program, main) == ("python", "train.py")
    return run(where, main, *arguments, *more)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_in_training_with_workers(number: signal.Signals, tmp_path: Path) -> None:
    place = "hydra.run.dir='out/a [b] c'"
    said = stopped(tmp_path, number, "step 1/", *TEXT, "steps=100000", "hardware.num_workers=2", place)
    state = torch.load(tmp_path / "out/a [b] c/checkpoints/last.ckpt", weights_only=True)
    step = state["global_step"]
    assert f"Stopped after step {step}; it is saved. Continue with:" in said and step >= 1
    if number == signal.SIGUSR1:
        assert f"step {step + 1}/{step + 1} " in resumed(tmp_path, said, f"steps={step + 1}")


def test_in_the_final_evaluation(tmp_path: Path) -> None:
    options = [*VIDEO, "evaluation.controls=[placebo,card]", "evaluation.card_steps=100000"]
    said = stopped(tmp_path, signal.SIGTERM, "Control card", *options, "hydra.run.dir=out")
    done = "all 2 steps are trained, and checkpoints/last.ckpt, model/adapter, model/placebo are saved. Continue with:"
    assert f"Stopped in the final evaluation; {done}" in said
    again = resumed(tmp_path, said, "evaluation.card_steps=1")
    assert "Control placebo" not in again and "Control card: 1 steps" in again
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_files_under_way_are_taken_away(tmp_path: Path) -> None:
    making = start(tmp_path, "simulate.py", "count=100000", "frames=2000", "out=made")
    making.wait_until(lambda: making.said.startswith("made/"))
    making.process.terminate()
    done = making.end(30)
    assert done.returncode == 143 and done.stderr.endswith("Stopped.\n")
    assert not [path for path in (tmp_path / "made").iterdir() if path.name.startswith(".")]
