"""suite=planning: levels of others are read as they are, the simulator solves them, ignorance does as chance."""

from __future__ import annotations

import itertools
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from physworld.errors import UserError
from physworld.metrics.scores import MODEL
from physworld.reporting.screen import screen
from physworld.runs.checkpoints import load_model
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.board import numbers
from physworld.text.evaluation.baselines import copy_last
from physworld.text.evaluation.evaluation import Evaluation
from physworld.text.evaluation.planning import (
    ATTEMPTS,
    Job,
    PlanningSuite,
    act,
    auccess,
    chance,
    first_success,
    imagine,
    order,
    problem,
)
from physworld.text.report.planning import planning_section
from physworld.text.sources.puzzles import STEP, Action, Outcome, iphyre, iphyre_games
from physworld.text.sources.virtual_tools import Inside, levels
from physworld.types import Interval, PinJoint

from evaluations import EVALUATION, untrained_run
from repository import ROOT

GAMES = """
import nowhere_to_be_found
raise SystemExit("this is read, not run")
PARAS = {
    'support': {'block': [[[200., 400.], [300., 400.]], [[200., 500.], [300., 500.]]], 'ball': [[250., 370., 20.]],
                'eli': [1, 1, 0], 'dynamic': [0, 0, 1]},
    'swing': {'block': [[[200., 100.], [220., 100.]], [[100., 300.], [160., 300.]]], 'ball': [[300., 180., 20.]],
              'eli': [1, 0, 0], 'dynamic': [0, 1, 1], 'joint': [[0, 2]]},
}
"""
LEVEL = {
    "world": {
        "dims": [600, 600], "bts": 0.01, "gravity": 200,
        "defaults": {"density": 1, "friction": 0.5, "elasticity": 0.5},
        "objects": {
            "Table": {"type": "Poly", "density": 0, "vertices": [[0, 0], [0, 200], [300, 200], [300, 0]]},
            "Goal": {
                "type": "Container", "density": 0, "points": [[330, 100], [330, 5], [375, 5], [375, 100]], "width": 10
            },
            "Ball": {"type": "Ball", "density": 1, "position": [150, 240], "radius": 15},
        },
        "blocks": {"No": {"vertices": [[400, 0], [400, 600], [600, 600], [600, 0]]}},
        "constraints": {}, "gcond": {"type": "SpecificInGoal", "goal": "Goal", "obj": "Ball", "duration": 2},
    },
    "tools": {"bar": [[[-40, -5], [-40, 5], [40, 5], [40, -5]]], "wedge": [[[-30, -15], [30, 15], [0, -15]]]},
    "toolNames": ["bar", "wedge"], "sucText": "Get the ball into the goal",
}  # fmt: skip


@pytest.fixture
def games(tmp_path: Path) -> Path:
    (tmp_path / "games.py").write_text(GAMES)
    return tmp_path


def simulated(given, frames):
    return [simulate(g.scene, frames + 1, start=g.frame(-1)).window(1, frames + 1) for g in given]


def test_a_game_of_iphyre_is_read_and_never_run(games: Path) -> None:
    support, swing = iphyre(games, boxes=False)
    assert [w.start for w in support.scene.static] == [(200.0, 200.0), (200.0, 100.0)]  # y points up, 600 px high
    assert support.scene.bodies[0].position == (250.0, 230.0) and support.scene.static[0].radius == 10.0
    assert support.scene.gravity[1] == -981.0 and support.frames(15.0) == math.ceil(15 * 60 * math.sqrt(100 / 981))
    (rod,) = swing.scene.joints
    assert isinstance(rod, PinJoint) and rod.length == pytest.approx(math.hypot(90, 80))
    assert swing.scene.bodies[0].shape == "compound" and iphyre(games, boxes=True)[1].scene.bodies[0].size == (80, 20)
    gone = swing.world(Action(removed=((6, 0),)), 6)
    assert not gone.static and not gone.joints  # the wall takes its rod along


@pytest.mark.parametrize("text", ["PARAS = open('x').read()", "PARAS = 1", "def broken(", ""])
def test_what_is_no_data_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "games.py").write_text(text)
    with pytest.raises(UserError, match=r"games\.py"):
        iphyre_games(tmp_path)


def test_a_game_with_an_integer_that_no_float_can_hold_is_refused(tmp_path: Path) -> None:
    block = f"[[[1{'0' * 400}, 2], [3, 4]]]"
    (tmp_path / "games.py").write_text(f"PARAS = {{'a': {{'block': {block}, 'ball': [], 'eli': [1], 'dynamic': [0]}}}}")
    with pytest.raises(UserError, match="The game a of I-PHYRE is not as expected"):
        iphyre(tmp_path, boxes=True)


