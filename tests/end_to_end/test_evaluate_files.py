"""`evaluate.py` on recorded scenes and on predictions made elsewhere."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld import scenarios
from physworld.errors import UserError
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.scene_json import scene_from_dict, write_jsonl
from physworld.text.codecs.scene_parquet import write_parquet
from physworld.text.evaluation.baselines import linear
from physworld.text.evaluation.evaluation import EvalCases, Evaluation
from physworld.text.evaluation.suites import Suite, tells_all
from physworld.text.sources.files import read_scene, scenes_below
from physworld.types import Trajectory

import commands
from evaluations import EVALUATION, evaluate, rows, untrained_run
from repository import ROOT


def test_predictions_made_elsewhere(work: Path) -> None:
    """The truth scores nothing wrong, straight lines score as the baseline does, and what is missing is counted."""
    cases = work / "moments.jsonl"
    evaluate(work, f"export={cases}")
    lines = [json.loads(line) for line in cases.read_text().splitlines()]
    assert len(lines) == 4 and lines[0]["prompt"].startswith("Scene: ")
    answers = []
    for line in lines:
        given = Trajectory(
            scene=scene_from_dict(line["scene"]), **{name: np.array(value) for name, value in line["given"].items()}
        )
        said = linear(given, line["frames"])
        answers.append({"id": line["id"], "position": said.position.tolist(), "velocity": said.velocity.tolist()})
    straight, broken = work / "straight.jsonl", work / "broken.jsonl"
    straight.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    texts = [{"id": lines[0]["id"], "text": ["nonsense"]}, {"id": lines[1]["id"], "position": []}]
    broken.write_text("".join(json.dumps(answer) + "\n" for answer in texts))
    evaluate(work, f"predictions={straight}", f"hydra.run.dir={work / 'straight'}")
    got = rows(work / "straight")
    mine = [row for row in got if row["method"] == "model"]
    theirs = [row for row in got if row["method"] == "linear"]
    assert len(mine) == 4 and all(row["parsed"] for row in mine)
    for a, b in zip(mine, theirs, strict=True):
        assert a["rmse@3"] == b["rmse@3"] and a["velocity_rmse@3"] == b["velocity_rmse@3"]
    evaluate(work, f"predictions={broken}", f"hydra.run.dir={work / 'broken'}")
    mine = [row for row in rows(work / "broken") if row["method"] == "model"]
    assert not any(row["parsed"] for row in mine) and all(row["missing"] > 0 for row in mine if row["index"] == 0)
    metrics = json.loads((work / "broken" / "metrics.json").read_text())
    assert metrics["predictions"] == {"lines": 2, "unmatched": 0, "unanswered": 2}
    broken.write_text('{"id": "x", "position": [[[1, 2]]]}\n{"id": "x", "position": []}\n')
    assert "predicts x again" in evaluate(work, f"predictions={broken}", fails=True)


def test_lines_about_other_scenes_are_counted_before_anything_is_judged(work: Path) -> None:
    cases, some, none = work / "two.jsonl", work / "some.jsonl", work / "none.jsonl"
    evaluate(work, f"export={cases}", "limit=1")
    ids = [json.loads(line)["id"] for line in cases.read_text().splitlines()]
    strangers = "".join(json.dumps({"id": f"elsewhere{k}", "position": []}) + "\n" for k in range(3))
    some.write_text(strangers + json.dumps({"id": ids[0], "position": []}) + "\n")
    none.write_text(strangers)
    directory = work / "strangers"
    said = evaluate(work, f"predictions={some}", "limit=1", "evaluation.pictures=0", f"hydra.run.dir={directory}")
    assert "3 of 4 lines match no scene of this evaluation, the first is elsewhere0 in line 1" in said
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["predictions"] == {"lines": 4, "unmatched": 3, "unanswered": 1}
    jsonschema.validate(metrics, json.loads((ROOT / "docs" / "metrics.schema.json").read_text()))
    assert "- predictions: 4 lines, 3 of them about none" in (directory / "report.md").read_text()
    nothing = work / "nothing"
    said = evaluate(work, f"predictions={none}", "limit=1", f"hydra.run.dir={nothing}", fails=True)
    assert "3 of 3 lines match no scene of this evaluation" in said and len(said.strip().splitlines()) == 1
    assert not (nothing / "config.yaml").exists()  # refused before any rollout


def test_scenes_from_files_against_ten_lines_of_json(work: Path) -> None:
    """Baselines on Scene JSONL, worked out again from the raw files by a reader that shares no code with ours."""
    folder = work / "scenes"
    for k in range(3):
        write_jsonl(folder / f"scene_{k}.jsonl", simulate(scenarios.build("billiards", generator(0, "val", k), 2), 12))
    options = ("evaluation.start=4", "evaluation.frames=5", "evaluation.horizons=[1,5]", "evaluation.pictures=0")
    directory = work / "files"
    evaluate(
        work, f"run={untrained_run(work, 0)}", f"scenes={folder}", "limit=3", *options, "difficulties=[2]",
        f"hydra.run.dir={directory}",
    )  # fmt: skip
    got = {(row["method"], row["index"]): row for row in rows(directory)}
    assert len(got) == 3 * 6
    for k in range(3):
        head, *frames = map(json.loads, (folder / f"scene_{k}.jsonl").read_text().splitlines())
        dt, g = head["timestep"], np.array([head["gravity"]["x"], head["gravity"]["y"]])
        x, v = (
            np.array([[[o[n]["x"], o[n]["y"]] for o in f["objects"]] for f in frames]) for n in ("position", "velocity")
        )
        for h in (1, 5):
            truth, start, speed = x[4 + h - 1], x[4 - 1], v[4 - 1]  # line 1 is the header and frame 0
            said = {"copy_last": start, "linear": start + h * dt * speed}
            said["ballistic"] = said["linear"] + h * (h - 1) / 2 * dt * dt * g
            for name, guess in said.items():
                rmse = np.sqrt(((guess - truth) ** 2).sum(-1).mean())
                assert got[name, k][f"rmse@{h}"] == pytest.approx(rmse, abs=1e-9)
    assert "gives nothing to judge" in evaluate(
        work, f"run={untrained_run(work, 0)}", f"scenes={folder}", "evaluation.frames=50", fails=True
    )


def test_what_a_file_hides_is_reported_apart(work: Path) -> None:
    """Published files say that joints to the world are anchored at (0, 0), wherever they are."""
    folder, directory = work / "hiding", work / "hidden"
    for name, seed in (("billiards", 0), ("pendulum", 1), ("pendulum", 2), ("chain", 1), ("chain", 2)):
        path = (work / "chains" if name == "chain" else folder) / f"{name}{seed}.jsonl"
        write_jsonl(path, simulate(scenarios.build(name, generator(0, "val", seed), 1), 40))
        if seed == 1:  # as the published exporter writes it
            head, *frames = map(json.loads, path.read_text().splitlines())
            del head["physworld"]
            for joint in head["constraints"]:
                joint.pop("distance", None)
                joint["anchor_a"] = [0.0, 0.0]
            path.write_text("".join(json.dumps(line) + "\n" for line in (head, *frames)))
    assert [tells_all(read_scene(place)) for place, _ in scenes_below(folder)] == [True, False, True]
    # Of a chain a single ball of many has lost its anchor, and in five frames it falls less than memory is worth.
    assert [tells_all(read_scene(place)) for place, _ in scenes_below(work / "chains")] == [False, True]
    options = ("evaluation.start=4", "evaluation.frames=5", "evaluation.horizons=[1,5]", "evaluation.pictures=0")
    evaluate(work, f"run={untrained_run(work, 0)}", f"scenes={folder}", *options, f"hydra.run.dir={directory}")
    told = {(row["scenario"], row["index"]): row["told"] for row in rows(directory)}
    assert sorted(told.values()) == [False, True, True]
    metrics = json.loads((directory / "metrics.json").read_text())
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.validate(metrics, schema)
    assert metrics["all"]["rollouts"] == 2 and metrics["rollouts"] == 3
    parts = metrics["breakdown"]["told"]
    assert {label: part["rollouts"] for label, part in parts.items()} == {"all": 2, "not all": 1}
    assert parts["not all"]["rmse"]["floor"]["mean"] > 1 > 0.1 > parts["all"]["rmse"]["floor"]["mean"]
    report = (directory / "report.md").read_text()
    assert "## What the files tell" in report and "they stand in this table alone" in report


@pytest.mark.parametrize("name", ["../../evil/[/x]", "{outside}/victim"])
def test_words_of_a_file_never_become_paths(name: str, work: Path, tmp_path: Path) -> None:
    """Whatever a scene calls itself, all that is written lies in the run's folder."""
    outside, directory = tmp_path / "outside", tmp_path / "inside" / "run"
    outside.mkdir()
    (outside / "victim.gif").write_text("not to be touched")
    scene = dataclasses.replace(
        scenarios.build("billiards", generator(0, "val", 0), 1), name=name.format(outside=outside)
    )
    write_jsonl(tmp_path / "scenes" / "a.jsonl", simulate(scene, 12))
    model = untrained_run(work, 0)
    before = set(tmp_path.rglob("*"))
    commands.run(
        tmp_path, "evaluate.py", f"run={model}", "scenes=scenes", "evaluation.start=4", "evaluation.frames=3",
        "evaluation.horizons=[1,3]", "evaluation.pictures=1", "cache=null", "hardware=cpu",
        f"hydra.run.dir={directory}",
    )  # fmt: skip
    made = {path for path in set(tmp_path.rglob("*")) - before if not path.is_dir()}
    assert made and all(path.is_relative_to(directory) for path in made)
    assert len([path for path in made if path.suffix == ".gif"]) == 2  # of the report, and of its worst rollouts
    assert (outside / "victim.gif").read_text() == "not to be touched" and len(list(outside.iterdir())) == 1
    shown = re.findall(r"\]\(<?([^)>]+\.gif)>?\)", (directory / "report.md").read_text())
    assert shown and all((directory / path).is_file() for path in shown)


