"""How do loss and skill follow parameters and samples, and what would one H100-day buy?

    python experiments/010_scaling/scaling.py --out outputs/010_scaling

Trains every width for every number of steps (each with its own decay of the learning rate) and every seed, fits
Chinchilla's form L(N, D) = E + A N^-a + B D^-b (Hoffmann et al. 2022, arXiv 2203.15556) to the validation losses, and
refits it with each pair of width and steps left out to tell what the fit can be trusted with. Finished runs are kept;
`--only SEED` trains one seed's runs and fits nothing, so that two cores can share the work.
Writes runs.csv, fit.json and scaling.png.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

HERE = Path(__file__).parent
WIDTHS, STEPS, SEEDS, WINDOWS = (32, 64, 128, 192), (60, 180, 540), (0, 1), 128
POSITIONS = 25  # of an island of these scenes, on average, words of the answer included
H100_DAY = 0.4 * 989e12 * 86400  # FLOP: 40 % of the data sheet's dense bf16 peak
STREAM_DAY = 3300 * 15 * 86400  # windows that 15 cores simulate in a day at benchmarks/loader.py's rate a core
COLUMNS = (
    "width",
    "steps",
    "seed",
    "parameters",
    "in_blocks",
    "windows",
    "seconds",
    "loss",
    "ratio10",
    "ratio30",
    "held_out30",
)


def train(width: int, steps: int, seed: int, out: Path) -> dict:
    """One run's figures; a finished run is not made again."""
    folder = out / f"{width}x{steps}_seed{seed}"
    if not (folder / "metrics.json").is_file():
        words = (
            f"experiment=default_cpu codec=islands model.network.width={width} steps={steps} seed={seed} "
            f"validate_every={steps} evaluation.pictures=0 evaluation.rollouts=6 evaluation.val_rollouts=1 "
            f"hydra.run.dir={folder}"
        )
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "train.py", *words.split()], check=True, env=environment, stdout=subprocess.DEVNULL
        )
    metrics = json.loads((folder / "metrics.json").read_text())
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    cost = metrics["cost"]
    ratios = [metrics["seen"]["horizons"][h]["ratio_best"]["mean"] for h in ("10", "30")]
    held_out = metrics["held_out"]["horizons"]["30"]["ratio_best"]["mean"]
    figures = (
        width, steps, seed, cost["parameters"], 4 * 12 * width**2, cost["samples"], cost["seconds"],
        events.Scalars("loss/val")[-1].value, *ratios, held_out,
    )  # fmt: skip
    return dict(zip(COLUMNS, figures, strict=True))


