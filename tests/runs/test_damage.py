"""Twenty bit flips and truncations over every kind of file: each is refused by name, or changes nothing."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from physworld.errors import FormatError, UserError
from physworld.io.checksums import SUMS, add_sums, refuse_changed, summed, write_sums
from physworld.io.film import read_frames, read_timeline
from physworld.io.images import write_gif
from physworld.io.pictures import Unreadable
from physworld.runs import lineage, state, trial
from physworld.runs.checkpoints import by_step, load_model, read_checkpoint, read_newest
from physworld.runs.directory import read_metrics, write_result
from physworld.runs.pieces import Pieces
from physworld.spatial.codecs.rows import read_row, row
from physworld.spatial.sources.rows import RowsSource
from physworld.text import shards, timestep
from physworld.text.shards import Dataset, Recipe
from physworld.text.sources import files
from physworld.training import logger_services
from physworld.training.checkpoint_io import AtomicCheckpointIO
from physworld.video import controls

from commands import same
from evaluations import untrained_run
from spatial_tools import samples

TRIES = 20
REFUSED = (UserError, FormatError)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Half of the time one bit is another one, half of the time the end is gone."""
    place = chance.randrange(len(content))
    if chance.random() < 0.5:
        return content[:place]
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def attack(path: Path, read: Callable[[], Any]) -> int:
    """How many of the damages were refused; those that were not change nothing of what is read."""
    whole, wanted = path.read_bytes(), read()
    chance, refused = random.Random(path.name), 0
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, chance))
        try:
            assert same(read(), wanted), f"{path.name}: damage that nobody noticed"
        except REFUSED as error:
            refused += 1
            assert "\n" not in str(error).strip()
    path.write_bytes(whole)
    assert same(read(), wanted)
    return refused


def test_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    content = {
        "state_dict": {"weight": torch.randn(20, 30)}, "global_step": 3, "lr_schedulers": [{"last_epoch": 3}],
        "optimizer_states": [{"state": {0: {"exp_avg": torch.randn(20, 30)}}}],
    }  # fmt: skip
    AtomicCheckpointIO().save_checkpoint(content, path)
    assert attack(path, lambda: dict(read_checkpoint(path))) >= TRIES // 2


def test_a_bit_anywhere_in_what_a_checkpoint_says_of_itself(tmp_path: Path) -> None:
    """torch reads its list of contents unchecked; what that then raises may be anything."""
    path = tmp_path / "last.ckpt"
    blank: dict[str, Any] = {"state_dict": {"weight": torch.ones(2)}, "lr_schedulers": [], "optimizer_states": []}
    AtomicCheckpointIO().save_checkpoint({**blank, "global_step": 3}, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as parts:
        said = next(part for part in parts.namelist() if part.endswith("data.pkl"))
        contents = parts.read(said)
    first = whole.index(contents)
    for place in range(first, first + len(contents)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"last\.ckpt is damaged or cut short"):
            read_checkpoint(path)
    for strange in (b".", b"h.", b"K\x01R.", b"I1\n(u."):  # with sums that fit, of a stranger
        with zipfile.ZipFile(path, "w") as parts:
            parts.writestr(said, strange)
        with pytest.raises(UserError, match=r"last\.ckpt"):
            read_checkpoint(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = untrained_run(tmp_path_factory.mktemp("damage"), 0)
    (folder / "adapter").mkdir()  # of LoRA; what it is loaded for is tested elsewhere
    shutil.copy(folder / "model" / "model.safetensors", folder / "adapter" / "adapter_model.safetensors")
    write_sums(folder / "adapter")
    return folder


FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.mark.parametrize("name", [*(f"model/{name}" for name in FILES), "adapter/adapter_model.safetensors"])
def test_files_of_weights(name: str, run: Path) -> None:
    def read() -> Any:
        network, codec, _ = load_model(run, torch.device("cpu"))
        return {"weights": network.state_dict(), "codec": type(codec).__name__}

    assert attack(run / name, read) == TRIES


def test_an_edited_file_is_named_and_may_be_used_on_purpose(run: Path) -> None:
    path = run / "model" / "config.json"
    whole, sums = path.read_bytes(), (run / "model" / SUMS).read_bytes()
    path.write_bytes(whole + b"\n")
    (run / "model" / "README.md").write_text("A card is there to be edited.")
    try:
        with pytest.raises(UserError, match=r"config\.json is not what was written: it is damaged, or was edited"):
            load_model(run, torch.device("cpu"))
        (run / "model" / SUMS).unlink()
        load_model(run, torch.device("cpu"))
    finally:
        path.write_bytes(whole)
        (run / "model" / SUMS).write_bytes(sums)
    refuse_changed(run / "model")
    (run / "model" / "tokenizer.json").rename(run / "elsewhere")
    with pytest.raises(FormatError, match=r"tokenizer\.json is missing"):
        refuse_changed(run / "model")
    (run / "elsewhere").rename(run / "model" / "tokenizer.json")


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "parquet"])
def test_shards(suffix: str, tmp_path: Path) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    recipe = Recipe(names=("orbit",), difficulties=(1,), frames=8, split="train", seed=0)
    Dataset(recipe=recipe, directory=tmp_path, count=2, shards=1, suffix=suffix).write(say=lambda line: None)
    scenes = [scene for scene, _ in files.scenes_below(tmp_path)]

    def read() -> Any:
        files.refuse_damaged_shard.cache_clear()  # as a process of its own
        files._scenes_file.cache_clear()
        return [files.read_scene(scene).position.tolist() for scene in scenes]

    first = scenes[0].path if isinstance(scenes[0], files.Row) else scenes[0]
    assert attack(first, read) == TRIES


