from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import physworld as pw
from physworld.errors import UserError
from physworld.runs import directory as runs
from physworld.runs.directory import read_config, read_metrics, write_config
from physworld.serve import served
from physworld.settings import folders


def test_the_newest_run_is_found_while_others_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for when, name in enumerate(("old", "new", ".hidden"), start=1):
        path = tmp_path / "outputs" / name / "model" / "config.json"
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        os.utime(path, (when, when))
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            (tmp_path / "outputs" / "old" / "part" / "x" / "y").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(tmp_path / "outputs" / "old" / "part", ignore_errors=True)

    other = threading.Thread(target=busy)
    other.start()
    try:
        for _ in range(200):
            assert runs.newest("model/config.json") == Path("outputs/new")
            folders.look(tmp_path / "outputs")
    finally:
        over.set()
        other.join()
    assert runs.newest("model/config.json", outside=tmp_path / "outputs" / "new") == Path("outputs/old")
    assert runs.newest("model/config.json", "metrics.json") is None


def test_a_commit_is_that_of_physworld_and_of_no_repository_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], cwd=tmp_path, check=True)

    package = tmp_path / "site-packages" / "physworld"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(runs, "PACKAGE", package)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "somebody's own")
    assert runs._commit() == "unknown"
    git("add", ".")
    assert len(runs._commit().removesuffix("-dirty")) == 40


@pytest.mark.parametrize("text", [
    b"caf\xe9: 1", b"when: 2026-02-31", b"a: &a [*a]", b"a: " + b"[" * 3000, bytes(range(256)), b"a: [",
    b"a: &a [0,0,0,0,0,0,0,0,0,0]\n" + b"".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (
        k + 1, k + 1, *[k] * 8) for k in range(97, 110)),
])  # fmt: skip
def test_a_configuration_that_is_none_is_one_sentence(text: bytes, tmp_path: Path) -> None:
    """Somebody's folder under outputs/ must not break the commands that look through all of them."""
    (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(UserError, match=r"config\.yaml cannot be read") as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["data: text\n", "data: [1]\n", "seed: 1\n"])
def test_a_configuration_without_groups_is_one_sentence_in_python_and_in_a_server(text: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "config.yaml").write_text(text)
    for load in (lambda: pw.load(tmp_path), lambda: served.load(str(tmp_path), None, torch.device("cpu"))):
        with pytest.raises(UserError, match=r"config\.yaml has no codec; it is not a training run's"):
            load()


def test_a_full_disk_leaves_the_configuration_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path / "config.yaml", {"seed": 1})

    def full(config: object, file: Path) -> None:
        Path(file).write_text("seed:")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OmegaConf, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_config(tmp_path / "config.yaml", {"seed": 2})
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\n" and len(list(tmp_path.iterdir())) == 1


def test_figures_that_are_too_deep_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"metrics\.json cannot be read"):
        read_metrics(tmp_path)
