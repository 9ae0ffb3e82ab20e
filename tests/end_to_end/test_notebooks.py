"""Notebooks run as they stand, define nothing, and their two files say the same."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from repository import ROOT

NOTEBOOKS = ROOT / "notebooks"
SCRIPTS = sorted(NOTEBOOKS.glob("*.py"))


def cells(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def executed(script: Path, directory: Path, **smaller: object) -> str:
    """Everything the notebook prints when it is run in `directory`, with other values in its cell of parameters."""
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    if smaller:
        (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        for name, value in smaller.items():
            assert re.search(rf"^{name} = ", cell.source, re.MULTILINE), name
            cell.source += f"\n{name} = {value!r}"
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(directory)}})
    # The kernel starts elsewhere: let it find this checkout's physworld, installed or not.
    client.execute(env={**os.environ, "PYTHONPATH": str(NOTEBOOKS.parent)})
    streams = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "stream"]
    assert not [out.text for out in streams if out.name == "stderr"]
    return "".join(out.text for out in streams)


def test_there_are_notebooks() -> None:
    assert SCRIPTS
    assert [s.stem for s in SCRIPTS] == sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_both_files_say_the_same(script: Path) -> None:
    """After a change of either: jupytext --sync notebooks/NAME.py"""
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    assert cells(notebook) == cells(jupytext.read(script))
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept: they would age unseen"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebooks_define_nothing(script: Path) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, kinds)]


def test_the_shipped_model_beats_extrapolation_in_it(tmp_path: Path) -> None:
    said = executed(NOTEBOOKS / "01_first_rollout.py", tmp_path)
    figures = re.findall(r"^(\w*) +([0-9.]+) px after 10 frames", said, re.MULTILINE)
    *others, (model, error) = figures
    assert model == "" and len(others) == 4, said
    assert float(error) < 0.5 * min(float(other) for name, other in others if name != "floor")


def test_an_own_scene_is_the_same_by_hand_and_better_with_contacts(tmp_path: Path) -> None:
    said = executed(NOTEBOOKS / "02_your_own_scene.py", tmp_path)
    assert "74 of 74 frames readable" in said and "the same scene: True" in said
    assert "a polygon cannot be written as islands text" in said
    shipped, ballistic = (float(figure) for figure in re.findall(r"^ +60 +([0-9.]+) ", said, re.MULTILINE))
    assert shipped < ballistic / 3


def figure(pattern: str, said: str) -> float:
    """The number after the start of a line."""
    return float(re.findall(rf"^{pattern} +([0-9.]+)", said, re.MULTILINE)[0])


def test_one_step_error_praises_what_a_rollout_does_not(tmp_path: Path) -> None:
    said = executed(
        NOTEBOOKS / "03_why_one_step_error_lies.py", tmp_path, types=["billiards", "bowling"], scenes=1, frames=15
    )
    one, after = said.split("velocity jumps", 1)
    assert figure("linear", one) < 0.05 and figure("copy_last", one) > 1, said
    rollout = dict(re.findall(r"^(.+?) +([0-9.]+) px .* after 15 frames, n = 2$", after, re.MULTILINE))
    assert float(rollout["shipped model"]) < float(rollout["linear"]) / 2, said


def test_a_tuned_adapter_is_loaded_back_by_peft_alone(tmp_path: Path) -> None:
    said = executed(NOTEBOOKS / "04_fine_tune_a_language_model.py", tmp_path, pretrained=False, steps=2)
    assert "weights: random, LFM2's architecture" in said and "the same answer: True" in said
    assert figure("held_out +linear", said) < 0.01 and len(re.findall("^held_out .*n = 6$", said, re.MULTILINE)) >= 6
    assert re.search(r"merged weights: logits differ by at most \d\.\de-0[5-9]$", said, re.MULTILINE), said
    assert figure("adapter against its base: +logits differ by up to", said) > 0


def test_video_and_its_placebo_are_trained_and_told_apart(tmp_path: Path) -> None:
    said = executed(
        NOTEBOOKS / "05_video_physics_and_the_placebo.py", tmp_path, steps=1, pairs=2, generated=2, denoising=2
    )
    assert abs(figure("g read off 2 true clips:", said) - 9.81) < 0.3
    rows = dict(re.findall(r"^(base|lora|placebo|card|card_placebo) +([0-9.]+) \(", said, re.MULTILINE))
    assert len(rows) == 5 and all(0 < float(value) < 2 for value in rows.values()), said
    shares = re.findall(r"^gravity_0.4 .*$", said, re.MULTILINE)
    assert len(re.findall(r"\d\.\d\d \(", shares[0])) == 5, "base, lora, placebo, and two that know nothing"
    assert figure("oracle", said) == 1


def test_a_payload_becomes_a_scene_and_is_heard_where_it_stands(tmp_path: Path) -> None:
    said = executed(NOTEBOOKS / "06_spatial_scenes_to_ears.py", tmp_path, payloads=12, seconds=1)
    assert len(re.findall(r"^pass ", said, re.MULTILINE)) == 5
    assert "vox and gtr-l come within 0.0°" in said and "after repair: 0 violations" in said
    assert figure("engineer", said) == 1 and figure("one rule broken", said) == 0
    assert figure("13 directions: delay off by at most", said) <= 21  # µs, one sample
    assert figure("level difference at 90° to the left:", said) > 6


def test_somebody_elses_model_is_judged(tmp_path: Path) -> None:
    said = executed(NOTEBOOKS / "07_judge_your_own_model.py", tmp_path, scenes=1, clips=1)
    (ratio,) = re.findall(r"'ratio_best@30': ([0-9.]+)", said)
    assert float(ratio) < 0.8, "walls alone are better than none"
    shares = dict(re.findall(r"^(\w+) +1 +(\d+)% ", said, re.MULTILINE))
    assert shares == {"simulator": "100", "shipped": "100", "linear": "0"}, said
