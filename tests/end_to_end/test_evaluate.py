"""`evaluate.py` from end to end: runs, any model, predictions of others, ranking, resuming; tiny untrained networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.errors import UserError
from physworld.io.names import safe_name
from physworld.runs.directory import claim

from commands import start
from evaluations import SMALL, WHOLE, evaluate, language_model, rows, untrained_run
from repository import ROOT


def test_models_of_all_kinds_side_by_side(work: Path) -> None:
    directory = work / "three"
    evaluate(
        work,
        f"run=[{untrained_run(work, 0)},{untrained_run(work, 1)}]",
        "model=hf",
        f"weights={work / 'adapter'}",
        f"base={language_model(work)}",
        f"hydra.run.dir={directory}",
    )
    ranking = json.loads((directory / "ranking.json").read_text())
    entries = ranking["rankings"][-1]["entries"]
    assert len(entries) == 3 + 3 and entries[0]["to_first"]["mean"] == 1
    means = [entry["rmse"]["mean"] for entry in entries if entry["rmse"]["mean"] is not None]
    assert means == sorted(means)
    report = (directory / "report.html").read_text()
    assert "<svg" in report and "told apart" in report
    for name in (str(untrained_run(work, 0)), str(work / "adapter")):
        home = directory / safe_name(name)
        assert (home / "report.md").is_file() and "data:image/gif;base64" in (home / "report.html").read_text()
        assert len({row["method"] for row in rows(home)}) == 6
    assert len(list((directory / "tensorboard").iterdir())) == 3


def test_metrics_follow_their_schema(work: Path) -> None:
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    directory = work / "schema"
    options = ("suite=ood", "suite.families=[zero_gravity]", "suite.levels=[1.0]", "evaluation.samples=2")
    said = evaluate(work, f"run={untrained_run(work, 0)}", *options, f"hydra.run.dir={directory}")
    assert "scenes moved out of training's range" in " ".join(said.split()) and "zero_gravity at level 1" in said
    metrics = json.loads((directory / "metrics.json").read_text())
    jsonschema.validate(metrics, schema)
    assert set(metrics["breakdown"]["shift"]) == {"", "zero_gravity@1"}
    assert metrics["sampled"]["samples"] == 2
    part = metrics["all"]["horizons"]["3"]["rmse"]["model"]
    assert metrics["curves"]["model"][-1] == pytest.approx(part["mean"])  # both of the scenes as they are
    assert "## Out of distribution" in (directory / "report.md").read_text()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**metrics, "horizons": "many"}, schema)


def test_laws_have_scenes_of_their_own(work: Path) -> None:
    said = evaluate(work, f"run={untrained_run(work, 0)}", "suite=laws", fails=True)
    assert "suite=laws makes its own scenes; leave scenario.names=[billiards,pendulum] out." in said


def test_the_published_tables_stand_beside_ours(work: Path) -> None:
    directory = work / "paper"
    evaluate(
        work, f"run={untrained_run(work, 0)}", "suite=paper", "evaluation.frames=1", "evaluation.horizons=[1]",
        "limit=1", "scenario.names=[billiards,pong]", "suite.curves=[pong]", "suite.curve_frames=3",
        "evaluation.samples=2", "evaluation.temperature=0.7", f"hydra.run.dir={directory}",
    )  # fmt: skip
    report = (directory / "report.md").read_text()
    for piece in (
        "18.85 (copy-last 5.22, linear 0.10)",
        "· 75.6",
        "· 114",
        "| minigame |",
        "| 42.52 |",
        "pong, 3 frames",
    ):
        assert piece in report, piece
    metrics = json.loads((directory / "metrics.json").read_text())
    jsonschema.validate(metrics, json.loads((ROOT / "docs" / "metrics.schema.json").read_text()))
    steps = metrics["collision_decomposition"]["model"]
    assert steps["steps_contact"] + steps["steps_flight"] == metrics["rollouts"] == 2 * 5
    assert (
        metrics["scenes"] == 2 and metrics["all"]["horizons"]["1"]["rmse"]["model"]["count"] == 2
    )  # scenes, not steps
    assert set(metrics["baselines_by_horizon"]) == {"1", "5", "10", "30", "60", "100"}
    first = {row["index"] for row in rows(directory)}
    assert first == {5_000_000}


def test_killed_half_way_and_resumed_is_the_same(work: Path) -> None:
    run, cache = untrained_run(work, 0), work / "cache"
    options = (f"run={run}", "evaluation.batch_size=1", "evaluation.frames=10", "limit=4", "evaluation.pictures=0")
    evaluate(work, *options, "cache=null", f"hydra.run.dir={work / 'straight_on'}")
    judging = start(work, "evaluate.py", *SMALL, *options, f"cache={cache}", f"hydra.run.dir={work / 'stopped'}")
    try:
        judging.wait_until(lambda: bool(list(cache.rglob(WHOLE))))
    finally:
        judging.kill()
    first = {path: path.stat().st_mtime_ns for path in cache.rglob(WHOLE)}
    assert 0 < len(first) < 8 and not (work / "stopped" / "metrics.json").exists()
    evaluate(work, *options, f"cache={cache}", f"hydra.run.dir={work / 'resumed'}")
    assert len(list(cache.rglob(WHOLE))) == 8
    assert all(path.stat().st_mtime_ns == when for path, when in first.items())  # they were read, not made again
    assert rows(work / "resumed") == rows(work / "straight_on")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Nothing to judge"),
        (("model=gpt", "run=last"), "model=gpt is a network without weights"),
        (("weights=x",), "needs model=hf"),
        (("model=hf",), "needs weights"),
        (("model=hf", "weights=./nowhere"), "is no folder"),
        (("predictions=nowhere.jsonl",), "cannot be read"),
        (("run=shipped", "suite=ood", "suite.families=[zero_gravit]"), "Did you mean zero_gravity?"),
        (("run=shipped", "suite=ood", "suite.levels=[2]"), "at most 1"),
        (("suite=papr",), "Did you mean paper?"),
        (
            ("run=shipped", "evaluation.horizons=[1,9]"),
            "evaluation.horizons=[1,9] must be a list of whole numbers from 1 to",
        ),
        (("predictions=5",), "predictions=5 cannot be read (No such file or directory); give a JSONL file"),
        (("predictions=[a,b]",), "must be one path"),
        (
            ("run=shipped", "suite=ood", "suite.levels=far"),
            "suite.levels=far must be a list, for example suite.levels=[0.5,1]",
        ),
        (("run=shipped", "suite=ood", "suite.families=extreme_mass"), "suite.families=extreme_mass must be a list"),
        (("run=shipped", "evaluation.temperature=0.5"), "evaluation.temperature=0.5 is of drawn answers"),
        (("run=5",), "run=5 is no run directory"),
        (
            ("run=Copy-last",),
            "run=Copy-last names no run: Copy-last stands beside the model in every evaluation anyway",
        ),
        (("limit=0",), "limit=0 must be a whole number from 1"),
        (("run=nowhere",), "no run directory"),
        (("engine=vlm", "model=hf", "weights=x"), "engine=vlm is unknown; choose one of transformers, vllm"),
        (("engine=vllm", "run=nowhere"), "no run directory"),
        (("predictions=x.jsonl", "scenes=nowhere"), "cannot be read"),
    ],
)
def test_mistakes_are_one_sentence(work: Path, options: tuple[str, ...], words: str) -> None:
    said = evaluate(work, *options, fails=True)
    assert words in said and len(said.strip().splitlines()) == 1, said


def test_an_evaluation_is_not_written_over_another(work: Path, tmp_path: Path) -> None:
    run = untrained_run(work, 0)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        same, moved, other = (
            OmegaConf.to_container(compose("evaluate", [f"run={run}", *more]), resolve=True)
            for more in ([], ["hardware=cpu", "cache=null"], ["seed=1"])
        )
        train = OmegaConf.to_container(compose("train"), resolve=True)
    claim(tmp_path, same)
    claim(tmp_path, other)  # nothing was measured yet
    claim(tmp_path, same)
    (tmp_path / "metrics.json").write_text("{}")
    claim(tmp_path, moved)
    with pytest.raises(UserError, match="already holds results of seed=0, not seed=1; choose another"):
        claim(tmp_path, other)
    OmegaConf.save(train, tmp_path / "config.yaml")
    with pytest.raises(UserError, match="already holds results of another command"):
        claim(tmp_path, same)
    assert OmegaConf.load(tmp_path / "config.yaml") == train


def test_what_a_short_model_cannot_read_is_said(work: Path, tmp_path: Path) -> None:
    folder = language_model(work)
    assert "ImpulseCodec writes with tokens of its own" in evaluate(
        work, "model=hf", f"weights={folder}", "codec=impulse", fails=True
    )
    config = json.loads((folder / "config.json").read_text())
    shutil.copytree(folder, tmp_path / "short")
    (tmp_path / "short" / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 100}))
    said = evaluate(work, "model=hf", f"weights={tmp_path / 'short'}", f"hydra.run.dir={tmp_path / 'out'}", fails=True)
    assert "reads at most 100 tokens at once, and the shortest of these 4 moments needs" in said
    assert len(said.strip().splitlines()) == 1 and not (tmp_path / "out" / "config.yaml").exists()
