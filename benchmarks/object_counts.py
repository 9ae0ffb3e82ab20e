"""How many bodies each scenario really draws: writes physworld/scenarios/README.md.

Takes about a minute of one core.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import numpy as np

from physworld import scenarios
from physworld.scenarios._parts import CARD_COUNTS
from physworld.seeding import generator

TARGET = Path(scenarios.__path__[0]) / "README.md"
HEAD = """# Scenarios

{count} types in six categories. Each is one file here that holds `CATEGORY` and `build(rng, difficulty) -> Scene`; the
file name is the registry. Half of all scenes are mirrored. Marked ○ types are held out: no training run may draw from
them. Where something does work on the bodies, `ENERGY_SOURCES` names it.

## Bodies per scene

Smallest / median / largest over {seeds} seeds (`python benchmarks/object_counts.py`), by difficulty;
`curriculum=stage0` to `stage4` select difficulty 1 to 5. The model card's ranges are {card}; a type that stays below
them, or starts above them, says why in its file.

| type | works on bodies | 1 | 2 | 3 | 4 | 5 |
|---|---|---|---|---|---|---|
"""


def counts(name: str, difficulty: int, seeds: int) -> tuple[int, int, int]:
    """Smallest, median and largest number of bodies."""
    drawn = [len(scenarios.build(name, generator(0, "val", seed), difficulty).bodies) for seed in range(seeds)]
    return min(drawn), int(np.median(drawn)), max(drawn)


def page(seeds: int) -> str:
    card = ", ".join(f"{low}-{high}" for low, high in CARD_COUNTS.values()) + "+"
    lines = [HEAD.format(count=len(scenarios.names()), seeds=seeds, card=card)]
    for category in scenarios.CATEGORIES:
        lines.append(f"| **{category}** | | | | | | |\n")
        for name in scenarios.names():
            if scenarios.category(name) != category:
                continue
            cells = (" / ".join(map(str, counts(name, difficulty, seeds))) for difficulty in scenarios.DIFFICULTIES)
            held = " ○" if name in scenarios.HELD_OUT else ""
            sources = ", ".join(scenarios.energy_sources(name))
            lines.append(f"| {name}{held} | {sources} | {' | '.join(cells)} |\n")
    lines.append("\n## What each is about\n\n")
    for name in scenarios.names():
        about = (importlib.import_module(f"physworld.scenarios.{name}").__doc__ or "").split("\n\n")[0]
        lines.append(f"- **{name}**: {' '.join(about.split())}\n")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    TARGET.write_text(page(parser.parse_args().seeds), encoding="utf-8")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
