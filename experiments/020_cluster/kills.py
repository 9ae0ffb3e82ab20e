"""SIGKILL at random moments, the same command again, and in the end the bytes of a run that nobody disturbed.

    python experiments/020_cluster/kills.py FOLDER --kills 50 [--seed 0]

Kills are dealt in turn to a training job, an evaluation, a dataset in shards and a search of six trials, each of smoke
size. Prints one line a kind, and writes them to FOLDER/kills.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[2] / "tests/helpers")]

from physworld.runs.trial import optuna, storage  # noqa: E402

from commands import ended, start  # noqa: E402

SMALL = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation.rollouts=1", "evaluation.val_rollouts=1"),
    *("evaluation.frames=2", "evaluation.horizons=[1]", "evaluation.pictures=0", "scenario.names=[projectile]"),
    *("data.stream.val_samples=4", "global_batch=4", "model.network.width=32", "model.network.depth=1"),
    *("data.source.frames=12", "model.optimizer=adamw", "checkpoint_every=1", "validate_every=4"),
)
TRIALS = 6
KINDS = {
    "train": ("train.py", "-m", "seed=1", "hydra.sweep.dir=out", "steps=8", *SMALL),
    "evaluate": (
        *("evaluate.py", "run=shipped", "hardware=cpu", "scenario.names=[billiards,pendulum]", "evaluation.frames=6"),
        *("evaluation.rollouts=3", "evaluation.batch_size=1", "evaluation.pictures=0", "hydra.run.dir=out"),
        "evaluation.horizons=[1,6]",
    ),
    "simulate": ("simulate.py", "count=24", "frames=60", "shards=6", "out=out"),
    "search": (
        *("train.py", "-m", "hparams_search=optuna", f"hydra.sweeper.n_trials={TRIALS}", "hydra.sweep.dir=out"),
        *("steps=4", *SMALL),
    ),
}
KEPT = ("model.safetensors", "rows.jsonl", "optimization_results.yaml", "manifest.json", "timesteps.json")
APART = ("seconds", "commit")  # what it cost; "-dirty" once somebody edits a file while this runs


def artefacts(folder: Path) -> dict[str, str]:
    """File -> sha256 of what holds no times, host names or places; of metrics.json without its seconds and commit."""
    found = {}
    for file in sorted((folder / "out").rglob("*")):
        name = str(file.relative_to(folder))
        if file.name == "metrics.json":
            metrics = json.loads(file.read_text())
            found[name] = hashlib.sha256(json.dumps(_timeless(metrics), sort_keys=True).encode()).hexdigest()
        elif file.is_file() and (file.name in KEPT or file.suffix == ".jsonl"):
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    found |= {f"trial {number}": told for number, told in enumerate(trials(folder))}
    return found


def trials(folder: Path) -> list[str]:
    """What a search's study says of each trial: state, settings, figure."""
    journal = folder / "out" / "study.journal"
    if not journal.is_file():
        return []
    (study,) = optuna().get_all_study_summaries(storage(str(journal)))
    kept = optuna().load_study(study_name=study.study_name, storage=storage(str(journal))).get_trials()
    return [f"{trial.state.name} {trial.params} {trial.value!r}" for trial in kept]


def _timeless(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _timeless(value) for key, value in node.items() if key not in APART}
    return [_timeless(value) for value in node] if isinstance(node, list) else node


def whole(folder: Path, kind: str) -> float:
    """Run to the end; seconds."""
    began = time.monotonic()
    done = ended(folder, *KINDS[kind])
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    told: dict[str, dict[str, float]] = {}
    for place, kind in enumerate(options.kinds):
        kills = len(range(place, options.kills, len(options.kinds)))
        calm, hit = (options.folder / kind / name for name in ("calm", "hit"))
        for folder in (calm, hit):
            folder.mkdir(parents=True)
        seconds = whole(calm, kind)
        wanted, landed, starts, most = artefacts(calm), 0, 0, 0
        if kind == "search":
            assert [one.split()[0] for one in trials(calm)] == ["COMPLETE"] * TRIALS
        # A run that goes on gets shorter, and must be killed while it runs: a round ends where a kill comes too late.
        this_round = 0
        while landed < kills:
            starts += 1
            began = time.monotonic()
            command = start(hit, *KINDS[kind])
            command.process.join(chance.uniform(0, seconds))
            if command.process.is_alive():
                command.kill()
                landed, this_round = landed + 1, this_round + 1
                most = max(most, this_round)
            else:
                assert command.process.exitcode == 0, command.said + command.complained
                assert artefacts(hit) == wanted, f"{kind}: {hit} differs after {this_round} kills"
                if not this_round:  # the first of all commands loads libraries, too
                    seconds = min(seconds, time.monotonic() - began)
                hit = options.folder / kind / f"hit{starts}"
                hit.mkdir()
                this_round = 0
        whole(hit, kind)
        assert artefacts(hit) == wanted, f"{kind}: {hit} differs after {this_round} kills"
        told[kind] = {
            "kills": landed,
            "starts": starts,
            "most": most,
            "equal": len(wanted),
            "seconds": round(seconds, 1),
        }
        (options.folder / "kills.json").write_text(json.dumps(told, indent=1) + "\n")
        print(
            f"{kind}: {landed} kills in {starts} starts, up to {most} of one run; {len(wanted)} files and trials equal "
            f"({seconds:.0f} s undisturbed)",
            flush=True,
        )


if __name__ == "__main__":
    main()
