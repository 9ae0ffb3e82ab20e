"""What a training run is made of: stages, lengths and time steps of what it is fed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from physworld import scenarios
from physworld.errors import UserError
from physworld.runs.wiring import codec_and_network
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.build import build, sources
from physworld.text.codecs.scene_json import write_jsonl

from repository import composed


def test_stages_of_few_samples_again_and_again_are_stages() -> None:
    stages = ("curriculum=progressive", "curriculum.keep_easier=false", "curriculum.samples_per_stage=256")
    cfg = composed("train", *stages, "data.repeat=128", "scenario.names=[billiards]")
    train, _ = sources(cfg, ["billiards"], codec_and_network(cfg)[0])
    assert [train.sample(256 * stage).given.scene.difficulty for stage in range(5)] == [1, 2, 3, 4, 5]
    first, again = train.sample(3).given.position, train.sample(3 + 128).given.position
    assert (first == again).all() and not (first == train.sample(4).given.position).all()


SMALL = ("model=tiny_lfm2", "codec=engine", "codec.context_frames=3", "scenario=pendulum", "hardware=cpu")


def test_examples_are_cut_to_what_the_weights_read(capsys: pytest.CaptureFixture[str]) -> None:
    def lengths(most: int) -> list[int]:
        settings = (f"model.network.architecture.max_position_embeddings={most}", "hardware.num_workers=0")
        parts = build(composed("train", *SMALL, *settings, "global_batch=4"))
        batch = next(iter(parts.data.train_dataloader()))
        return list((batch.input_ids != parts.pad_id).sum(1))

    whole = lengths(4096)
    assert max(whole) > 400 >= max(lengths(400))
    assert "these weights read 400 tokens" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UserError, match=r"These weights read 50 tokens, and .* are all longer than 50 tokens"):
        lengths(50)


def test_a_run_notes_the_time_step_of_what_it_is_trained_on(tmp_path: Path) -> None:
    for split, dt in (("train", 1 / 120), ("val", 1 / 60)):
        scene = dataclasses.replace(scenarios.build("billiards", generator(0, "train", 0), 1), dt=dt)
        write_jsonl(tmp_path / f"{split}-00000-of-00001" / "billiards" / "a.jsonl", simulate(scene, 8), seed=0)
    cfg = composed("train", "data=files", f"data.path={tmp_path}", "scenario=billiards", "hardware=cpu")
    assert build(cfg).timesteps == pytest.approx((1 / 120,), rel=1e-3)
