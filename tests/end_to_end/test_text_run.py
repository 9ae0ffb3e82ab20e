"""One real path through the commands: train, die, resume to the bit, evaluate, predict, sweep, compare."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from physworld.lm.gpt import GPT
from physworld.text.codecs.scene_json import read_jsonl

from commands import ended, run, same, start

STEPS = 12
TINY = (
    "hardware=cpu",
    "evaluation=quick",
    "evaluation.rollouts=1",
    "evaluation.horizons=[1,2]",
    "evaluation.frames=2",
    "evaluation.pictures=1",
    "scenario.names=[billiards,pendulum]",
    "model.network.width=32",
    "model.network.depth=1",
    "model.network.dropout=0.1",
    "model.ema_decay=0.9",
    "global_batch=16",
    f"validate_every={STEPS}",
    "checkpoint_every=2",
    "data.stream.val_samples=16",
    "data.source.frames=40",
)


def arguments(directory: Path, workers: int, accumulate: int) -> list[str]:
    split = [f"hardware.num_workers={workers}", f"hardware.micro_batch={16 // accumulate}", f"steps={STEPS}"]
    return [*TINY, *split, f"hydra.run.dir={directory}"]


def kill_in_the_middle(where: Path, directory: Path, *options: str) -> int:
    """Start training and kill it, and all it started, once the first checkpoint is there; returns that one's step."""
    checkpoint = directory / "checkpoints" / "last.ckpt"
    training = start(where, "train.py", *options)
    try:
        training.wait_until(checkpoint.is_file)
    finally:
        training.kill()
    return int(torch.load(checkpoint, weights_only=True)["global_step"])


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@functools.cache
def straight(work: Path, accumulate: int) -> Path:
    """A run that nobody disturbed."""
    directory = work / f"straight{accumulate}"
    said = run(work, "train.py", *arguments(directory, 0, accumulate))
    assert f"step {STEPS}/{STEPS} · " in said  # however quick it was
    return directory


@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (0, 2), (2, 2)])
def test_killed_and_resumed_is_the_same_to_the_bit(work: Path, workers: int, accumulate: int) -> None:
    """Against the run without workers: their number changes nothing either."""
    directory = work / f"killed{workers}{accumulate}"
    options = arguments(directory, workers, accumulate)
    step = kill_in_the_middle(work, directory, *options)
    assert 0 < step < STEPS, f"killed at step {step}, which is not the middle"
    assert not (directory / "model").exists()
    said = run(work, "train.py", *options, "ckpt=last")
    assert "differ from the run" not in said
    whole = straight(work, accumulate)
    weights = [folder / "model" / "model.safetensors" for folder in (whole, directory)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    ends = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, directory)]
    for key in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        assert same(ends[0][key], ends[1][key]), key
    assert ends[0]["global_step"] == STEPS
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (whole, directory)]
    assert metrics[0]["headline"] == metrics[1]["headline"]
    assert metrics[1]["cost"]["samples"] == metrics[0]["cost"]["samples"] == 16 * STEPS


def test_a_run_that_goes_on_differently_keeps_what_it_was(work: Path) -> None:
    directory = work / "longer"
    shutil.copytree(straight(work, 1), directory)
    options = [o for o in arguments(directory, 0, 1) if not o.startswith("steps=")]

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}

    before = files()
    refused = ended(work, "train.py", *options, "ckpt=last", "steps=1")
    assert refused.returncode == 1 and f"is at step {STEPS} already; steps=1 must be {STEPS} or more" in refused.stderr
    refused = ended(work, "evaluate.py", "run=shipped", f"hydra.run.dir={directory}", "hardware=cpu", "limit=1")
    assert refused.returncode == 1 and "already holds results of another command" in refused.stderr
    assert files() == before  # .hydra and run.json, too
    said = run(work, "train.py", *options, "ckpt=last", f"steps={STEPS + 1}")
    assert "Note: steps differ" in said
    assert yaml.safe_load((directory / f"config_until_step_{STEPS}.yaml").read_text())["steps"] == STEPS
    assert yaml.safe_load((directory / "config.yaml").read_text())["steps"] == STEPS + 1


def test_a_run_directory_is_complete(work: Path) -> None:
    directory = straight(work, 1)
    wanted = "config.yaml versions.json metrics.json report.md checkpoints/last.ckpt checkpoints/best.ckpt"
    assert all((directory / name).stat().st_size > 0 for name in wanted.split())
    assert list((directory / "pictures").glob("*.gif")) and list((directory / "tensorboard").glob("events*"))
    network = GPT.from_pretrained(directory / "model")
    assert sum(p.numel() for p in network.parameters()) > 1000
    tokenizer = AutoTokenizer.from_pretrained(directory / "model")
    assert tokenizer.convert_ids_to_tokens(tokenizer("o3 -0.125 rest")["input_ids"]) == ["o3", "-0.125", "rest"]


def test_the_average_moves_once_a_step_whatever_the_accumulation(work: Path) -> None:
    """Decay min(0.9, (1 + n) / (10 + n)) in step n: were it applied to every pass, the average would lie nearer."""
    away = []
    for accumulate in (1, 2):
        states = torch.load(straight(work, accumulate) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        now, mean = (torch.cat([v.flatten() for k, v in states.items() if k.startswith(name)]) for name in NETWORKS)
        away.append((now - mean).norm().item())
    assert away[1] == pytest.approx(away[0], rel=0.1)


NETWORKS = ("network.say_each", "average.say_each")


def test_evaluate(work: Path) -> None:
    directory = work / "evaluated"
    said = run(
        work, "evaluate.py", f"run={straight(work, 1)}", "evaluation=quick", "evaluation.rollouts=1",
        "evaluation.frames=2", "evaluation.horizons=[1,2]", "scenario.names=[billiards,pong]", "hardware=cpu",
        f"hydra.run.dir={directory}",
    )  # fmt: skip
    metrics = json.loads((directory / "metrics.json").read_text())
    assert any("rmse@2/model" in key for key in metrics["headline"])
    assert (directory / "report.md").stat().st_size > 0 and list((directory / "pictures").glob("*.gif"))
    assert "report.md" in said


def test_predict_goes_on_from_a_file(work: Path) -> None:
    run(work, "simulate.py", "scenario=pendulum", "count=1", "frames=12", f"hydra.run.dir={work / 'made'}")
    (file,) = (work / "made").rglob("*.jsonl")
    directory = work / "predicted"
    run(
        work, "predict.py", f"run={straight(work, 1)}", f"input={file}", "frames=5", "start=4", "hardware=cpu",
        f"hydra.run.dir={directory}",
    )  # fmt: skip
    predicted, truth = read_jsonl(directory / "prediction.jsonl"), read_jsonl(file)
    assert len(predicted) == 1 + 5
    assert predicted.scene == truth.scene
    assert predicted.position[0] == pytest.approx(truth.position[4], abs=1e-3)
    assert (directory / "prediction.gif").stat().st_size > 0


def test_a_sweep_is_one_table(work: Path) -> None:
    sweep = work / "sweep"
    run(
        work, "train.py", "-m", *TINY, "steps=2", "model.learning_rate=0.01,0.02", "hardware.num_workers=0",
        "validate_every=2", f"hydra.sweep.dir={sweep}",
    )  # fmt: skip
    assert all((sweep / job / "metrics.json").is_file() for job in "01")
    said = run(work, "physworld", "compare", str(sweep))
    assert all(word in said for word in ("model.learning_rate", "0.01", "0.02", "2 runs")), said
