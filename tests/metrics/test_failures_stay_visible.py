"""A prediction, state or error that is no number is counted and infinite: never a good score, never left out."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from physworld.accumulators import Samples
from physworld.metrics.ensembles import score_ensemble
from physworld.metrics.errors import event_mask
from physworld.metrics.events import score_events
from physworld.metrics.scores import METRICS, MODEL, score_rollouts
from physworld.metrics.summary import summarise
from physworld.reporting.markdown import figure
from physworld.sim.pymunk_sim import simulate
from physworld.text.evaluate import _plain
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.report.report import _counts as counted
from physworld.text.rollout import _finite
from physworld.text.validation import RolloutErrors
from physworld.types import Segment, State, Trajectory

from worlds import disc, world

FLOOR = Segment(start=(0.0, 0.0), end=(800.0, 0.0), restitution=1.0)


def fall() -> Trajectory:
    scene = world(disc(300.0, 60.0, velocity=(0.0, -600.0)), disc(500.0, 300.0), static=(FLOOR,), gravity=(0.0, -981.0))
    return simulate(scene, 13)


def broken(run: Trajectory, value: float, *names: str, first: int = 3) -> Trajectory:
    parts = {name: getattr(run, name).copy() for name in State.__annotations__}
    for name in names or parts:
        parts[name][first:, 0] = value
    return Trajectory(scene=run.scene, **parts)


def rows(value: float | None, *, frames: int = 12) -> list[dict[str, Any]]:
    """Two rollouts; the model breaks in the second where a value is given."""
    run = fall()
    truth, before = run.window(1, 13), run.frame(0)
    good = truth
    said = [good, good if value is None else broken(good, value)]
    predictions = {MODEL: said, **{n: [guess(run.window(0, 1), frames)] * 2 for n, guess in BASELINES.items()}}
    meta = [{"index": k, "start_frame": 0, "seed": 0, "held_out": False} for k in range(2)]
    return score_rollouts([truth] * 2, predictions, [True, value is None], [1, 12], meta, before=[before] * 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_error_of_a_prediction_that_is_no_number_is_infinite_or_at_its_worst(value: float) -> None:
    row = next(row for row in rows(value) if row["method"] == MODEL and row["index"] == 1)
    assert row["rmse@12"] == row["position_mae@12"] == row["velocity_rmse@12"] == row["angle_rmse@12"] == math.inf
    assert row["energy_error@12"] == row["relative_energy_error@12"] == row["relative_momentum_error@12"] == math.inf
    assert row["penetration@12"] == math.inf and row["escaped@12"] == 1
    assert row["flight_momentum_error"] == row["flight_energy_error"] == math.inf
    assert row["valid_frames"] == 3 and row["rmse@1"] == 0.0
    assert not any(isinstance(v, float) and math.isnan(v) for v in row.values())
    assert {name for name, metric in METRICS.items() if metric.when == "horizon"} <= {k.split("@")[0] for k in row}


def test_a_velocity_that_is_no_number_is_a_wrong_contact() -> None:
    run = fall()
    truth, before = run.window(1, 13), run.frame(0)
    bad = broken(truth, math.nan, "velocity", first=6)
    assert event_mask(bad, before)[6:, 0].all()
    clean, wrong = score_events(truth, truth, before), score_events(truth, bad, before)
    assert clean.precision == clean.recall == 1.0
    assert wrong.precision is None or wrong.precision < 1.0


def test_the_summary_counts_them_and_its_means_are_infinite() -> None:
    summary = summarise(rows(math.nan))
    block = summary["seen"]
    assert block["not_finite"] == {MODEL: 1, **dict.fromkeys(BASELINES, 0)}
    assert block["horizons"]["12"]["rmse"][MODEL]["mean"] is None and figure(None) == "∞"
    assert block["horizons"]["12"]["ratio_best"]["mean"] is None
    assert block["details"]["spin_rmse@12"][MODEL]["mean"] is None
    assert summary["headline"]["not_finite/model"] == 1.0 and "rmse@12/model" not in summary["headline"]
    assert counted(block).endswith("1 without a finite error (they make means infinite)")
    json.dumps(summary, allow_nan=False)
    clean = summarise(rows(None))
    assert "not_finite" not in clean["seen"] and "not_finite/model" not in clean["headline"]
    assert counted(clean["seen"]).endswith("100.0% parsed")


def test_rows_of_a_file_tell_infinite_from_what_does_not_apply() -> None:
    row = _plain(next(row for row in rows(math.nan) if row["method"] == MODEL and row["index"] == 1))
    json.dumps(row, allow_nan=False)
    assert row["rmse@12"] is None and "rmse@12" in row["not_finite"] and "rmse@1" not in row["not_finite"]
    assert "not_finite" not in _plain(rows(None)[0])


@pytest.mark.parametrize("value", [None, math.nan])
def test_figures_gathered_over_batches_make_the_same_summary(value: float | None) -> None:
    about = [{"index": k, "start_frame": 0, "seed": 0, "held_out": False} for k in range(2)]
    cases = SimpleNamespace(truth=[fall().window(1, 13)] * 2, meta=about)
    some = rows(value)
    gathered = RolloutErrors(cases, [1, 12])  # type: ignore[arg-type]
    gathered.add([0, 1], some)
    assert json.dumps(gathered.compute(), sort_keys=True) == json.dumps(summarise(some), sort_keys=True)


def test_a_figure_that_is_nan_is_not_one_that_does_not_apply() -> None:
    gathered = Samples("error")
    gathered.update([0, 1, 2], [{"error": 1.0}, {"error": math.nan}, {"error": None}])
    found = gathered.compute()["error"]
    assert found[0] == 1.0 and found[1] == math.inf and np.isnan(found[2])


def test_a_drawn_answer_that_is_no_number_is_never_the_best() -> None:
    truth = fall().window(1, 13)
    off = broken(truth, 310.0, "position")
    for samples in ([broken(truth, math.nan), off], [off, broken(truth, math.nan)]):
        score = score_ensemble(truth, samples, 12)
        assert 0 < score.best < math.inf and score.mean == math.inf


@pytest.mark.parametrize("name", list(State.__annotations__))
def test_a_state_with_any_number_lost_is_no_answer(name: str) -> None:
    state = fall().frame(0)
    assert _finite(state)
    parts = {key: getattr(state, key).copy() for key in State.__annotations__}
    parts[name].flat[0] = math.nan
    assert not _finite(State(**parts))
