"""Tables of a `suite=ood` evaluation with intervals: by family and level, and by type over all of them.

    python experiments/008_long_run/out_of_distribution.py outputs/DATE/TIME

A family holds one scene of each type, so scenes are resampled whatever their type; the rollouts of one scene (its
starts) are averaged first. Over all families a type has some twenty scenes, and these are resampled within types.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physworld.metrics.bootstrap import paired_ratio
from physworld.metrics.scores import BASELINES, MODEL

AT = "rmse@30"
Rows = dict[str, dict[tuple[str, str], float]]  # method -> (type, shift) -> mean over starts, px


def per_scene(rows: Sequence[dict[str, Any]], column: str = AT) -> Rows:
    values: dict[str, dict[tuple[str, str], list[float]]] = {}
    for row in rows:
        values.setdefault(row["method"], {}).setdefault((row["scenario"], row["shift"]), []).append(row[column])
    return {m: {key: float(np.mean(v)) for key, v in scenes.items()} for m, scenes in values.items()}


def cell(scenes: Rows, keys: Sequence[tuple[str, str]], by_type: bool) -> tuple[str, float]:
    """`ratio (low-high)` of the model to the best single baseline on these scenes, and the ratio."""
    model, *others = (np.array([scenes[m][key] for key in keys]) for m in (MODEL, *BASELINES))
    best = min(others, key=np.mean)
    ratio = paired_ratio(model, best, groups=[key[0] for key in keys] if by_type else None)
    return f"{ratio.mean:.2f} ({ratio.low:.2f}–{ratio.high:.2f})", ratio.mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="output folder of the evaluation")
    folder = parser.parse_args().run
    with (folder / "rows.jsonl").open() as file:
        scenes = per_scene([json.loads(line) for line in file])
    keys = list(scenes[MODEL])
    shifts = sorted({shift for _, shift in keys})
    print("| scenes | " + " | ".join(f"level {level}" for level in ("0.25", "0.5", "1")) + " | scenes |")
    families: dict[str, list[str]] = {}
    for shift in shifts:
        families.setdefault(shift.partition("@")[0], []).append(shift)
    for family, levels in families.items():
        here = [[key for key in keys if key[1] == shift] for shift in levels]
        texts = [cell(scenes, some, by_type=False)[0] for some in here]
        print(f"| {family or 'as they are'} | " + " | ".join(texts) + f" | {', '.join(str(len(s)) for s in here)} |")
    moved = [key for key in keys if key[1]]
    text, _ = cell(scenes, moved, by_type=True)
    types = sorted({name for name, _ in moved})
    by_type = {name: cell(scenes, [key for key in moved if key[0] == name], by_type=False) for name in types}
    fewest = min(sum(key[0] == name for key in moved) for name in types)
    below = sum(ratio < 1 for _, ratio in by_type.values())
    print(f"all that are moved: {text}, {len(moved)} scenes, {fewest} of a type or more; below on {below}/{len(types)}")
    for name, (said, _) in sorted(by_type.items(), key=lambda item: -item[1][1])[:8]:
        print(f"{name}: {said}")


if __name__ == "__main__":
    main()
