"""Scenes from files: same windows whoever asks, one sentence for broken ones, nothing counted twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from physworld import scenarios
from physworld.codecs.scene_json import FormatError, read_jsonl, write_jsonl
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.sources.files import FilesSource

NAMES = ("billiards", "pendulum")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    for k in range(24):
        name, suffix = NAMES[k % 2], (".jsonl", ".jsonl.gz", ".jsonl.zst")[k % 3]
        path = root / name / "bucket" / f"scene_{k}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, simulate(scenarios.build(name, generator(1, "train", k), 1), 20), seed=k)
    return root


def source(folder: Path, split: str = "train", **more: object) -> FilesSource:
    settings = {"names": NAMES, "difficulties": [1], "held_back": 0.4, "windows_per_scene": 2, **more}
    return FilesSource(path=str(folder), seed=0, split=split, **settings)  # type: ignore[arg-type]


def test_every_file_is_in_one_split(folder: Path) -> None:
    parts = [set(source(folder, split).paths) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 24


def test_names_select_among_folders_called_like_types(folder: Path) -> None:
    assert {p.parent.parent.name for p in source(folder, names=("pendulum",)).paths} == {"pendulum"}


def test_a_window_is_a_function_of_its_index_and_stands_in_a_file(folder: Path) -> None:
    forwards, backwards = source(folder), source(folder)
    indices = list(range(30))
    there = {i: forwards.sample(i) for i in indices}
    for i in reversed(indices):
        again = backwards.sample(i)
        np.testing.assert_array_equal(again.given.position, there[i].given.position)
        np.testing.assert_array_equal(again.target.velocity, there[i].target.velocity)
    runs = [read_jsonl(p) for p in forwards.paths]
    for sample in there.values():
        pair = np.concatenate([sample.given.position, sample.target.position])
        assert any(
            run.position.shape[1] == pair.shape[1]
            and any(np.array_equal(run.position[t : t + 2], pair) for t in range(len(run) - 1))
            for run in runs
        )


def test_one_pass_reads_every_file_once(folder: Path) -> None:
    stream = source(folder)
    seen = [stream.sample(2 * n).given.scene for n in range(len(stream.paths))]
    wanted = sorted(repr(read_jsonl(p).scene) for p in stream.paths)
    assert sorted(map(repr, seen)) == wanted


def test_a_broken_file_ends_the_run_or_is_named_and_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n, path in enumerate(sorted(folder.rglob("*.jsonl"))[:4]):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        if n == 2:
            lines = path.read_text().splitlines()
            lines[6] = '{"frame": 6, "objects": ['
            (tmp_path / path.name).write_text("\n".join(lines))
            broken = tmp_path / path.name
    strict, lenient = source(tmp_path, held_back=0.0), source(tmp_path, held_back=0.0, on_error="skip")
    with pytest.raises(FormatError, match=rf"{broken.name}.*line 7"):
        for n in range(4):
            strict.sample(2 * n)
    for n in range(8):
        lenient.sample(2 * n)
    assert list(lenient.skipped) == [broken]
    assert capsys.readouterr().err.count("line 7") == 1


@pytest.mark.parametrize(
    ("path", "more", "says"),
    [
        (None, {}, "data.path is missing"),
        ("nowhere", {}, "does not exist"),
        (".", {"on_error": "ignore"}, "choose raise or skip"),
    ],
)
def test_mistakes_in_one_sentence(path: str | None, more: dict[str, str], says: str, tmp_path: Path) -> None:
    place = None if path is None else str(tmp_path / path)
    with pytest.raises(ValueError, match=says):
        FilesSource(path=place, seed=0, split="train", names=NAMES, difficulties=[1], **more)  # type: ignore[arg-type]


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no train scene"):
        source(tmp_path)
