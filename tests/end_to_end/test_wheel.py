"""An installed wheel works outside a clone: its configuration travels inside it, and the verbs are the mains."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from repository import CONF, ROOT

pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `physworld` command of a fresh environment: our wheel in it, the libraries borrowed from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("physworld-*.whl")
    venv.create(folder / "fresh", with_pip=False)
    (site,) = (folder / "fresh").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    # Behind it on the path, so that an editable installation of the clone is not what is found.
    libraries = [
        path
        for path in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path}
        if "site-packages" in path
    ]
    (site / "libraries.pth").write_text("\n".join(libraries))
    return folder / "fresh" / "bin" / "python"


def outside() -> dict[str, str]:
    """The environment of somebody who has no clone."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return environment | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def physworld(python: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-m", "physworld", *arguments],
        cwd=where, env=outside(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_configuration_travels_inside(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [str(installed), "-c", "from physworld.settings.messages import CONFIG_DIR; print(CONFIG_DIR)"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env=outside(),
    ).stdout.strip()  # fmt: skip
    assert Path(where).is_relative_to(installed.parents[1]), where
    inside = {path.relative_to(where).as_posix() for path in Path(where).rglob("*.yaml")}
    assert inside == {path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")}


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "simulate"])
def test_the_mains_have_their_help(verb: str, installed: Path, tmp_path: Path) -> None:
    done = physworld(installed, tmp_path, verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"physworld {verb} GROUP=OPTION" in done.stdout
    assert len(done.stdout.splitlines()) <= 50


def test_a_mistake_is_one_sentence(installed: Path, tmp_path: Path) -> None:
    done = physworld(installed, tmp_path, "train", "+foo=1")
    assert done.returncode == 1
    assert done.stderr.startswith("foo is unknown.") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_it_simulates_and_trains(installed: Path, tmp_path: Path) -> None:
    done = physworld(installed, tmp_path, "simulate", "scenario=pendulum", "count=1", "frames=3", "out=made")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "made").rglob("*.jsonl"))) == 1
    # Spatial scenes: in a new place a text run would compile its kernels anew.
    done = physworld(
        installed, tmp_path, "train", "model=tiny_gravity", "debug=smoke", "steps=1", "validate_every=1",
        "hardware=cpu", "model.network.width=32", "model.network.depth=1", "model.network.heads=2", "global_batch=4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs").rglob("metrics.json"))) == 1
