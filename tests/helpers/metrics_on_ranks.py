"""Every accumulated metric on the ranks of torchrun: each rank sees its own share, rank 0 writes what `compute` says.

    torchrun --nproc_per_node=2 tests/helpers/metrics_on_ranks.py OUT.json

Without torchrun one process sees all: `figures(0, 1)`.
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from physworld.accumulators import Means, Samples
from physworld.metrics.scores import score_rollouts
from physworld.seeding import generator
from physworld.spatial.metrics import score_scene
from physworld.spatial.sources.drawn import SpatialSource
from physworld.spatial.validation import RuleRates
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.evaluation.evaluation import EvalCases
from physworld.text.validation import RolloutErrors
from physworld.types import Body, Scene, Trajectory
from physworld.video.summary import PreferenceError

COUNT = 7  # samples: rank 0 of two has four of them, rank 1 three
HORIZONS = [1, 4]


@functools.cache
def cases() -> EvalCases:
    """Straight flights of two scenario types."""
    paths = []
    for n in range(COUNT):
        rng = generator(0, "test", n)
        body = Body(shape="circle", size=(10.0,), position=(100.0, 100.0))
        scene = Scene(name=f"type{n % 2}", category="test", difficulty=1, text="", bodies=(body,), gravity=(0.0, 0.0))
        position = rng.normal(0, 30, (6, 1, 2)).cumsum(axis=0)
        still = np.zeros((6, 1))
        paths.append(Trajectory(scene=scene, position=position, velocity=np.zeros((6, 1, 2)), angle=still, spin=still))
    meta: Any = [{"index": n, "start_frame": 0, "seed": 0, "held_out": False} for n in range(COUNT)]
    given, truth = [p.window(0, 2) for p in paths], [p.window(2, 6) for p in paths]
    return EvalCases(given=given, truth=truth, meta=meta, left_out={})


def rows(numbers: list[int]) -> list[dict[str, Any]]:
    """A model that is off by 3 px more with every case."""
    mine = cases().subset(numbers)
    predicted = {name: [guess(given, 4) for given in mine.given] for name, guess in BASELINES.items()}
    off = [replace(t, position=t.position + 3.0 * n) for n, t in zip(numbers, mine.truth, strict=True)]
    parsed = [n % 3 > 0 for n in numbers]
    return score_rollouts(mine.truth, {"model": off, **predicted}, parsed, HORIZONS, mine.meta)


def figures(rank: int, world: int) -> dict[str, Any]:
    """What every metric says when this rank sees every `world`-th sample."""
    numbers = list(range(rank, COUNT, world))
    values = torch.tensor([float(n * n) for n in range(COUNT)])
    losses, wrong = values.double().numpy() + 0.5, values.flip(0).double().numpy()
    found: dict[str, Any] = {}

    means = Means("loss", "shares", "event_loss", "none")
    for n in numbers:  # batches of one, so that ranks also differ in their number of batches
        event = values[n : n + 1] if n == 1 else values[:0]
        means.update(1, loss=values[n : n + 1], shares=values[n] > 3, event_loss=event)
    found["means"] = {name: float(value) for name, value in means.compute().items()}

    step = Means("loss", sync_on_compute=False)
    step.update(loss=values)
    found["step"] = float(step.alone(over_ranks=True, loss=values[numbers])["loss"])
    found["own step"] = float(step.alone(loss=values[numbers])["loss"])

    last = COUNT - 1  # on the last rank alone: the others have nothing
    alone = Samples("value")
    alone.update([last] if rank == world - 1 else [], [{"value": 2.5}] if rank == world - 1 else [])
    found["alone"] = alone.compute()["value"].tolist()

    twice = Samples("value")  # every rank has every sample, as where a network is split over ranks
    twice.update(range(COUNT), [{"value": float(v)} for v in values])
    found["twice"] = twice.compute()["value"].tolist()

    pairs = PreferenceError()
    pairs.add(numbers, losses[numbers], wrong[numbers])
    found["ppe"] = pairs.compute()

    errors = RolloutErrors(cases(), HORIZONS)
    errors.add(numbers, rows(numbers))
    found["rollouts"] = errors.compute()

    source = SpatialSource(seed=0, split="val", axis="seen")
    samples = [source.sample(n) for n in numbers]
    answers = [s.target if n % 2 else None for n, s in zip(numbers, samples, strict=True)]
    rates = RuleRates()
    scores = [score_scene(answer, s.given, s.target) for answer, s in zip(answers, samples, strict=True)]
    rates.update(numbers, [{**dict.fromkeys(rates.columns), **score} for score in scores])
    found["rules"] = rates.compute()
    return found


def main(path: str) -> None:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    found = figures(rank, distributed.get_world_size())
    Path(f"{path}{rank}").write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
