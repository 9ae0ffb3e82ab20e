"""Folders are read alike everywhere: links, case of suffixes, hidden names; words of a file make safe names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from physworld.io.listing import files
from physworld.io.names import DEVICES, LONGEST, MOST_BYTES, safe_name


def touched(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def below(root: Path, *suffixes: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files(root, suffixes)]


def test_suffixes_count_in_any_case_and_hidden_names_do_not(tmp_path: Path) -> None:
    names = ("B.WAV", "a.wav", "c.txt", "._a.wav", ".hid/x.wav", "sub/d.Wav", "rows.JSONL.Gz", "wav", "x.wav/y.wav")
    touched(*(tmp_path / name for name in names))
    assert below(tmp_path, ".wav") == ["B.WAV", "a.wav", "sub/d.Wav", "x.wav/y.wav"]
    assert below(tmp_path, ".jsonl", ".jsonl.gz") == ["rows.JSONL.Gz"]


def test_links_are_followed_and_each_folder_is_visited_once(tmp_path: Path) -> None:
    touched(tmp_path / "far" / "deep" / "a.wav", tmp_path / "here" / "z" / "b.wav")
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "here" / "a_second_way").symlink_to(tmp_path / "here" / "z")  # the folder's own path wins
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "here" / "linked")
    (tmp_path / "here" / "file.WAV").symlink_to(tmp_path / "far" / "deep" / "a.wav")
    (tmp_path / "here" / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    assert below(tmp_path / "here", ".wav") == ["file.WAV", "gone.wav", "linked/deep/a.wav", "z/b.wav"]


def test_the_folder_itself_may_be_a_link_or_hidden(tmp_path: Path) -> None:
    touched(tmp_path / ".work" / "a.wav")
    (tmp_path / "link").symlink_to(tmp_path / ".work")
    assert below(tmp_path / "link", ".wav") == below(tmp_path / ".work", ".wav") == ["a.wav"]


@given(st.text(max_size=120))
@example("../../x")
@example("/etc/x")
@example("..")
@example(".")
@example("")
@example("CON")
@example("nul.wav")
@example("a\0b")
@example("x" * 300)
@example("𠀀" * 80)
@example("end.")
@example("\ud800")
def test_a_safe_name_is_one_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name) <= LONGEST and len(name.encode()) <= MOST_BYTES
    assert not set(name) & set('/\\:*?"<>|\0\n ') and name.isprintable()
    assert name[0] != "." and name[-1] != "." and not DEVICES.fullmatch(name)


@given(st.lists(st.text(max_size=12), unique=True, max_size=8))
@example(["a/b", "a_b", "a:b", safe_name("a/b"), safe_name(safe_name("a/b"))])
@example(["é", "e\u0301"])
def test_two_texts_never_get_one_name(texts: list[str]) -> None:
    assert len({safe_name(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("text", ["vox", "Lead-Vocal_2", "scene.json", "Geige", "鼓", "naïve"])
def test_names_that_are_safe_stay(text: str) -> None:
    assert safe_name(text) == text
