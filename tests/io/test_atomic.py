"""Folders that change places whole: what a mistake or a kill leaves at any moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from physworld.io.atomic import NEW, replacing_within


def write(folder: Path, word: str) -> None:
    for name in ("adapter", "model"):
        (folder / name).mkdir()
        (folder / name / f"{word}.txt").write_text(word)
    (folder / "note.txt").write_text(word)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


OLD_FILES = ["adapter/old.txt", "model/old.txt", "note.txt", "other.txt"]
NEW_FILES = ["adapter/new.txt", "model/new.txt", "note.txt", "other.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "other.txt").touch()
    with replacing_within(tmp_path) as new:
        write(new, "old")
    assert files(tmp_path) == OLD_FILES
    return tmp_path


def test_folders_are_replaced_as_a_whole(folder: Path) -> None:
    with replacing_within(folder) as new:
        write(new, "new")
        assert files(folder)[-4:] == OLD_FILES  # nothing of it is seen before
    assert files(folder) == NEW_FILES and not (folder / NEW).exists()


def test_a_mistake_leaves_what_was_there(folder: Path) -> None:
    with pytest.raises(OSError, match="full"), replacing_within(folder) as new:
        write(new, "new")
        raise OSError("full")
    assert files(folder) == OLD_FILES and not (folder / NEW).exists()


@pytest.mark.parametrize("moves", range(5))
def test_killed_between_two_moves_each_folder_is_of_one_kind(
    moves: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process finds each folder old or new, and none is lost."""
    left, rename = [moves], os.rename

    def die(source: Path, target: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise SystemExit  # and nothing is mended, as after SIGKILL
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(os, "rename", die)
        with replacing_within(folder) as new:
            write(new, "new")
    with pytest.raises(OSError, match="full"), replacing_within(folder):
        raise OSError("full")
    found = files(folder)
    assert [name.partition("/")[0] for name in found] == ["adapter", "model", "note.txt", "other.txt"]
    assert found == [*NEW_FILES[: moves // 2], *OLD_FILES[moves // 2 : 2], *OLD_FILES[2:]]
