"""One evaluation in shares, by the ranks of torchrun or SLURM or by the jobs of a sweep.

Every process answers batches into the same cache, a file each; whoever writes the report reads them all there. So the
report is that of one process to the bit, and a process that dies or comes late changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from physworld.errors import UserError
from physworld.settings import checks


@dataclass(frozen=True, kw_only=True)
class Share:
    number: int
    of: int
    reports: bool  # whether this process goes on to write the report

    @classmethod
    def asked(cls, cfg: DictConfig) -> Share:
        """As the command says; else as the launcher does, where it has started several processes.

        Raises:
            UserError: there is no such share, or no cache that they have in common.
        """
        checks.whole("shards", cfg.shards, 1, or_null=True)
        checks.whole("shard", cfg.shard, 0, or_null=True)
        ranks = ranks_here()
        if cfg.shard is not None:
            if cfg.shards is None:
                raise UserError(f"shard={cfg.shard} needs the number of them, for example shards={cfg.shard + 1}.")
            if cfg.shard >= cfg.shards:
                raise UserError(
                    f"shard={cfg.shard} is not there: shards={cfg.shards} are numbered 0 to {cfg.shards - 1}."
                )
            found = cls(number=int(cfg.shard), of=int(cfg.shards), reports=False)
        elif cfg.shards is not None:
            raise UserError("shards= goes with shard=K, one command each; the command without both writes the report.")
        else:
            found = cls(number=ranks[0], of=ranks[1], reports=ranks[0] == 0)
        if found.of > 1 and cfg.cache is None:
            raise UserError("Shares of an evaluation meet in the cache; give cache=DIR, which all of them can reach.")
        return found

    def device(self, device: torch.device) -> torch.device:
        """Ranks on one machine take its GPUs in turn."""
        if device.type != "cuda" or self.of == 1:
            return device
        local = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
        return torch.device("cuda", local % torch.cuda.device_count())


def ranks_here() -> tuple[int, int]:
    """(number, count) of the processes that torchrun or srun started for one command."""
    for rank, count in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        if rank in os.environ and count in os.environ:
            return int(os.environ[rank]), int(os.environ[count])
    return 0, 1


def total(evaluations: Sequence[tuple[Any, Any]]) -> int:
    """Frames that (evaluation, cases) pairs ask for."""
    return sum(len(cases.given) * evaluation.frames * (1 + evaluation.samples) for evaluation, cases in evaluations)
