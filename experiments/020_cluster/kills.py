"""SIGKILL at random moments, the same command again, and in the end the bytes of a run that nobody disturbed.

    python experiments/020_cluster/kills.py FOLDER --kills 50 [--seed 0]

Kills are dealt in turn to a training job, an evaluation, a dataset in shards and a search, each of smoke size: a
quarter of an hour of one core. Prints one line a kind, and writes them to FOLDER/kills.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[2] / "tests/helpers")]

from commands import ended, start  # noqa: E402

SMALL = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation.rollouts=1", "evaluation.val_rollouts=1"),
    *("evaluation.frames=2", "evaluation.horizons=[1]", "evaluation.pictures=0", "scenario.names=[projectile]"),
    *("data.stream.val_samples=4", "global_batch=4", "model.network.width=32", "model.network.depth=1"),
    *("data.source.frames=12", "model.optimizer=adamw", "checkpoint_every=1", "steps=8", "validate_every=4"),
)
KINDS = {
    "train": ("train.py", "-m", "seed=1", "hydra.sweep.dir=out", *SMALL),
    "evaluate": (
        *("evaluate.py", "run=shipped", "hardware=cpu", "scenario.names=[billiards,pendulum]", "evaluation.frames=6"),
        *("evaluation.rollouts=3", "evaluation.batch_size=1", "evaluation.pictures=0", "hydra.run.dir=out"),
        "evaluation.horizons=[1,6]",
    ),
    "simulate": ("simulate.py", "count=24", "frames=60", "shards=6", "out=out"),
    "search": ("train.py", "-m", "hparams_search=optuna", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=out", *SMALL),
}
KEPT = ("model.safetensors", "rows.jsonl", "optimization_results.yaml", "manifest.json", "timesteps.json")


def artefacts(folder: Path) -> dict[str, str]:
    """File -> sha256 of what holds no times, host names or places; of metrics.json without the seconds it cost."""
    found = {}
    for file in sorted((folder / "out").rglob("*")):
        name = str(file.relative_to(folder))
        if file.name == "metrics.json":
            metrics = json.loads(file.read_text())
            found[name] = hashlib.sha256(json.dumps(_timeless(metrics), sort_keys=True).encode()).hexdigest()
        elif file.is_file() and (file.name in KEPT or file.suffix == ".jsonl"):
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _timeless(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _timeless(value) for key, value in node.items() if key != "seconds"}
    return [_timeless(value) for value in node] if isinstance(node, list) else node


def whole(folder: Path, kind: str) -> float:
    """Run to the end; seconds."""
    began = time.monotonic()
    done = ended(folder, *KINDS[kind])
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    told: dict[str, dict[str, float]] = {}
    for place, kind in enumerate(options.kinds):
        kills = len(range(place, options.kills, len(options.kinds)))
        calm, hit = (options.folder / kind / name for name in ("calm", "hit"))
        for folder in (calm, hit):
            folder.mkdir(parents=True)
        seconds = whole(calm, kind)
        wanted, landed, starts = artefacts(calm), 0, 0
        # Rounds of two kills or so: a run that goes on gets shorter, and must be killed while it runs.
        while landed < kills:
            starts += 1
            command = start(hit, *KINDS[kind])
            command.process.join(chance.uniform(0, seconds))
            if command.process.is_alive():
                command.kill()
                landed += 1
            elif landed < kills:
                assert artefacts(hit) == wanted, f"{kind}: differs after {landed} kills"
                hit = options.folder / kind / f"hit{starts}"
                hit.mkdir()
        whole(hit, kind)
        assert artefacts(hit) == wanted, f"{kind}: differs after {landed} kills"
        told[kind] = {"kills": landed, "starts": starts, "files": len(wanted), "seconds": round(seconds, 1)}
        (options.folder / "kills.json").write_text(json.dumps(told, indent=1) + "\n")
        print(f"{kind}: {landed} kills in {starts} starts, {len(wanted)} files equal ({seconds:.0f} s undisturbed)")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
