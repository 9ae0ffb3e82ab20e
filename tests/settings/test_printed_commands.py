"""Commands that messages print are run, or read by the program that they are for."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from physworld.errors import fetching
from physworld.settings.program import program, typed_command

from commands import ENVIRONMENT
from repository import ROOT

SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "physworld").rglob("*.py"))}


def test_what_pip_is_asked_for_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for text in SOURCES.values() for extra in re.findall(r"physworld\[([a-z]+)\]", text)}
    asked = {extra for text in SOURCES.values() for extra in re.findall(r"installed\(\s*\"([a-z]+)\"", text)}
    assert named | asked <= set(extras) and len(named | asked) >= 3
    others = re.findall(r"pip install\s+(.*?)[,;\".]", " ".join(SOURCES.values()))
    for words in others:
        for word in shlex.split(re.sub(r"\[\{.*\}\]", "[export]", words).replace("{extra}", "export")):
            assert Requirement(word).name


@pytest.mark.parametrize("name", ["LiquidAI/LFM2-350M", "gpt2", "THUDM/CogVideoX-2b"])
def test_a_model_on_the_hub_is_fetched_by_a_command_that_its_program_takes(name: str, tmp_path: Path) -> None:
    (command,) = re.findall("`(.*)`", fetching(name))
    hf = Path(sys.executable).with_name("hf")
    done = subprocess.run(
        [str(hf), *shlex.split(command)[1:]], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Usage" not in said and "offline" in said.lower(), said  # all but the network


@pytest.mark.parametrize("name", ["models/LFM2-350M", "./LFM2", "/nowhere/LFM2", "a/b/c", "..", "~/models/x", "a b/c"])
def test_a_path_is_not_taken_for_a_repository(name: str) -> None:
    assert fetching(name) == "give the folder of a model, or a repository as OWNER/NAME"


def test_a_folder_with_a_neighbour_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "hf download" not in fetching("weights/LFM2") and "hf download" in fetching("elsewhere/LFM2")


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_commands_name_the_program_that_was_started(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{verb}.py"])
    assert program(verb) == ["python", f"{verb}.py"] and (ROOT / f"{verb}.py").is_file()
    monkeypatch.setattr(sys, "argv", [f"physworld {verb}"])
    assert typed_command(verb, ["a=[b,c]", "d='e f'"]) == f"""physworld {verb} 'a=[b,c]' 'd='"'"'e f'"'"''"""
    assert shlex.split(typed_command(verb, ["a=[b,c]"])) == ["physworld", verb, "a=[b,c]"]
