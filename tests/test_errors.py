"""A user's mistake ends with one plain sentence and exit code 1, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from physworld import cli

ROOT = Path(__file__).resolve().parent.parent


def ends(where: Path, main: str, *arguments: str) -> str:
    """Run a main in an empty directory; check the manner of its end, return what it said."""
    done = subprocess.run(
        [sys.executable, str(ROOT / main), *arguments],
        cwd=where,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stderr.strip()
    assert done.returncode == 1, done.stderr + done.stdout
    assert "Traceback" not in said and "\n" not in said, said
    return said


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("scenario=billiard", ["Did you mean billiards?", "tower"]),
        ("curriculum=stage9", ["stage9 is unknown", "stage4", "progressive"]),
        ("model.learning_rat=1", ["model.learning_rat is unknown", "Did you mean model.learning_rate?"]),
        ("modle=gpt_small", ["modle is unknown", "Did you mean model?"]),
        ("steps=1,2", ["steps=1,2"]),
        ("scenario=[pong,tower]", ["takes one option", "scenario.names=[pong,tower]"]),
    ],
)
def test_composition(tmp_path: Path, argument: str, words: list[str]) -> None:
    said = ends(tmp_path, "train.py", argument)
    assert all(word in said for word in words), said


def test_checkpoints(tmp_path: Path) -> None:
    assert "ckpt=missing is no file" in ends(tmp_path, "train.py", "ckpt=missing")
    whole = tmp_path / "whole.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, whole)
    short = tmp_path / "short.ckpt"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    said = ends(tmp_path, "train.py", f"ckpt={short}")
    assert "short.ckpt" in said and "cut short" in said


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    from physworld.checkpoints import read_checkpoint
    from physworld.errors import UserError

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"state_dict": {}, "extra": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(UserError, match=r"trap\.ckpt"):
        read_checkpoint(tmp_path / "trap.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_a_run_that_names_foreign_classes_is_refused(tmp_path: Path) -> None:
    from physworld.errors import UserError
    from physworld.runs import read_config

    (tmp_path / "config.yaml").write_text("codec:\n  _target_: os.system\n  command: 'true'\n")
    with pytest.raises(UserError, match=r"os\.system"):
        read_config(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_gpu(tmp_path: Path) -> None:
    said = ends(tmp_path, "train.py", "hardware=a6000")
    assert "hardware=a6000" in said and "hardware=cpu" in said


def test_sweep_with_its_own_ranks(tmp_path: Path) -> None:
    said = ends(
        tmp_path, "train.py", "-m", "model=gpt,gpt_small", "hardware=cpu", "hardware.devices=2", "hardware.strategy=ddp"
    )
    assert "torchrun" in said and "slurm" in said


def test_one_sentence_in_a_sweep_too(tmp_path: Path) -> None:
    assert "no finished run" in ends(tmp_path, "evaluate.py", "-m", "run=last", "seed=0,1")


def test_broken_scene_file(tmp_path: Path) -> None:
    source = next((ROOT / "tests").rglob("*.jsonl"), None)
    lines = source.read_text().splitlines() if source else _scene_lines(tmp_path)
    lines[6] = lines[6][: len(lines[6]) // 2]
    broken = tmp_path / "broken.jsonl"
    broken.write_text("\n".join(lines) + "\n")
    said = ends(tmp_path, "predict.py", "run=last", f"input={broken}")
    assert "broken.jsonl" in said and "line 7" in said
    assert "no finished run" in ends(tmp_path, "evaluate.py", "run=last")


def _scene_lines(where: Path) -> list[str]:
    import numpy as np

    from physworld import scenarios
    from physworld.codecs.scene_json import write_jsonl
    from physworld.sim.pymunk_sim import simulate

    scene = scenarios.build("projectile", np.random.default_rng(0), 1)
    write_jsonl(where / "whole.jsonl", simulate(scene, 12))
    return (where / "whole.jsonl").read_text().splitlines()


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (rate, error) in enumerate([(0.01, 12.5), (0.02, 34.5)]):
        folder = tmp_path / "sweep" / str(number)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"seed: 1\nmodel:\n  learning_rate: {rate}\n")
        figures = {
            "headline": {"rmse@30/model": error},
            "cost": {"seconds": 61.5},
            "scenarios": {"pong": {"rollouts": 3}},
        }
        (folder / "metrics.json").write_text(json.dumps(figures))
    assert cli.main(["compare", str(tmp_path / "sweep")]) == 0
    table = capsys.readouterr().out
    assert "model.learning_rate" in table and "0.02" in table and "34.5" in table and "61.5" in table
    assert "seed" not in table and "pong" not in table  # the same everywhere; a detail of one scenario
    assert cli.main(["compare", str(tmp_path / "nothing")]) == 1
    said = capsys.readouterr().err
    assert "nothing is no directory" in said and "Traceback" not in said