def test_recorded_scenes_of_the_types_that_were_asked_for(tmp_path: Path) -> None:
    names = ["billiards", "pong", "tower"]
    runs = [simulate(scenarios.build(names[k % 3], generator(0, "val", k), 1 + k // 3), 20) for k in range(6)]
    for k, run in enumerate(runs[:3]):
        write_jsonl(tmp_path / "plain" / run.scene.name / f"scene_{k}.jsonl", run)
    write_parquet(tmp_path / "packed" / "val.parquet", runs[3:])
    write_jsonl(tmp_path / ".shards" / "left" / "scene_9.jsonl", runs[0])  # what a killed process leaves
    evaluation, suite = Evaluation(**EVALUATION), Suite(name="standard")

    def read(**wanted: Any) -> EvalCases:
        return suite.read(tmp_path, evaluation, [EngineCodec()], seed=0, **{"limit": None, **wanted})

    everything = read()
    assert [given.scene for given in everything.given] == [run.scene for run in (*runs[3:], *runs[:3])]
    for given, truth, run in zip(everything.given, everything.truth, (*runs[3:], *runs[:3]), strict=True):
        whole = given.then(truth).position
        near = [np.abs(run.position[t : t + 4 + 5] - whole).max() for t in range(20 - 4 - 5 + 1)]
        assert min(near) <= (0 if run in runs[3:] else 0.5e-4)  # JSONL has four decimals, Parquet all
    some = read(names=["pong", "tower"], difficulties=[1])
    assert [(g.scene.name, g.scene.difficulty) for g in some.given] == [("pong", 1), ("tower", 1)]
    assert set(some.left_out) == {"billiards", "pong of difficulty 2", "tower of difficulty 2"}
    assert [g.scene.name for g in read(limit=1).given] == names
    with pytest.raises(UserError, match="is no file and no folder; give one of"):
        suite.read(tmp_path / "nowhere", evaluation, [EngineCodec()], seed=0, limit=None)
    with pytest.raises(UserError, match="not a type that scenario= or the suite names"):
        read(names=["orbit"])
    for start, says in (
        (2, "start=2 is too early: this text is given 4 frames, so choose 3 or"),
        (17, "5 beyond frame 17"),
    ):
        with pytest.raises(UserError, match=says):
            other = dataclasses.replace(evaluation, start=start, starts=1)
            suite.read(tmp_path, other, [EngineCodec()], seed=0, limit=None)
    with pytest.raises(UserError, match="suite=ood moves simulated scenes out of distribution"):
        Suite(name="ood", families=["zero_gravity"], levels=[1.0]).read(
            tmp_path, evaluation, [EngineCodec()], seed=0, limit=None
        )
