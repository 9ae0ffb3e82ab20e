"""Every recipe at the same compute, on the same scenes: one table.

    python experiments/014_equal_compute/equal_compute.py --minutes 6 --out outputs/014_equal_compute

A budget is minutes of one thread's CPU time, spent on training. Two short runs tell a recipe's CPU seconds per step;
from them follow its steps, which are kept in steps.json, so that the run can be repeated anywhere: with --hardware h100
on a GPU, in float32 as on a CPU. Finished rows are skipped and a run that was killed goes on from its last checkpoint,
so the command can be stopped in any way and said again; two commands with different --recipes may fill the same folder.
Writes numbers.csv and table.md beside this file: its rows stay, those of finished runs in --out are added or replace
their own, and the CPU seconds per step are those that it says, if it says any. --more NAME="OVERRIDES" adds a recipe.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from physworld.settings.groups import DEFAULT

HERE = Path(__file__).parent
NUMBERS = HERE / "numbers.csv"
# Digits take minutes a rollout on a CPU: few windows a step, so that there are steps, and two scenes of each type.
DIGITS = "global_batch=16 evaluation.rollouts=2"
BY_VALUE = (
    "experiment=smollm2_cpu curriculum=mixed evaluation=standard model.network.numbers=value evaluation.rollouts=2 "
    f"scenario.names=[{','.join(DEFAULT)}]"
)
RECIPES = {
    "impulse text, GPT": "codec=impulse",
    "islands of impulse text, GPT": "codec=islands",
    "islands with memory, SolverNet": "model=solver codec.memory=true model.network.known_springs=false",
    "impulse text, interaction network": "model=contacts",
    "impulse text, per-contact MLP": "model=contact_mlp",
    "plain text, PairNet": "model=plain",
    "plain text, interaction network": "model=interaction",
    "engine text, GPT, digits": f"codec=engine {DIGITS}",
    "card text, GPT, digits": f"codec=card {DIGITS}",
    "engine text, SmolLM2 with LoRA, by value": BY_VALUE,
}
COMMON = (  # a run is judged at its end: the one validation, which is there too, looks at one scene of each type
    "hardware=cpu hardware.num_workers=0 evaluation.pictures=0 evaluation.horizons=[1,10,30] evaluation.val_rollouts=1 "
    "seed={seed}"
)
PLACED = "hardware.precision=32-true hardware.num_workers=2 evaluation.batch_size=64"  # on a GPU
PROBES = (8, 32)  # steps of the two short runs that are compared
HORIZONS = ("1", "10", "30")
COLUMNS = (
    "recipe", "minutes", "seed", "steps", "windows", "cpu_s_per_step", "cpu_s", "parameters",
    "types", "h", "model", "best", "ratio", "low", "high", "parsed", "rollouts",
)  # fmt: skip


def name_of(recipe: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in recipe)


def train(words: str, folder: Path) -> dict:
    """The metrics of a run, one thread; `cpu.json` gets its CPU seconds. What is finished is not made again."""
    if not (folder / "metrics.json").is_file():
        last = folder / "checkpoints" / "last.ckpt"
        again = [f"ckpt={last}"] if last.is_file() else []
        said_last = {word.split("=")[0]: word for word in words.split()}
        command = [sys.executable, "train.py", *said_last.values(), *again, f"hydra.run.dir={folder}"]
        process = subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        said = process.stderr.read().decode() if process.stderr else ""
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)}\n{said[-2000:]}")
        if said_last["hardware"] == "hardware=cpu":
            (folder / "cpu.json").write_text(json.dumps(used.ru_utime + used.ru_stime))
    return json.loads((folder / "metrics.json").read_text())


def cpu_seconds(folder: Path) -> float | None:
    path = folder / "cpu.json"
    return float(json.loads(path.read_text())) if path.is_file() else None


def seconds_per_step(words: str, folder: Path) -> float:
    """CPU seconds between a run of few steps and one of some more, so that what is read and compiled once does not
    count."""
    used, short = [], "evaluation.rollouts=1 evaluation.frames=1 evaluation.horizons=[1]"
    train(f"{words} {short} steps=1 validate_every=1", folder / "warm")  # what is compiled is kept on disk from here on
    for steps in PROBES:
        where = folder / f"speed{steps}"
        if (where / "metrics.json").is_file() and cpu_seconds(where) is None:  # killed between the two files
            (where / "metrics.json").unlink()
        train(f"{words} {short} steps={steps} validate_every={steps}", where)
        used.append(cpu_seconds(where) or 0.0)
    return (used[1] - used[0]) / (PROBES[1] - PROBES[0])


def steps_of(words: str, folder: Path, minutes: float) -> tuple[int, float]:
    """(steps in the budget, CPU seconds per step), measured once, here or for a row that is kept."""
    path = folder / "seconds_per_step.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        said = [float(row["cpu_s_per_step"]) for row in kept_rows() if name_of(row["recipe"]) == folder.name]
        path.write_text(json.dumps(said[0] if said else seconds_per_step(words, folder)))
    each = float(json.loads(path.read_text()))
    kept = folder / f"{minutes:g}min" / "steps.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(max(10, round(60 * minutes / each))))
    return int(json.loads(kept.read_text())), each


def rows_of(recipe: str, out: Path) -> list[dict]:
    """All finished runs of a recipe."""
    rows, folder = [], out / name_of(recipe)
    for path in sorted(folder.glob("*min/seed*/metrics.json")):
        metrics = json.loads(path.read_text())
        run = {
            "recipe": recipe,
            "minutes": path.parents[1].name.removesuffix("min"),
            "seed": path.parent.name.removeprefix("seed"),
            "steps": json.loads((path.parents[1] / "steps.json").read_text()),
            "windows": metrics["cost"]["samples"],
            "cpu_s_per_step": json.loads((folder / "seconds_per_step.json").read_text()),
            "cpu_s": cpu_seconds(path.parent),
            "parameters": metrics["cost"]["parameters"],
        }
        for types in ("seen", "held_out"):
            for h, part in metrics[types]["horizons"].items():
                ratio, rmse = part["ratio_best"] or {}, part["rmse"]
                rows.append(
                    {
                        **run, "types": types, "h": h, "model": rmse["model"]["mean"],
                        "best": rmse[part["best_baseline"]]["mean"], "ratio": ratio.get("mean"),
                        "low": ratio.get("low"), "high": ratio.get("high"),
                        "parsed": metrics[types]["parse_rate"], "rollouts": metrics[types]["rollouts"],
                    }
                )  # fmt: skip
    return rows


def kept_rows() -> list[dict]:
    """The rows of numbers.csv, numbers as numbers."""
    if not NUMBERS.is_file():
        return []
    with NUMBERS.open(newline="") as file:
        rows: list[dict] = list(csv.DictReader(file))
    for row in rows:
        for name in ("steps", "windows", "parameters", "rollouts"):
            row[name] = int(row[name])
        for name in ("cpu_s_per_step", "cpu_s", "model", "best", "ratio", "low", "high", "parsed"):
            row[name] = float(row[name]) if row[name] else None
    return rows


def all_rows(recipes: list[str], out: Path) -> list[dict]:
    """Those that are kept, and those of finished runs in their place."""
    rows = {}
    for row in kept_rows() + [row for name in recipes for row in rows_of(name, out)]:
        rows[tuple(row[name] for name in ("recipe", "minutes", "seed", "types", "h"))] = row
    order = [*recipes, *(row["recipe"] for row in rows.values())]
    return sorted(rows.values(), key=lambda row: (order.index(row["recipe"]), float(row["minutes"]), row["seed"]))


def figure(value: float | None) -> str:
    return "∞" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def table(rows: list[dict]) -> str:
    """Markdown: ratio to the best baseline, with its interval, at each horizon, trained and held out."""
    head = ["recipe", "minutes", "seed", "steps", "windows", "parameters"]
    head += [f"{what} @{h}" for what in ("trained", "held out") for h in HORIZONS] + ["n", "parsed"]
    lines = ["| " + " | ".join(head) + " |", "| :-- |" + " --: |" * (len(head) - 1)]
    runs: dict[tuple, list[dict]] = {}
    for row in rows:
        runs.setdefault((float(row["minutes"]), row["recipe"], row["seed"]), []).append(row)
    for key in sorted(runs, key=lambda k: (k[0], list(dict.fromkeys(r["recipe"] for r in rows)).index(k[1]), k[2])):
        found = {(row["types"], row["h"]): row for row in runs[key]}
        first = runs[key][0]
        cells = [
            first["recipe"],
            first["minutes"],
            first["seed"],
            first["steps"],
            first["windows"],
            first["parameters"],
        ]
        texts = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells]
        for types in ("seen", "held_out"):
            for h in HORIZONS:
                row = found[types, h]
                bounds = f"({figure(row['low'])}–{figure(row['high'])})"
                texts.append(
                    "–" if row["ratio"] is None and row["model"] is not None else f"{figure(row['ratio'])} {bounds}"
                )
        seen, held = found["seen", "30"], found["held_out", "30"]
        texts += [f"{seen['rollouts']} + {held['rollouts']}", f"{seen['parsed']:.0%} / {held['parsed']:.0%}"]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[6], help="CPU minutes of one thread, per run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rollouts", type=int, default=10, help="scenes of each type that a run is judged on")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help="by their names; all when left out")
    parser.add_argument("--more", nargs="+", default=[], metavar="NAME=OVERRIDES", help="further recipes")
    parser.add_argument("--hardware", default="cpu", help="that makes the steps; the speed is always a CPU's")
    parser.add_argument("--out", type=Path, default=Path("outputs/014_equal_compute"))
    options = parser.parse_args()
    recipes = {**RECIPES, **dict(one.split("=", 1) for one in options.more)}
    chosen = list(recipes) if options.recipes is None else options.recipes
    unknown = [name for name in chosen if name not in recipes]
    if unknown:
        parser.error(f"there is no recipe {unknown[0]!r}; choose from: {'; '.join(recipes)}")
    placed = "" if options.hardware == "cpu" else f"hardware={options.hardware} {PLACED}"
    for minutes in options.minutes:
        for recipe in chosen:
            for seed in options.seeds:
                folder = options.out / name_of(recipe)
                words = f"evaluation.rollouts={options.rollouts} {COMMON.format(seed=seed)} {recipes[recipe]}"
                steps, _ = steps_of(words, folder, minutes)
                where = folder / f"{minutes:g}min" / f"seed{seed}"
                train(f"{words} steps={steps} validate_every={steps} {placed}", where)
                rows = all_rows(list(recipes), options.out)
                with NUMBERS.open("w", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
                (HERE / "table.md").write_text(table(rows), encoding="utf-8")
                print(f"{recipe}, {minutes:g} minutes, seed {seed}: {steps} steps", flush=True)


if __name__ == "__main__":
    main()
