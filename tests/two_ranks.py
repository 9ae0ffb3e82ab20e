"""train.py that also writes every pass's loss of its rank to $LOSSES + rank; run by torchrun in test_pretrained_run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from physworld.models.finetuning import FineTuning

seen: list[float] = []
training_step = FineTuning.training_step


def recorded(self: Any, batch: Any, index: int) -> Any:
    loss = training_step(self, batch, index)
    seen.append(float(loss.detach()))
    Path(os.environ["LOSSES"] + os.environ.get("RANK", "0")).write_text(json.dumps(seen))
    return loss


FineTuning.training_step = recorded  # type: ignore[method-assign]

if __name__ == "__main__":
    import runpy

    runpy.run_path(str(Path(__file__).resolve().parent.parent / "train.py"), run_name="__main__")
