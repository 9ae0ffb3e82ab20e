"""A run that goes on with another number of ranks, passes or workers sees the samples it would have seen."""

from __future__ import annotations

import itertools
import os
import signal

import pytest

from physworld.data import IndexBatches, Source, StreamData
from physworld.text.sources.physics import PhysicsSource
from physworld.training.hardware import Hardware
from physworld.types import Sample

from tiny_gpt import CODEC


class Deadly:
    """A source whose sample 13 kills the process that draws it."""

    def __init__(self, source: PhysicsSource) -> None:
        self.source = source

    def sample(self, index: int) -> Sample:
        if index == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.source.sample(index)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_dead_worker_is_named_with_its_sample() -> None:
    source = Deadly(PhysicsSource(seed=0, split="train", names=["orbit"], difficulties=[1], frames=8))
    data = StreamData(train=source, val=source, codec=CODEC, micro_batch=4, num_workers=2)
    said = "nothing was raised"
    try:  # asked at once: torch raises from a signal too, wherever the program is then
        list(itertools.islice(data.train_dataloader(), 6))
    except RuntimeError as error:
        said = data.died(error)
    assert said.endswith("while it drew training sample 13")


def broken(pid: int) -> None:
    """What reading a batch is in the moment in which its worker dies."""
    os.kill(pid, signal.SIGKILL)
    raise ConnectionResetError(104, "Connection reset by peer")


class Half:
    """A batch that breaks off while the training process reads it."""

    def __init__(self, _: object) -> None: ...

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return broken, (os.getpid(),)


def stream(source: Source) -> StreamData:
    return StreamData(train=source, val=source, codec=CODEC, micro_batch=4, num_workers=1)


def test_a_worker_that_dies_while_its_batch_is_read_is_named() -> None:
    data = stream(PhysicsSource(seed=0, split="train", names=["orbit"], difficulties=[1], frames=8))
    loader = data.train_dataloader()
    loader.collate_fn = Half
    said = "nothing was raised"
    try:
        next(iter(loader))
    except (RuntimeError, OSError) as error:
        said = data.died(error) if isinstance(error, RuntimeError) else repr(error)
    assert said.startswith("A worker of the data died (") and "while it drew training sample " in said
    assert said[-1].isdigit()


class Missing:
    """A source whose file is not there."""

    def sample(self, index: int) -> Sample:
        raise FileNotFoundError("scenes.jsonl")


def test_an_error_that_a_worker_raises_is_no_death() -> None:
    data = stream(Missing())
    with pytest.raises(FileNotFoundError, match=r"scenes\.jsonl"):
        next(iter(data.train_dataloader()))
    assert data.died(RuntimeError("another")) == ""


BATCH = 12
# (ranks, samples a pass and rank, workers, optimiser steps) of each start of the run
PLANS = [
    [(1, None, 0, 2), (2, None, 1, 2), (1, None, 0, 2)],
    [(2, 2, 0, 1), (3, 2, 0, 1), (1, 4, 2, 3), (6, 1, 0, 1)],
    [(1, 3, 4, 2), (4, 3, 0, 2), (2, 1, 0, 2)],
]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
@pytest.mark.parametrize("plan", PLANS)
def test_no_sample_twice_and_none_missing(plan: list[tuple[int, int | None, int, int]]) -> None:
    source = PhysicsSource(seed=0, split="train", names=["orbit"], difficulties=[1], frames=8)
    step, seen = 0, []
    for ranks, micro, workers, steps in plan:
        hardware = Hardware(
            accelerator="cpu", devices=ranks, precision="32-true", micro_batch=micro, num_workers=workers,
            strategy="auto",
        )  # fmt: skip
        each, passes = hardware.split(BATCH)
        data = StreamData(train=source, val=source, codec=CODEC, micro_batch=each, num_workers=workers)
        data.load_state_dict({"batches": step * passes})  # as a checkpoint of that step does (`AsConfigured`)
        streams = []
        for rank in range(ranks):
            batches = IndexBatches(size=each, start=data.start, rank=rank, ranks=ranks)
            loader = data._loader(source, batches, workers if rank == 0 else 0)
            streams.append([batch.seed.tolist() for batch in itertools.islice(loader, steps * passes)])
        for one in range(steps):
            of_step = [seed for own in streams for some in own[one * passes : (one + 1) * passes] for seed in some]
            seen.append(sorted(of_step))
        step += steps
    assert seen == [list(range(first, first + BATCH)) for first in range(0, step * BATCH, BATCH)]
