"""Commands for spatial scenes, once through: train, resume, predict one and many, rows, evaluate, refuse nonsense."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from physworld.errors import UserError
from physworld.spatial import task as spatial
from physworld.spatial.scene.reading import dumps, read_payload, read_scene
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource
from physworld.spatial.sources.rows import RowsSource
from physworld.text.hub import published_files

from commands import ended
from repository import ROOT
from spatial_tools import EXAMPLE, samples

TINY = (
    "model=tiny_gravity", "evaluation=spatial_quick", "hardware=cpu", "hardware.num_workers=0", "global_batch=4",
    "data.stream.val_samples=4", "model.network.width=32", "model.network.depth=1", "model.network.heads=2",
    "validate_every=2", "checkpoint_every=2", "steps=4",
)  # fmt: skip


def run(main: str, *arguments: str, fails: bool = False) -> str:
    done = ended(ROOT, main, *arguments)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spatial")
    run("train.py", *TINY, f"hydra.run.dir={folder}/run")
    return folder


def test_training_leaves_a_whole_run(work: Path) -> None:
    metrics = json.loads((work / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["headline"]["repaired/all_rules"] == 1 and metrics["headline"]["repaired/coverage"] == 1
    assert metrics["axes"]["seen"]["nearest neighbour"]["raw"]["coverage"]["mean"] < 1
    assert "coverage" in (work / "run" / "report.md").read_text(encoding="utf-8")
    assert {"model", "engineer", "nearest neighbour"} <= set(metrics["axes"]["seen"])
    for name in ("config.yaml", "versions.json", "report.md", "model/model.safetensors", "checkpoints/best.ckpt"):
        assert (work / "run" / name).is_file(), name
    assert list((work / "run" / "pictures").glob("*.png"))
    page = (work / "run" / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page and "data:image/png;base64" in page and "What was measured" in page


def test_the_weights_have_a_card(work: Path) -> None:
    card = (work / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n") and "license: apache-2.0" in card and "- spatial-audio" in card
    assert "| raw/coverage |" in card and "Spatial9Scene" in card and str(work) not in card
    published = published_files(work / "run")
    report = (work / "run" / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((pictures/[^)]+)\)", report)) <= set(published), "no picture is linked that is not sent"


def test_a_resumed_run_is_the_same_to_the_bit(work: Path) -> None:
    """From the checkpoint of step 2: the first validation's, which no later one beat."""
    checkpoint = work / "run" / "checkpoints" / "best.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2
    run("train.py", *TINY, f"ckpt={checkpoint}", f"hydra.run.dir={work}/again")
    a, b = ((work / name / "model" / "model.safetensors").read_bytes() for name in ("run", "again"))
    assert a == b


def test_one_payload_and_many(work: Path) -> None:
    """The example's scene keeps its rules, and is the same alone and among others."""
    example = read_payload(EXAMPLE.read_text(encoding="utf-8"))
    asked = [example, *(s.given.payload for s in samples(count=5))]
    (work / "many.jsonl").write_text("\n".join(map(dumps, asked)), encoding="utf-8")
    run("predict.py", f"run={work}/run", f"input={work}/many.jsonl", "mode=pinned", f"hydra.run.dir={work}/many")
    scenes = (work / "many" / "scenes.jsonl").read_text(encoding="utf-8").splitlines()
    reports = [check(read_scene(scene), payload) for scene, payload in zip(scenes, asked, strict=True)]
    assert not any(report.violations for report in reports)
    assert reports[0].passed("anchor") and reports[0].passed("mono_low_end")
    run("predict.py", f"run={work}/run", f"input={EXAMPLE}", "mode=pinned", f"hydra.run.dir={work}/one")
    alone = (work / "one" / "scene.json").read_text(encoding="utf-8")
    assert json.loads(alone) == json.loads(scenes[0])
    other = work / "other.json"
    other.write_text(dumps(asked[1]), encoding="utf-8")
    said = run(
        "predict.py", f"run={work}/run", f"input={other}", "mode=pinned", f"hydra.run.dir={work}/one", fails=True
    )
    assert "scene.json is there already" in said and "choose another hydra.run.dir" in said
    assert (work / "one" / "scene.json").read_text(encoding="utf-8") == alone


def test_good_lines_are_answered_and_bad_ones_named(work: Path) -> None:
    """Each scene stands in its payload's place; the exit code says that not all went well."""
    example = dumps(read_payload(EXAMPLE.read_text(encoding="utf-8")))
    path = work / "Mixed.JSONL.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join([example, "", "{broken", example.replace('"v1"', '"v 1"'), example]))
    said = run(
        "predict.py", f"run={work}/run", f"input={path}", "mode=pinned", f"hydra.run.dir={work}/mixed", fails=True
    )
    assert "2 of 4 lines hold no payload (line 3, 4)" in said
    lines = (work / "mixed" / "scenes.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line == "null" for line in lines] == [False, True, True, False] and lines[0] == lines[3]
    assert not check(read_scene(lines[0]), read_payload(example)).violations


def test_broken_scenes_end_with_another_exit_code(work: Path) -> None:
    arguments = (f"run={work}/run", f"input={EXAMPLE}", "mode=raw", "repair=false", f"hydra.run.dir={work}/raw")
    assert "1 of 1 scenes is broken" in run("predict.py", *arguments, fails=True)
    assert (work / "raw" / "scene.json").is_file()


def test_rows_and_evaluation(work: Path) -> None:
    run("simulate.py", "task=spatial", "count=6", "split=train", "compress=gz", f"hydra.run.dir={work}/rows")
    source = RowsSource(seed=0, split="train", train_file=str(work / "rows" / "train.jsonl.gz"), valid_file=None)
    drawn = SpatialSource(seed=0, split="train")
    assert all(source.sample(i).target == drawn.sample(i).target for i in range(6))
    said = run("evaluate.py", f"run={work}/run", "evaluation=spatial_quick", f"hydra.run.dir={work}/judged")
    assert "engineer raw" in said
    assert "limit= is for text runs" in run("evaluate.py", f"run={work}/run", "limit=1", fails=True)
    assert json.loads((work / "judged" / "metrics.json").read_text(encoding="utf-8"))["measured"]["split"] == "test"


def test_nonsense_ends_in_a_sentence(work: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(
        json.dumps(json.loads(EXAMPLE.read_text(encoding="utf-8"))).replace('"v1"', '"v 1"'), encoding="utf-8"
    )
    said = run("predict.py", f"run={work}/run", f"input={bad}", fails=True)
    assert "line 1" in said and "$.stems[0].id" in said
    for settings, words in (
        ({"input": str(EXAMPLE), "mode": "rw"}, "Did you mean raw?"),
        ({"input": str(tmp_path / "none.json"), "mode": "raw"}, "cannot be read"),
        ({"input": None, "mode": "raw"}, "input=FILE is missing"),
        ({"input": str(EXAMPLE), "mode": "raw", "repair": "maybe"}, "repair=maybe must be true or false"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            spatial.predict(OmegaConf.create({"run": str(work / "run"), "repair": True, **settings}))
    drawing = {"count": 1, "seed": 0, "split": "test", "axis": "sean", "compress": None, "format": "jsonl"}
    with pytest.raises(UserError, match="Did you mean seen"):
        spatial.simulate(OmegaConf.create(drawing))
    with pytest.raises(UserError, match="format=gif is unknown for spatial scenes"):
        spatial.simulate(OmegaConf.create({**drawing, "axis": "seen", "format": "gif"}))
