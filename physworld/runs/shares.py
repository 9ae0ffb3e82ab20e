"""One evaluation in shares, by the ranks of torchrun or SLURM or by the jobs of a sweep.

Every process answers its part into the same cache, a file each; whoever writes the report reads them all there. So the
report is that of one process to the bit, and a process that dies or comes late changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from rich.console import Console

from physworld.errors import UserError
from physworld.reporting.progress import bar
from physworld.runs.pieces import Ask, Pieces
from physworld.settings import checks


@dataclass(frozen=True, kw_only=True)
class Share:
    number: int
    of: int
    reports: bool  # whether this process goes on to write the report

    @classmethod
    def asked(cls, *, shards: int | None, shard: int | None, cached: bool) -> Share:
        """As the command says; else as the launcher does, where it has started several processes.

        Raises:
            UserError: there is no such share, or no cache that they have in common.
        """
        checks.whole("shards", shards, 1, or_null=True)
        checks.whole("shard", shard, 0, or_null=True)
        ranks = ranks_here()
        if shard is not None:
            if shards is None:
                raise UserError(f"shard={shard} needs the number of them, for example shards={shard + 1}.")
            if shard >= shards:
                raise UserError(f"shard={shard} is not there: shards={shards} are numbered 0 to {shards - 1}.")
            found = cls(number=int(shard), of=int(shards), reports=False)
        elif shards is not None:
            raise UserError("shards= goes with shard=K, one command each; the command without both writes the report.")
        else:
            found = cls(number=ranks[0], of=ranks[1], reports=ranks[0] == 0)
        if (found.of > 1 or not found.reports) and not cached:
            raise UserError("Shares of an evaluation meet in the cache; give cache=DIR, which all of them can reach.")
        return found

    def device(self, device: torch.device) -> torch.device:
        """Ranks on one machine take its GPUs in turn."""
        if device.type != "cuda" or self.of == 1:
            return device
        local = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
        return torch.device("cuda", local % torch.cuda.device_count())

    def answer(self, pieces: Pieces, asked: Mapping[str, Ask], console: Console) -> None:
        """Answer this process's share of the pieces into their folder, with a progress bar."""
        with bar(f"Share {self.number} of {self.of}", len(asked), console) as advance:
            pieces.fill(asked, share=self.number, shares=self.of, done=lambda name: advance(1))
        console.print(
            f"Share {self.number} of {self.of} is answered; the answers are in {pieces.folder}.", soft_wrap=True
        )


def ranks_here() -> tuple[int, int]:
    """(number, count) of the processes that torchrun or srun started for one command."""
    for rank, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        if rank in os.environ and count in os.environ:
            return int(os.environ[rank]), int(os.environ[count])
    return 0, 1
