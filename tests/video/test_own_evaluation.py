"""What an evaluation is asked of: the clips that are there now, the controls that are named, settings that it reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.errors import UserError
from physworld.io.images import write_gif
from physworld.runs.pieces import Pieces
from physworld.video import task
from physworld.video.build import codec_and_source, make_module, plain_evaluator
from physworld.video.codecs.pixels import PixelCodec
from physworld.video.controls import CONTROLS
from physworld.video.evaluate import adapters_of
from physworld.video.evaluation import VideoEvaluation
from physworld.video.network import LORA_FILE
from physworld.video.own_evaluation import OwnEvaluator

from repository import CONF

SIZES = VideoEvaluation(pairs=2, times=2, generated=2, steps=1, card_noises=1, batch_size=2, guidance=1.0)


def clips(root: Path, grey: int, caption: str = PixelCodec.example) -> None:
    """Two of each split, all of one grey with a moving spot."""
    for split in ("train", "val"):
        for k in range(2):
            frames = np.full((17, 48, 8, 3), grey + 5 * k, np.uint8)
            frames[np.arange(17), np.arange(17) + 5] = 255
            write_gif(root / split / f"{k}.gif", frames, 10)
            (root / split / f"{k}.txt").write_text(caption, encoding="utf-8")


def test_other_clips_under_the_same_names_are_scored_anew(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    clips(root, 40)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["model=tiny_video", "data=clips", f"data.path={root}"])
    codec, source = codec_and_source(cfg)
    first = codec.encode(source("val").samples([0]))
    network = make_module(cfg, codec, source("val"), first, target="v_prediction", steps=1).network

    def scored() -> tuple[str, np.ndarray]:
        own = OwnEvaluator(inner=plain_evaluator(cfg, SIZES, codec, torch.device("cpu")), source=source("val"))
        cases = own.cases()
        pieces = Pieces(tmp_path / "cache", cases.digest)
        return cases.digest, own.score(network, cases, ["base"], pieces=pieces).likelihood["base"]["correct"]

    before, again = scored(), scored()
    assert before[0] == again[0] and np.array_equal(before[1], again[1])
    clips(root, 200)
    assert scored()[0] != before[0] and not np.allclose(scored()[1], before[1])
    clips(root, 40, "A ball falls from 2.00 m onto the floor and bounces with restitution 0.50.")
    assert scored()[0] != before[0], "other captions are other cases"
    clips(root, 40)
    assert scored()[0] == before[0]


def test_only_controls_that_are_named_are_scored(tmp_path: Path) -> None:
    for folder in ("adapter", "placebo", "card"):
        (tmp_path / "model" / folder).mkdir(parents=True)
        (tmp_path / "model" / folder / LORA_FILE).touch()
    assert set(CONTROLS) == {"placebo", "card", "card_placebo"}
    assert list(adapters_of(tmp_path)) == ["lora", "placebo", "card"]
    assert list(adapters_of(tmp_path, ["placebo", "card_placebo"])) == ["lora", "placebo"]
    assert list(adapters_of(tmp_path, [])) == ["lora"]


def checked(main: str, run: Path | None, *overrides: str) -> None:
    """What a verb says of a typed setting."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(main, [*overrides, *([] if run is None else [f"run={run}"])], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    try:
        task.check(cfg)
    finally:
        HydraConfig.instance().cfg = None


def finished(folder: Path, data: dict[str, object]) -> Path:
    """As much of a run as says what it was trained on."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text('{"task": "video"}')
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(DictConfig({"data": {"task": "video", **data}})))
    return folder


@pytest.mark.parametrize("name", ["control_steps", "card_steps"])
def test_a_finished_run_is_not_trained_again(name: str, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {})
    with pytest.raises(UserError, match=f"evaluation.{name}=1 is about training, and the run is finished"):
        checked("evaluate", run, "evaluation=video", f"evaluation.{name}=1")
    checked("train", None, "model=tiny_video", f"evaluation.{name}=1")
    checked("evaluate", run, "evaluation=video", "evaluation.controls=[card]", "evaluation.card_noises=2")


@pytest.mark.parametrize(("typed", "said"), [
    ("+evaluation.violations=[linear]", "evaluation.violations=[linear] is about simulated clips"),
    ("evaluation.card_noises=2", "evaluation.card_noises=2 is about simulated clips"),
    ("evaluation.controls=[card]", "evaluation.controls=[card]: card and card_placebo are scored on simulated clips"),
    ("evaluation.controls=[placebo,card_placebo]", "choose [placebo] or []"),
])  # fmt: skip
def test_own_clips_have_no_simulated_controls(typed: str, said: str, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {"path": "clips"})
    with pytest.raises(UserError, match=re.escape(said)):
        checked("train", None, "model=tiny_video", "data=clips", typed)
    with pytest.raises(UserError, match=re.escape(said)):
        checked("evaluate", run, "evaluation=video", typed)
    for allowed in ("evaluation.controls=[placebo]", "evaluation.controls=[]"):
        checked("train", None, "model=tiny_video", "data=clips", allowed)
        checked("evaluate", run, "evaluation=video", allowed)