def test_the_manifest_of_shards(tmp_path: Path) -> None:
    recipe = Recipe(names=("orbit",), difficulties=(1,), frames=8, split="train", seed=0)
    Dataset(recipe=recipe, directory=tmp_path, count=2, shards=1, suffix="jsonl").write(say=lambda line: None)
    scene = next(path for path, _ in files.scenes_below(tmp_path))

    def read() -> Any:
        files.refuse_damaged_shard.cache_clear()
        files._scenes_file.cache_clear()
        return files.read_scene(scene).position.tolist()

    attack(tmp_path / "manifest.json", read)


def test_kept_pieces_are_answered_again(tmp_path: Path) -> None:
    pieces, answers = Pieces(tmp_path, "key"), [0]

    def ask() -> Any:
        answers[0] += 1
        return {"x": np.arange(50.0)}

    pieces("a", ask)
    (path,) = tmp_path.rglob("*.npz")
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, chance))
        assert np.array_equal(pieces("a", ask)["x"], np.arange(50.0))
    assert answers[0] > TRIES // 2


def test_records_are_read_or_none(tmp_path: Path) -> None:
    """They are for onlookers: a damaged one is none."""
    state.Record(tmp_path, verb="train", command="train.py").write(step=3)
    path = tmp_path / state.FILE
    whole, chance, none, wanted = path.read_bytes(), random.Random(0), 0, state.read(tmp_path)
    assert wanted is not None and wanted["step"] == 3
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, chance))
        found = state.read(tmp_path)
        none += found is None
        assert found is None or {key: found[key] for key in wanted} == wanted
    assert none >= TRIES - 4


def test_figures_of_a_run(tmp_path: Path) -> None:
    """Both files are in SHA256SUMS; a file that is written anew has its new sum, and the other keeps its own."""
    write_result(tmp_path / "metrics.json", {"headline": {"rmse@30/model": 0.0}})
    with summed(tmp_path / "rows.jsonl") as temporary:
        temporary.write_text('{"rmse": 1.5}\n')
    write_result(tmp_path / "metrics.json", {"headline": {"rmse@30/model": 1.25}})
    assert attack(tmp_path / "metrics.json", lambda: read_metrics(tmp_path)) == TRIES
    refuse_changed(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"rmse": 1.4}\n')
    assert read_metrics(tmp_path)["headline"] == {"rmse@30/model": 1.25}
    with pytest.raises(FormatError, match=r"rows\.jsonl is not what was written"):
        refuse_changed(tmp_path)
    attack(tmp_path / SUMS, lambda: read_metrics(tmp_path))


