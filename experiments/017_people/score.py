"""Raw answers, per rule: a run beside engineer, random weights and nearest neighbour, and what is wrong with the rest.

python experiments/017_people/score.py RUN [PAYLOADS [AXIS ...]]     # of the generator's test split, and those by hand
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

from by_hand import payloads  # noqa: E402

from physworld.metrics.bootstrap import bootstrap_mean  # noqa: E402
from physworld.runs.checkpoints import load_model  # noqa: E402
from physworld.spatial.evaluation import SpatialEvaluation, cell, known_figures, nearest_copy, repaired  # noqa: E402
from physworld.spatial.scene.brief import resolve  # noqa: E402
from physworld.spatial.scene.engineer import engineer  # noqa: E402
from physworld.spatial.scene.rules import check  # noqa: E402
from physworld.spatial.sources.drawn import SpatialSource  # noqa: E402
from physworld.types import Sample  # noqa: E402

SHOWN = (
    "parse", "schema", "strict", "budget", "anchor", "mono_low_end", "width_target", "avoid_masking", "motion_limit",
    "motion_pattern", "elevation_range", "keep_in_bed", "all_rules", "coverage", "honest",
)  # fmt: skip


UNTRAINED = 32  # payloads that random weights answer: they never end by themselves


def broken(said: list, samples: list[Sample]) -> list[tuple[str, int]]:  # type: ignore[type-arg]
    """What breaks profile or rules, most often first; an answer counts once for each."""
    found: Counter[str] = Counter()
    for data, sample in zip(said, samples, strict=True):
        if data is None:
            found["no JSON"] += 1
            continue
        report = check(data, sample.given.payload, sample.given)
        wrong = {re.sub(r"\[\d+\]", "", v.path) + ": " + re.sub(r"[\d.-]+", "N", v.message) for v in report.strict}
        wrong |= {f"rule {v.type}" for v in report.verdicts if v.status == "fail" and not report.contract}
        found.update(wrong | {"contract" for _ in report.contract[:1]} | {"budget" for _ in report.budget})
    return [(re.sub(r"\S{1,16} is also", "ID is also", name), n) for name, n in found.most_common(8)]


def main(run: Path, count: int, axes: list[str]) -> None:
    network, codec, config = load_model(run, torch.device("cpu"))
    torch.manual_seed(0)
    untrained = instantiate(config["model"]["network"])(codec.vocabulary).eval()
    judge = SpatialEvaluation(
        samples=1, samples_per_axis=1, val_samples=1, modes=["raw"], axes=["seen"], batch_size=64, random_weights=False,
        neighbours=0, repeated=0, pictures=0,
    )  # fmt: skip
    hand = []
    for n, payload in enumerate(payloads()):
        brief = resolve(payload)
        hand.append(Sample(seed=n, given=brief, target=engineer(payload, brief)))
    cases = {axis: [SpatialSource(seed=0, split="test", axis=axis).sample(k) for k in range(count)] for axis in axes}
    pool = [SpatialSource(seed=0, split="train", axis="mixed").sample(k) for k in range(1000)]
    for name, samples in {**cases, "by hand": hand}.items():
        said = judge.answer(network, codec, [sample.given for sample in samples], "raw").scenes
        rows = {"model": cell(said, samples), "model, repaired": repaired(said, samples)}
        rows["engineer"] = cell([sample.target for sample in samples], samples)
        rows["nearest neighbour"] = cell([nearest_copy(sample.given, pool) for sample in samples], samples)
        few = samples[:UNTRAINED]
        rows[f"random weights, n = {len(few)}"] = cell(
            judge.answer(untrained, codec, [sample.given for sample in few], "raw").scenes, few
        )
        print(f"\n| {name}, n = {len(samples)} | {' | '.join(SHOWN)} |\n| :-- |{' --: |' * len(SHOWN)}")
        for row, found in rows.items():
            figures = known_figures(found.scores)
            shown = [f"{100 * np.mean(figures[key]):.1f}" if key in figures else "-" for key in SHOWN]
            print(f"| {row} | {' | '.join(shown)} |")
        every = bootstrap_mean(known_figures(rows["model"].scores)["all_rules"])
        print(f"all rules, raw: {100 * every.mean:.1f} ({100 * every.low:.1f}-{100 * every.high:.1f})")
        print("broken:", "; ".join(f"{n} {what}" for what, n in broken(said, samples)), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("count", metavar="payloads", type=int, nargs="?", default=256)
    parser.add_argument("axes", metavar="axis", nargs="*", default=["seen", "people"])
    main(**vars(parser.parse_args()))
