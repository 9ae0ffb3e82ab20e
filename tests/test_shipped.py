"""The model that comes with physworld: small, loaded like any run, better than extrapolation on new scenes."""

from __future__ import annotations

import numpy as np
import torch

from physworld import scenarios
from physworld.baselines import BASELINES
from physworld.checkpoints import load_model
from physworld.metrics.errors import position_rmse
from physworld.rollout import rollout
from physworld.runs import SHIPPED, find_run, read_config
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate

FRAMES, START = 20, 10


def test_it_is_small_and_says_what_it_was_trained_on() -> None:
    assert find_run("shipped") == SHIPPED
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) <= 15e6
    assert set(read_config(SHIPPED)["scenario"]["names"]) == set(scenarios.seen())  # none of the held-out ones


def test_it_beats_extrapolation_on_held_out_types() -> None:
    network, codec, _ = load_model(SHIPPED, torch.device("cpu"))
    runs = [
        simulate(scenarios.build(name, generator(11, "test", k), 2), START + FRAMES + 1)
        for name in scenarios.heldout()
        for k in range(3)
    ]
    given = [run.window(START, START + 1) for run in runs]
    truth = [run.window(START + 1, START + 1 + FRAMES) for run in runs]
    said = rollout(network, codec, given, FRAMES)
    assert said.parsed == [FRAMES] * len(runs)
    model = np.mean([position_rmse(t, p, FRAMES) for t, p in zip(truth, said.predicted, strict=True)])
    others = {
        name: np.mean([position_rmse(t, guess(g, FRAMES), FRAMES) for t, g in zip(truth, given, strict=True)])
        for name, guess in BASELINES.items()
    }
    assert model < 0.7 * min(others.values()), (model, others)