@pytest.mark.parametrize(("name", "read", "refused"), [
    (lineage.FILE, lineage.learned, True),
    (timestep.FILE, lambda folder: timestep.of_run(folder, {}), True),
    ("manifest.json", lambda folder: files.refuse_damaged_shard(folder / "train-00000.jsonl"), False),
    ("manifest.json", lambda folder: shards._read(folder / "manifest.json"), False),
    (controls.HOW, controls._made, False),
    (logger_services.NAMES, lambda folder: logger_services._name(folder, "mlflow"), False),
    (trial.FILE, trial.Trial.of, False),
])  # fmt: skip
def test_lists_in_lists_without_end(name: str, read: Callable[[Path], Any], refused: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[" * 100_000)
    (tmp_path / controls.LORA_FILE).touch()
    if refused:
        with pytest.raises(UserError, match=name):
            read(tmp_path)
    else:
        assert read(tmp_path) is None


def test_killed_before_its_sum_is_written_a_file_is_taken(tmp_path: Path) -> None:
    write_result(tmp_path / "metrics.json", {"headline": {"x": 1.0}})
    with pytest.raises(SystemExit), summed(tmp_path / "metrics.json") as temporary:
        temporary.write_text('{"headline": {"x": 2.0}}')
        temporary.replace(tmp_path / "metrics.json")
        raise SystemExit
    assert read_metrics(tmp_path)["headline"] == {"x": 2.0}


def test_clips_that_were_written_with_sums(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    path = tmp_path / "moves.gif"
    write_gif(path, frames, 10)
    add_sums(tmp_path, [path.name])

    def read() -> Any:
        try:
            line = read_timeline([path])
            return read_frames([path], line, np.arange(3), size=(16, 16), fit="crop", background=(0, 0, 0)).tolist()
        except Unreadable as error:
            raise FormatError(str(error)) from None

    assert attack(path, read) == TRIES


def test_the_journal_of_a_search(tmp_path: Path) -> None:
    """What is left of a damaged one is refused, or is how the study was at an earlier moment."""
    optuna = pytest.importorskip("optuna")
    path = tmp_path / "study.journal"
    study = optuna.create_study(study_name="s", storage=trial.storage(str(path)))
    moments = [[]]
    for number in range(3):
        one = study.ask()
        moments.append([*moments[-1], (number, one.suggest_float("x", 0.0, 1.0), None)])
        study.tell(one, 0.1 * number)
        moments.append([*moments[-2], (*moments[-1][-1][:2], 0.1 * number)])

    def read() -> list[Any]:
        every = optuna.load_study(study_name="s", storage=trial.storage(str(path))).get_trials(deepcopy=False)
        return [(t.number, t.params["x"], t.value) for t in every if "x" in t.params]

    whole, chance, refused = path.read_bytes(), random.Random(0), 0
    assert read() == moments[-1] and whole.count(b'"sum"') == whole.count(b"\n")
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, chance))
        try:
            assert read() in moments
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(path) in str(error)
        except KeyError:  # Optuna's word for: no such study; it was not written yet
            assert path.read_bytes() == b"" or whole.startswith(path.read_bytes())
    assert refused >= TRIES // 4


def test_rows_are_read_or_named(tmp_path: Path) -> None:
    """Rows of others have no sum: they are read as they stand, or refused in one sentence."""
    path, chance, refused = tmp_path / "rows.jsonl", random.Random(0), 0
    whole = b"".join(json.dumps(row(s.given.payload, s.target)).encode() + b"\n" for s in samples(count=2))
    for _ in range(TRIES):
        path.write_bytes(damaged(whole, chance))
        try:
            source = RowsSource(seed=0, split="train", train_file=str(path), valid_file=None)
            payload, scene = source.rows[0]
            assert read_row(json.dumps(row(payload, scene)), "here") == (payload, scene)  # whole scenes, or none
        except REFUSED as error:
            refused += 1
            assert "\n" not in str(error).strip()
    assert refused >= TRIES // 4


def test_the_newest_whole_checkpoint_is_taken_and_what_is_skipped_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = AtomicCheckpointIO(keep=3)
    blank: dict[str, Any] = {"state_dict": {}, "lr_schedulers": [], "optimizer_states": []}
    for step in (2, 4, 6, 8, 10):
        writer.save_checkpoint({**blank, "global_step": step}, tmp_path / "last.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "last.ckpt", "step_10.ckpt", "step_6.ckpt", "step_8.ckpt"
    ]  # fmt: skip
    for step in (7, 9):  # the run went back to an earlier checkpoint: what came after it then is given up
        (tmp_path / "back").mkdir(exist_ok=True)
        for before in (6, 8, 10) if step == 7 else ():
            writer.save_checkpoint({**blank, "global_step": before}, tmp_path / "back" / "last.ckpt")
        writer.save_checkpoint({**blank, "global_step": step}, tmp_path / "back" / "last.ckpt")
    assert [path.name for path in by_step(tmp_path / "back")] == ["step_9.ckpt", "step_7.ckpt", "step_6.ckpt"]
    AtomicCheckpointIO().save_checkpoint({**blank, "global_step": 7}, tmp_path / "best.ckpt")
    assert read_newest(tmp_path / "last.ckpt")[1]["global_step"] == 10
    for name in ("last", "step_10", "step_8"):
        path = tmp_path / f"{name}.ckpt"
        cut = path.read_bytes()[:200]
        path.unlink()  # last and step_10 are one file
        path.write_bytes(cut)
    taken, content = read_newest(tmp_path / "last.ckpt")
    assert (taken.name, content["global_step"]) == ("best.ckpt", 7)
    said = "last.ckpt and step_10.ckpt and step_8.ckpt in"
    assert said in capsys.readouterr().out
    with pytest.raises(UserError, match=r"step_8\.ckpt is damaged or cut short"):  # what was asked for by its name
        read_newest(tmp_path / "step_8.ckpt")
