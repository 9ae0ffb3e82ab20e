"""The video path through the commands, at toy size: train, die, resume to the bit, evaluate, predict, simulate."""

from __future__ import annotations

import functools
import json
import logging
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from safetensors.torch import load_file

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.errors import UserError
from physworld.run import build
from physworld.settings.messages import override
from physworld.video.clips import write_clip
from physworld.video.codecs.pixels import PixelCodec
from physworld.video.simulate import simulate
from physworld.video.source import ClipSource

import tiny_cogvideox
from commands import ended, start
from repository import ROOT

STEPS = 8
TINY = (
    "hardware=cpu",
    f"steps={STEPS}",
    "global_batch=4",
    "validate_every=4",
    "checkpoint_every=2",
    "data.stream.val_samples=4",
    "evaluation.pairs=2",
    "evaluation.times=2",
    "evaluation.generated=2",
    "evaluation.steps=2",
    "evaluation.card_noises=2",
    "evaluation.card_steps=2",
    "evaluation.pictures=1",
    "evaluation.val_clips=1",
)
LORA = "model/adapter/pytorch_lora_weights.safetensors"


def run(main: str, *arguments: str) -> str:
    done = ended(ROOT, main, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(main: str, *arguments: str) -> str:
    """A mistake: one sentence, exit code 1, no traceback."""
    done = ended(ROOT, main, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("Warp ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    return said[0]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@functools.cache
def straight(work: Path) -> Path:
    directory = work / "straight [bold]x[/y]|z"  # a name that a console could take for markup
    said = run("train.py", "model=tiny_video", *TINY, override("hydra.run.dir", str(directory)))
    assert f"Report:       {directory / 'report.md'}\n" in said
    return directory


def test_a_run_is_complete(work: Path) -> None:
    directory = straight(work)
    metrics = json.loads((directory / "metrics.json").read_text())
    assert set(metrics["likelihood"]) == {"base", "lora", "placebo", "zero", "scalar"}
    assert set(metrics["generated"]["ball_drop"]) == {"oracle", "base", "lora", "placebo"}
    assert set(metrics["card"]) == {"base", "lora", "placebo", "card", "card_placebo"}
    assert metrics["generated"]["ball_drop"]["oracle"]["validity"]["mean"] == 1
    assert {"ppe_linear/model", "ppe_linear/placebo", "specificity/model"} <= set(metrics["headline"])
    report = (directory / "report.md").read_text()
    page = (directory / "report.html").read_text()
    assert page.count("<svg") == 3 and "data:image/png;base64" in page and "data:image/gif;base64" in page
    assert "why it misleads" in report and list((directory / "pictures").glob("*.gif"))
    for name in ("placebo", "card", "card_placebo"):
        other = load_file(directory / "model" / name / "pytorch_lora_weights.safetensors")
        assert not all(torch.equal(v, other[k]) for k, v in load_file(directory / LORA).items())
    assert any(b"GIF8" in events.read_bytes() for events in (directory / "tensorboard").glob("events*"))


def test_killed_and_resumed_is_the_same_to_the_bit(work: Path) -> None:
    directory = work / "killed"
    options = ["model=tiny_video", *TINY, f"hydra.run.dir={directory}"]
    training = start(ROOT, "train.py", *options)
    try:
        training.wait_until((directory / "checkpoints" / "last.ckpt").is_file)
    finally:
        training.kill()
    checkpoint = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert 0 < checkpoint["global_step"] < STEPS
    assert all("lora" in name for name in checkpoint["state_dict"]), "the frozen base is no part of a checkpoint"
    run("train.py", *options, "ckpt=last")
    weights = [load_file(d / LORA) for d in (straight(work), directory)]  # bytes differ: the header has no fixed order
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    a, b = (json.loads((d / "metrics.json").read_text())["headline"] for d in (straight(work), directory))
    assert a == b


def test_evaluate_judges_on_other_scenes(work: Path) -> None:
    directory = work / "evaluated [/]"
    said = run(
        "evaluate.py", override("run", str(straight(work))), "seed=1", "hardware=cpu",
        override("hydra.run.dir", str(directory)),
    )  # fmt: skip
    assert f"Report:       {directory / 'report.md'}\n" in said
    a, b = (json.loads((d / "metrics.json").read_text()) for d in (straight(work), directory))
    assert set(a["headline"]) == set(b["headline"]) and a["likelihood"] != b["likelihood"]


def test_predict_makes_a_clip_of_a_caption(work: Path) -> None:
    caption = "prompt=A ball falls from 3.00 m onto the floor and bounces with restitution 0.70."
    iio.imwrite(work / "first.png", np.full((48, 8, 3), 200, np.uint8))
    directory = work / "predicted [red]"
    trained, place = override("run", str(straight(work))), override("hydra.run.dir", str(directory))
    picture = f"image={work / 'first.png'}"
    assert str(directory / "clip.gif") in run("predict.py", trained, caption, "hardware=cpu", picture, place)
    assert len(iio.imread(directory / "clip.mp4", plugin="pyav")) == 17
    shown = iio.imread(directory / "clip.gif")
    assert abs(float(shown[0].mean()) - 200) < 10, "it begins with the picture"
    assert abs(float(shown[1].mean()) - 200) > 20
    assert "captions such as" in refused("predict.py", trained, "prompt=a cat", "hardware=cpu")
    said = refused("predict.py", trained, caption, "hardware=cpu", "image=nowhere.png")
    assert said == "image=nowhere.png: it cannot be read as a picture (No such file or directory)."
    said = refused("predict.py", trained, caption, "hardware=cpu", picture, "fit=cropp")
    assert said == "fit=cropp is unknown. Did you mean crop? Choose one of crop, pad."
    assert f"{straight(work).parent}: 1 run" in run("physworld", "compare", str(straight(work)))


def test_simulate_writes_clips_of_both_worlds(work: Path) -> None:
    directory = work / "simulated [link=x]"
    said = run(
        "simulate.py", "task=video", "scenario.names=[ball_heavy,pendulum]", "count=2", "format=gif", "video.frames=9",
        "video.width=64", "video.height=48", override("hydra.run.dir", str(directory)),
    )  # fmt: skip
    assert str(directory / "ball_heavy" / "clip_0.gif") in said
    alone = work / "alone"
    shape = ("count=1", "format=gif", "video.frames=9", "video.width=64", "video.height=48")
    run("simulate.py", "task=video", "scenario=ball_drop", *shape, f"out={alone}")
    assert (alone / "ball_drop" / "clip_0.gif").is_file()
    for name in ("ball_heavy", "pendulum"):
        (clip,) = (directory / name).glob("*.gif")
        assert len(iio.imread(clip)) == 9 and json.loads(clip.with_suffix(".json").read_text())["center_m"]


@functools.cache
def cogvideox(work: Path) -> tuple[Path, Path]:
    """(pipeline folder, run) of the full-size path with toy weights."""
    folder, directory = tiny_cogvideox.make(work / "weights"), work / "cogvideox"
    run(
        "train.py", "model=cogvideox", "hardware=cpu", f"model.network.pretrained={folder}", "model.codec.tokens=8",
        f"model.codec.cache={work / 'cache'}", "model.network.dtype=float32", "model.codec.dtype=float32",
        "data.source.frames=9", "data.source.width=32", "data.source.height=32", "data.source.repeat=2", "steps=4",
        "validate_every=2", "data.stream.val_samples=2", *(o for o in TINY if o.startswith("evaluation.")),
        "evaluation.controls=[placebo]", "evaluation.control_steps=1", "evaluation.guidance=1.0",
        f"hydra.run.dir={directory}",
    )  # fmt: skip
    return folder, directory


def test_the_full_size_path_with_toy_weights(work: Path) -> None:
    folder, directory = cogvideox(work)
    pipe = tiny_cogvideox.pipeline(folder)
    assert isinstance(pipe, CogVideoXPipeline)
    pipe.load_lora_weights(directory / "model" / "adapter")
    (config,) = pipe.transformer.peft_config.values()
    assert (config.r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.0)  # dropout belongs to training
    metrics = json.loads((directory / "metrics.json").read_text())
    assert {"base", "lora", "placebo"} <= set(metrics["likelihood"])


@pytest.mark.parametrize(("arguments", "said"), [
    (["model=tiny_video", "data.source.frames=16"], "frames=16 must be a multiple of 8 and one more"),
    (["model=tiny_video", "data.source.width=12"], "width=12 must be a multiple of 8"),
    (["model=tiny_video", "data.source.physics=lienar"], "Did you mean linear?"),
    (["model=tiny_video", "data.source.scenarios=[ball]"], "scenario ball is unknown"),
    (["model=tiny_video", "model.network.base=nowhere"], "no base in nowhere"),
    (["model=tiny_video", "init_from=last"], "init_from is for text runs"),
    (["model=cogvideox", "data.source.width=32", "data.source.height=32"], "hf download THUDM/CogVideoX-2b"),
    (["model=gpt", "data=video_physics"], "do not fit together"),
    (["model=tiny_video", "model.target=noise"], "target=noise is unknown"),
])  # fmt: skip
def test_what_cannot_be_built_is_said(arguments: list[str], said: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", ["hardware=cpu", *arguments])
    with pytest.raises(UserError, match=re.escape(said)):
        build(cfg)


@pytest.mark.parametrize(("option", "said"), [
    ("frames=abc", "video.frames=abc must be a whole number"),
    ("physics=null", "video.physics=None is unknown. Choose one of correct"),
    ("fps=0", "video.fps=0 must be a number above 0"),
    ("view=-1", "video.view=-1 must be a number above 0"),
    ("variation=3", "video.variation=3 must be a number from 0 to 1"),
    ("restitution=high", "video.restitution=high must be a number"),
    ("allow_violation=maybe", "video.allow_violation=maybe must be true or false"),
])  # fmt: skip
def test_clips_that_cannot_be(option: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("simulate", ["task=video", f"video.{option}", f"out={tmp_path}"], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    try:
        with pytest.raises(UserError, match=re.escape(said)):
            simulate(cfg)
    finally:
        HydraConfig.instance().cfg = None
    assert not list(tmp_path.iterdir())


def test_captions_beyond_what_a_caption_can_be() -> None:
    codec = PixelCodec()
    with pytest.raises(ValueError, match="nothing that was learned"):
        codec.prompts([f"A ball falls from {'9' * 400} m with restitution 0.5"])  # would be infinite, and the clip NaN
    with pytest.raises(ValueError, match="captions such as") as caught:
        codec.prompts(["x" * 100_000])
    assert len(str(caught.value)) < 300


def test_no_line_about_a_kernel_that_is_not_needed(caplog: pytest.LogCaptureFixture) -> None:
    """bitsandbytes announces it when diffusers loads; its other warnings stay."""
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    log.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s.", "No module named 'kernels'")
    log.warning("something else")
    assert [record.message for record in caplog.records] == ["something else"]


@pytest.mark.parametrize(("main", "arguments", "said"), [
    ("simulate.py", ["task=video", "video.restitution=1.3"], "restitution=1.3 lies outside 0-1; allow_violation=true"),
    ("simulate.py", ["task=video", "scenario=ball_dorp"], "Did you mean ball_drop? Choose one of all, angry_birds, "),
    ("simulate.py", ["task=video", "scenario=pendulum", "video.view=5"], "video.view is for Warp's scenes ("),
    ("simulate.py", ["task=video", "scenario=box_tumble", "curriculum=stage1"], "curriculum says how hard two-dimen"),
])  # fmt: skip
def test_mistakes_are_one_sentence(main: str, arguments: list[str], said: str, tmp_path: Path) -> None:
    assert said in refused(main, *arguments, f"hydra.run.dir={tmp_path}")


def test_own_clips_are_tuned_on_and_judged(work: Path) -> None:
    """Train, with a bad file among the clips; judge on the test clips; predict without the clips."""
    folder, directory = work / "own clips", work / "own"
    source = ClipSource(seed=0, split="train")
    for k, clip in enumerate(source.clips(range(6))):
        write_clip(folder / f"{k}.gif", clip)
        (folder / f"{k}.txt").write_text(clip.caption, encoding="utf-8")
    (folder / "words.mp4").write_text("no clip", encoding="utf-8")
    (folder / "words.txt").write_text(PixelCodec.example, encoding="utf-8")
    tiny = [option for option in TINY if "card" not in option]
    own = ["model=tiny_video", "data=clips", override("data.path", str(folder)), *tiny, "steps=4", "validate_every=2"]
    said = refused("train.py", *own, "data.source.held_back=0.01", f"hydra.run.dir={work / 'stopped'}")
    assert "words.mp4: it cannot be read as a clip (Invalid data found when processing input)" in said
    done = ended(ROOT, "train.py", *own, "data.source.on_error=skip", "evaluation.controls=[placebo]",
                 "evaluation.control_steps=1", f"hydra.run.dir={directory}")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Skipped (1 so far): " in done.stderr and "On clips that were held out" in done.stdout
    metrics = json.loads((directory / "metrics.json").read_text())
    assert set(metrics["likelihood"]) == {"base", "lora", "placebo", "zero", "scalar"}
    assert set(metrics["judged"]) == {"held_out", "base", "lora", "placebo"}
    assert metrics["change"]["lora"]["mean"] == pytest.approx(
        metrics["headline"]["loss/model"] - metrics["headline"]["loss/base"]
    )
    assert "placebo LoRA, tuned on their frames in wrong order" in (directory / "report.html").read_text()
    assert any(b"judge/judged" in events.read_bytes() for events in (directory / "tensorboard").glob("events*"))
    again, asked = work / "own test", ("evaluation.controls=[]", f"cache={work / 'cache'}")
    run("evaluate.py", f"run={directory}", "split=test", "hardware=cpu", *asked, override("hydra.run.dir", str(again)))
    tested = json.loads((again / "metrics.json").read_text())
    assert {c["name"] for c in tested["clips"]}.isdisjoint(c["name"] for c in metrics["clips"])
    for k, clip in enumerate(source.clips(range(6, 12))):  # other clips under the same names
        write_clip(folder / f"{k}.gif", clip)
    run("evaluate.py", f"run={directory}", "split=test", "hardware=cpu", *asked, f"hydra.run.dir={work / 'anew'}")
    anew = json.loads((work / "anew" / "metrics.json").read_text())
    assert set(tested["judged"]) == set(anew["judged"]) == {"held_out", "base", "lora"}, "no control was asked for"
    assert anew["headline"]["loss/base"] != tested["headline"]["loss/base"]
    folder.rename(work / "elsewhere")
    made = work / "own predicted"
    run("predict.py", f"run={directory}", f"prompt={PixelCodec.example}", "hardware=cpu",
        override("hydra.run.dir", str(made)))  # fmt: skip
    assert len(iio.imread(made / "clip.gif")) == 17
    assert "is no folder" in refused("evaluate.py", f"run={directory}", "hardware=cpu", f"hydra.run.dir={work / 'no'}")
