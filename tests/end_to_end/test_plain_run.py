"""`model=plain` through the commands: train, die, resume to the bit, load, predict from text typed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from physworld.lm.pair_net import PairNet
from physworld.text.codecs.plain import END, PlainCodec
from physworld.text.codecs.scene_json import read_jsonl

from cards import run_example
from commands import ended, run, same, start

STEPS = 12
TINY = (
    "model=plain",
    "hardware=cpu",
    "evaluation=quick",
    "evaluation.rollouts=1",
    "evaluation.horizons=[1,2]",
    "evaluation.frames=2",
    "evaluation.pictures=1",
    "scenario.names=[billiards,pendulum]",
    "model.network.width=16",
    "model.network.inner=24",
    "model.network.rounds=2",
    "model.ema_decay=0.9",
    "global_batch=16",
    f"steps={STEPS}",
    f"validate_every={STEPS}",
    "checkpoint_every=2",
    "data.stream.val_samples=16",
    "data.source.frames=40",
    "data.source.turned_scenes=0.5",
    "data.source.context_noise=0.1",
)
PROMPT = """world 0 -981 16.67
wall 50 50 750 50 2 0.5 0.5 0
ball o7 400 300 0 10 -20 1.5 20 1 0.4 0.8
box o1 200 65 0 0 0 0 30 26 2 0.5 0.1
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plain")


@pytest.fixture(scope="module")
def straight(work: Path) -> Path:
    directory = work / "straight"
    run(work, "train.py", *TINY, "hardware.num_workers=0", f"hydra.run.dir={directory}")
    return directory


def test_killed_and_resumed_is_the_same_to_the_bit(work: Path, straight: Path) -> None:
    directory = work / "killed"
    options = [*TINY, "hardware.num_workers=2", f"hydra.run.dir={directory}"]
    training = start(work, "train.py", *options)
    try:
        training.wait_until((directory / "checkpoints" / "last.ckpt").is_file)
    finally:
        training.kill()
    assert not (directory / "model").exists()
    run(work, "train.py", *options, "ckpt=last")
    weights = [folder / "model" / "model.safetensors" for folder in (straight, directory)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    ends = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (straight, directory)]
    for key in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        assert same(ends[0][key], ends[1][key]), key
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (straight, directory)]
    assert metrics[0]["headline"] == metrics[1]["headline"]


def test_the_run_holds_a_network_that_answers(straight: Path) -> None:
    network = PairNet.from_pretrained(straight / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(straight / "model")
    codec = PlainCodec(shuffle_names=False)
    ids = np.array(tokenizer(PROMPT + "next", add_special_tokens=False)["input_ids"])
    (answer,) = network.generate([ids], [20], END)
    words = codec.text(np.concatenate([ids, answer])).split("\n")
    assert [line.split()[0] for line in words[-3:]] == ["o7", "o1", "end"]


def test_text_typed_by_hand_is_rolled_on(work: Path, straight: Path) -> None:
    (work / "prompt.txt").write_text(PROMPT)
    out = work / "predicted"
    run(work, "predict.py", f"run={straight}", "input=prompt.txt", "frames=3", f"hydra.run.dir={out}")
    assert len(read_jsonl(out / "prediction.jsonl")) == 4
    (work / "wrong.txt").write_text(PROMPT + "self o1 1 0 1 0 0 0 0 0\n")
    refused = ended(work, "predict.py", f"run={straight}", "input=wrong.txt")
    assert refused.returncode == 1
    assert "is no prompt in this run's format, which is plain text: line 5: 'self' is unknown here" in refused.stderr


def test_the_network_is_refused_another_text(work: Path) -> None:
    refused = ended(work, "train.py", *TINY, "codec=impulse", f"hydra.run.dir={work / 'other'}")
    assert refused.returncode == 1 and "model=plain reads codec=plain alone" in refused.stderr
    assert not (work / "other").exists()


def test_the_example_of_its_card_runs(straight: Path) -> None:
    printed, shown, scope = run_example(straight / "model" / "README.md")
    assert printed == shown and shown.startswith("o")
    assert type(scope["model"].network) is PairNet
