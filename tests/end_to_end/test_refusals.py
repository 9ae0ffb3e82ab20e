"""Commands that would lose something, or do another thing than was meant, say so and change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import ended, ends


@pytest.mark.parametrize("flag", ["--foo", "--steps=5", "-x", "-5"])
def test_an_unknown_flag_is_one_sentence(flag: str, tmp_path: Path) -> None:
    assert ends(tmp_path, "train.py", flag) == f"{flag} is no flag. Settings are written as NAME=VALUE, without dashes."


@pytest.mark.parametrize("verb", ["predict.py", "simulate.py", "plan.py"])
def test_nothing_is_written_among_the_files_of_a_run(verb: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    (tmp_path / "a" / ".hydra").mkdir()
    (tmp_path / "a" / ".hydra" / "overrides.yaml").write_text("- seed=7\n")
    (tmp_path / "scene.jsonl").touch()
    own = ["input=scene.jsonl"] if verb == "predict.py" else []
    assert ends(tmp_path, verb, *own, "hydra.run.dir=a").endswith("a holds a run; choose another hydra.run.dir.")
    assert (tmp_path / "a" / ".hydra" / "overrides.yaml").read_text() == "- seed=7\n"


def test_a_run_is_not_continued_with_defaults_that_it_did_not_have(tmp_path: Path) -> None:
    options = ["debug=smoke", "seed=1", "hydra.run.dir=a"]
    assert ended(tmp_path, "train.py", *options).returncode == 0
    said = ends(tmp_path, "train.py", "ckpt=last", "hydra.run.dir=a").removeprefix("Loading what text needs ...\n")
    assert "is of a run with debug=smoke seed=1, which this command leaves out" in said
    assert said.endswith("Say it again: python train.py debug=smoke seed=1 ckpt=last hydra.run.dir=a")
    assert ends(tmp_path, "train.py", "ckpt=last", "hydra.run.dir=a") == said  # what it was told is still known


def test_every_job_of_a_sweep_tells_its_mistake(tmp_path: Path) -> None:
    done = ended(tmp_path, "simulate.py", "-m", "seed=abc,1,-2", "scenario=pong", "count=1", "frames=3")
    assert done.returncode == 1 and [*tmp_path.rglob("scene_0.jsonl")] != []
    assert done.stderr.strip().splitlines()[-2:] == [
        "Job 0: seed=abc must be a whole number from 0 on.", "Job 2: seed=-2 must be a whole number from 0 on."
    ]  # fmt: skip
