"""Scenes from files: same windows whoever asks, one sentence for broken ones, nothing counted twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physworld import scenarios
from physworld.data import EncodedStream, IndexBatches, StreamData
from physworld.errors import FormatError
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.scene_json import read_jsonl, write_jsonl
from physworld.text.sources.files import FilesSource, read_scene
from physworld.types import Batch, PinJoint

from repository import ROOT

NAMES = ("billiards", "pendulum")
# Three files of the published physics-scenarios data; not ours to pass on.
PEERS = Path(os.environ.get("PHYSWORLD_PEER_SCENES", ROOT.parent / "shared" / "peer_scenes"))


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


# --- lazily, and shared between workers and ranks


def test_only_the_files_of_the_asked_indices_are_read(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.jsonl*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stream = source(tmp_path, held_back=0.0)
    wanted = stream.sample(6).given.scene
    for path in list(stream.paths):
        if repr(read_jsonl(path).scene) != repr(wanted):
            path.unlink()
    fresh = source(folder, held_back=0.0)  # made of all files, none of which it has read
    assert fresh._windows == {} and len(fresh.paths) == 24
    stream._windows.clear()
    assert stream.sample(6).given.scene == stream.sample(7).given.scene == wanted
    with pytest.raises(FormatError, match="there is no such file"):
        stream.sample(8)


def batches(folder: Path, workers: int, count: int) -> list[Batch]:
    data = StreamData(
        train=source(folder), val=source(folder, "val"), codec=ImpulseCodec(), micro_batch=4, num_workers=workers
    )
    return list(islice(data.train_dataloader(), count))


def test_workers_give_the_same_batches(folder: Path) -> None:
    for one, other in zip(batches(folder, 0, 8), batches(folder, 2, 8), strict=True):
        assert one.seed.tolist() == other.seed.tolist()
        assert one.input_ids.equal(other.input_ids) and one.labels.equal(other.labels)


def test_ranks_share_a_pass_without_overlap(folder: Path) -> None:
    """Two ranks read what one would, each file once in a pass, and no file is read by both."""
    whole = source(folder)
    passes = len(whole.paths) // 4 * 4  # batches of 4 windows are 2 files
    one = [i for batch in islice(IndexBatches(size=4), passes // 2) for i in batch]
    seen: list[list[str]] = []
    indices: list[int] = []
    for rank in range(2):
        mine = [i for batch in islice(IndexBatches(size=4, rank=rank, ranks=2), passes // 4) for i in batch]
        stream = source(folder)
        encoded = EncodedStream(stream, EngineCodec())
        indices += [encoded[i].seed for i in mine]
        seen.append(sorted({repr(stream.sample(i).given.scene) for i in mine}))
    assert sorted(indices) == one
    assert not set(seen[0]) & set(seen[1])
    assert len(seen[0]) + len(seen[1]) == passes


# --- what can be wrong with a file: one sentence with file and line, or counted and replaced


def edited(line: int, *path: Any, value: Any) -> Callable[[list[Any]], list[Any]]:
    """A change to the lines of a file (as JSON); `...` removes the key."""

    def change(lines: list[Any]) -> list[Any]:
        place = lines[line - 1]
        for key in path[:-1]:
            place = place[key]
        if value is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return lines

    return change


def crowded(lines: list[Any]) -> list[Any]:
    """500 objects: copies of the first."""
    for record in lines:
        record["objects"] = [{**record["objects"][0], "id": i} for i in range(500)]
    lines[0]["object_count"] = 500
    return lines


BAD: dict[str, tuple[Callable[[list[Any]], list[Any]], int, str]] = {
    "bad line": (lambda lines: [*lines[:4], '{"frame": 4, "objects": [', *lines[5:]], 5, "not valid JSON"),
    "cut line": (lambda lines: [*lines[:-1], '{"frame": 19, "descr'], 20, "not valid JSON (Unterminated string"),
    "no position": (edited(7, "objects", 0, "position", value=...), 7, "position must be a JSON object, got nothing"),
    "no frame number": (edited(7, "frame", value=...), 7, 'the key "frame" is missing'),
    "no gravity": (edited(1, "gravity", value=...), 1, "gravity must be a JSON object, got nothing"),
    "NaN": (edited(9, "objects", 1, "velocity", "x", value=float("nan")), 9, "NaN is not a finite number"),
    "infinity": (edited(9, "objects", 1, "angle", value=float("inf")), 9, "Infinity is not a finite number"),
    "0 objects": (edited(1, "objects", value=[]), 1, "the header has 0 objects; 1 to 4096 can be read"),
    "500 objects": (crowded, 1, "impulse text names at most 128 bodies (the scene has 500 bodies)"),
}


def spoilt(folder: Path, change: Callable[[list[Any]], list[Any]]) -> Path:
    """A published file (without our exact key) with one thing wrong, beside two good ones."""
    for k in range(3):
        run = simulate(scenarios.build("billiards", generator(4, "train", k), 1), 20)
        write_jsonl(folder / f"scene_{k}.jsonl", run)
    path = folder / "scene_1.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    del lines[0]["physworld"]
    lines = [line if isinstance(line, str) else json.dumps(line) for line in change(lines)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_said_with_its_line_or_counted(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, line, problem = BAD[case]
    path = spoilt(tmp_path, change)
    settings = {"held_back": 0.0, "unwritable": ImpulseCodec().unwritable}
    strict = source(tmp_path, **settings)
    with pytest.raises(FormatError) as caught:
        for n in range(3):
            strict.sample(2 * n)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} line {line}: ") and problem in sentence and "\n" not in sentence, sentence
    lenient = source(tmp_path, on_error="skip", **settings)
    encoded = EncodedStream(lenient, ImpulseCodec())
    for index in range(12):  # two passes
        assert (encoded[index].labels != -100).any()
    assert lenient.skipped == {path: sentence}
    assert capsys.readouterr().err == f"Skipped (1 so far): {sentence}\n"


def test_500_objects_are_data_for_a_text_that_can_write_them(tmp_path: Path) -> None:
    path = spoilt(tmp_path, crowded)
    codec = EngineCodec()
    stream = source(path, held_back=0.0, context_frames=codec.context_frames, unwritable=codec.unwritable)
    assert len(stream.sample(0).given.scene.bodies) == 500
    assert codec.encode(stream.sample(0)).event.shape == codec.encode(stream.sample(0)).labels.shape


def test_nothing_but_bad_files_ends_the_run_also_when_skipping(tmp_path: Path) -> None:
    path = spoilt(tmp_path, edited(1, "gravity", value=...))
    with pytest.raises(FormatError, match=r"none of the 1 train scenes can be read; the last said: .*gravity"):
        source(path, on_error="skip", held_back=0.0).sample(0)


# --- published files


@pytest.mark.parametrize("name", ["billiards", "pendulum", "tower"])
def test_published_files_go_through(name: str, tmp_path: Path) -> None:
    """Read, written by us, and read again: every number of every frame as published, and the header's facts kept."""
    path = PEERS / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here; PHYSWORLD_PEER_SCENES may name a folder with the published files")
    header, *frames = [json.loads(line) for line in path.read_text().splitlines()]
    run = read_jsonl(path)
    assert len(run) == len(frames)
    for suffix in ("jsonl", "jsonl.gz", "jsonl.zst"):
        write_jsonl(tmp_path / f"scene.{suffix}", run)
        again = read_jsonl(tmp_path / f"scene.{suffix}")
        assert again.scene == run.scene
        for column, half in (("position", 5e-5), ("velocity", 5e-5), ("angle", 5e-7), ("spin", 5e-7)):
            np.testing.assert_allclose(getattr(again, column), getattr(run, column), rtol=0, atol=half)
    rewritten = [json.loads(line) for line in (tmp_path / "scene.jsonl").read_text().splitlines()]
    lost = {"seed", "description", "objects"}  # compared below, or ours
    for key in set(header) - lost - {"constraints", "static_geometry"}:
        assert rewritten[0][key] == header[key], key
    assert rewritten[0]["static_geometry"] == header["static_geometry"]
    assert len(rewritten[0]["constraints"]) == len(header.get("constraints", []))
    assert all(isinstance(joint, PinJoint) for joint in run.scene.joints)
    for ours, theirs in zip(rewritten[0]["objects"], header["objects"], strict=True):
        assert ours["type"] == theirs["type"] and ours["material"] == theirs["material"]
        assert {ours.get(k) for k in ("radius", "width", "height")} == {
            theirs.get(k) for k in ("radius", "width", "height")
        }
    numbers = {"position", "velocity", "angle", "angular_velocity"}
    for ours, theirs in zip(rewritten[1:], frames[1:], strict=True):  # frame 0 of ours, the header, is their frame 1
        assert ours["description"].partition(": ")[2] == theirs["description"].partition(": ")[2]
        assert [{k: o[k] for k in numbers} for o in ours["objects"]] == [
            {k: o[k] for k in numbers} for o in theirs["objects"]
        ]


