"""Scenes as Parquet: every bit comes back, `datasets` reads it offline, and it is data for training like any file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physworld import scenarios
from physworld.errors import FormatError
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.codecs.scene_parquet import SCHEMA, STATES, ScenesFile, ScenesWriter, read_parquet, write_parquet
from physworld.text.sources.files import FilesSource, Row, read_scene, scenes_below
from physworld.types import Trajectory


def runs(names: tuple[str, ...], frames: int = 12) -> list[Trajectory]:
    return [simulate(scenarios.build(name, generator(0, "test", k), 2), frames) for k, name in enumerate(names)]


def assert_same(one: Trajectory, other: Trajectory) -> None:
    assert one.scene == other.scene
    for name in STATES:
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype == np.float64 and a.tobytes() == b.tobytes(), name


def test_every_type_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    written = runs(scenarios.names())
    write_parquet(tmp_path / "all.parquet", written)
    back = list(read_parquet(tmp_path / "all.parquet"))
    assert len(back) == len(written) == 45
    for one, other in zip(written, back, strict=True):
        assert_same(one, other)
    write_parquet(tmp_path / "again.parquet", back)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "all.parquet").read_bytes()


def test_one_row_is_a_scene_like_a_file(tmp_path: Path) -> None:
    written, path = runs(("pong", "tower")), tmp_path / "two.parquet"
    write_parquet(path, written)
    assert_same(read_scene(Row(path, 1)), written[1])
    assert [name for _, name in scenes_below(tmp_path)] == ["pong", "tower"]
    with pytest.raises(FormatError, match="has rows 0 to 1, so there is no row 2"):
        read_scene(Row(path, 2))


def test_what_simulates_on_is_in_the_file(tmp_path: Path) -> None:
    """The scene that is read back rolls to the same bits, so nothing that moves a body was lost."""
    (run,) = runs(("rube_goldberg",), 40)
    write_parquet(tmp_path / "one.parquet", [run])
    assert_same(simulate(ScenesFile(tmp_path / "one.parquet").read(0).scene, 40), run)


def test_datasets_loads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as `simulate.py shards=2` leaves it, by `load_dataset`, whole and streamed."""
    datasets = pytest.importorskip("datasets")
    from physworld.text.shards import Dataset, Recipe

    folder = tmp_path / "folder"
    for split, count in (("train", 5), ("test", 2)):
        recipe = Recipe(names=("billiards", "seesaw"), difficulties=(1,), frames=10, split=split, seed=0)
        Dataset(recipe=recipe, directory=folder, count=count, shards=2, suffix="parquet").write(say=lambda line: None)
    wanted = [recipe.draw(k) for k in range(2)]
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("parquet", data_files=str(folder / "test-*.parquet"), split="train", cache_dir=cache)
    for row, run in zip(loaded, wanted, strict=True):
        assert (row["scenario"], row["num_frames"], row["num_bodies"]) == (run.scene.name, 10, len(run.scene.bodies))
        for name in STATES:
            np.testing.assert_array_equal(np.array(row[name]), getattr(run, name))
        assert row["mass"] == [body.mass for body in run.scene.bodies]
    assert loaded.with_format("numpy", dtype=np.float64)[0]["position"].tobytes() == wanted[0].position.tobytes()
    by_name = datasets.load_dataset(str(folder), cache_dir=cache)
    assert {split: rows.num_rows for split, rows in by_name.items()} == {"train": 5, "test": 2}
    streamed = datasets.load_dataset("parquet", data_files=str(folder / "train-*.parquet"), streaming=True)["train"]
    assert [row["index"] for row in streamed] == [0, 1, 2, 3, 4]
    loaded.to_parquet(tmp_path / "rewritten.parquet")  # other row groups, other writer
    for one, other in zip(read_parquet(tmp_path / "rewritten.parquet"), wanted, strict=True):
        assert_same(one, other)


