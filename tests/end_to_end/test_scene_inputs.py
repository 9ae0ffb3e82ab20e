"""Whole commands on scenes that others wrote: what is wrong with one is a sentence, and what is odd is said."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.scene_json import read_jsonl, write_jsonl
from physworld.text.codecs.scene_parquet import write_parquet
from physworld.types import Body, Scene

from commands import ENVIRONMENT, ended


def run(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return ended(where, "physworld", *arguments, env={**ENVIRONMENT, "COLUMNS": "400"})


def scene(path: Path, number: int = 0, **changes: object) -> Path:
    made = scenarios.build("projectile", generator(1, "train", number), 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, simulate(replace(made, **changes), 12), seed=number)  # type: ignore[arg-type]
    return path


def test_predict_says_that_a_time_step_is_strange(tmp_path: Path) -> None:
    scene(tmp_path / "slow.jsonl", dt=0.1)
    done = run(tmp_path, "predict", "run=shipped", "input=slow.jsonl", "frames=2", "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    assert "a time step of 0.1 s, and the model was trained on 0.01667 s" in done.stdout
    assert len(read_jsonl(tmp_path / "out" / "prediction.jsonl")) == 3


def test_predict_refuses_a_world_that_cannot_be(tmp_path: Path) -> None:
    path = scene(tmp_path / "flat.jsonl")
    header, *frames = path.read_text().splitlines()
    changed = json.loads(header)
    changed["physworld"]["scene"]["canvas"] = [0, 600]
    path.write_text("\n".join([json.dumps(changed), *frames]))
    done = run(tmp_path, "predict", "run=shipped", "input=flat.jsonl", "frames=2")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "flat.jsonl line 1: the canvas is (0, 600), it must be width and height, whole numbers from 1" in done.stderr


def test_a_broken_first_batch_says_that_nothing_was_trained(tmp_path: Path) -> None:
    for number in range(4):
        folder = "val-00000-of-00001" if number == 3 else "train-00000-of-00001"
        path = scene(tmp_path / "data" / folder / f"scene_{number}.jsonl", number)
        if number < 3:
            lines = path.read_text().splitlines()
            lines[6] = '{"frame": 6, broken'
            path.write_text("\n".join(lines) + "\n")
    done = run(tmp_path, "train", "debug=smoke", "data=files", "data.path=data", "hydra.run.dir=out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "line 7: this is not valid JSON" in done.stderr and "Nothing was trained" in done.stderr
    assert "continue with" not in done.stdout and "trained so far" not in done.stdout


BY_HAND = """
units: m
bodies: [{circle: 0.2, position: [1.5, 4], velocity: [2, 0]}]
static: [{segment: [[0, 0.5], [8, 0.5]], radius: 0.1}]
"""


def test_a_scene_by_hand_is_simulated_and_predicted(tmp_path: Path) -> None:
    (tmp_path / "ball.yaml").write_text(BY_HAND)
    done = ended(tmp_path, "simulate.py", "input=ball.yaml", "frames=20", "out=made")
    assert done.returncode == 0, done.stderr
    truth = read_jsonl(tmp_path / "made" / "ball.jsonl")
    assert len(truth) == 20 and truth.scene.bodies[0].position == (150.0, 400.0)
    done = ended(tmp_path, "predict.py", "input=ball.yaml", "frames=10", "start=5", "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    said = read_jsonl(tmp_path / "out" / "prediction.jsonl")  # from frame 5 on
    assert abs(said.position[-1] - truth.position[15]).max() < 0.1


def test_a_file_is_simulated_from_its_own_first_frame(tmp_path: Path) -> None:
    path = simulate(Scene(bodies=(Body.circle(20.0, position=(100.0, 500.0), velocity=(200.0, 0.0)),)), 40)
    write_jsonl(tmp_path / "late.jsonl", path.window(30, 40), seed=0)
    write_parquet(tmp_path / "late.parquet", [path.window(30, 40)])
    for name, out in (("late.jsonl", "made"), ("late.parquet", "too")):
        done = ended(tmp_path, "simulate.py", f"input={name}", "frames=10", f"out={out}")
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(read_jsonl(tmp_path / out / "late.jsonl").position, path.position[30:], atol=1e-3)


BLOWS_UP = """
bodies: [{name: a, circle: 20, position: [100, 100]}, {name: b, circle: 20, position: [200, 100]}]
joints: [{spring: [a, b], length: 50, stiffness: 1.0e+9}]
"""
FLIES_OFF = "bodies: [{name: a, circle: 20, position: [100, 100], velocity: [9.0e+5, 0]}]\n"  # px/s; finite for ever


@pytest.mark.parametrize(("scene", "form"), [(BLOWS_UP, "jsonl"), (BLOWS_UP, "gif"), (FLIES_OFF, "jsonl")])
def test_a_scene_whose_numbers_could_not_be_read_again_is_a_sentence(tmp_path: Path, scene: str, form: str) -> None:
    (tmp_path / "boom.yaml").write_text(scene)
    done = ended(tmp_path, "simulate.py", "input=boom.yaml", "frames=200", f"format={form}", "out=made")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "input=boom.yaml blows up: from frame" in done.stderr and "above 1e+06 px" in done.stderr
    assert not list(tmp_path.glob("made/*"))


def test_a_typed_prompt_of_one_frame_goes_on_where_two_are_read(tmp_path: Path) -> None:
    """`run=solver` reads two frames, or one and no memory; a prompt tells one."""
    path = simulate(scenarios.build("projectile", generator(1, "test", 0), 1), 12)
    (tmp_path / "prompt.txt").write_text(IslandCodec(memory=True).write_prompt(path.window(0, 2)))
    done = ended(tmp_path, "predict.py", "run=solver", "input=prompt.txt", "frames=10", "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    said = read_jsonl(tmp_path / "out" / "prediction.jsonl")
    fell = abs(path.position[11] - path.position[1]).mean()  # px
    assert len(said) == 11 and abs(said.position[-1] - path.position[11]).mean() < 0.01 * fell
    done = ended(tmp_path, "predict.py", "run=solver", "input=prompt.txt", "start=3", "hydra.run.dir=more")
    assert done.returncode == 1 and "it has 1 frame and this model reads 1, so choose 0" in done.stderr


def test_a_scene_by_hand_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "flat.yaml").write_text(BY_HAND.replace("0.2", "-0.2"))
    (tmp_path / "ball.yaml").write_text(BY_HAND)
    wrong = "flat.yaml: body 0 is a circle of size (-0.2,); sizes must be positive and finite (m)."
    for arguments, sentence in (
        (("simulate", "input=flat.yaml"), wrong),
        (("predict", "input=flat.yaml"), wrong),
        (("simulate", "input=ball.yaml", "count=3"), "count= is for scenes that are drawn, and input=ball.yaml is one"),
        (("simulate", "input=ball.yaml", "format=gallery"), "format=gallery shows every scenario type"),
        (("simulate", "input=none.yaml"), "input=none.yaml cannot be read (there is no such file)."),
    ):
        done = ended(tmp_path, f"{arguments[0]}.py", *arguments[1:])
        assert done.returncode == 1 and "Traceback" not in done.stderr and sentence in done.stderr, done.stderr