def test_without_its_package_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "iphyre", raising=False)
    with pytest.raises(UserError, match=r"suite\.puzzles=iphyre needs the package iphyre; install with: pip install"):
        iphyre_games("iphyre")


def test_a_ball_falls_when_its_support_is_taken_away(games: Path) -> None:
    puzzle = iphyre(games, boxes=True)[0]
    height = act(puzzle, Action(removed=((12, 0), (12, 1))), 60)[:, 0, 1]
    assert np.ptp(height[:13]) < 981 / 3600 + 1e-9  # it rests: one step of falling, before the wall is felt
    fall = height[12] - height[12:40]
    steps = np.arange(28)
    assert np.abs(fall - 981 * steps * (steps - 1) / 2 / 3600).max() < 0.5
    assert puzzle.goal(act(puzzle, Action(removed=((12, 0), (12, 1))), 120)).solved
    assert not puzzle.goal(act(puzzle, Action(removed=((12, 0),)), 120)).solved  # the second one holds it


def test_a_wall_that_goes_within_the_given_frames_is_gone_in_them(games: Path) -> None:
    puzzle = iphyre(games, boxes=True)[0]
    early = Action(removed=((6, 0), (6, 1)))
    for context in (7, 8, 12, 13):
        (path,) = imagine([Job(puzzle=puzzle, action=early, frames=40)], simulated, context)
        assert np.abs(path - act(puzzle, early, 40)).max() < 1e-6


def test_the_simulator_as_model_foresees_what_it_does(games: Path) -> None:
    for puzzle in iphyre(games, boxes=True):
        rng = generator(0, "test", 1)
        jobs = [Job(puzzle=puzzle, action=puzzle.draw(rng), frames=150) for _ in range(6)]
        truth = [puzzle.goal(act(puzzle, job.action, job.frames)) for job in jobs]
        done: list[int] = []
        for context in (1, 4):
            found = [puzzle.goal(path) for path in imagine(jobs, simulated, context, done.append)]
            assert [o.solved for o in found] == [o.solved for o in truth]
        assert sum(done) == sum(len(jobs) * (150 - context) for context in (1, 4))


def test_who_foresees_nothing_keeps_the_order_that_was_drawn(games: Path) -> None:
    puzzle = iphyre(games, boxes=True)[0]
    found = problem(puzzle, count=8, draws=200, seconds=6.0, rng=generator(3, "test"))
    assert not isinstance(found, str) and sum(found.works) == 2
    jobs = [Job(puzzle=puzzle, action=action, frames=found.frames) for action in found.actions]
    still = imagine(jobs, lambda given, n: [copy_last(g, n) for g in given], 1)
    assert order([puzzle.goal(path) for path in still]) == list(range(8))
    assert first_success(found.outcomes, found.works) == 1  # the truth solves it at once
    assert isinstance(
        problem(puzzle, count=8, draws=8, seconds=0.5, rng=generator(3, "test")), str
    )  # too short for any


def test_chance_is_the_mean_over_all_orders() -> None:
    works = [True, False, False, True, False]
    firsts = [1 + [works[k] for k in some].index(True) for some in itertools.permutations(range(5))]
    expected = chance(works)
    for k in ATTEMPTS[:2]:
        assert expected[f"solved@{k}"] == pytest.approx(np.mean([first <= k for first in firsts]))
    assert expected["auccess"] == pytest.approx(np.mean([auccess(first, 5) for first in firsts]))


@pytest.mark.parametrize("first", [1, 2, 7])
def test_auccess_is_the_weighted_mean_of_solved_at_k(first: int) -> None:
    """Equation 1 of arXiv 1908.05656."""
    weights = np.log(np.arange(2, 9)) - np.log(np.arange(1, 8))
    solved = np.arange(1, 8) >= first
    assert auccess(first, 7) == pytest.approx((weights * solved).sum() / weights.sum())


def test_sooner_is_more_promising_than_later_and_near_than_far() -> None:
    def of(solved: bool, frame: int, nearness: float) -> Outcome:
        return Outcome(solved=solved, frame=frame, nearness=nearness)

    assert order([of(False, 9, -5.0), of(True, 7, 0.0), of(False, 9, -1.0), of(True, 3, 0.0)]) == [3, 1, 2, 0]


