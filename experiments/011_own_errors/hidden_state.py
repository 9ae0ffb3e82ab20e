"""How much of the next half second is not in the state at all? The simulator restarted against the one that goes on.

    python experiments/011_own_errors/hidden_state.py --scenes 20

Chipmunk's contact solver begins every frame with the impulses of the frame before; no text holds these. Writes
hidden_state.csv beside this file: by what is restarted, RMSE after 30 frames and contacts found within a frame.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from physworld import scenarios
from physworld.metrics.errors import position_rmse
from physworld.metrics.events import score_events
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.islands import IslandCodec
from physworld.text.evaluation.baselines import rounded_state
from physworld.text.evaluation.evaluation import Evaluation
from physworld.text.sources.on_policy import answer
from physworld.types import Trajectory

HERE = Path(__file__).parent
FRAMES = 30
CODEC = IslandCodec()
RESTARTS: dict[str, Callable[[Trajectory], Trajectory]] = {
    "exact state": lambda given: simulate(given.scene, FRAMES + 1, start=given.frame(-1)).window(1, FRAMES + 1),
    "exact state, solver warmed by one frame": lambda given: answer(given.scene, given.frame(-1), FRAMES),
    "state as the text rounds it (the floor)": lambda given: rounded_state(given, FRAMES, CODEC.round_state),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20, help="of each seen type")
    options = parser.parse_args()
    evaluation = Evaluation(
        rollouts=1, val_rollouts=1, frames=FRAMES, horizons=[FRAMES], latest_start=60, batch_size=64,
        guided=True, pictures=0,
    )  # fmt: skip
    cases = evaluation.sample_cases(
        CODEC, scenarios.seen(), [1, 2, 3, 4, 5], split="val", seed=0, per_scenario=options.scenes,
        trained_on=scenarios.seen(),
    )  # fmt: skip
    rows = []
    for name, restart in RESTARTS.items():
        errors, found, there = [], 0, 0
        for given, truth in zip(cases.given, cases.truth, strict=True):
            said = restart(given)
            errors.append(position_rmse(truth, said, FRAMES))
            score = score_events(truth, said, given.frame(-1))
            found, there = found + score.matched, there + score.true
        drawn = np.random.default_rng(0).integers(len(errors), size=(2000, len(errors)))
        low, high = np.quantile(np.array(errors)[drawn].mean(axis=1), (0.025, 0.975))
        row = (name, len(errors), np.mean(errors), low, high, np.median(errors), found / there, there)
        rows.append(
            dict(zip(("restart", "scenes", "px", "low", "high", "median", "recall", "contacts"), row, strict=True))
        )
        print(rows[-1], flush=True)
    with (HERE / "hidden_state.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
