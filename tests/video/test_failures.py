"""A model that gives no numbers is scored as a failure, never as a good one, and its report says so."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from physworld.errors import UserError
from physworld.settings.messages import override
from physworld.video import report as video_report
from physworld.video.build import build
from physworld.video.codecs.pixels import READABLE, PixelCodec
from physworld.video.evaluate import evaluate
from physworld.video.evaluation import ABOVE, BASE, IN_RANGE, LORA, VideoEvaluation, VideoEvaluator
from physworld.video.network import VideoNetwork, tiny
from physworld.video.predict import predict
from physworld.video.report import bars, charts, headline_of, mark, report_lines
from physworld.video.source import ClipSource
from physworld.video.summary import summarise

from repository import composed
from video_runs import video_run

QUICK = VideoEvaluation(
    pairs=2, times=2, generated=2, steps=2, card_noises=2, batch_size=4, guidance=1.0, controls=(), pictures=1,
    violations=("gravity_0.4", "linear", "restitution_wrong"),
)  # fmt: skip


class Broken(VideoNetwork):
    """Gives NaN in one pixel of some clips, or of all."""

    def forward(self, noisy: torch.Tensor, t: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        said = noisy * 0.5
        said[self.rows, 0, 0, 0, 0] = torch.nan
        return said

    rows = slice(None)

    def use(self, name: str | None) -> None:
        pass


def evaluated(rows: slice) -> dict[str, object]:
    small = tiny(heads=2, head_width=16, layers=1)
    network = Broken(small.transformer, small.scheduler)
    network.rows = rows
    evaluator = VideoEvaluator(
        evaluation=QUICK, codec=PixelCodec(scale=5.0), device=torch.device("cpu"), seed=0,
        source=lambda name: ClipSource(seed=0, split="test", scenarios=[name]),
    )  # fmt: skip
    result = evaluator.score(network, evaluator.sample_cases(), [BASE, LORA], [])
    summary = summarise(result, QUICK)
    summary["headline"] = headline_of(summary)
    summary["cost"] = {}
    measured = {"command": "x", "split": "test", "seed": 0, "commit": "x", "times": evaluator.grid, "sampler_steps": 2}
    return {**summary, "measured": measured}


def test_nothing_but_nan_passes_no_bar() -> None:
    summary = evaluated(slice(None))
    likelihood: dict = summary["likelihood"]  # type: ignore[type-arg, assignment]
    assert likelihood[LORA]["not_finite"] == 4 * 2 * 2 and likelihood["zero"]["not_finite"] == 0
    assert all(cell["ppe"]["mean"] == 1 for cell in likelihood[LORA]["violations"].values())
    assert likelihood[LORA]["v_mse"]["mean"] is None and likelihood[LORA]["v_mse_bins"] == [None, None]
    headline: dict = summary["headline"]  # type: ignore[type-arg, assignment]
    assert headline["ppe_mean/model"] == 1 and headline["validity/model"] == 0
    assert all(np.isfinite(value) for value in headline.values())
    assert not any("✓" in given for _, _, given in bars(summary, LORA))
    text = "\n".join(report_lines(summary))
    assert "16 losses are no finite numbers" in text and "None" not in text
    assert charts(summary)
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize(
    ("cell", "given"),
    [
        ((None, None, None), "✗"),
        ((0.05, 0.01, 0.09), "✓"),
        ((0.05, 0.00, 0.66), "✓*"),  # four pairs
        ((0.05, None, None), "✓*"),  # one pair
        ((0.30, 0.20, 0.40), "✗"),
        ((0.30, 0.09, 0.40), "✗*"),
        ((0.30, None, None), "✗*"),
    ],
)
def test_a_bar_inside_the_interval_is_starred(cell: tuple[float | None, ...], given: str) -> None:
    mean, low, high = cell
    assert mark({"mean": mean, "low": low, "high": high}, most=0.10) == given
    mean, high, low = (None if part is None else -part for part in cell)
    assert mark({"mean": mean, "low": low, "high": high}, least=-0.10) == given


def test_one_number_that_is_none_spoils_its_clip_alone() -> None:
    summary = evaluated(slice(0, 1))
    for scenario, clips in ((IN_RANGE, 2), (ABOVE, 1)):
        made = summary["generated"][scenario][LORA]  # type: ignore[index]
        wilson = 1.96**2 / (clips + 1.96**2)  # the upper end for none of so many
        assert made["validity"] == {"mean": 0.0, "low": 0.0, "high": pytest.approx(wilson), "n": clips}


def test_a_spoilt_clip_shows_nothing() -> None:
    small = tiny(heads=2, head_width=16, layers=1)
    network = Broken(small.transformer, small.scheduler)
    network.rows = slice(0, 1)
    source = ClipSource(seed=0, split="test")
    evaluator = VideoEvaluator(
        evaluation=replace(QUICK), codec=PixelCodec(scale=5.0), device=torch.device("cpu"), seed=0,
        source=lambda _name: source,
    )  # fmt: skip
    made = evaluator.generate(network, source.clips(range(2)))
    assert made.clips[0].max() == 0 and made.clips[1].max() > 0 and not made.tracks[0].valid


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"controls": ["placbo"]}, "evaluation.controls: placbo is unknown. Did you mean placebo?"),
        ({"controls": "placebo"}, "evaluation.controls=placebo must be a list, for example"),
        ({"violations": ["lienar"]}, "evaluation.violations: lienar is unknown. Did you mean linear?"),
        ({"violations": []}, "evaluation.violations is empty"),
        ({"guidance": "high"}, "evaluation.guidance=high must be a number"),
        ({"guidance": float("nan")}, "evaluation.guidance=nan must be a number"),
    ],
)
def test_an_evaluation_that_cannot_be_is_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        replace(QUICK, **change)  # type: ignore[arg-type]


def test_a_bound_beside_zero_shows_on_which_side_it_lies() -> None:
    assert video_report._signed({"mean": 2.1e-5, "low": -8e-6, "high": 1.2e-4}) == "0.0000210 (-0.0000080–0.0001200)"
    assert video_report._signed({"mean": 0.02, "low": 0.01, "high": 0.03}) == "0.0200 (0.0100–0.0300)"


def test_guidance_needs_a_codec_that_reads_the_empty_caption(tmp_path: Path) -> None:
    said = "evaluation.guidance=2 needs an empty caption beside each, and the small video model reads captions such as"
    with pytest.raises(UserError, match=said):
        build(composed("train", "model=tiny_video", "evaluation.guidance=2", "hardware=cpu"))
    some = ("model=tiny_video", "model.codec.any_caption=true", "evaluation.guidance=2", "evaluation.val_clips=1")
    assert build(composed("train", *some, "hardware=cpu", "global_batch=1")).evaluation.guidance == 2
    run = video_run(tmp_path)
    asked = (override("run", str(run)), "hardware=cpu")
    with pytest.raises(UserError, match=said):
        evaluate(composed("evaluate", *asked, "evaluation=video", "evaluation.guidance=2"))
    settings = run / "config.yaml"
    settings.write_text(settings.read_text().replace("guidance: 1.0", "guidance: 2.0"))
    with pytest.raises(UserError, match=said):
        predict(composed("predict", *asked, override("prompt", READABLE)))