def test_a_level_of_virtual_tools(tmp_path: Path) -> None:
    (tmp_path / "Basic.json").write_text(json.dumps(LEVEL))
    (tmp_path / "Other.json").write_text('{"world": 3}')
    for name, pull in (("Floating", 0), ("Huge", 10**400)):
        (tmp_path / f"{name}.json").write_text(json.dumps({**LEVEL, "world": {**LEVEL["world"], "gravity": pull}}))
    (puzzle,), left_out = levels(tmp_path, boxes=True)
    assert sorted(left_out) == ["Floating", "Huge", "Other"] and all("no level" in why for why in left_out.values())
    path = act(puzzle, Action(), puzzle.frames(4.0))
    assert path[-1, 0] == pytest.approx((150, 215), abs=0.3)  # on top of the table, as on the polygon itself
    rng = generator(0, "test")
    tools = [puzzle.draw(rng).added for _ in range(20)]
    assert {tool.shape for tool in tools} == {"rect"}
    for tool in tools:
        x, y = tool.position
        assert (
            40 <= x <= 360 and 5 <= y <= 595 and not (x < 300 and y < 200)
        )  # not where it is forbidden, or in the table
    assert {puzzle.draw(rng).added.shape for puzzle in levels(tmp_path, boxes=False)[0] for _ in range(20)} == {
        "rect", "polygon"
    }  # fmt: skip


def test_in_the_goal_means_for_long_enough() -> None:
    square = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
    goal = Inside(bodies=((0, 2.0),), area=square, wait=3)
    x = np.array([20, 11, 11, 20, 11, 11, 11, 20.0])
    path = np.stack([np.stack([x, np.full(8, 5.0)], axis=1)], axis=1)
    assert goal(path) == Outcome(solved=True, frame=6, nearness=0.0)
    assert goal(path[:6]) == Outcome(solved=False, frame=5, nearness=0.0)
    assert goal(path[:1]) == Outcome(solved=False, frame=0, nearness=-8.0)


def test_the_table_has_everybody_and_follows_the_schema(tmp_path: Path, games: Path) -> None:
    network, codec, _ = load_model(untrained_run(tmp_path, 0), torch.device("cpu"))
    suite = PlanningSuite(name="planning", puzzles=str(games), actions=4, draws=60, seconds=3.0)
    evaluation = Evaluation(**{**EVALUATION, "batch_size": 8, "rollouts": 2})
    cases = suite.sample_cases(evaluation, [codec], [], [], split="test", seed=0, trained_on=(), limit=None)
    assert {truth.scene.name for truth in cases.truth} == {"iphyre_basic"}
    result = evaluation.evaluate(network, codec, cases)
    # Actions of one puzzle are no scenes of their own.
    assert result.summary["scenes"] == 1 and result.summary["rollouts"] == 2
    how = {"split": "test", "seed": 0, "limit": None, "store": None, "console": screen()}
    suite.more(result, network, codec, evaluation, **how)
    found = result.summary["planning"]
    assert found["first"]["truth"] == [1] * len(found["levels"])
    assert found["rows"]["truth"]["solved@1"] == asdict(Interval.of_share(1.0, len(found["levels"])))  # with a width
    assert found["rows"]["truth"]["auccess"]["mean"] == 1 and found["rows"]["chance"]["solved@1"]["mean"] == 0.25
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.validate(found, {**schema["properties"]["planning"], "$defs": schema["$defs"]})
    assert "the simulator itself" in "\n".join(planning_section(result.summary))
    metrics = {**result.summary, "measured": {"split": "test"}}
    rows = [
        one
        for one in numbers(metrics, type("A", (), {"model": "mine", "suite": "planning"}))
        if "Planning" in one.board
    ]
    assert {one.model for one in rows} == {"mine", *(name.replace("_", " ") for name in found["rows"] if name != MODEL)}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"puzzles": None}, "suite.puzzles is missing"),
        ({"puzzles": "nowhere"}, "nowhere is no folder"),
        ({"puzzles": "iphyre", "actions": 3}, "suite.actions=3"),
        ({"puzzles": "iphyre", "draws": 4}, "suite.draws=4"),
    ],
)
def test_mistakes_are_one_sentence(settings: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        PlanningSuite(name="planning", **settings).problems(split="test", seed=0, limit=1)


def test_more_rollouts_than_actions_are_refused() -> None:
    suite = PlanningSuite(name="planning", puzzles="iphyre", actions=8)
    evaluation = Evaluation(**{**EVALUATION, "rollouts": 9})
    with pytest.raises(UserError, match=r"evaluation\.rollouts=9 is more than a puzzle's 8 actions"):
        suite.sample_cases(evaluation, [], [], [], split="test", seed=0, trained_on=(), limit=None)


def test_moments_of_action_are_on_the_grid_of_imagination(games: Path) -> None:
    puzzle, rng = iphyre(games, boxes=True)[0], generator(1, "test")
    times = [at for _ in range(50) for at, _ in puzzle.draw(rng).removed]
    assert times and all(at % STEP == 0 and at > 0 for at in times)
