"""What earlier releases wrote is read, and gives the losses, answers and scenes that it gave them."""

from __future__ import annotations

import importlib.util
import json
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from physworld.runs.directory import find_run, read_config

from repository import ROOT

DATA = ROOT / "tests" / "data"
RELEASES = sorted(path.name.removesuffix(".tar.xz") for path in DATA.glob("*.tar.xz"))


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_release", DATA / "make_release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one() -> None:
    assert RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_files_of_a_release_give_what_they_gave(release: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for package in ("peft", "diffusers", "warp", "llguidance"):
        pytest.importorskip(package)
    with tarfile.open(DATA / f"{release}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")  # nothing outside the folder
    expected, found = json.loads((tmp_path / "expected.json").read_text()), maker().made_of(tmp_path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):  # of other libraries and processors, in another order of adding
            assert found[name] == pytest.approx(value, rel=1e-5), name
        else:
            assert found[name] == value, name
    widths = {"run": 16, "spatial": 32}
    for name in widths.keys() & {path.name for path in tmp_path.iterdir()}:
        assert find_run(str(tmp_path / name)) == tmp_path / name
        assert read_config(tmp_path / name)["model"]["network"]["width"] == widths[name]
