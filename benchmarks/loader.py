"""How much faster the loader feeds than the default model eats: `python benchmarks/loader.py` (see README.md here).

The loader (two workers that simulate and write text) and the optimiser steps are timed one after the other in the same
process, several times in turn, so that whatever else the machine does falls on both alike. The steps are those of
`python train.py`, on batches drawn beforehand. In training the two share the cores; a ratio of five leaves the workers
a sixth of one process's time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from stream import machine

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld.run import build
from physworld.types import Batch

COMMAND = "python benchmarks/loader.py"
RESULTS = Path(__file__).parent / "results" / "loader.json"
CONF = Path(__file__).resolve().parent.parent / "conf"


def step(module: Any, optimizer: Any, clip: float, batch: Batch) -> None:
    """One optimiser step, as the Trainer takes it."""
    optimizer.zero_grad()
    module._losses(batch)[0].mean().backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()


def rate(samples: int, began: float) -> float:
    return samples / (time.perf_counter() - began)


def measure(overrides: list[str], workers: int, batches: int, repeats: int) -> dict[str, Any]:
    """Samples a second: of the loader, of the model, and their ratio."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["hardware=cpu", f"hardware.num_workers={workers}", *overrides])
    parts = build(cfg)
    module = parts.module.train()
    optimizer = module.configure_optimizers()["optimizer"]
    ready = iter(parts.data.train_dataloader())
    held = list(itertools.islice(ready, 4))  # the workers have started and compiled once these are there
    step(module, optimizer, cfg.trainer.gradient_clip_val, held[0])
    del ready
    fed, eaten = [], []
    for _ in range(repeats):
        loader = iter(parts.data.train_dataloader())
        next(loader)
        began = time.perf_counter()
        fed.append(rate(sum(len(batch.seed) for batch in itertools.islice(loader, batches)), began))
        del loader  # its workers end
        began = time.perf_counter()
        for batch in held:
            step(module, optimizer, cfg.trainer.gradient_clip_val, batch)
        eaten.append(rate(sum(len(batch.seed) for batch in held), began))
    ratios = [f / e for f, e in zip(fed, eaten, strict=True)]
    return {
        "loader": round(statistics.median(fed), 1),
        "model": round(statistics.median(eaten), 1),
        "ratio": round(statistics.median(ratios), 2),
        "lowest": round(min(ratios), 2),
        "workers": workers,
        "batches": batches,
        "repeats": repeats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for train.py, for example model=gpt_small scenario=seen")
    parser.add_argument("--workers", type=int, default=2, help="loader processes (default 2)")
    parser.add_argument("--batches", type=int, default=60, help="batches per reading of the loader (default 60)")
    parser.add_argument("--repeats", type=int, default=5, help="readings (default 5)")
    given = parser.parse_args()
    result = measure(given.overrides, given.workers, given.batches, given.repeats)
    print(
        f"loader {result['loader']:.0f} samples/s with {given.workers} workers, model {result['model']:.0f} samples/s: "
        f"{result['ratio']:.1f} x (lowest of {given.repeats} readings {result['lowest']:.1f} x)"
    )
    if not given.overrides:
        RESULTS.write_text(json.dumps({"command": COMMAND, "machine": machine(), **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