def test_published_files_are_data(tmp_path: Path) -> None:
    if not PEERS.is_dir():
        pytest.skip(f"{PEERS} is not here; PHYSWORLD_PEER_SCENES may name a folder with the published files")
    codec = ImpulseCodec()
    stream = source(PEERS, held_back=0.0, names=("billiards", "pendulum", "tower"), unwritable=codec.unwritable)
    assert {stream.sample(2 * n).given.scene.name for n in range(3)} == {"billiards", "pendulum", "tower"}
    for index in range(6):
        assert (codec.encode(stream.sample(index)).labels != -100).any()


@pytest.mark.parametrize(("key", "unit"), [("position", "px"), ("velocity", "px/s")])
def test_numbers_that_are_no_place_and_no_speed_are_refused(folder: Path, tmp_path: Path, key: str, unit: str) -> None:
    lines = next(p for p in folder.rglob("*.jsonl")).read_text().splitlines()
    frame = json.loads(lines[3])
    frame["objects"][0][key]["y"] = -1e300
    path = tmp_path / "far.jsonl"
    path.write_text("\n".join([*lines[:3], json.dumps(frame), *lines[4:]]) + "\n")
    with pytest.raises(
        FormatError, match=rf"far.jsonl: object 0 has {key} y -1e\+300 in frame 3; at most 1e\+06 {unit} "
    ):
        read_scene(path)