def broken(tmp_path: Path, **changes: Any) -> Path:
    """Three rows, the second with these columns changed."""
    write_parquet(tmp_path / "good.parquet", runs(("billiards", "pendulum", "tower"), 4))
    rows = pq.read_table(tmp_path / "good.parquet").to_pylist()
    rows[1].update({key: change(rows[1][key]) for key, change in changes.items()})
    path = tmp_path / "broken.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    return path


def with_nan(frames: list[Any]) -> list[Any]:
    frames[2][0][1] = float("nan")
    return frames


def without_bodies(text: str) -> str:
    return json.dumps({**json.loads(text), "bodies": [], "joints": []})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"position": with_nan}, "position is not finite in frame 2"),
        ({"velocity": lambda frames: frames[:-1]}, "have 3, 4 frames"),
        ({"angle": lambda frames: [frame[:-1] for frame in frames]}, "angle does not hold"),
        ({"position": lambda frames: [[point[:1] for point in frame] for frame in frames]}, "position does not hold"),
        ({"spin": lambda frames: None}, "spin does not hold"),
        ({"scene": lambda text: text[:-1]}, "the column scene holds no valid JSON"),
        ({"scene": lambda text: None}, "the column scene holds no valid JSON"),
        ({"scene": without_bodies}, "the scene has 0 bodies; 1 to 4096 can be read"),
    ],
)
def test_errors_name_file_row_and_problem(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = broken(tmp_path, **changes)
    file = ScenesFile(path)
    for row in (0, 2):
        assert len(file.read(row)) == 4
    with pytest.raises(FormatError) as caught:
        file.read(1)
    assert str(caught.value).startswith(f"{path} row 1: ") and says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_of_whole_files(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"nothing\.parquet: cannot be read"):
        ScenesFile(tmp_path / "nothing.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no table at all")
    with pytest.raises(FormatError, match=r"bad\.parquet: cannot be read"):
        ScenesFile(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(FormatError, match=r"other\.parquet: the column angle is missing"):
        ScenesFile(tmp_path / "other.parquet")
    with pytest.raises(FormatError, match=r"cannot be read"):
        path = tmp_path / "cut.parquet"
        write_parquet(path, runs(("billiards",), 4))
        data = bytearray(path.read_bytes())
        data[100:1200] = bytes(1100)
        path.write_bytes(data)
        ScenesFile(path).read(0)


@pytest.mark.parametrize("name", ["scene", "scenario", "description"])
def test_words_that_are_no_text_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, runs(("pendulum",)))
    table = pq.read_table(path)
    ends = pa.py_buffer(np.array([0, 2], np.int32).tobytes())
    wrong = pa.StringArray.from_buffers(1, ends, pa.py_buffer(b"\xff\xfe"))
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, wrong), path)
    with pytest.raises(FormatError, match="a column of words is not UTF-8 text"):
        list(read_parquet(path))
    if name == "scenario":
        with pytest.raises(FormatError, match="the column scenario is not UTF-8 text"):
            ScenesFile(path).names()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    good, bad = runs(("billiards", "tower"), 4)
    bad.velocity[2, 0, 0] = np.inf
    with pytest.raises(ValueError, match="is not finite"), ScenesWriter(tmp_path / "scenes.parquet") as writer:
        writer.write(0, good)
        writer.write(1, bad)
    assert list(tmp_path.iterdir()) == []


def source(path: Path, split: str = "train", **more: Any) -> FilesSource:
    settings = {"names": ("billiards", "pendulum"), "difficulties": [1], "windows_per_scene": 2, "held_back": 0.0}
    return FilesSource(path=str(path), seed=0, split=split, **{**settings, **more})


def test_training_reads_rows_of_the_wanted_types(tmp_path: Path) -> None:
    written = runs(("billiards", "pendulum", "tower") * 4)
    write_parquet(tmp_path / "a.parquet", written[:7])
    write_parquet(tmp_path / "b.parquet", written[7:])
    write_jsonl(tmp_path / "loose.jsonl", written[0])
    stream = source(tmp_path)
    assert len(stream.paths) == 8 + 1
    drawn = [stream.sample(2 * n) for n in range(len(stream.paths))]
    assert {s.given.scene.name for s in drawn} == {"billiards", "pendulum"}
    for sample in drawn:
        pair = np.concatenate([sample.given.position, sample.target.position])
        assert any(
            run.scene == sample.given.scene
            and any(np.allclose(run.position[t : t + 2], pair, atol=1e-4) for t in range(11))
            for run in written
        )
    with pytest.raises(
        ValueError, match=r"hold 0 scenes of orbit, .*; there are billiards \(3\), pendulum \(2\), tower \(2\)"
    ):
        source(tmp_path / "a.parquet", names=("orbit",))


