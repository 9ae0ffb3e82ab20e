"""suite=laws: the simulator reads as the true laws, another world as its own; what is transformed is undone exactly."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from physworld.errors import UserError
from physworld.metrics import laws
from physworld.metrics.bootstrap import bootstrap_mean, bootstrap_statistic
from physworld.metrics.scores import MODEL, score_rollouts
from physworld.metrics.summary import summarise
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.plain import PlainCodec
from physworld.text.evaluation.evaluation import EvalCases, EvalResult, Evaluation, compared, curves
from physworld.text.evaluation.laws import EXPERIMENTS, MOST_GIVEN, LawSuite, friction, not_told, read, spring
from physworld.text.evaluation.phyworld import PhyWorldSuite
from physworld.text.evaluation.planning import PlanningSuite
from physworld.text.evaluation.suites import Suite
from physworld.text.report.figures import figures
from physworld.text.report.laws import laws_section, laws_side_by_side
from physworld.text.report.report import print_table, write_report
from physworld.types import Attractor, Scene, Spring, Trajectory

from repository import ROOT

EVALUATION = Evaluation(
    rollouts=8, val_rollouts=1, frames=45, horizons=[1, 45], latest_start=60, batch_size=8, guided=True, pictures=0
)
SUITE = LawSuite(name="laws")


@cache
def cases(codec: Any = PlainCodec, count: int = 8) -> EvalCases:
    where: Any = {"split": "test", "seed": 0, "trained_on": ()}
    return SUITE.sample_cases(EVALUATION, [codec()], (), (), limit=count, **where)


def figures_of(predicted: list[Trajectory]) -> dict[str, Any]:
    found = laws.law_figures({MODEL: read(cases(), predicted, "test")})
    return {name: law["methods"][MODEL] for name, law in found.items()}


def in_another_world(change: Any) -> list[Trajectory]:
    """What a simulator of other laws says, from the very same moments."""
    found = []
    for given in cases().given:
        scene = change(given.scene)
        path = simulate(scene, 46, start=given.frame(-1)).window(1, 46)
        found.append(replace(path, scene=given.scene))
    return found


def test_the_simulator_reads_as_the_true_laws() -> None:
    found = figures_of(cases().truth)
    assert set(found) == set(laws.LAWS)
    for name, law in laws.LAWS.items():
        part = found[name]
        assert part["nothing"] == 0 and part["count"] == 8
        if name == "half_step":  # the simulator is of first order in its step
            assert 0.1 < part["mean"] < 4
        else:
            assert abs(part["mean"] - law.law) < 4e-3, name
            assert part["low"] <= part["mean"] <= part["high"]


def test_a_context_that_would_outlast_the_experiments_is_refused() -> None:
    where: Any = {"split": "test", "seed": 0, "trained_on": (), "limit": 60}
    longest, longer = (SimpleNamespace(context_frames=n, unwritable=lambda scene: "") for n in (8, 9))
    drawn = SUITE.sample_cases(replace(EVALUATION, rollouts=60), [longest], (), (), **where)
    found = laws.law_figures({MODEL: read(drawn, drawn.truth, "test")})
    for name in ("friction_slope", "friction_error", "spring_period"):  # these begin at their first frame
        assert abs(found[name]["methods"][MODEL]["mean"] - laws.LAWS[name].law) < 4e-3
    with pytest.raises(UserError, match="suite=laws gives at most 8 frames, and this text wants 9"):
        SUITE.sample_cases(EVALUATION, [longest, longer], (), (), **where)


def test_the_slowest_box_and_the_fastest_spring_outlast_the_longest_context() -> None:
    last = MOST_GIVEN - 1
    rng = np.random.default_rng(0)
    slides = friction(rng)
    (box,) = slides.bodies
    slowest = replace(box, velocity=(math.copysign(220.0, box.velocity[0]), 0.0), friction=0.7)
    slides = replace(slides, bodies=(slowest,))
    read_off = laws.friction(simulate(slides, last + 1 + laws.AFTER).window(last, last + 1 + laws.AFTER))
    assert read_off["friction"] == pytest.approx(read_off["friction_true"], abs=1e-3)
    swings = spring(rng)
    (held,) = swings.joints
    assert isinstance(held, Spring)
    fastest = replace(held, stiffness=swings.bodies[0].mass * (2 * math.pi / 0.5) ** 2)
    path = simulate(replace(swings, joints=(fastest,)), last + 46).window(last, last + 46)
    period = laws.spring_period(path, last * swings.dt)
    assert period["spring_period"] == pytest.approx(period["spring_period_true"], rel=4e-3)


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (
            LawSuite,
            {"first_index": 3},
            "suite.first_index is of drawn scenario types, and suite=own makes its own scenes",
        ),
        (PhyWorldSuite, {"curves": ["pong"]}, "suite.curves is of drawn scenario types"),
        (PlanningSuite, {"families": ["extreme_mass"], "levels": [1]}, "suite.families is of drawn scenario types"),
        (Suite, {"families": ["extreme_mass"], "levels": [0.5, 1, 1.0]}, "suite.levels has 1 twice; give each once"),
        (Suite, {"families": ["low_gravity"] * 2, "levels": [1]}, "suite.families has low_gravity twice"),
        (Suite, {"curves": ["pong", "pong"]}, "suite.curves has pong twice"),
        (Suite, {"curve_frames": 10}, "suite.curve_frames=10 is of the types of suite.curves, and there are none"),
    ],
)
def test_what_a_suite_does_not_read_is_refused(kind: type, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        kind(name="own", **settings)


def test_other_laws_are_read_as_what_they_are() -> None:
    def bouncy(scene: Scene) -> Scene:
        return replace(scene, bodies=tuple(replace(b, restitution=b.restitution / 2) for b in scene.bodies))

    def smooth(scene: Scene) -> Scene:
        return replace(scene, bodies=tuple(replace(b, friction=b.friction * 0.7) for b in scene.bodies))

    def weak(scene: Scene) -> Scene:
        fields = tuple(replace(f, strength=f.strength * 0.8) for f in scene.fields if isinstance(f, Attractor))
        joints = tuple(replace(j, stiffness=j.stiffness * 1.21) if isinstance(j, Spring) else j for j in scene.joints)
        return replace(scene, fields=fields, joints=joints, gravity=(0.0, scene.gravity[1] * 1.21))

    assert figures_of(in_another_world(smooth))["friction_slope"]["mean"] == pytest.approx(0.7, abs=0.01)
    half = figures_of(in_another_world(bouncy))
    balls = [len(given.scene.bodies) == 2 for given in cases().given if given.scene.name == "law_restitution"]
    assert any(balls) and not all(balls)  # a wall's restitution is not halved: e / 2 there, e / 4 between two balls
    assert 0.2 < half["restitution_slope"]["mean"] < 0.5 and half["impact_energy"]["mean"] > 0.02
    other = figures_of(in_another_world(weak))
    assert other["pull_strength"]["mean"] == pytest.approx(0.8, abs=0.01)
    assert other["pull_exponent"]["mean"] == pytest.approx(-2, abs=0.01)
    # between 1 / 1.1 and 1: the first three frames, up to a third of what is read, are the true world's
    assert 1 / 1.1 < other["spring_period"]["mean"] < 0.96
    assert 1 / 1.1 < other["pendulum_period"]["mean"] < 0.95
    assert other["impact_momentum"]["mean"] > 0.1  # it falls faster than the text says


def test_extrapolation_shows_no_law() -> None:
    guess = compared(cases(), 45, PlainCodec())
    linear, still = figures_of(guess["linear"]), figures_of(guess["copy_last"])
    assert linear["restitution_slope"]["mean"] == pytest.approx(0, abs=1e-9)  # it flies on through everything
    assert linear["pull_exponent"] == {"mean": None, "low": None, "high": None, "count": 0, "nothing": 8}
    assert still["spring_period"]["count"] == 0 and still["pendulum_period"]["count"] == 0
    assert still["boosted"]["mean"] == pytest.approx(40)  # 120 px/s over 20 frames
    assert linear["boosted"]["mean"] == pytest.approx(0, abs=1e-9) and still["shifted"]["mean"] == pytest.approx(0)


def test_experiments_are_functions_of_the_seed_and_start_at_the_same_moment_for_every_text() -> None:
    plain, engine = cases(PlainCodec, 2), cases(EngineCodec, 2)
    for a, b in zip(plain.given, engine.given, strict=True):
        assert len(b) == 4 and np.allclose(a.frame(-1).position, b.frame(-1).position)
    names = [given.scene.name for given in plain.given]
    assert names == [name for name in EXPERIMENTS for _ in range(2)]


def test_what_a_text_does_not_say_is_named() -> None:
    assert not_told(PlainCodec(), cases(PlainCodec, 2)) == {}
    card = not_told(CardCodec(), cases(CardCodec, 2))
    assert card["law_friction"] == ["friction of walls"] and card["law_pendulum"] == ["anchors of a rod"]
    assert "masses" in not_told(EngineCodec(), cases(EngineCodec, 2))["law_impact"]


@pytest.mark.parametrize("seed", range(6))
def test_what_a_text_does_not_say_does_not_hang_on_the_first_scene_that_is_drawn(seed: int) -> None:
    """Of seed 1 the first impact has no wall; one decimal of friction is enough to tell it."""
    where: Any = {"split": "test", "seed": seed, "trained_on": (), "limit": 8}
    engine, card = EngineCodec(), CardCodec()
    found = not_told(engine, SUITE.sample_cases(EVALUATION, [engine], (), (), **where))
    assert found["law_restitution"] == ["restitution of bodies", "restitution of walls"]
    drawn = SUITE.sample_cases(EVALUATION, [card], (), (), **where)
    assert not_told(card, drawn)["law_friction"] == ["friction of walls"]
    first = next(given for given in drawn.given if given.scene.name == "law_friction")
    smooth = replace(first.scene, bodies=tuple(replace(body, friction=0.1) for body in first.scene.bodies))
    mixed = replace(drawn, given=[replace(first, scene=smooth), *drawn.given])
    assert not_told(card, mixed)["law_friction"] == ["friction of walls"]


def test_what_needs_other_rollouts_is_refused() -> None:
    where: Any = {"split": "test", "seed": 0, "trained_on": (), "limit": 1}
    for other in (replace(EVALUATION, frames=20, horizons=[20]), replace(EVALUATION, start=5)):
        with pytest.raises(UserError, match="suite=laws rolls out 41 frames or more"):
            SUITE.sample_cases(other, [PlainCodec()], (), (), **where)
    with pytest.raises(UserError, match="leave scenes=some out"):
        SUITE.read(Path("some"), EVALUATION, [])


def test_the_report_has_table_figure_rows_and_json(tmp_path: Path) -> None:
    mine, codec = cases(CardCodec, 3), CardCodec()
    references = compared(mine, 45, codec)
    predicted = references["floor"]
    rows = score_rollouts(
        mine.truth, {MODEL: predicted, **references}, [True] * len(mine.truth), [1, 45], mine.meta,
        before=[given.frame(-1) for given in mine.given],
    )  # fmt: skip
    summary = summarise(rows)
    summary["curves"] = curves(mine, {MODEL: predicted})
    result = EvalResult(rows=rows, summary=summary, cases=mine, predicted=predicted, references=references)
    SUITE.finish(result, codec, split="test")
    path = write_report(
        tmp_path, summary, [], command="x", split="test", extra=laws_section(summary), charts=figures(result)
    )
    text = path.read_text()
    assert "| orbit: exponent of the pull † | -2.00 | 3 | -2.00 (" in text and "- friction: friction of walls" in text
    assert "| –, 0 of 3 |" in text and "law_" not in text.split("## Laws")[1].split("\n## ")[0]
    assert "None of them is a scenario type" in text
    assert "Laws: what is read off the answers" in (tmp_path / "report.html").read_text()
    jsonschema.validate(
        json.loads((tmp_path / "metrics.json").read_text()),
        json.loads((ROOT / "docs" / "metrics.schema.json").read_text()),
    )
    for row in rows:
        assert ("law.friction" in row) == (row["scenario"] == "law_friction")
    slow = [row["law.pull"] / row["law.pull_true"] for row in rows if "law.pull" in row and row["method"] == "floor"]
    assert np.allclose(slow, 1, atol=2e-3)
    shown = io.StringIO()
    print_table(summary, Console(file=shown, width=200))
    (pull,) = [line for line in shown.getvalue().splitlines() if "exponent of the pull" in line]
    assert pull.split("│")[2].strip() == "-2.00" and pull.split("│")[4].strip().startswith("-2.00 (")
    both = laws_side_by_side({"a": summary, "b|c": summary})
    assert "| a | b\\|c | truth |" in both[2] and laws_side_by_side({"a": {}}) == []


def test_any_figure_has_an_interval_and_a_mean_the_known_one() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    ours, known = bootstrap_statistic(values[None], lambda x: x.mean(axis=-1)), bootstrap_mean(values)
    assert ours == known
    flat = np.array([[1.0, 1.0, 2.0], [3.0, 3.0, 5.0]])  # a resample of equal x has no slope
    slope = bootstrap_statistic(flat, lambda x, y: laws._slope(x, y))
    assert np.allclose([slope.mean, slope.low, slope.high], 2.0)
    with pytest.raises(ValueError, match="table"):
        bootstrap_statistic(values, np.mean)
