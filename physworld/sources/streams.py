"""L2: sources made of sources; each stays a function of the index alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from physworld.types import Sample


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