def test_shards_keep_their_split_where_there_are_several(tmp_path: Path) -> None:
    written = runs(("billiards",) * 30, 3)
    for split, part in (("train", written[:20]), ("val", written[20:26]), ("test", written[26:])):
        write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", part)
    sizes = {split: len(source(tmp_path, split, held_back=0.5).paths) for split in ("train", "val", "test")}
    assert sizes == {"train": 20, "val": 6, "test": 4}
    (tmp_path / "val-00000-of-00001.parquet").unlink()
    parts = {split: source(tmp_path, split, held_back=0.5).paths for split in ("train", "val", "test")}
    assert len(parts["test"]) == 4 and 0 < len(parts["val"]) < 20  # val is held back from train
    assert len(parts["train"]) + len(parts["val"]) == 20 and not set(parts["train"]) & set(parts["val"])
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    parts = {split: source(tmp_path, split, held_back=0.5).paths for split in ("train", "val", "test")}
    assert all(parts.values()) and sum(map(len, parts.values())) == 20


@pytest.mark.parametrize("split", ["val", "test"])
def test_nothing_is_trained_on_shards_of_another_split(split: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", runs(("billiards",) * 30, 3))
    assert len(source(tmp_path, split, held_back=0.5).paths) == 30
    with pytest.raises(ValueError, match="holds no train scene: its 30 scenes are shards of other splits; add files"):
        source(tmp_path, held_back=0.5)


def test_the_only_scene_is_in_one_split(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "scene.jsonl", runs(("billiards",), 3)[0])
    assert len(source(tmp_path / "scene.jsonl").paths) == 1
    with pytest.raises(ValueError, match=r"held_back=0 of 1 scene leaves none for val; add scenes"):
        source(tmp_path / "scene.jsonl", "val")


def test_a_broken_row_is_named_and_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = broken(tmp_path, position=with_nan)
    names = ("billiards", "pendulum", "tower")
    strict, lenient = source(path, names=names), source(path, names=names, on_error="skip")
    with pytest.raises(FormatError, match=r"broken\.parquet row 1: position is not finite"):
        for n in range(3):
            strict.sample(2 * n)
    assert {lenient.sample(2 * n).given.scene.name for n in range(3)} == {"billiards", "tower"}
    assert [str(scene) for scene in lenient.skipped] == [f"{path} row 1"]
    assert "Skipped (1 so far)" in capsys.readouterr().err


# --- columns that others wrote


def column(path: Path, name: str, make: Any) -> Path:
    """The file with one column made anew from its values."""
    table = pq.read_table(path)
    new = path.parent / "changed.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, make(table[name].to_pylist())), new)
    return new


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("gravity", [0.0, -100.0], "gravity 1 is -100.0, but 0.0 in the column scene"),
        ("gravity", [0.0], "gravity has 1 entries, but 2"),
        ("mass", [7.0] * 14, "mass has 14 entries"),
        ("dt", 0.1, "dt is 0.1, but 0.01666"),
        ("scenario", "tower", "scenario is 'tower', but 'billiards'"),
        ("difficulty", 5, "difficulty is 5, but 2"),
        ("num_frames", 7, "num_frames is 7, but 4"),
        ("num_bodies", 1, "num_bodies is 1, but "),
        ("description", "Other.", "description is 'Other.', but "),
        ("shape", ["rect"], "shape has 1 entries, but "),
    ],
)
def test_an_edited_column_is_refused(name: str, value: Any, says: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", runs(("billiards",), 4))
    kind = SCHEMA.field(name).type
    changed = column(tmp_path / "a.parquet", name, lambda old: pa.array([value], kind))
    with pytest.raises(FormatError) as caught:
        read_scene(Row(changed, 0))
    assert str(caught.value).startswith(f"{changed} row 0: ") and says in str(caught.value)


def test_one_edited_number_of_many_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", runs(("billiards",), 4))

    def heavier(rows: list[list[float]]) -> pa.Array:
        return pa.array([[*rows[0][:2], rows[0][2] + 1e-9, *rows[0][3:]]])

    with pytest.raises(FormatError, match="mass 2 is "):
        read_scene(Row(column(tmp_path / "a.parquet", "mass", heavier), 0))


TWICE_NESTED = (
    pa.list_(pa.list_(pa.list_(pa.float64(), 2))),
    pa.large_list(pa.large_list(pa.large_list(pa.float64()))),
    pa.list_view(pa.list_view(pa.list_view(pa.float64()))),
)


@pytest.mark.parametrize("kind", TWICE_NESTED, ids=str)
def test_other_kinds_of_lists_hold_the_same_bits(kind: pa.DataType, tmp_path: Path) -> None:
    written = runs(("billiards", "pendulum", "tower"), 4)
    write_parquet(tmp_path / "a.parquet", written)
    changed = column(tmp_path / "a.parquet", "position", lambda rows: pa.array(rows, kind))
    for one, other in zip(read_parquet(changed), written, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(
    ("name", "kind", "close"),
    [
        ("velocity", pa.list_(pa.list_(pa.list_(pa.float32()))), 1e-4),
        ("velocity", pa.list_(pa.list_(pa.list_(pa.decimal128(20, 6)))), 1e-6),
        ("mass", pa.list_(pa.float32()), 0),
        ("gravity", pa.list_(pa.int32()), 0),
        ("gravity", pa.list_(pa.float64(), 2), 0),
        ("dt", pa.float32(), 0),
        ("difficulty", pa.int64(), 0),
        ("scenario", pa.dictionary(pa.int8(), pa.string()), 0),
        ("scene", pa.large_string(), 0),
    ],
    ids=str,
)  # fmt: skip
def test_other_kinds_of_numbers_and_words_are_read(name: str, kind: pa.DataType, close: float, tmp_path: Path) -> None:
    (run,) = runs(("billiards",), 4)
    write_parquet(tmp_path / "a.parquet", [run])

    def made(rows: list[Any]) -> pa.Array:
        return pa.array(rows, SCHEMA.field(name).type).cast(kind, safe=False)

    back = read_scene(Row(column(tmp_path / "a.parquet", name, made), 0))
    assert back.scene == run.scene
    np.testing.assert_allclose(back.velocity, run.velocity, atol=close, rtol=0)


def test_a_column_that_no_number_can_be_made_of_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", runs(("billiards",), 4))
    for kind in (pa.string(), pa.bool_()):
        changed = column(tmp_path / "a.parquet", "dt", lambda rows, kind=kind: pa.array([None], kind))
        with pytest.raises(
            FormatError, match=r"the column dt has the type (string|bool), which cannot be read as double"
        ):
            read_scene(Row(changed, 0))


def test_an_unknown_column_is_refused_and_a_remark_is_not(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", runs(("billiards",), 4))
    table = pq.read_table(tmp_path / "a.parquet")
    pq.write_table(table.append_column("graviti", pa.array([1.0])), tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"the table has the unknown column 'graviti'; .*; did you mean gravity\?"):
        ScenesFile(tmp_path / "b.parquet")
    extra = table.append_column("comment", pa.array(["mine"])).append_column("__index_level_0__", pa.array([0]))
    pq.write_table(extra.drop_columns(["mass", "gravity"]), tmp_path / "c.parquet")
    assert len(read_scene(Row(tmp_path / "c.parquet", 0))) == 4
    twice = pa.Table.from_arrays([*table.columns, table["mass"]], names=[*table.column_names, "mass"])
    pq.write_table(twice, tmp_path / "d.parquet")
    with pytest.raises(FormatError, match="the column mass is there twice"):
        ScenesFile(tmp_path / "d.parquet")
