"""What makes a small model learn physics? One thing is changed at a time, at equal compute.

    python experiments/008_study/study.py --seconds 150 --seeds 0 1 --out outputs/008_study

Every run gets the same seconds of one core: a short run tells an arm's seconds per step, and from them follow its
steps. Finished runs are kept, so the command can be stopped and said again. Writes numbers.csv beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# arm -> what differs from the base: islands of impulse text, numbers by value, events, kicks, Muon, 128 x 4
ARMS = {
    "published: card text, digits, absolute positions, AdamW": (
        "codec=card model.network.absolute=2048 model.optimizer=adamw model.learning_rate=0.0006 "
        "data.source.event_fraction=0 data.source.kicked_scenes=0"
    ),
    "card text": "codec=card",
    "card text, learned positions": "codec=card model.network.absolute=2048",
    "engine text": "codec=engine",
    "engine text, one frame": "codec=engine codec.context_frames=1",
    "impulse text, whole frames": "codec=impulse",
    "impulse text, islands (base)": "",
    "numbers as words": "model.network.by_value=false model.network.smoothing=0",
    "numbers by value, one-hot targets": "model.network.smoothing=0",
    "learned positions": "model.network.absolute=512",
    "windows drawn evenly": "data.source.event_fraction=0",
    "only windows with events": "data.source.event_fraction=1",
    "no kicks": "data.source.kicked_scenes=0",
    "width 64": "model.network.width=64",
    "width 192": "model.network.width=192",
    "depth 2": "model.network.depth=2",
    "depth 8": "model.network.depth=8",
    "AdamW": "model.optimizer=adamw model.learning_rate=0.003",
    "EMA 0.99": "model.ema_decay=0.99",
    "easier first": "curriculum=progressive curriculum.difficulties=[1,2] curriculum.samples_per_stage={half}",
    "difficulties one by one": (
        "curriculum=progressive curriculum.difficulties=[1,2] curriculum.keep_easier=false "
        "curriculum.samples_per_stage={half}"
    ),
    "batch 32": "global_batch=32",
    "batch 512": "global_batch=512",
}
COMMON = (
    "experiment=default_cpu codec=islands validate_every=1000000 evaluation.pictures=0 evaluation.rollouts={rollouts}"
)
COLUMNS = ("arm", "seed", "steps", "samples", "seconds", "parameters", "group", "h", "model", "best", "ratio", "parsed")


def train(words: str, folder: Path) -> dict:
    """The metrics of a run; one that is finished is not made again."""
    if not (folder / "metrics.json").is_file():
        command = [sys.executable, "train.py", *words.split(), f"hydra.run.dir={folder}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads((folder / "metrics.json").read_text())


def seconds_per_step(words: str, folder: Path) -> float:
    """Between a run of 10 and one of 40 steps, so that what is compiled and read only once does not count."""
    few = [train(f"{words} steps={n} evaluation=quick evaluation.rollouts=1", folder / str(n)) for n in (10, 40)]
    return (few[1]["cost"]["seconds"] - few[0]["cost"]["seconds"]) / 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150, help="of training per run, on one core")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rollouts", type=int, default=10, help="per scenario type in the evaluation")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), help="some of the arms, by their names")
    parser.add_argument("--out", type=Path, default=Path("outputs/008_study"))
    options = parser.parse_args()
    rows = []
    for arm in options.arms:
        folder = options.out / "".join(c if c.isalnum() else "_" for c in arm)
        words = f"{COMMON} {ARMS[arm]}".format(rollouts=options.rollouts, half=128)
        steps = max(20, round(options.seconds / seconds_per_step(words, folder / "speed")))
        words = f"{COMMON} {ARMS[arm]}".format(rollouts=options.rollouts, half=steps // 2 * 128)
        for seed in options.seeds:
            metrics = train(f"{words} seed={seed} steps={steps}", folder / f"seed{seed}")
            cost = metrics["cost"]
            for group in ("seen", "held_out"):
                run = (arm, seed, steps, cost["samples"], cost["seconds"], cost["parameters"])
                rows += [dict(zip(COLUMNS, (*run, *figures), strict=True)) for figures in table(metrics, group)]
            print(arm, seed, steps, [row["ratio"] for row in rows[-2 * len(metrics["horizons"]) :]], flush=True)
        with (HERE / "numbers.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def table(metrics: dict, group: str) -> list[tuple]:
    """Per horizon: group, horizon, RMSE px of model and best single baseline, ratio, share of readable rollouts."""
    rows = []
    for horizon, figures in metrics[group]["horizons"].items():
        rmse = {name: value["mean"] for name, value in figures["rmse"].items()}
        best = min(rmse[name] for name in ("copy_last", "linear", "ballistic"))
        rows.append((group, horizon, rmse["model"], best, rmse["model"] / best, metrics[group]["parse_rate"]))
    return rows


if __name__ == "__main__":
    main()
