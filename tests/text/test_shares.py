"""Shares of an evaluation, by any processes in any order, give what one process gives, to the bit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physworld.errors import UserError
from physworld.runs.shares import Share
from physworld.text.evaluation.store import DiskStore
from physworld.text.rollout import Rollout, Sampling, batches, fill, rollout
from physworld.types import State

from tiny_gpt import CODEC, network, prompts

FORK = multiprocessing.get_context("fork")
FRAMES = 2


class Counted:
    """A model that counts what it is asked."""

    def __init__(self) -> None:
        self.model, self.asked, self.max_length = network(), 0, None

    def generate(self, prompts: Any, *rest: Any, **named: Any) -> Any:
        self.asked += len(prompts)
        return self.model.generate(prompts, *rest, **named)


def same(a: Rollout, b: Rollout) -> bool:
    counts = (a.parsed, a.missing, a.drifted) == (b.parsed, b.missing, b.drifted)
    return counts and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for one, other in zip(a.predicted, b.predicted, strict=True)
        for name in State.__annotations__
    )


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=1.0, seed=1)])
def test_two_shares_are_one_rollout_and_nothing_is_answered_twice(sampling: Sampling | None, tmp_path: Path) -> None:
    given, _ = prompts()
    how: Any = {"batch_size": 2, "sampling": sampling}
    whole = rollout(network(), CODEC, given, FRAMES, **how)
    assert len(batches(given, 2)) == 3
    store, counted = DiskStore(tmp_path, "key"), Counted()
    with store.turn([given[i] for i in batches(given, 2)[0]], FRAMES, wait=True):  # another process is at the first
        fill(counted, CODEC, given, FRAMES, store, share=0, shares=2, **how)
    assert counted.asked == 3 * FRAMES  # its own third batch, and the second, which nobody had begun
    fill(counted, CODEC, given, FRAMES, store, share=1, shares=2, **how)
    assert counted.asked == 5 * FRAMES
    assert same(rollout(counted, CODEC, given, FRAMES, store=store, **how), whole)
    assert counted.asked == 5 * FRAMES
    frames: list[int] = []
    fill(counted, CODEC, given, FRAMES, store, share=0, shares=1, progress=frames.append, **how)
    assert counted.asked == 5 * FRAMES and sum(frames) == 5 * FRAMES


def _hangs(folder: Path, given: Any) -> None:
    with DiskStore(folder, "key").turn(given, FRAMES, wait=True):
        (folder / "began").touch()
        time.sleep(60)


def test_what_a_killed_process_had_begun_is_answered_by_another(tmp_path: Path) -> None:
    given, _ = prompts()
    process = FORK.Process(target=_hangs, args=(tmp_path, given))
    process.start()
    while not (tmp_path / "began").exists():
        time.sleep(0.005)
    store = DiskStore(tmp_path, "key")
    with store.turn(given, FRAMES, wait=False) as ours:
        assert not ours
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with store.turn(given, FRAMES, wait=False) as ours:
        assert ours


def asked(**some: Any) -> Share:
    return Share.asked(**{"shards": None, "shard": None, "cached": True, **some})


def test_the_launcher_says_which_share_and_the_first_rank_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    assert asked() == Share(number=0, of=1, reports=True)
    assert asked(shards=4, shard=3) == Share(number=3, of=4, reports=False)
    for rank, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        monkeypatch.setenv(rank, "1")
        monkeypatch.setenv(count, "2")
        assert asked() == Share(number=1, of=2, reports=False)
        monkeypatch.setenv(rank, "0")
        assert asked() == Share(number=0, of=2, reports=True)
        with pytest.raises(UserError, match="meet in the cache; give cache=DIR"):
            asked(cached=False)
        monkeypatch.delenv(rank)
    for some, said in (
        ({"shard": 1}, "shard=1 needs the number of them, for example shards=2"),
        ({"shard": 2, "shards": 2}, "shards=2 are numbered 0 to 1"),
        ({"shards": 2}, "shards= goes with shard=K"),
        ({"shards": 1, "shard": 0, "cached": False}, "meet in the cache; give cache=DIR"),
    ):
        with pytest.raises(UserError, match=said):
            asked(**some)
