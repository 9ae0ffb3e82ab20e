"""Drawn payloads and the engineer's scenes as rows."""

from __future__ import annotations

import json
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from physworld.errors import UserError, suggest
from physworld.io.compression import written
from physworld.io.placing import placing
from physworld.reporting.progress import bar
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.settings import checks
from physworld.spatial.codecs.rows import row
from physworld.spatial.sources.drawn import EVERY, SpatialSource

console = screen()


def simulate(cfg: DictConfig) -> None:
    """Write drawn payloads and the engineer's scenes as rows {"prompt", "completion"}."""
    for name, least in (("count", 1), ("seed", 0)):
        checks.whole(name, cfg[name], least)
    checks.split(cfg.split)
    if cfg.axis not in EVERY:
        raise UserError(f"axis={cfg.axis} is unknown.{suggest(str(cfg.axis), EVERY)} Choose one of {', '.join(EVERY)}.")
    if cfg.format != "jsonl":
        raise UserError(f"format={cfg.format} is unknown for spatial scenes; their rows are jsonl.")
    if cfg.compress not in (None, "gz", "zst"):
        raise UserError(f"compress={cfg.compress} is unknown; choose gz or zst, or leave it out.")
    source = SpatialSource(seed=cfg.seed, split=cfg.split, axis=cfg.axis)
    name = f"{cfg.split}.jsonl" + (f".{cfg.compress}" if cfg.compress else "")
    directory = Path(str(cfg.out)) if cfg.out is not None else runs.relative(HydraConfig.get().runtime.output_dir)
    with placing(directory) as work, written(work / name) as file, bar("Drawing", cfg.count, console) as advance:
        for index in range(cfg.count):
            sample = source.sample(index)
            file.write(f"{json.dumps(row(sample.given.payload, sample.target))}\n".encode())
            advance(1)
    console.print(str(directory / name), soft_wrap=True)
