"""Raw answers, per rule: a run beside engineer, random weights and nearest neighbour.

python experiments/017_people/score.py RUN [PAYLOADS]     # of the generator's test split, people's, and those by hand
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

from by_hand import payloads  # noqa: E402

from physworld.metrics.bootstrap import bootstrap_mean  # noqa: E402
from physworld.runs.checkpoints import load_model  # noqa: E402
from physworld.spatial.evaluation import SpatialEvaluation, cell, known_figures, nearest_copy, repaired  # noqa: E402
from physworld.spatial.scene.brief import resolve  # noqa: E402
from physworld.spatial.scene.engineer import engineer  # noqa: E402
from physworld.spatial.sources.drawn import SpatialSource  # noqa: E402
from physworld.types import Sample  # noqa: E402

SHOWN = (
    "parse", "schema", "strict", "budget", "anchor", "mono_low_end", "width_target", "avoid_masking", "motion_limit",
    "elevation_range", "keep_in_bed", "all_rules", "coverage", "honest",
)  # fmt: skip


def main(run: Path, count: int) -> None:
    network, codec, _ = load_model(run, torch.device("cpu"))
    judge = SpatialEvaluation(
        samples=1, samples_per_axis=1, val_samples=1, modes=["raw"], axes=["seen"], batch_size=64, random_weights=False,
        neighbours=0, repeated=0, pictures=0,
    )  # fmt: skip
    hand = []
    for n, payload in enumerate(payloads()):
        brief = resolve(payload)
        hand.append(Sample(seed=n, given=brief, target=engineer(payload, brief)))
    cases = {
        axis: [SpatialSource(seed=0, split="test", axis=axis).sample(k) for k in range(count)]
        for axis in ("seen", "people")
    }
    pool = [SpatialSource(seed=0, split="train", axis="mixed").sample(k) for k in range(1000)]
    for name, samples in {**cases, "by hand": hand}.items():
        said = judge.answer(network, codec, [sample.given for sample in samples], "raw").scenes
        rows = {"model": cell(said, samples), "model, repaired": repaired(said, samples)}
        rows["engineer"] = cell([sample.target for sample in samples], samples)
        rows["nearest neighbour"] = cell([nearest_copy(sample.given, pool) for sample in samples], samples)
        print(f"\n| {name}, n = {len(samples)} | {' | '.join(SHOWN)} |\n| :-- |{' --: |' * len(SHOWN)}")
        for row, found in rows.items():
            figures = known_figures(found.scores)
            shown = [f"{100 * np.mean(figures[key]):.1f}" if key in figures else "-" for key in SHOWN]
            print(f"| {row} | {' | '.join(shown)} |")
        every = bootstrap_mean(known_figures(rows["model"].scores)["all_rules"])
        print(f"all rules, raw: {100 * every.mean:.1f} ({100 * every.low:.1f}-{100 * every.high:.1f})", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 256)
