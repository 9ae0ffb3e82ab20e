from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from physworld.runs import directory as runs
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
