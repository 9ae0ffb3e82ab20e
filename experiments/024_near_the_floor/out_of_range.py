"""One table of several evaluations with `suite=ood`: ratios to the best baseline by shift and by type.

    for first in 0 5 10 15; do
        python evaluate.py run=solver suite=ood scenario=seen +suite.first_index=$first limit=5 evaluation.rollouts=5 \
            evaluation.starts=3 evaluation.pictures=0 hydra.run.dir=outputs/ood_$first
    done
    python experiments/024_near_the_floor/out_of_range.py outputs/ood_0 outputs/ood_5 outputs/ood_10 outputs/ood_15

Five scenes of each type at a time take some 5 GB of memory; all twenty would take four times that.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from physworld.metrics.bootstrap import paired_ratio
from physworld.metrics.scores import BASELINES, FLOOR, MODEL

METRIC = "rmse@30"
Rows = list[dict[str, Any]]


def means(rows: Rows) -> dict[str, np.ndarray]:
    """Method -> (scenes,) mean over starts, and "types" -> (scenes,)."""
    errors: dict[tuple[str, int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        error = np.inf if row[METRIC] is None else row[METRIC]
        errors[row["scenario"], row["index"], row["shift"]][row["method"]].append(error)
    found = {
        method: np.array([np.mean(some[method]) for some in errors.values()]) for method in (MODEL, FLOOR, *BASELINES)
    }
    return {**found, "types": np.array([name for name, *_ in errors])}


def line(name: str, rows: Rows) -> str:
    scenes = means(rows)
    types = scenes.pop("types")
    over_types = {
        method: np.mean([errors[types == one].mean() for one in np.unique(types)]) for method, errors in scenes.items()
    }
    best = min(BASELINES, key=lambda method: over_types[method])
    ratio = paired_ratio(scenes[MODEL], scenes[best], groups=types.tolist())
    rollouts = sum(row["method"] == MODEL for row in rows)
    return (
        f"| {name} | {len(types):,} | {rollouts:,} | {best} | {ratio.mean:.3f} ({ratio.low:.3f}–{ratio.high:.3f}) | "
        f"{over_types[FLOOR] / over_types[best]:.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", nargs="+", type=Path, help="folders with rows.jsonl")
    rows: Rows = []
    for folder in parser.parse_args().evaluations:
        if not (folder / "rows.jsonl").is_file():
            parser.error(f"{folder} holds no rows.jsonl; give the folder of a finished evaluate.py suite=ood")
        with (folder / "rows.jsonl").open() as file:
            rows += [json.loads(text) for text in file]
    moved = [row for row in rows if row["shift"]]
    if len(moved) in (0, len(rows)):
        parser.error(
            "scenes that are moved and the same as they are, are both wanted; evaluate.py suite=ood gives them"
        )
    print("| moved by | scenes | rollouts | best baseline | model / best baseline | floor |")
    print("| :-- | --: | --: | :-- | --: | --: |")
    print(line("moved", moved))
    print(line("as they are", [row for row in rows if not row["shift"]]))
    for shift in sorted({row["shift"] for row in moved}):
        print(line(shift, [row for row in moved if row["shift"] == shift]))
    ratios = {}
    for name in sorted({row["scenario"] for row in moved}):
        scenes = means([row for row in moved if row["scenario"] == name])
        ratios[name] = scenes[MODEL].mean() / min(scenes[method].mean() for method in BASELINES)
    print("\nby type:", ", ".join(f"{k} {v:.2f}" for k, v in sorted(ratios.items(), key=lambda pair: -pair[1])))
    for method in (MODEL, FLOOR):
        own = [row for row in moved if row["method"] == method]
        total = {part: sum(row[f"events_{part}_impulse"] or 0 for row in own) for part in ("found", "true")}
        print(f"contacts found by impulse, {method}: {total['found'] / total['true']:.1%}")
    unread = sum(not row["parsed"] for row in rows if row["method"] == MODEL)
    print(f"answers that could not be read: {unread}")


if __name__ == "__main__":
    main()
