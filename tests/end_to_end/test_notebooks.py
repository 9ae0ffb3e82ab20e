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


def executed(script: Path, directory: Path) -> str:
    """Everything the notebook prints when it is run in `directory`."""
    notebook = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(directory)}})
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
