"""`evaluate.py` from end to end: runs, any model, predictions of others, ranking, resuming; tiny untrained networks."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jsonschema
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld import scenarios
from physworld.errors import UserError
from physworld.lm.gpt import GPT
from physworld.lm.vllm_generator import VllmError, room_for
from physworld.lm.vllm_worker import ended
from physworld.runs.checkpoints import save_model
from physworld.runs.directory import claim
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.candidates import candidates, from_hf, load_hf
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.scene_json import scene_from_dict, write_jsonl
from physworld.text.codecs.scene_parquet import write_parquet
from physworld.text.evaluate import types_asked_for
from physworld.text.evaluation.baselines import linear
from physworld.text.evaluation.evaluation import EvalCases, Evaluation
from physworld.text.evaluation.ranking import rank
from physworld.text.evaluation.suites import Suite
from physworld.text.report.paper import collision_decomposition
from physworld.text.report.sections import ranking_section
from physworld.text.rollout import room
from physworld.types import Trajectory

from repository import ROOT, composed

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
WHOLE = "[0-9a-f]*.npz"  # a killed process may leave a hidden file that was being written
EVALUATION: dict[str, Any] = {
    "rollouts": 1, "val_rollouts": 1, "frames": 5, "horizons": None, "latest_start": 4, "batch_size": 1,
    "guided": True, "pictures": 0,
}  # fmt: skip
SMALL = (
    "hardware=cpu",
    "scenario.names=[billiards,pendulum]",
    "difficulties=[1]",
    "evaluation.frames=3",
    "evaluation.horizons=[1,3]",
    "evaluation.pictures=1",
    "limit=2",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "evaluate.py"), *SMALL, *arguments]


def evaluate(where: Path, *arguments: str, fails: bool = False) -> str:
    """The command, in this process: a start of Python each time would double what these tests take."""
    out, err, before, code = io.StringIO(), io.StringIO(), Path.cwd(), 0
    GlobalHydra.instance().clear()
    os.chdir(where)
    try:
        with (
            mock.patch.object(sys, "argv", command(*arguments)[1:]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            runpy.run_path(str(ROOT / "evaluate.py"), run_name="__main__")
    except SystemExit as left:
        code = left.code or 0
    finally:
        os.chdir(before)
        GlobalHydra.instance().clear()
    assert (code != 0) is fails, out.getvalue() + err.getvalue()
    return err.getvalue() if fails else out.getvalue()


def rows(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "rows.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judging")


@functools.cache
def untrained_run(work: Path, seed: int) -> Path:
    """What a finished run leaves behind, as far as evaluation reads it."""
    torch.manual_seed(seed)
    codec, directory = ImpulseCodec(), work / f"run{seed}"
    network = GPT.for_vocabulary(codec.vocabulary, width=16, depth=1, heads=2)
    save_model(network, codec, directory)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", ["model.network.width=16", "model.network.depth=1", "model.network.heads=2"])
    OmegaConf.save(cfg, directory / "config.yaml")
    return directory


@functools.cache
def language_model(work: Path) -> Path:
    """A tiny Llama with a tokenizer, as a folder; and an adapter for it beside."""
    torch.manual_seed(0)
    tokenizer = EngineCodec().tokenizer
    sizes: Any = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, **sizes))
    folder = work / "llama"
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    adapted: Any = get_peft_model(
        network, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(work / "adapter")
    return folder


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
        home = directory / name.replace("/", "_").strip("_.")
        assert (home / "report.md").is_file() and "data:image/gif;base64" in (home / "report.html").read_text()
        assert len({row["method"] for row in rows(home)}) == 6
    assert len(list((directory / "tensorboard").iterdir())) == 3


def test_metrics_follow_their_schema(work: Path) -> None:
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    directory = work / "schema"
    options = ("suite=ood", "suite.families=[zero_gravity]", "suite.levels=[1.0]", "evaluation.samples=2")
    evaluate(work, f"run={untrained_run(work, 0)}", *options, f"hydra.run.dir={directory}")
    metrics = json.loads((directory / "metrics.json").read_text())
    jsonschema.validate(metrics, schema)
    assert set(metrics["breakdown"]["shift"]) == {"", "zero_gravity@1"}
    assert metrics["sampled"]["samples"] == 2
    assert "## Out of distribution" in (directory / "report.md").read_text()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**metrics, "horizons": "many"}, schema)


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
    with pytest.raises(UserError, match="suite=ood moves simulated scenes out of distribution"):
        Suite(name="ood", families=["zero_gravity"], levels=[1.0]).read(
            tmp_path, evaluation, [EngineCodec()], seed=0, limit=None
        )


@pytest.mark.parametrize(
    ("typed", "chosen", "some"),
    [
        ([], "seen", False), (["scenario=seen"], "seen", True), (["suite=heldout"], "heldout", True),
        (["suite=everything"], "all", False), (["scenario.names=[pong]"], "seen", True), (["limit=1"], "seen", False),
    ],
)  # fmt: skip
def test_who_names_types(typed: list[str], chosen: str, some: bool) -> None:
    assert types_asked_for(typed, chosen) is some


def test_the_published_tables_stand_beside_ours(work: Path) -> None:
    directory = work / "paper"
    evaluate(
        work, f"run={untrained_run(work, 0)}", "suite=paper", "evaluation.frames=1", "evaluation.horizons=[1]",
        "limit=1", "scenario.names=[billiards,pong]", "suite.curves=[pong]", "suite.curve_frames=3",
        f"hydra.run.dir={directory}",
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


def test_contact_and_flight_apart_by_hand() -> None:
    about = {"method": "model"}
    steps = [
        {**about, "rmse@1": 1.0, "event_velocity_rmse": 10.0, "flight_momentum_error": None},
        {**about, "rmse@1": 3.0, "event_velocity_rmse": 30.0, "flight_momentum_error": 2.0},
        {**about, "rmse@1": 0.5, "event_velocity_rmse": None, "flight_momentum_error": 4.0},
    ]
    assert collision_decomposition(steps)["model"] == {
        "steps_contact": 2,
        "steps_flight": 1,
        "position_contact": 2.0,
        "position_flight": 0.5,
        "velocity_contact": 20.0,
        "velocity_flight": 3.0,
    }


def test_killed_half_way_and_resumed_is_the_same(work: Path) -> None:
    run, cache = untrained_run(work, 0), work / "cache"
    options = (f"run={run}", "evaluation.batch_size=1", "evaluation.frames=10", "limit=4", "evaluation.pictures=0")
    evaluate(work, *options, "cache=null", f"hydra.run.dir={work / 'straight_on'}")
    process = subprocess.Popen(
        command(*options, f"cache={cache}", f"hydra.run.dir={work / 'stopped'}"),
        cwd=work, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not list(cache.rglob(WHOLE)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
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
        (("suite=ood", "suite.families=[zero_gravit]"), "Did you mean zero_gravity?"),
        (("suite=ood", "suite.levels=[2]"), "at most 1"),
        (("suite=papr",), "Did you mean paper?"),
        (("evaluation.horizons=[1,9]",), "evaluation.horizons=[1,9] must be a list of whole numbers from 1 to"),
        (("predictions=5",), "predictions=5 cannot be read (No such file or directory); give a JSONL file"),
        (("predictions=[a,b]",), "must be one path"),
        (("suite=ood", "suite.levels=far"), "suite.levels=far must be a list of numbers above 0"),
        (("run=5",), "run=5 is no run directory"),
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


def test_room_by_hand() -> None:
    codec = EngineCodec()
    given = [simulate(scenarios.build(name, generator(0, "val", 1), 1), 4) for name in ("pendulum", "billiards")]
    whole = sorted(len(codec.prompt(g)) + codec.max_new_tokens(g.scene) for g in given)
    least = sorted(len(codec.prompt(g.window(3, 4))) + codec.max_new_tokens(g.scene) for g in given)
    assert least[0] < whole[0] < least[1] < whole[1]
    for limit, too_long, shortened in (
        (whole[1], 0, 0), (whole[1] - 1, 0, 1), (least[1] - 1, 1, 0), (whole[0] - 1, 1, 1), (least[0] - 1, 2, 0),
    ):  # fmt: skip
        got = room(SimpleNamespace(max_length=limit), codec, given)
        assert got is not None and (got.too_long, got.shortened) == (too_long, shortened)
        assert limit >= whole[0] or got.needed == least[0]
    assert room(SimpleNamespace(), codec, given) is None


def vllm_config(work: Path, *options: str) -> Any:
    language_model(work)
    return composed(
        "evaluate", "model=hf", "engine=vllm", f"weights={work / 'adapter'}", f"base={work / 'llama'}", *options
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "tokens are whole words; use evaluation.guided=false"),
        (("evaluation.guided=false",), "needs vLLM, and .* has no vllm; install vLLM in an environment of its own"),
        (("evaluation.guided=false", "engine_python=/nowhere/python"), "engine_python=/nowhere/python cannot be run"),
        (("evaluation.guided=false", "evaluation.samples=4"), "use evaluation.samples=0"),
    ],
)
def test_what_vllm_cannot_do_is_one_sentence(work: Path, options: tuple[str, ...], sentence: str) -> None:
    """It is not installed here: its worker starts, finds nothing, and says so."""
    with pytest.raises(UserError, match=sentence):
        from_hf(vllm_config(work, *options), torch.device("cpu"))


def test_vllm_goes_with_model_hf(work: Path) -> None:
    with pytest.raises(UserError, match="goes with model=hf"):
        candidates(composed("evaluate", "engine=vllm", f"run={untrained_run(work, 0)}"), torch.device("cpu"))


def test_what_vllm_is_told() -> None:
    """Ranks it makes room for, and answers that end as ours do."""
    assert [room_for(rank) for rank in (1, 2, 32, 33)] == [1, 8, 32, 64]
    with pytest.raises(VllmError, match="up to rank 512, not 600"):
        room_for(600)
    assert ended([5, 6], "stop", 2) == ended([5, 6, 2], "stop", 2) == [5, 6, 2] and ended([5], "length", 2) == [5]


def test_only_safe_weights_are_loaded(work: Path, tmp_path: Path) -> None:
    language_model(work)
    folder = tmp_path / "unsafe"
    folder.mkdir()
    (folder / "config.json").write_text((work / "llama" / "config.json").read_text())
    torch.save({"model.embed_tokens.weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_hf(str(folder), None, torch.device("cpu"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text((work / "adapter" / "adapter_config.json").read_text())
    torch.save({}, adapter / "adapter_model.bin")
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        load_hf(str(adapter), str(work / "llama"), torch.device("cpu"))


def test_an_adapter_changes_what_its_base_says(work: Path) -> None:
    folder = language_model(work)
    device, ids = torch.device("cpu"), torch.arange(5, 15)[None]
    base, _ = load_hf(str(folder), None, device)
    merged, _ = load_hf(str(work / "adapter"), str(folder), device)
    assert not torch.allclose(base(ids).logits, merged(ids).logits)


def test_ranking_pairs_the_same_moments() -> None:
    def judged(*errors: float) -> list[dict[str, Any]]:
        about = {"scenario": "a", "start_frame": 3, "seed": 0, "shift": "", "parsed": True, "valid_frames": 3}
        return [
            {**about, "index": k, "method": method, "rmse@3": error, "event_velocity_rmse": None}
            for k, e in enumerate(errors)
            for method, error in (("model", e), ("copy_last", 9.0), ("linear", 5.0), ("ballistic", 7.0))
        ]

    a, b = judged(1.0, 2.0, 3.0, 4.0), judged(2.0, 4.0, 6.0, 8.0)
    entries = {entry["name"]: entry for entry in rank({"b": b, "a": a}, 3)["entries"]}
    assert list(entries) == ["a", "b", "linear", "ballistic", "copy_last"]  # 2.5, 5, 5, 7, 9: b is named before linear
    assert entries["b"]["to_first"]["low"] == entries["b"]["to_first"]["high"] == 2  # paired: exactly twice, always
    assert entries["b"]["told_apart"] and not entries["a"]["told_apart"]
    single = rank({"a": a[:4], "b": b[:4]}, 3)
    assert not single["varies"] and not any(entry["told_apart"] for entry in single["entries"])
    lines = ranking_section(single)
    assert lines[0] == "## Ranking after 3 frames" and "no interval and no verdict between models" in lines[2]
    assert "| 2. **b** | 2.00 | 2.00 | – |" in "\n".join(lines)
    with pytest.raises(ValueError, match="other moments"):
        rank({"a": a, "b": b[:-4]}, 3)
