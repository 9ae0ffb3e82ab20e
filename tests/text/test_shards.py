"""Datasets in shards: the same bytes whoever makes them, in whatever order, and however often they are killed."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.errors import UserError
from physworld.text.shards import Dataset, Recipe, digest
from physworld.text.simulate import asked_shards
from physworld.text.task import simulate

from commands import run, start
from repository import ROOT

RECIPE = {
    "names": ("billiards", "pendulum", "orbit"),
    "difficulties": (1, 2),
    "frames": 30,
    "split": "train",
    "seed": 3,
}
FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


def dataset(directory: Path, suffix: str = "parquet", shards: int = 5, count: int = 33, **changes: Any) -> Dataset:
    recipe = Recipe(**{**RECIPE, **changes})
    return Dataset(recipe=recipe, directory=directory, count=count, shards=shards, suffix=suffix)


def quiet(line: str) -> None:
    pass


def tree(directory: Path) -> dict[str, str]:
    """sha256 of every file, hidden ones too, and every folder."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in directory.rglob("*")
    }


def assert_whole_or_absent(directory: Path) -> int:
    """Of everything under its final name, nothing is half there; returns how many shards are."""
    records = [json.loads(path.read_text()) for path in (directory / ".shards").glob("*.json")]
    there = [record for record in records if (directory / record["name"]).exists()]  # recorded first, then put there
    for record in there:
        assert digest(directory / record["name"]) == (record["sha256"], record["bytes"])
    if (directory / "manifest.json").exists():
        assert json.loads((directory / "manifest.json").read_text())["train"]["present"] <= len(records)
    return len(there)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_any_number_of_kills_leaves_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    """A process that makes all shards is killed (SIGKILL) again and again, each time after a little longer."""
    dataset(tmp_path / "undisturbed", suffix).write(say=quiet)
    disturbed = dataset(tmp_path / "disturbed", suffix)
    forking = multiprocessing.get_context("fork")
    kills, seen, milliseconds = 0, set(), 2.0
    while True:
        process = forking.Process(target=disturbed.write, kwargs={"say": quiet})
        process.start()
        process.join(milliseconds / 1000)
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills, milliseconds = kills + 1, 1.2 * milliseconds  # a busy machine needs few more kills than a quiet one
        if disturbed.directory.exists():
            seen.add(assert_whole_or_absent(disturbed.directory))
    assert kills >= 3 and len(seen) >= 2, (kills, seen)
    assert tree(disturbed.directory) == tree(tmp_path / "undisturbed")


def at_work(records: Path, finished: int) -> bool:
    """Whether a shard is being written, and so many are there."""
    try:
        return len(list(records.glob("*.json"))) >= finished and any(records.glob("*.*/content/*/*.jsonl"))
    except FileNotFoundError:  # it was finished, and its folder went, while we looked
        return False


@pytest.mark.slow
def test_the_command_killed_three_times_leaves_the_same_bytes(tmp_path: Path) -> None:
    """`simulate.py`, alone or as a sweep of two processes, is killed with all its processes while the first, a middle
    and a late shard are being written, then runs to the end; beside the same dataset that nobody disturbs."""
    changes = {"names": ("billiards", "tower"), "frames": 150, "seed": 0}
    dataset(tmp_path / "undisturbed", "jsonl", shards=6, count=120, **changes).write(say=quiet)
    what = ("scenario.names=[billiards,tower]", "curriculum.difficulties=[1,2]", "count=120", "frames=150")
    alone = (*what, "split=train", "shards=6", "out=disturbed")
    sweep = ("-m", *alone, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "shard=range(6)")
    records = tmp_path / "disturbed" / ".shards"
    for finished, arguments in ((0, alone), (1, sweep), (4, alone)):
        running = start(tmp_path, "simulate.py", *arguments)
        running.wait_until(functools.partial(at_work, records, finished))
        running.kill()
        assert list(records.glob("*.*/")), "killed in the middle of a shard"
        assert assert_whole_or_absent(tmp_path / "disturbed") < 6
    said = run(tmp_path, "simulate.py", *alone)
    assert "there already" in said and "6 of 6 train shards" in said, said
    assert tree(tmp_path / "disturbed") == tree(tmp_path / "undisturbed")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_order_and_processes_do_not_matter(suffix: str, tmp_path: Path) -> None:
    """One process in order; one shard at a time backwards; two processes that make the same shards at once."""
    dataset(tmp_path / "ordered", suffix).write(say=quiet)
    for shard in (4, 2, 0, 1, 3):
        dataset(tmp_path / "backwards", suffix).write(shard, say=quiet)
    forking = multiprocessing.get_context("fork")
    rivals = [
        forking.Process(target=dataset(tmp_path / "rivals", suffix).write, kwargs={"say": quiet}) for _ in range(2)
    ]
    for process in rivals:
        process.start()
    for process in rivals:
        process.join()
    assert [process.exitcode for process in rivals] == [0, 0]
    wanted = tree(tmp_path / "ordered")
    assert tree(tmp_path / "backwards") == wanted and tree(tmp_path / "rivals") == wanted


def test_scenes_do_not_depend_on_the_shards(tmp_path: Path) -> None:
    for shards in (1, 4):
        dataset(tmp_path / str(shards), "jsonl", shards).write(say=quiet)
    scenes = [{p.name: p.read_bytes() for p in (tmp_path / str(shards)).rglob("scene_*.jsonl")} for shards in (1, 4)]
    assert len(scenes[0]) == 33 and scenes[0] == scenes[1]


