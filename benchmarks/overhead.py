"""What Lightning and our callbacks cost beside a bare loop, and how long one waits for the first step.

    python benchmarks/overhead.py        # about two minutes of one core; writes results/overhead.json
    python benchmarks/overhead.py step   # one part, and no file

step      the same batches, drawn before, through the Trainer with all callbacks of a run and through a bare loop, in
          turn, so that what else the machine does falls on both. A step is the median of process CPU time.
help      `train.py --help`
smoke     `train.py debug=smoke`, from its start to the end of its first optimiser step

The last two are wall-clock and CPU seconds: on a machine that is busy only the second is comparable.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
RESULTS = Path(__file__).parent / "results" / "overhead.json"
STEPS, WARM, ROUNDS = 14, 4, 3
OPTIONS = (
    *("hardware=cpu", "hardware.num_workers=0", "global_batch=32", f"steps={STEPS}", f"validate_every={STEPS + 1}"),
    *(f"checkpoint_every={STEPS + 1}", "evaluation=quick", "model.ema_decay=0"),
)


def step_times() -> dict[str, float]:
    """Median CPU seconds of a step: through Lightning, and bare."""
    import torch
    from lightning.pytorch import LightningDataModule
    from lightning.pytorch.callbacks import Callback
    from omegaconf import OmegaConf
    from torch.utils.data import DataLoader

    from physworld.run import build
    from physworld.training.fit import fit

    from repository import composed

    torch.set_num_threads(1)
    cfg = composed("train", *OPTIONS)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    parts = build(cfg)
    stream = iter(parts.data.train_dataloader())
    batches = [next(stream) for _ in range(STEPS)]

    def loader(some: list[Any]) -> Any:
        return DataLoader(some, batch_size=None, collate_fn=lambda one: one)  # type: ignore[arg-type]

    class Drawn(LightningDataModule):
        def train_dataloader(self) -> Any:
            return loader(batches)

        def val_dataloader(self) -> Any:
            return loader(batches[:1])

    class Clock(Callback):
        def __init__(self) -> None:
            self.at: list[float] = []

        def on_train_batch_start(self, *_: Any) -> None:
            self.at.append(time.process_time())

    def lightning() -> list[float]:
        clock, fresh = Clock(), build(composed("train", *OPTIONS))
        ours = replace(fresh, data=Drawn(), callbacks=[*fresh.callbacks, clock])
        with tempfile.TemporaryDirectory() as folder:
            fit(cfg, resolved, ours, Path(folder) / "run", None, 0)
        return [b - a for a, b in zip(clock.at, clock.at[1:], strict=False)][WARM:]

    def bare() -> list[float]:
        module = build(composed("train", *OPTIONS)).module
        made = module.configure_optimizers()
        optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
        at = []
        for batch in batches:
            at.append(time.process_time())
            losses, event, _ = module._losses(batch)
            weight = torch.where(event, module.event_weight, 1.0)
            optimizer.zero_grad()
            ((losses * weight).sum() / weight.sum()).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        return [b - a for a, b in itertools.pairwise(at)][WARM:]

    times: dict[str, list[float]] = {"lightning": [], "bare": []}
    for _ in range(ROUNDS):
        times["bare"] += bare()
        times["lightning"] += lightning()
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {**medians, "ratio": medians["lightning"] / medians["bare"], "steps": len(times["bare"])}


def command(*words: str, until: str | None = None) -> dict[str, float]:
    """Wall and CPU seconds of a command, to its end or to a line that begins with `until`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *words], cwd=folder, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if until is not None and line.startswith(until):
                wall = time.monotonic() - began
                ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
                process.kill()
                process.wait()
                return {"wall": wall, "cpu": sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")}
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.monotonic() - began, "cpu": cpu}


def smoke() -> dict[str, float]:
    return command("debug=smoke", "hardware=cpu", "hydra.run.dir=run", until="step 1/3")


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "help": lambda: command("--help"),
    "smoke": smoke,
    "step": step_times,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; by default all")
    options = parser.parse_args()
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))} is no part; choose among {', '.join(PARTS)}")
    found: dict[str, Any] = {}
    for name, measure in PARTS.items():
        if name in (options.part or PARTS):
            found[name] = measure()
            print(name, json.dumps(found[name]), flush=True)
    if found.keys() == PARTS.keys():
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
