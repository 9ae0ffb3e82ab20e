"""What two ranks with unequal numbers of samples say is what one process says that sees all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import metrics_on_ranks
import pytest
import torch

from physworld.accumulators import Means, Samples

from repository import ROOT


def test_every_sample_weighs_the_same_whatever_its_batch() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 10.0])
    means = Means("loss", "right", "unused")
    for batch in (values[:1], values[1:]):
        means.update(loss=batch, right=batch > 2)
    assert {name: float(value) for name, value in means.compute().items()} == {"loss": 4.0, "right": 0.5}


def test_a_mean_over_rows_weighs_as_many_rows() -> None:
    means = Means("loss")
    means.update(3, loss=torch.tensor(1.0))
    means.update(1, loss=torch.tensor(5.0))
    assert float(means.compute()["loss"]) == 2.0


def test_the_figure_of_a_pass_is_its_own_mean_to_the_bit() -> None:
    """As logged before there were metrics: float32 mean of the pass, whatever came before it."""
    means = Means("loss", "mean")
    for seed in range(20):
        losses = torch.rand(1 + 13 * seed, generator=torch.Generator().manual_seed(seed))
        found = means.alone(3, loss=losses, mean=losses.mean())
        assert torch.equal(found["loss"], losses.mean()) and torch.equal(found["mean"], losses.mean())


def test_a_figure_that_nobody_named_is_refused() -> None:
    with pytest.raises(ValueError, match="los is not among the figures loss, accuracy"):
        Means("loss", "accuracy").update(los=torch.ones(2))


def test_samples_come_back_in_order_and_once() -> None:
    samples = Samples("a", "b")
    samples.update([4, 1], [{"a": 4.0, "b": None}, {"a": 1.0, "b": 0.5}])
    samples.update([], [])
    samples.update([1], [{"a": 1.0, "b": 0.5}])
    found = samples.compute()
    assert found["number"].tolist() == [1, 4] and found["a"].tolist() == [1, 4]
    assert found["b"][0] == 0.5 and found["b"][1] != found["b"][1]
    samples.reset()
    samples.update([2], [{"a": 0.0, "b": 0.0}])
    assert samples.compute()["number"].tolist() == [2]


@pytest.mark.slow
def test_two_ranks_say_what_one_process_says(tmp_path: Path) -> None:
    script = ROOT / "tests" / "helpers" / "metrics_on_ranks.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}"}
    done = subprocess.run(
        [*torchrun, str(script), str(tmp_path / "rank")], env=environment, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (json.loads((tmp_path / f"rank{rank}").read_text()) for rank in (0, 1))
    whole = json.loads(json.dumps(metrics_on_ranks.figures(0, 1)))
    assert first.pop("own step") == (0 + 4 + 16 + 36) / 4 and second.pop("own step") == pytest.approx((1 + 9 + 25) / 3)
    whole.pop("own step")
    assert first == second  # every rank knows the whole
    assert set(first) == set(whole) == {"means", "step", "alone", "twice", "ppe", "rollouts", "rules"}
    for name, figure in whole.items():
        assert first[name] == figure, name
    assert whole["rollouts"]["rollouts"] == 7 and whole["ppe"]["n"] == 7 and whole["means"]["loss"] == 13
