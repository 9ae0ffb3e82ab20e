"""A disk that fills up, or is read-only, ends a run with one sentence; what was there stays, and the run goes on later.

The disk is a small tmpfs. Where mounting is not allowed, only the size of files is limited.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from physworld.io.atomic import replacing
from physworld.runs.checkpoints import read_checkpoint, save_model
from physworld.runs.directory import write_json
from physworld.runs.pieces import Pieces
from physworld.text.shards import Dataset, Recipe
from physworld.training.checkpoint_io import AtomicCheckpointIO

from commands import ended, run
from tiny_gpt import CODEC, network

SMALL = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation.rollouts=1", "evaluation.val_rollouts=1", "global_batch=4"),
    *("evaluation.frames=2", "evaluation.horizons=[1]", "evaluation.pictures=0", "scenario.names=[projectile]"),
    *("data.stream.val_samples=4", "model.network.width=32", "model.network.depth=1", "data.source.frames=12"),
    *("validate_every=2", "checkpoint_every=1"),
)
ROOM = 256 * 1024  # bytes


def mount(*words: str) -> bool:
    return shutil.which("mount") is not None and subprocess.run(["mount", *words], capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A tmpfs of 64 MiB; None where mounting is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)):
        yield None
        return
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Room for ROOM bytes more."""
    filler = folder / "filler"
    with filler.open("wb") as stream:
        stream.write(bytes(shutil.disk_usage(folder).free - ROOM))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def short() -> Iterator[None]:
    """No file may be longer than ROOM bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def checkpoint(folder: Path, size: int) -> None:
    content: dict[str, Any] = {"state_dict": {"x": torch.ones(size, dtype=torch.uint8)}, "global_step": size}
    AtomicCheckpointIO().save_checkpoint({**content, "optimizer_states": [], "lr_schedulers": []}, folder / "last.ckpt")


def record(folder: Path, size: int) -> None:
    write_json(folder / "run.json", "x" * size)


def piece(folder: Path, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    Pieces(folder, str(size))("a", lambda: {"x": noise})


def array(folder: Path, size: int) -> None:
    with replacing(folder / "array.npy") as temporary, temporary.open("wb") as stream:
        np.save(stream, np.zeros(size, np.uint8))


def shards(folder: Path, size: int) -> None:
    recipe = Recipe(names=("orbit",), difficulties=(1,), frames=max(2, size // 1000), split="train", seed=0)
    some = folder / str(size)
    Dataset(recipe=recipe, directory=some, count=2, shards=1, suffix="jsonl").write(say=lambda line: None)


def weights(folder: Path, size: int) -> None:
    save_model(network(width=max(16, size // 4096)), CODEC, folder)


@pytest.mark.parametrize("write", [checkpoint, record, piece, array, shards, weights])
def test_what_does_not_fit_leaves_what_was_there(write: Callable[[Path, int], None], disk: Path | None) -> None:
    folder = Path.cwd() if disk is None else disk
    write(folder, 2000)

    def there() -> dict[Path, bytes]:
        found = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        return {path: content for path, content in found.items() if path.suffix != ".lock" and path.name != "filler"}

    before = there()
    with short() if disk is None else full(disk):
        with pytest.raises((OSError, SafetensorError)):
            write(folder, 4 * ROOM)
        assert there() == before
    write(folder, 4 * ROOM)
    assert there() != before


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_a_run_survives_a_full_and_a_read_only_disk(disk: Path | None, tmp_path: Path) -> None:
    if disk is None:
        pytest.skip("mounting is not allowed here")
    options = ("train.py", *SMALL, f"hydra.run.dir={disk}/run")
    run(tmp_path, *options, "steps=2")
    last = disk / "run" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    with full(disk):
        done = ended(tmp_path, *options, "ckpt=last", "steps=4")
    said = done.stderr.strip()
    assert done.returncode == 1 and "is full" in said and "\n" not in said, done.stdout + said
    assert last.read_bytes() == before and not list(last.parent.glob(".*"))
    assert mount("-o", "remount,ro", str(disk))
    for words in ((*options, "ckpt=last", "steps=4"), ("simulate.py", "count=1", "frames=4", f"out={disk}/made")):
        done = ended(tmp_path, *words)
        said = done.stderr.strip()
        assert done.returncode == 1 and "\n" not in said and str(disk) in said, done.stdout + said
    assert mount("-o", "remount,rw", str(disk))
    assert last.read_bytes() == before
    run(tmp_path, *options, "ckpt=last", "steps=4")
    assert read_checkpoint(last)["global_step"] == 4
