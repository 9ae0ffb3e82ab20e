"""The model that comes with physworld: small, loaded like any run, better than extrapolation on new scenes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from physworld import scenarios
from physworld.errors import UserError
from physworld.metrics.errors import position_rmse
from physworld.runs.checkpoints import load_model
from physworld.runs.directory import BROUGHT, SHIPPED, find_run, read_config
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.hub import export, published_files
from physworld.text.rollout import rollout

FRAMES, START = 20, 10


@pytest.mark.parametrize("name", BROUGHT)
def test_it_is_small_and_says_what_it_was_trained_on(name: str) -> None:
    run = find_run(name)
    assert (run / "README.md").is_file()
    assert sum(path.stat().st_size for path in (run / "model").rglob("*") if path.is_file()) <= 15e6
    assert set(read_config(run)["scenario"]["names"]) == set(scenarios.seen())  # none of the held-out ones


@pytest.mark.parametrize(("name", "most"), [("shipped", 0.7), ("solver", 0.3)])
def test_it_beats_extrapolation_on_held_out_types(name: str, most: float) -> None:
    network, codec, _ = load_model(find_run(name), torch.device("cpu"))
    runs = [
        simulate(scenarios.build(name, generator(11, "test", k), 2), START + FRAMES + 1)
        for name in scenarios.heldout()
        for k in range(3)
    ]
    given = [run.window(START + 1 - codec.context_frames, START + 1) for run in runs]
    truth = [run.window(START + 1, START + 1 + FRAMES) for run in runs]
    said = rollout(network, codec, given, FRAMES)
    assert said.parsed == [FRAMES] * len(runs)
    model = np.mean([position_rmse(t, p, FRAMES) for t, p in zip(truth, said.predicted, strict=True)])
    others = {
        name: np.mean([position_rmse(t, guess(g, FRAMES), FRAMES) for t, g in zip(truth, given, strict=True)])
        for name, guess in BASELINES.items()
    }
    assert model < most * min(others.values()), (model, others)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "copy")
    return tmp_path / "copy"


def refused(run: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_model(run, torch.device("cpu"))
    said = str(caught.value)
    assert "\n" not in said and "Error" not in said and len(said) < 300, said
    return said


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("outputs", lambda table: table + 10**6, "its outputs are not those of its codec"),
        ("outputs", lambda table: table.flip(0), "its outputs are not those of its codec"),
        ("values", lambda table: table * 2, "its values are not those of its codec"),
        ("values", lambda table: table * torch.nan, "numbers in its values are not finite"),
        ("words.weight", lambda table: table * torch.nan, "numbers in its words.weight are not finite"),
    ],
)
def test_damaged_weights_are_refused(copied: Path, name: str, harm: Callable[[Any], Any], words: str) -> None:
    file = copied / "model" / "model.safetensors"
    weights = load_file(file)
    save_file({**weights, name: harm(weights[name]).contiguous()}, file)
    said = refused(copied)
    assert said.startswith(f"The model in {copied / 'model'} is damaged: ") and words in said


def test_a_run_that_lacks_a_part_is_one_sentence(copied: Path) -> None:
    config, settings = copied / "model" / "config.json", copied / "config.yaml"
    whole = config.read_text()
    config.write_text(json.dumps(json.loads(whole) | {"width": 64}))
    assert "config.json describes another network than its weights" in refused(copied)
    config.unlink()
    assert refused(copied) == f"{copied / 'model'} has no config.json, so it holds no model."
    config.write_text(whole)
    text, nothing = settings.read_text(), "physworld.text.codecs.nothing.Codec"
    settings.write_text(text.replace("physworld.text.codecs.islands.IslandCodec", nothing))
    assert settings.read_text() != text
    assert refused(copied).endswith(f"names {nothing}, which this physworld does not have.")


def test_publish_sends_the_card_with_the_measurements() -> None:
    files = published_files(SHIPPED)
    assert files["README.md"] == SHIPPED / "README.md" and "model.safetensors" in files


def test_pictures_that_a_report_shows_are_sent_with_it(copied: Path) -> None:
    (copied / "pictures").mkdir()
    for name in ("pictures/a.gif", "pictures/not shown.gif", "secret.txt"):
        (copied / name).write_text("x")
    (copied.parent / "outside.txt").write_text("x")
    (copied / "report.md").write_text(
        "![a](pictures/a.gif) [gone](pictures/b.gif) [up](../outside.txt) [web](https://example.org) [here](#top)"
    )
    sent = published_files(copied)
    assert sent["pictures/a.gif"] == copied / "pictures" / "a.gif" and "report.md" in sent
    assert not [name for name in sent if "not shown" in name or "outside" in name or "secret" in name]


@pytest.mark.parametrize("kind", ["onnx", "gguf"])
def test_a_network_of_ours_is_not_exported(copied: Path, kind: str) -> None:
    for run in (copied, find_run("solver")):
        with pytest.raises(UserError, match="its network is one of physworld's own, and only language models of trans"):
            export(run, kind)
        assert not (run / kind).exists()
