"""Scenes that another program made: PhysicsLLMEngine's own generator and exporter, as Scene JSONL.

    git clone https://github.com/AlexWortega/PhysicsLLMEngine outputs/engine
    python experiments/024_near_the_floor/peer_scenes.py outputs/engine outputs/peer --seeds 3
    python evaluate.py run=solver scenes=outputs/peer evaluation.starts=3

Its modules are imported, so look at them first. The seeds lie where those of its validation split do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

FIRST = 5_000_000  # where its validation split begins
FRAMES = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path, help="a checkout of it")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="scenes of each of its types")
    options = parser.parse_args()
    if not (options.engine / "src" / "data" / "exporter.py").is_file():
        parser.error(f"{options.engine} is no checkout of PhysicsLLMEngine: it has no src/data/exporter.py")
    sys.path.insert(0, str(options.engine))
    from src.data.exporter import export_simulation  # type: ignore[import-not-found]
    from src.physics.scenario_generator import SCENARIO_TYPES, generate_scenario  # type: ignore[import-not-found]

    options.out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(sorted(SCENARIO_TYPES)):
        for seed in range(FIRST + 1000 * number, FIRST + 1000 * number + options.seeds):
            made, about = generate_scenario(seed=seed, scenario_type=name)
            export_simulation(made, FRAMES, str(options.out / f"{name}_{seed}.jsonl"), seed=seed, metadata=about)
    print(f"{len(SCENARIO_TYPES)} types, {options.seeds} scenes each, in {options.out}")


if __name__ == "__main__":
    main()
