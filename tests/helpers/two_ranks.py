"""train.py, once for each list of arguments between `--`, that also writes every pass's loss of its rank to
$ALL_LOSSES + number of the run + _ + rank; run by test_pretrained_run."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from physworld.lm.finetune import FinetuneModule

ROOT = Path(__file__).resolve().parents[2]
seen: list[float] = []
training_step = FinetuneModule.training_step


def recorded(self: Any, batch: Any, index: int) -> Any:
    loss = training_step(self, batch, index)
    seen.append(float(loss.detach()))
    Path(os.environ["LOSSES"] + os.environ.get("RANK", "0")).write_text(json.dumps(seen))
    return loss


FinetuneModule.training_step = recorded  # type: ignore[method-assign]


def main(runs: list[list[str]]) -> None:
    """One run after another in the same processes; starting them is what takes the time."""
    for number, arguments in enumerate(runs):
        seen.clear()
        os.environ["LOSSES"] = f"{os.environ['ALL_LOSSES']}{number}_"
        sys.argv = ["train.py", *arguments]
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


if __name__ == "__main__":
    asked: list[list[str]] = [[]]
    for argument in sys.argv[1:]:
        if argument == "--":
            asked.append([])
        else:
            asked[-1].append(argument)
    main(asked)
