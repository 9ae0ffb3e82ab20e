"""How a training writes its checkpoints; `runs.checkpoints` reads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from physworld.io.atomic import replacing
from physworld.runs.checkpoints import LAST, by_step


class AtomicCheckpointIO(TorchCheckpointIO):
    """The previous checkpoint stays whole until the new one is: Lightning's own way copies over it."""

    def __init__(self, keep: int = 1) -> None:
        """
        Args:
            keep: how many of the checkpoints that were called last.ckpt stay; from 2 on as step_N.ckpt, too.
        """
        super().__init__()
        self.keep = keep

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as temporary, temporary.open("wb") as stream:
            try:
                torch.save(checkpoint, stream)
            except RuntimeError as error:  # how torch ends when the disk is full, the cause in its context
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        if self.keep > 1 and Path(path).name == LAST:
            _keep(Path(path), int(checkpoint["global_step"]), self.keep)


def _keep(last: Path, step: int, count: int) -> None:
    """`last` under the name of its step as well, which takes no room; names of older steps go.

    So do names of later steps, which a run that went back to an earlier one has given up.
    """
    named = last.with_name(f"step_{step}.ckpt")
    named.unlink(missing_ok=True)
    try:
        os.link(last, named)
    except OSError:  # a file system without links
        shutil.copy2(last, named)
    kept = by_step(last.parent)
    first = kept.index(named)
    for old in kept[:first] + kept[first + count :]:
        old.unlink()
