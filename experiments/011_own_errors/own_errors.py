"""Is a model worse on states that it brought about itself than on true ones? If so, training on its own rollouts pays.

    python experiments/011_own_errors/own_errors.py --run shipped --scenes 6

Every scene is rolled out by the model. At some frames the simulator is restarted from the model's own state, and from
the true state of the same moment, and the model is asked for the same single frame: how far are the velocities off,
and how large is what the simulator did to them? Writes numbers.csv beside this file.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from physworld import scenarios
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.sim.pymunk_sim import simulate
from physworld.text.evaluation.evaluation import Evaluation
from physworld.text.rollout import rollout
from physworld.types import Trajectory

HERE = Path(__file__).parent
FRAMES = (0, 2, 5, 10, 20, 29)  # on its own output when the question is asked
KINDS = ("own", "true")
COLUMNS = ("frames", "states", "model", "change", "ratio", "low", "high", "scenes")


def squares(starts: list[Trajectory], said: list[Trajectory]) -> np.ndarray:
    """(n, 2) per moment: mean over bodies of the squared velocity error, and of what the simulator did to them."""
    found = []
    for start, guess in zip(starts, said, strict=True):
        state = start.frame(-1)
        after = simulate(start.scene, 2, start=state).frame(1)
        fallen = state.velocity + np.asarray(start.scene.gravity) * start.scene.dt
        error = np.square(guess.frame(0).velocity - after.velocity).sum(-1).mean()
        found.append((error, np.square(after.velocity - fallen).sum(-1).mean()))
    return np.array(found)


def interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Root of the ratio of the means, and its 95 % bootstrap interval over scenes."""
    drawn = rng.integers(len(values), size=(2000, len(values)))
    means = values[drawn].mean(axis=1)
    low, high = np.quantile(np.sqrt(means[:, 0] / means[:, 1]), (0.025, 0.975))
    return float(np.sqrt(values[:, 0].mean() / values[:, 1].mean())), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="shipped", help="a run directory")
    parser.add_argument("--scenes", type=int, default=6, help="of each seen type")
    options = parser.parse_args()
    directory = runs.find_run(options.run, "--run")
    network, codec, config = load_model(directory, torch.device("cpu"))
    evaluation = Evaluation(
        rollouts=1, val_rollouts=1, frames=max(FRAMES) + 1, horizons=[1], latest_start=60, batch_size=64,
        guided=True, pictures=0,
    )  # fmt: skip
    cases = evaluation.sample_cases(
        codec, config["scenario"]["names"], [1, 2, 3, 4, 5], split="val", seed=0, per_scenario=options.scenes,
        trained_on=scenarios.names(),
    )  # fmt: skip
    rows, rng = [], np.random.default_rng(0)
    with torch.inference_mode():
        own = rollout(network, codec, cases.given, max(FRAMES) + 1).predicted
        for frames in FRAMES:
            for kind, path in zip(KINDS, (own, cases.truth), strict=True):
                starts = [given.then(p.window(0, frames)) for given, p in zip(cases.given, path, strict=True)]
                values = squares(starts, rollout(network, codec, starts, 1).predicted)
                ratio = interval(values, rng)
                sizes = np.sqrt(values.mean(axis=0))
                rows.append(dict(zip(COLUMNS, (frames, kind, *sizes, *ratio, len(values)), strict=True)))
                print(rows[-1], flush=True)
    with (HERE / "numbers.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
