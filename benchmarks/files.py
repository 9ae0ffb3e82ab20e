"""What writing scenes as files costs beside simulating them: CPU time of one core, mean over every type and difficulty.

Takes under a minute.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from physworld import scenarios
from physworld.text.shards import Dataset, Recipe

FORMATS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds, result)"""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    names, difficulties = scenarios.names(), scenarios.DIFFICULTIES
    count = len(names) * len(difficulties)
    recipe = Recipe(names=names, difficulties=tuple(difficulties), frames=200, split="train", seed=0)
    seconds, runs = timed(lambda: [recipe.draw(k) for k in range(count)])
    bodies = sum(len(run.scene.bodies) for run in runs) / count
    print(f"{count} scenes, {recipe.frames} frames, {bodies:.1f} bodies on average")
    print("| format | ms per scene, with simulating | kB per scene |\n| :-- | --: | --: |")
    print(f"| none | {1e3 * seconds / count:.1f} | |")
    for suffix in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            data = Dataset(recipe=recipe, directory=Path(folder), count=count, shards=1, suffix=suffix)
            seconds, _ = timed(lambda data=data: data.write(say=lambda line: None))  # type: ignore[misc]
            size = sum(path.stat().st_size for path in Path(folder).rglob("scene_*"))
            size += sum(path.stat().st_size for path in Path(folder).glob("*.parquet"))
        print(f"| {suffix} | {1e3 * seconds / count:.1f} | {size / count / 1e3:.0f} |")


if __name__ == "__main__":
    main()
