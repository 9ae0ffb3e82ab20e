"""Notebooks run as they stand, define nothing, and their two files say the same."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from physworld.checkpoints import save_model
from physworld.codecs.impulse import ImpulseCodec
from physworld.models.gpt import GPT

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
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


def make_run(directory: Path) -> None:
    """A run directory with an untrained network."""
    codec = ImpulseCodec()
    network = GPT.for_vocabulary(codec.vocabulary, width=16, depth=1, heads=2, dropout=0.0, smoothing=1.5)
    save_model(network, codec, directory / "model")
    model = {"network": {"_target_": "physworld.models.gpt.GPT.for_vocabulary"}}
    config = {"codec": {"_target_": "physworld.codecs.impulse.ImpulseCodec"}, "model": model}
    (directory / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_runs_without_a_run(script: Path, tmp_path: Path) -> None:
    assert "python train.py" in executed(script, tmp_path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_runs_with_a_run(script: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "outputs" / "mine")
    assert "frames readable" in executed(script, tmp_path)
