"""What lies in a folder of scenes, which split gets it, and the time step that a run learns from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from physworld import scenarios
from physworld.errors import FormatError, UserError
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text import timestep
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.codecs.scene_parquet import write_parquet
from physworld.text.dataset import check
from physworld.text.sources.files import FilesSource, read_scene, scene_files, shard_split

NAMES = ("billiards", "pendulum")


def source(folder: Path, split: str = "train", **more: object) -> FilesSource:
    settings = {"names": NAMES, "difficulties": [1], "held_back": 0.4, "windows_per_scene": 2, **more}
    return FilesSource(path=str(folder), seed=0, split=split, **settings)  # type: ignore[arg-type]


def one(name: str = "tower", number: int = 0) -> Any:
    return simulate(scenarios.build(name, generator(1, "train", number), 1), 12)


def test_links_and_suffixes_in_any_case_are_scenes_and_hidden_files_are_not(tmp_path: Path) -> None:
    root, away = tmp_path / "data", tmp_path / "away"
    for folder in (root, away / "deep"):
        folder.mkdir(parents=True)
    write_jsonl(root / "a.jsonl", one())
    write_jsonl(root / "b.JSONL", one(number=1))
    write_jsonl(root / "c.Jsonl.GZ", one(number=2))
    write_jsonl(away / "d.jsonl", one(number=3))
    write_jsonl(away / "deep" / "e.jsonl.zst", one(number=4))
    (root / "linked.jsonl").symlink_to(away / "d.jsonl")
    (root / "folder").symlink_to(away / "deep")
    (root / "._a.jsonl").write_bytes(b"\0\5")  # what macOS puts beside files
    (root / ".work").mkdir()
    write_jsonl(root / ".work" / "f.jsonl", one(number=5))
    names = [path.relative_to(root).as_posix() for path in scene_files(root)]
    assert names == ["a.jsonl", "b.JSONL", "c.Jsonl.GZ", "folder/e.jsonl.zst", "linked.jsonl"]
    for path, number in zip(scene_files(root), (0, 1, 2, 4, 3), strict=True):
        assert read_scene(path).scene == one(number=number).scene


def test_one_scene_twice_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", one())
    write_jsonl(tmp_path / "a.JSONL.gz", one())
    with pytest.raises(FormatError, match=r"a.JSONL.gz and a.jsonl are one scene with two suffixes; leave one of them"):
        scene_files(tmp_path)
    (tmp_path / "a.JSONL.gz").unlink()
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(FormatError, match=r"a.jsonl and b.jsonl are one file; leave one of them"):
        scene_files(tmp_path)


def held_out(root: Path, form: str) -> Path:
    """A scene in a shard of the test split, as a Parquet file, a folder, a folder in it, or behind a link."""
    name = "test-00000-of-00002"
    if form == "table":
        path = root / f"{name}.parquet"
        write_parquet(path, [one("pong")])
        return path
    folder = root / name / "pong"
    folder.mkdir(parents=True)
    write_jsonl(folder / "scene_0.jsonl", one("pong"), seed=0)
    if form == "link":
        (root / "mine").symlink_to(folder)
    return {"folder": folder.parent, "inner": folder, "link": root / "mine"}[form]


@pytest.mark.parametrize("form", ["table", "folder", "inner", "link"])
def test_a_test_shard_that_is_named_itself_is_still_one(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = held_out(tmp_path, form)
    monkeypatch.chdir(path.parent)
    for place in (path, Path(path.name)):
        with pytest.raises(ValueError, match="shards of other splits"):
            source(place, held_back=0.0, names=("pong",))
        assert len(source(place, "test", held_back=0.0, names=("pong",)).paths) == 1
        assert not check([place], training=True).findings


def test_a_file_behind_a_link_is_of_the_shard_that_the_link_is_called_like(tmp_path: Path) -> None:
    write_parquet(tmp_path / "0123abc", [one("pong")])  # as a cache of downloads keeps it
    shard = tmp_path / "test-00000-of-00001.parquet"
    shard.symlink_to(tmp_path / "0123abc")
    assert shard_split(shard) == "test"


def test_a_folder_of_other_types_says_what_is_there(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "tower" / f"scene_{number}.jsonl"
        path.parent.mkdir(exist_ok=True)
        write_jsonl(path, one(number=number))
    with pytest.raises(
        ValueError, match=r"hold 0 scenes of pong, which scenario.names asks for; there are tower \(3\)"
    ):
        source(tmp_path, names=("pong",))
    with pytest.raises(ValueError, match=r"hold 0 scenes of 7 types"):
        source(tmp_path, names=tuple(f"type{k}" for k in range(7)))
    write_jsonl(tmp_path / "loose.jsonl", one("pong"))
    assert [p.name for p in source(tmp_path, names=("pong",), held_back=0.0).paths] == ["loose.jsonl"]
    with pytest.raises(ValueError, match="of 1 scene leaves none for val; add scenes"):
        source(tmp_path, "val", names=("pong",), held_back=0.0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no file there ends in .jsonl, .jsonl.gz, .jsonl.zst, .parquet"):
        source(tmp_path / "empty")


def test_a_type_that_nobody_asked_for_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_jsonl(tmp_path / f"scene_{number}.jsonl", one("orbit", number))
    stream = source(tmp_path, names=("pong",), held_back=0.0)
    for index in range(6):
        stream.sample(index)
    said = capsys.readouterr().err
    assert said.count("is of type orbit, which scenario.names does not ask for") == 1
    source(tmp_path, names=("orbit",), held_back=0.0).sample(0)
    assert capsys.readouterr().err == ""


def test_nothing_is_trained_on_a_held_out_type_that_nobody_asked_for(tmp_path: Path) -> None:
    for number in range(6):
        write_jsonl(tmp_path / f"scene_{number}.jsonl", one("pong" if number % 2 else "orbit", number))
    with pytest.raises(FormatError, match="of type pong, which is held out: nothing is trained on it unless"):
        for index in range(60):
            source(tmp_path, names=("orbit",), held_back=0.0).sample(index)
    stream = source(tmp_path, names=("orbit",), held_back=0.0, on_error="skip")
    assert {stream.sample(index).target.scene.name for index in range(60)} == {"orbit"}
    assert len(stream.skipped) == 3
    asked = source(tmp_path, names=("orbit", "pong"), held_back=0.0)
    assert {asked.sample(index).target.scene.name for index in range(60)} == {"orbit", "pong"}


@pytest.mark.parametrize("count", [3, 8])
def test_a_split_that_gets_no_scene_says_which_share_would_do(count: int, tmp_path: Path) -> None:
    for number in range(count):
        write_jsonl(tmp_path / f"scene_{number}.jsonl", one(number=number))
    with pytest.raises(ValueError) as caught:
        source(tmp_path, "val", held_back=0.01)
    said = str(caught.value)
    assert f"data.source.held_back=0.01 of {count} scenes leaves none for val; set data.source.held_back=" in said
    share = float(said.partition("set data.source.held_back=")[2].partition(",")[0])
    assert source(tmp_path, "val", held_back=share).paths and source(tmp_path, "train", held_back=share).paths
    with pytest.raises(ValueError, match="leaves none for val"):
        source(tmp_path, "val", held_back=share - 0.02)


# --- the time step of a run


def test_a_run_knows_the_time_steps_of_its_scenes(tmp_path: Path) -> None:
    for number, dt in enumerate((1 / 60, 0.02)):
        scene = replace(one(number=number).scene, dt=dt)
        write_jsonl(tmp_path / f"scene_{number}.jsonl", simulate(scene, 12))
    stream = source(tmp_path, held_back=0.0)
    assert timestep.of_source(stream) == (1 / 60, 0.02)
    timestep.write(tmp_path, timestep.of_source(stream))
    assert timestep.of_run(tmp_path, {}) == (1 / 60, 0.02)
    scenes = [one().scene, replace(one().scene, dt=0.0167), replace(one().scene, dt=0.1)]
    assert timestep.warning(scenes[:2], (1 / 60,)) == ""
    said = timestep.warning(scenes, (1 / 60, 0.02))
    assert said.startswith("1 of 3 scenes have a time step of 0.1 s, and the model was trained on 0.01667 or 0.02 s")
    assert timestep.warning(scenes[2:], (1 / 60,)).startswith("The scene has a time step of 0.1 s")
    assert timestep.warning(scenes, None) == ""


def test_a_run_on_simulated_scenes_has_theirs(tmp_path: Path) -> None:
    config = {"data": {"source": {"_target_": "physworld.text.sources.physics.PhysicsSource"}}}
    assert timestep.of_run(tmp_path, config) == (1 / 60,)
    config["data"]["source"]["_target_"] = "physworld.text.sources.files.FilesSource"
    assert timestep.of_run(tmp_path, config) is None
    (tmp_path / "timesteps.json").write_text("[0.1")
    with pytest.raises(UserError, match=r"timesteps.json is damaged"):
        timestep.of_run(tmp_path, config)
