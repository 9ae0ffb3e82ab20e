"""An endless stream of batches in which batch k is a function of k alone.

Whatever the number of workers and ranks, and after any interruption, batch k holds the same samples: indices
k·B .. k·B + B - 1 of the source (rank r of R takes batches r, r + R, ...). Resuming means starting at another k.
"""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import multiprocessing.util  # its own exit function is registered first
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from physworld.protocols import Codec
from physworld.types import Batch, Encoded, Sample

PR_SET_PDEATHSIG = 1  # linux/prctl.h
TRIES = 1000  # samples that may be too long in a row
SEEN = 2.0  # s within which the death of a worker shows whose pipe broke


class Source(Protocol):
    def sample(self, index: int) -> Sample: ...


class Staged:
    """Moves on to the next source every `samples_per_stage` samples and stays with the last.

    Which stage a sample belongs to follows from its index, so workers, ranks and resumed runs agree on it.
    """

    def __init__(self, stages: Sequence[Source], *, samples_per_stage: int) -> None:
        if not stages or samples_per_stage < 1:
            raise ValueError(f"need a stage and samples_per_stage >= 1, got {len(stages)} and {samples_per_stage}")
        self.stages, self.samples_per_stage = stages, samples_per_stage

    def sample(self, index: int) -> Sample:
        return self.stages[min(index // self.samples_per_stage, len(self.stages) - 1)].sample(index)


class Repeated:
    """The first `count` samples again and again."""

    def __init__(self, source: Source, *, count: int) -> None:
        if count < 1:
            raise ValueError(f"repeat must be >= 1, got {count}")
        self.source, self.count = source, count

    def sample(self, index: int) -> Sample:
        return self.source.sample(index % self.count)


class EncodedStream(Dataset[Encoded]):
    """Source and codec behind integer indices."""

    def __init__(
        self, source: Source, codec: Codec, max_length: int | None = None, doing: torch.Tensor | None = None
    ) -> None:
        """
        Args:
            doing: (workers, 2) int64 in shared memory: process and index of the sample that each worker is drawing.
        """
        self.source, self.codec, self.max_length, self.doing = source, codec, max_length, doing

    def __getitem__(self, index: int) -> Encoded:
        info = get_worker_info()
        if info is not None and self.doing is not None:
            self.doing[info.id] = torch.tensor([os.getpid(), index])
        try:
            return self._draw(index)
        except Exception as error:
            error.add_note(f"This was sample {index} of its split.")
            raise

    def _draw(self, index: int) -> Encoded:
        for later in range(TRIES):
            item = fitted(self.codec, self.source.sample(index + later), self.max_length)
            if item is not None:
                return item
        raise ValueError(f"{TRIES} samples from {index} on are all longer than {self.max_length} tokens")


def fitted(codec: Codec, sample: Sample, max_length: int | None) -> Encoded | None:
    """A sample as tokens, its oldest given frames left out while it is too long; None when one frame is too long."""
    item = codec.encode(sample)
    while max_length is not None and len(item.input_ids) > max_length:
        if len(sample.given) == 1:
            return None
        sample = replace(sample, given=sample.given.window(1, len(sample.given)))
        item = codec.encode(sample)
    return item


class IndexBatches(Sampler[list[int]]):
    """Batches of consecutive indices from batch `start` on, striding over ranks.

    Endless, or the first `samples` indices alone: the last batch may be shorter.
    """

    def __init__(self, *, size: int, start: int = 0, rank: int = 0, ranks: int = 1, samples: int | None = None) -> None:
        self.size, self.start, self.rank, self.ranks, self.samples = size, start, rank, ranks, samples

    def __iter__(self) -> Iterator[list[int]]:
        firsts = count((self.start * self.ranks + self.rank) * self.size, self.ranks * self.size)
        for first in firsts:
            if self.samples is not None and first >= self.samples:
                return
            last = first + self.size
            yield list(range(first, last if self.samples is None else min(last, self.samples)))


def collate(items: Sequence[Encoded], *, pad: int) -> Batch:
    """Right-padded tensors."""
    longest = max(len(item.input_ids) for item in items)
    ids = np.full((len(items), longest), pad, np.int64)
    labels = np.full((len(items), longest), -100, np.int64)
    event = np.zeros((len(items), longest), bool)
    for row, item in enumerate(items):
        length = len(item.input_ids)
        ids[row, :length], labels[row, :length], event[row, :length] = item.input_ids, item.labels, item.event
    return Batch(
        input_ids=torch.from_numpy(ids),
        labels=torch.from_numpy(labels),
        event=torch.from_numpy(event),
        seed=torch.tensor([item.seed for item in items]),
    )


def worker(_number: int) -> None:
    """What a worker process is: one thread, which ends with its trainer and not before.

    Ctrl-C, `timeout` and batch systems signal the whole process group. The trainer finishes its step and saves, and
    needs its workers for that.
    """
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):  # the last two are SLURM's
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":  # elsewhere torch looks every five seconds whether the trainer is still there
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@atexit.register  # after multiprocessing's own, which would send SIGTERM and wait, so it comes before it
def _end_workers() -> None:
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


class WatchedLoader(DataLoader[Any]):
    """Names a dead worker also where its pipe breaks, while a batch is read, before torch sees the death."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch promises an iterator of its own
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                doing = self.dataset.doing if isinstance(self.dataset, EncodedStream) else None
                if doing is not None and (dead := _dead({int(pid) for pid, _ in doing})):
                    pids = ", ".join(map(str, dead))
                    raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from error
                raise
            yield batch


def _dead(pids: set[int]) -> list[int]:
    """Those of this process's children that are dead, as soon as one is."""
    deadline = time.monotonic() + SEEN
    while True:
        try:
            dead = pids - {0} - {child.pid for child in multiprocessing.active_children()}  # 0: has drawn nothing yet
            if dead or time.monotonic() > deadline:
                return sorted(dead)
            time.sleep(0.02)
        except RuntimeError:  # torch's own answer to the signal of a child's death; once for a loader
            continue


class StreamData(lightning.LightningDataModule):
    """Training stream and a fixed head of the validation stream."""

    def __init__(
        self,
        *,
        train: Source,
        val: Source,
        codec: Codec,
        micro_batch: int,
        val_samples: int = 512,
        num_workers: int = 1,
        max_length: int | None = None,
    ) -> None:
        """
        Args:
            max_length: tokens of an example at most (see `fitted`); one that cannot be cut down gives way to the next.
        """
        super().__init__()
        self.train, self.val, self.codec = train, val, codec
        self.micro_batch, self.val_samples, self.num_workers = micro_batch, val_samples, num_workers
        self.max_length = max_length
        self.start = 0  # batches already consumed, per rank
        self.doing: torch.Tensor | None = None  # what the workers of the training stream are at, see `EncodedStream`

    def died(self, error: RuntimeError) -> str:
        """What a worker was at that died, by what torch says of it; '' where the error is another one."""
        found = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*)", str(error))
        if found is None:
            return ""
        pids = {int(pid) for pid in found.group(1).split(",")}
        rows = [] if self.doing is None else self.doing.tolist()
        samples = ", ".join(str(index) for pid, index in rows if pid in pids)
        how = found.group(2).split(". ")[0].rstrip(". ")
        return f"A worker of the data died ({how}) while it drew training sample {samples or 'unknown'}"

    def _loader(self, source: Source, batches: IndexBatches, workers: int) -> DataLoader[Any]:
        doing = torch.zeros((workers, 2), dtype=torch.int64).share_memory_() if workers else None
        self.doing = doing if doing is not None else self.doing
        return WatchedLoader(
            EncodedStream(source, self.codec, self.max_length, doing),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=partial(collate, pad=int(self.codec.tokenizer.pad_token_id)),
            worker_init_fn=worker,
            prefetch_factor=8 if workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def train_dataloader(self) -> DataLoader[Any]:
        trainer = self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        batches = IndexBatches(size=self.micro_batch, start=self.start, rank=rank, ranks=ranks)
        return self._loader(self.train, batches, self.num_workers)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.val, IndexBatches(size=self.micro_batch, samples=self.val_samples), 0)

    def state_dict(self) -> dict[str, Any]:
        # Batches the trainer has finished, not batches a worker has prefetched.
        total: Any = self.trainer.fit_loop.epoch_loop.batch_progress.total if self.trainer is not None else None
        return {"batches": self.start if total is None else total.processed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.start = int(state_dict["batches"])
