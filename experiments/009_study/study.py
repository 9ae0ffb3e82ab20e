"""What makes a small model learn physics? One thing is changed at a time, at equal compute.

    python experiments/009_study/study.py --seconds 75 --seeds 0 1 --out outputs/009_study

Every run gets the same seconds of one core: a short run tells an arm's seconds per step, and from them follow its
steps. Finished runs are kept, so the command can be stopped and said again, and two commands with different --arms
may fill the same folder. Writes numbers.csv beside this file from all runs that are there.
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
PUBLISHED = (
    "model.network.learned_positions=2048 model.optimizer=adamw model.learning_rate=0.0006 "
    "data.source.event_fraction=0 data.source.kicked_scenes=0"
)
# arm -> what differs from the base: islands of impulse text, numbers by value, events, kicks, Muon, 128 x 4
ARMS = {
    "impulse text, islands (base)": "",
    "published: card text, digits, absolute positions, AdamW": f"codec=card {PUBLISHED}",
    "card text, otherwise as the base": "codec=card evaluation.rollouts=2",
    "engine text, four frames": "codec=engine evaluation.rollouts=2",  # slow to judge
    "engine text, one frame": "codec=engine codec.context_frames=1 evaluation.rollouts=2",
    "impulse text, whole frames": "codec=impulse",
    "published otherwise, but impulse text": f"codec=islands {PUBLISHED} model.network.numeric_embedding=false",
    "published otherwise, but impulse text, numbers by value": f"codec=islands {PUBLISHED}",
    "numbers as words": "model.network.numeric_embedding=false model.network.smoothing=0",
    "numbers by value, one-hot targets": "model.network.smoothing=0",
    "learned positions": "model.network.learned_positions=512",
    "AdamW": "model.optimizer=adamw model.learning_rate=0.003",
    "EMA 0.99": "model.ema_decay=0.99",
    "windows drawn evenly": "data.source.event_fraction=0",
    "contacts weigh 4": "model.event_weight=4",
    "no kicks": "data.source.kicked_scenes=0",
    "easier first": "curriculum=progressive curriculum.difficulties=[1,2] curriculum.samples_per_stage={half}",
    "difficulties one by one": (
        "curriculum=progressive curriculum.difficulties=[1,2] curriculum.keep_easier=false "
        "curriculum.samples_per_stage={half}"
    ),
    "width 64": "model.network.width=64",
    "width 192": "model.network.width=192",
    "prompts read as a whole": "model.network.prefix=true",
    "only what is struck is an event": "data.source.include_resting=false",
    "relations": "model.network.relations=true",
    "relations, struck islands, median": (
        "model.network.relations=true model.network.median=true data.source.include_resting=false "
        "codec.collision_sampling=0.5"
    ),
}
# The base of all arms; what has become a default since is switched off.
COMMON = (
    "experiment=default_cpu codec=islands validate_every=1000000 evaluation.pictures=0 evaluation.rollouts=6 "
    "model.network.relations=false model.network.median=false data.source.include_resting=true"
)
# Frames written out take minutes a rollout on a CPU: few windows a step, so that there are steps, and 10 frames.
WRITTEN = "global_batch=16 evaluation.frames=10"
COLUMNS = (
    "arm", "seed", "steps", "windows", "seconds", "parameters", "types", "h",
    "model", "best", "ratio", "low", "high", "parsed", "rollouts",
)  # fmt: skip


def overrides(arm: str, steps: int) -> str:
    """The words of an arm's command line."""
    own = ARMS[arm].replace("{half}", str(steps // 2 * 128))
    written = any(codec in own for codec in ("codec=card", "codec=engine"))
    return f"{COMMON} {WRITTEN if written else ''} {own} steps={steps}"


def train(words: str, folder: Path) -> dict:
    """The metrics of a run; one that is finished is not made again."""
    if not (folder / "metrics.json").is_file():
        command = [sys.executable, "train.py", *words.split(), f"hydra.run.dir={folder}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads((folder / "metrics.json").read_text())


def seconds_per_step(arm: str, folder: Path) -> float:
    """Between a run of 4 and one of 16 steps, so that what is compiled and read only once does not count."""
    short = "evaluation.rollouts=1 evaluation.frames=1"
    few = [train(f"{overrides(arm, n)} {short}", folder / str(n)) for n in (4, 16)]
    return (few[1]["cost"]["seconds"] - few[0]["cost"]["seconds"]) / 12


def table(metrics: dict, group: str) -> list[tuple]:
    """Per horizon: group, horizon, RMSE px of model and best baseline, their ratio, its interval, parsed, rollouts."""
    rows = []
    for horizon, figures in metrics[group]["horizons"].items():
        rmse = {name: value["mean"] for name, value in figures["rmse"].items()}
        ratio = figures["ratio_best"]
        rows.append(
            (
                group, horizon, rmse["model"], rmse[figures["best_baseline"]], ratio["mean"], ratio["low"],
                ratio["high"], metrics[group]["parse_rate"], ratio["count"],
            )
        )  # fmt: skip
    return rows


def collect(out: Path) -> list[dict]:
    """Rows of all finished runs."""
    rows = []
    for arm in ARMS:
        for path in sorted((out / folder_name(arm)).glob("seed*/metrics.json")):
            metrics = json.loads(path.read_text())
            cost, steps = metrics["cost"], json.loads((path.parents[1] / "steps.json").read_text())
            seed = path.parent.name.removeprefix("seed")
            run = (arm, seed, steps, cost["samples"], cost["seconds"], cost["parameters"])
            for group in ("seen", "held_out"):
                rows += [dict(zip(COLUMNS, (*run, *figures), strict=True)) for figures in table(metrics, group)]
    return rows


def folder_name(arm: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in arm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=75, help="of training per run, on one core")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM", help="by their names"
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/009_study"))
    options = parser.parse_args()
    for arm in options.arms:
        folder = options.out / folder_name(arm)
        steps_file = folder / "steps.json"
        if not steps_file.is_file():
            steps = max(20, round(options.seconds / seconds_per_step(arm, folder / "speed")))
            steps_file.write_text(json.dumps(steps))
        steps = json.loads(steps_file.read_text())
        for seed in options.seeds:
            metrics = train(f"{overrides(arm, steps)} seed={seed}", folder / f"seed{seed}")
            print(arm, seed, steps, [round(row[4], 3) for row in table(metrics, "seen")], flush=True)
        rows = collect(options.out)
        with (HERE / "numbers.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
