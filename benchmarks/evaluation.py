"""How long one waits for an evaluation of a model that comes with physworld, and how fast its rollouts are.

    python benchmarks/evaluation.py                 # some minutes of one core
    python benchmarks/evaluation.py --beside DIR    # the same in another checkout, in turn, and the ratios
    python benchmarks/evaluation.py --rollouts      # rollouts alone
    python benchmarks/evaluation.py --run solver    # the other model, here; beside it still run=shipped

frames/s   24 scenes of eight types side by side, one scene of 8 to 12 bodies, and 84 scenes of 30 bodies or more side
           by side, in frames of one scene per CPU second
command    CPU seconds of `evaluate.py run=RUN suite=standard limit=1`, pictures and report included
tables     the share of that which scoring the rollouts and the bootstrap take
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORDS = ("suite=standard", "limit=1", "hydra.run.dir=out")
RESULTS = Path(__file__).parent / "results"
LARGE = 30  # bodies


def rollouts(run: str, frames: int) -> dict[str, float]:
    import torch

    from physworld import scenarios
    from physworld.runs.checkpoints import load_model
    from physworld.runs.directory import find_run
    from physworld.seeding import generator
    from physworld.sim.pymunk_sim import simulate
    from physworld.text.rollout import rollout

    torch.set_num_threads(1)
    network, codec, _ = load_model(find_run(run), torch.device("cpu"))
    names = scenarios.names()[::6]
    given = [simulate(scenarios.build(name, generator(0, "test", k), 2), 6) for name in names for k in range(3)]
    one = next(run for run in given if 8 <= len(run.scene.bodies) <= 12)
    found: dict[str, float] = {}
    drawn = (scenarios.build(name, generator(0, "test", k), 5) for k in range(20) for name in scenarios.names())
    many = [simulate(scene, 6) for scene in itertools.islice((s for s in drawn if len(s.bodies) >= LARGE), 84)]
    for title, some in (("side by side", given), ("one scene", [one]), ("large scenes", many)):
        rollout(network, codec, some, 1)  # compiles
        begin = time.process_time()
        rollout(network, codec, some, frames)
        found[f"{title}, frames/s"] = len(some) * frames / (time.process_time() - begin)
    return found


def command(run: str, tree: Path) -> dict[str, float]:
    from physworld.metrics.summary import summarise

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, str(tree / "evaluate.py"), f"run={run}", *WORDS],
            cwd=folder, check=True, capture_output=True, env=surroundings(tree),
        )  # fmt: skip
        rows = [json.loads(line) for line in (Path(folder) / "out" / "rows.jsonl").read_text().splitlines()]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    begin = time.process_time()
    summarise(rows)
    return {"command, s": whole, "tables, share": (time.process_time() - begin) / whole}


def surroundings(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, metavar="DIR", help="another checkout of physworld")
    parser.add_argument("--rollouts", action="store_true", help="no whole command, and no file is written")
    parser.add_argument("--run", choices=("shipped", "solver"), default="shipped")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        tree = Path(os.environ["PYTHONPATH"])
        more = {} if options.rollouts else command(options.run, tree)
        print(json.dumps({**rollouts(options.run, options.frames), **more}))
        return
    trees = {"here": ROOT, **({} if options.beside is None else {"beside": options.beside.resolve()})}
    found: dict[str, Any] = {name: [] for name in trees}
    words = [sys.executable, __file__, "--inner", "--frames", str(options.frames)]
    for _ in range(options.rounds):
        for name, tree in trees.items():
            run = options.run if name == "here" else "shipped"
            said = subprocess.run(
                [*words, "--run", run, *(["--rollouts"] if options.rollouts else [])],
                check=True, capture_output=True, text=True, env=surroundings(tree),
            )  # fmt: skip
            found[name].append(json.loads(said.stdout.splitlines()[-1]))
            print(name, {key: round(value, 3) for key, value in found[name][-1].items()}, flush=True)
    if options.beside is not None:
        for key in found["here"][0]:
            here, there = (sorted(row[key] for row in found[name])[options.rounds // 2] for name in trees)
            print(f"{key}: {here:.3g} here, {there:.3g} beside: {here / there:.2f} x")
    if not options.rollouts:
        name = "evaluation" if options.run == "shipped" else f"evaluation_{options.run}"
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
