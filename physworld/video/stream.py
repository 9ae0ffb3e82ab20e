"""`StreamData` for clips: a batch is simulated, drawn and encoded in one go, in the process that trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from physworld.data import IndexBatches, StreamData
from physworld.types import ClipBatch, Sample


class ClipSource(Protocol):
    def samples(self, indices: Sequence[int]) -> list[Sample]: ...


class ClipCodec(Protocol):
    def encode(self, samples: Sequence[Sample]) -> ClipBatch: ...


class ClipStream(Dataset[ClipBatch]):
    """A list of indices becomes one batch."""

    def __init__(self, source: ClipSource, codec: ClipCodec) -> None:
        self.source, self.codec = source, codec

    def __getitems__(self, indices: list[int]) -> ClipBatch:
        return self.codec.encode(self.source.samples(indices))


def _whole(batch: Any) -> Any:
    return batch


class ClipData(StreamData):
    """Batches of latents. No worker processes: one launch draws a whole batch, on the GPU where there is one."""

    def _loader(self, source: Any, batches: IndexBatches, workers: int) -> DataLoader[Any]:
        codec: Any = self.codec  # of clips, not of text
        return DataLoader(ClipStream(source, codec), batch_sampler=batches, num_workers=0, collate_fn=_whole)
