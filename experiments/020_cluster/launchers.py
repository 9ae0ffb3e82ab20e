"""The same grid through every launcher, and on two processes: are the figures equal?

    python experiments/020_cluster/launchers.py FOLDER [--through basic joblib submitit_local ray]

Two seeds a launcher, three steps each: a few minutes of one core. Prints a line a job; ends with an error where two
launchers differ in a byte of the weights or of the rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[2] / "tests/helpers")]

from kills import SMALL  # noqa: E402

from commands import ended  # noqa: E402

SEEDS = (0, 1)
THROUGH = ("basic", "joblib", "submitit_local", "ray")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--through", nargs="+", default=THROUGH, choices=THROUGH)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    found: dict[int, dict[str, tuple[float, str, str]]] = {seed: {} for seed in SEEDS}
    print("| launcher | seed | score | rows.jsonl | model.safetensors | s |\n| :-- | --: | --: | :-- | :-- | --: |")
    for launcher in options.through:
        began = time.monotonic()
        done = ended(
            *(options.folder, "train.py", "-m", f"hydra/launcher={launcher}", f"seed={','.join(map(str, SEEDS))}"),
            *("steps=3", f"hydra.sweep.dir={launcher}", *SMALL),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        seconds = time.monotonic() - began
        for place, seed in enumerate(SEEDS):
            run = options.folder / launcher / str(place)
            score = json.loads((run / "run.json").read_text())["score"]
            rows, weights = (
                hashlib.sha256((run / name).read_bytes()).hexdigest()[:12]
                for name in ("rows.jsonl", "model/model.safetensors")
            )
            found[seed][launcher] = (score, rows, weights)
            print(f"| {launcher} | {seed} | {score!r} | {rows} | {weights} | {seconds:.0f} |", flush=True)
    different = [seed for seed, results in found.items() if len(set(results.values())) > 1]
    if different:
        raise SystemExit(f"Launchers differ in seed {different}.")
    print("Equal through all of them.")


if __name__ == "__main__":
    main()
