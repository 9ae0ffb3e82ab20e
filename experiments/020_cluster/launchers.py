"""The same grid through every launcher, and on two processes: are the figures equal?

    python experiments/020_cluster/launchers.py FOLDER [--through basic joblib submitit_local slurm ray]

Two seeds a launcher, three steps each: a few minutes of one core. Prints a line a job; ends with an error where two
launchers differ in a byte of the weights or of the rows. The same command goes on where it was ended. SLURM is left out
where there is none; one_node.sh makes one of this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/helpers")]

from kills import SMALL  # noqa: E402

SEEDS = (0, 1)
THROUGH = ("basic", "joblib", "submitit_local", "slurm", "ray")
MORE = {"slurm": ("hydra.launcher.cpus_per_task=1",)}


def sweep(folder: Path, launcher: str) -> None:
    words = [f"hydra/launcher={launcher}", f"seed={','.join(map(str, SEEDS))}", f"hydra.sweep.dir={launcher}"]
    with (folder / f"{launcher}.log").open("w") as log:  # in no pipe, which workers might hold open
        subprocess.run(
            [sys.executable, ROOT / "train.py", "-m", *words, "steps=3", *SMALL, *MORE.get(launcher, ())],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True, timeout=900,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--through", nargs="+", default=THROUGH, choices=THROUGH)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found: dict[int, dict[str, tuple[float, str, str]]] = {seed: {} for seed in SEEDS}
    print("| launcher | seed | score | rows.jsonl | model.safetensors | s |\n| :-- | --: | --: | :-- | :-- | --: |")
    for launcher in options.through:
        if launcher == "slurm" and shutil.which("sbatch") is None:
            print("slurm is left out: there is no sbatch here.")
            continue
        clock = options.folder / f"{launcher}.seconds"
        if not clock.is_file():
            began = time.monotonic()
            sweep(options.folder, launcher)
            clock.write_text(f"{time.monotonic() - began:.0f}")
        for place, seed in enumerate(SEEDS):
            run = options.folder / launcher / str(place)
            score = json.loads((run / "run.json").read_text())["score"]
            rows, weights = (
                hashlib.sha256((run / name).read_bytes()).hexdigest()[:12]
                for name in ("rows.jsonl", "model/model.safetensors")
            )
            found[seed][launcher] = (score, rows, weights)
            print(f"| {launcher} | {seed} | {score!r} | {rows} | {weights} | {clock.read_text()} |", flush=True)
    different = [seed for seed, results in found.items() if len(set(results.values())) > 1]
    if different:
        raise SystemExit(f"Launchers differ in seed {different}.")
    print("Equal through all of them.")


if __name__ == "__main__":
    main()