def test_manifest_tells_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    data.write(3, say=quiet)
    dataset(tmp_path, split="val", shards=1, count=4).write(say=quiet)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    train = manifest["train"]
    assert (train["expected"], train["present"], train["scenes"]) == (5, 1, 7)
    (shard,) = train["shards"]
    assert (shard["name"], shard["first"], shard["scenes"]) == ("train-00003-of-00005.parquet", 19, 7)
    assert shard["sha256"] == hashlib.sha256((tmp_path / shard["name"]).read_bytes()).hexdigest()
    assert train["settings"]["frames"] == 30 and manifest["val"]["scenes"] == 4
    data.write(say=quiet)
    train = json.loads((tmp_path / "manifest.json").read_text())["train"]
    assert train["present"] == train["expected"] == 5 and train["scenes"] == 33


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_damage_is_seen_and_mended(suffix: str, tmp_path: Path) -> None:
    data = dataset(tmp_path, suffix, shards=3, count=9)
    data.write(say=quiet)
    whole = tree(tmp_path)
    victim = next(tmp_path.rglob("scene_4.jsonl"), tmp_path / "train-00001-of-00003.parquet")
    victim.write_bytes(victim.read_bytes()[:-7])
    (tmp_path / ".shards" / "train-00002-of-00003.json").write_text('{"sha256": "cut sho')
    said: list[str] = []
    data.write(say=said.append)
    assert ["already" in line for line in said] == [True, False, False, False]
    assert tree(tmp_path) == whole


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frames": 31}, "frames=30, not frames=31"),
        ({"seed": 4}, "seed=3, not seed=4"),
        ({"names": ("billiards",)}, "names=billiards,pendulum,orbit, not names=billiards"),
        ({"count": 34}, "count=33, not count=34"),
        ({"shards": 4}, "shards=5, not shards=4"),
        ({"suffix": "jsonl"}, "format=parquet, not format=jsonl"),
    ],
)
def test_other_settings_do_not_mix(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    dataset(tmp_path).write(0, say=quiet)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=says):
        dataset(tmp_path, **changes).write(say=quiet)
    assert tree(tmp_path) == before


def test_shards_without_their_records_are_left_alone(tmp_path: Path) -> None:
    """A copy without hidden folders: nobody knows what made these."""
    dataset(tmp_path / "data", "jsonl").write(say=quiet)
    shutil.rmtree(tmp_path / "data" / ".shards")
    before = tree(tmp_path / "data")
    with pytest.raises(UserError, match="without its record"):
        dataset(tmp_path / "data", "jsonl").write(2, say=quiet)
    after = tree(tmp_path / "data")
    assert {name: digest for name, digest in after.items() if not name.startswith(".shards")} == before


def test_what_others_put_into_a_damaged_shard_is_kept(tmp_path: Path) -> None:
    data = dataset(tmp_path, "jsonl", shards=3, count=9)
    data.write(say=quiet)
    shard = tmp_path / "train-00001-of-00003"
    (shard / "billiards" / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"notes\.txt is none of its files; move that away"):
        data.write(say=quiet)
    assert tree(tmp_path) == before
    (shard / "billiards" / "notes.txt").unlink()
    data.write(say=quiet)


def plain(out: Path, *changes: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("simulate", ["scenario.names=[billiards,tower]", "frames=3", f"out={out}", *changes])
    simulate(cfg)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "gif", "mp4", "png"])
def test_single_files_are_never_written_over(form: str, tmp_path: Path) -> None:
    plain(tmp_path, "count=2", f"format={form}")
    first = tree(tmp_path)
    assert len(first) == 2 * 2
    plain(tmp_path, "count=4", f"format={form}")  # goes on
    more = tree(tmp_path)
    assert len(more) == 2 + 4 and first.items() <= more.items()
    with pytest.raises(UserError, match="is there already and is not what this command makes"):
        plain(tmp_path, "count=6", "seed=1", f"format={form}")
    (tmp_path / "billiards" / f"scene_0.{form}").unlink()
    with pytest.raises(UserError, match="is there already"):
        plain(tmp_path, "count=6", "seed=1", f"format={form}")
    assert tree(tmp_path) == {k: v for k, v in more.items() if k != f"billiards/scene_0.{form}"}  # nothing put beside


def test_other_code_does_not_mix(tmp_path: Path) -> None:
    dataset(tmp_path).write(0, say=quiet)
    path = tmp_path / ".shards" / "train-00000-of-00005.json"
    record = json.loads(path.read_text())
    record["made_with"]["pymunk"] = "6.0.0"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"pymunk=6\.0\.0, not pymunk=7"):
        dataset(tmp_path).write(say=quiet)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"shard": 2}, "shard=2 needs the number of them, for example shards=3"),
        ({"shards": 0, "out": "x"}, "shards=0 must be a whole number from 1 on"),
        ({"shards": 2}, "shards need out=DIR"),
        ({"shards": 11, "out": "x"}, "shards=11 is more than count=10"),
        ({"shards": 2, "shard": 2, "out": "x"}, "shard=2 is not there: shards=2 are numbered 0 to 1"),
        ({"shards": 2, "out": "x", "format": "gif"}, "format=gif has no shards; choose jsonl or parquet"),
    ],
)
def test_mistakes_in_one_sentence(settings: dict[str, Any], says: str) -> None:
    cfg = OmegaConf.create({"count": 10, "format": "jsonl", "out": None, "shards": None, "shard": None, **settings})
    with pytest.raises(UserError, match=says):
        asked_shards(cfg)
