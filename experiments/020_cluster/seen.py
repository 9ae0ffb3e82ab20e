"""train.py that writes down which samples each rank was given: SEEN + number of the rank gets a list a pass.

Run alone or by torchrun; see README.md.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from physworld.training.callbacks import SeedEachPass  # noqa: E402

seen: list[list[int]] = []
begin = SeedEachPass.on_train_batch_start


def noted(self: Any, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
    begin(self, trainer, module, batch, batch_idx)
    seen.append(batch.seed.tolist())
    Path(os.environ["SEEN"] + os.environ.get("RANK", "0")).write_text(json.dumps(seen))


if __name__ == "__main__":
    SeedEachPass.on_train_batch_start = noted  # type: ignore[method-assign]
    sys.argv[0] = str(ROOT / "train.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