def law(p: np.ndarray, size: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Loss of a model of `size` parameters after `data` windows."""
    e, log_a, a, log_b, b = p
    return e + np.exp(log_a - a * np.log(size)) + np.exp(log_b - b * np.log(data))


def fit(size: np.ndarray, data: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Parameters (E, log A, a, log B, b) of least squares in log loss, the best of several beginnings."""
    best = None
    for e in (0.5, 0.8, 0.95):
        for a in (0.2, 0.5):
            for b in (0.3, 0.6, 1.0):
                start = np.array([e * loss.min(), np.log(0.3) + a * np.log(size[0]), a, b * np.log(data[0]), b])
                low, high = [0, -30, 0.02, -30, 0.02], [loss.min(), 60, 3, 60, 3]
                found = least_squares(
                    lambda p: np.log(law(p, size, data)) - np.log(loss), np.clip(start, low, high), bounds=(low, high)
                )
                best = found if best is None or found.cost < best.cost else best
    assert best is not None
    return best.x


def power(size: np.ndarray, data: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """(log c, a, b) of least squares for ratio = c N^-a D^-b: no floor is in sight yet."""
    columns = np.stack([np.ones(len(size)), -np.log(size), -np.log(data)], axis=1)
    found: np.ndarray = np.linalg.lstsq(columns, np.log(ratio), rcond=None)[0]
    return found


def one_day(p: np.ndarray, flops: float, most: float) -> tuple[float, float, float]:
    """(parameters, windows, loss) that the law thinks best for 6 N D positions = flops and at most so many windows."""
    size = np.geomspace(1e5, 1e11, 2000)
    data = np.minimum(flops / (6 * size * POSITIONS), most)
    loss = law(p, size, data)
    k = int(loss.argmin())
    return float(size[k]), float(data[k]), float(loss[k])


def draw(rows: list[dict], p: np.ndarray) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
    for colour, width in zip(colours, WIDTHS, strict=True):
        mine = [r for r in rows if r["width"] == width]
        data, loss = np.array([r["windows"] for r in mine]), np.array([r["loss"] for r in mine])
        size = mine[0]["parameters"]
        line = np.geomspace(data[0], 20 * data[-1], 100)
        axes[0].plot(data, loss, "o", color=colour, label=f"{size / 1e6:.2f} M parameters")
        axes[0].plot(line, law(p, np.full(100, size), line), "-", color=colour)
        compute, ratio = 6 * size * data * POSITIONS, np.array([r["ratio30"] for r in mine])
        for axis, values in ((axes[1], loss), (axes[2], ratio)):
            axis.plot(compute, values, "o", color=colour)
            mean = [values[data == n].mean() for n in np.unique(data)]
            axis.plot(np.unique(compute), mean, "-", color=colour)
    for axis, name in zip(axes, ("windows", "FLOP (6 N D)", "FLOP (6 N D)"), strict=True):
        axis.set(xscale="log", xlabel=name)
    axes[0].set_ylabel("validation loss, nats a token")
    axes[1].set_ylabel("validation loss, nats a token")
    axes[2].set(ylabel="RMSE@30, model / best baseline", yscale="log")
    axes[2].axhline(1, color="#999999", linewidth=1)
    axes[0].legend(frameon=False)
    figure.savefig(HERE / "scaling.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/010_scaling"))
    parser.add_argument("--only", type=int, metavar="SEED", choices=SEEDS)
    options = parser.parse_args()
    rows = []
    for width in WIDTHS:
        for steps in STEPS:
            for seed in SEEDS if options.only is None else (options.only,):
                rows.append(train(width, steps, seed, options.out))
                print(rows[-1], flush=True)
    if options.only is not None:
        return
    with (HERE / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    size, data, loss = (np.array([row[name] for row in rows], float) for name in ("parameters", "windows", "loss"))
    whole = fit(size, data, loss)
    cells = [np.flatnonzero((size == n) & (data == d)) for n in np.unique(size) for d in np.unique(data)]
    left_out = [fit(*(np.delete(x, cell) for x in (size, data, loss))) for cell in cells]
    error = np.log(law(whole, size, data)) - np.log(loss)
    skill = {}
    for name in ("ratio30", "held_out30"):
        ratio = np.array([row[name] for row in rows], float)
        laws = np.array([power(*(np.delete(x, cell) for x in (size, data, ratio))) for cell in cells])
        law30 = power(size, data, ratio)
        said = law30[0] - law30[1] * np.log(size) - law30[2] * np.log(data)
        skill[name] = {
            "log c, a, b": law30.tolist(),
            "a, b with each left out": {"low": laws.min(axis=0)[1:].tolist(), "high": laws.max(axis=0)[1:].tolist()},
            "rms error": float(np.sqrt(np.mean((said - np.log(ratio)) ** 2))),
        }
    days = np.array([one_day(p, H100_DAY, STREAM_DAY) for p in (whole, *left_out)])
    answer = {
        "E, log A, a, log B, b": whole.tolist(),
        "each left out": [p.tolist() for p in left_out],
        "rms error of the fit": float(np.sqrt((error**2).mean())),
        "error at those left out": [
            float(np.mean(np.log(law(p, size[cell], data[cell]) / loss[cell])))
            for cell, p in zip(cells, left_out, strict=True)
        ],
        "skill = c N^-a D^-b": skill,
        "one H100-day": dict(zip(("parameters", "windows", "loss"), days[0], strict=True)),
        "one H100-day, range over fits": {"low": days.min(axis=0).tolist(), "high": days.max(axis=0).tolist()},
    }
    (HERE / "fit.json").write_text(json.dumps(answer, indent=1) + "\n")
    print(json.dumps(answer, indent=1))
    draw(rows, whole)


if __name__ == "__main__":
    main()
