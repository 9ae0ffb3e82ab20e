"""Ranking, published tables and the room for prompts, worked out by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

import physworld.settings.groups  # noqa: F401  registers the scenario group
from physworld import scenarios
from physworld.metrics.scores import score_rollouts
from physworld.metrics.summary import summarise
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.evaluate import types_asked_for
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.evaluation.evaluation import IN_DISTRIBUTION, Evaluation, Shift
from physworld.text.evaluation.ranking import rank
from physworld.text.report.paper import collision_decomposition
from physworld.text.report.sections import ranking_section
from physworld.text.rollout import room

from evaluations import EVALUATION
from repository import ROOT


@pytest.mark.parametrize(
    ("typed", "chosen", "some"),
    [
        ([], "seen", False), (["scenario=seen"], "seen", True), (["suite=heldout"], "heldout", True),
        (["suite=everything"], "all", False), (["scenario.names=[pong]"], "seen", True), (["limit=1"], "seen", False),
    ],
)  # fmt: skip
def test_who_names_types(typed: list[str], chosen: str, some: bool) -> None:
    assert types_asked_for(typed, chosen) is some


def test_contact_and_flight_apart_by_hand() -> None:
    about = {"method": "model"}
    steps = [
        {**about, "rmse@1": 1.0, "event_velocity_rmse": 10.0, "flight_momentum_error": None},
        {**about, "rmse@1": 3.0, "event_velocity_rmse": 30.0, "flight_momentum_error": 2.0},
        {**about, "rmse@1": 0.5, "event_velocity_rmse": None, "flight_momentum_error": 4.0},
    ]
    assert collision_decomposition(steps)["model"] == {
        "steps_contact": 2,
        "steps_flight": 1,
        "position_contact": 2.0,
        "position_flight": 0.5,
        "velocity_contact": 20.0,
        "velocity_flight": 3.0,
    }


def test_room_by_hand() -> None:
    codec = EngineCodec()
    given = [simulate(scenarios.build(name, generator(0, "val", 1), 1), 4) for name in ("pendulum", "billiards")]
    whole = sorted(len(codec.prompt(g)) + codec.max_new_tokens(g.scene) for g in given)
    least = sorted(len(codec.prompt(g.window(3, 4))) + codec.max_new_tokens(g.scene) for g in given)
    assert least[0] < whole[0] < least[1] < whole[1]
    for limit, too_long, shortened in (
        (whole[1], 0, 0), (whole[1] - 1, 0, 1), (least[1] - 1, 1, 0), (whole[0] - 1, 1, 1), (least[0] - 1, 2, 0),
    ):  # fmt: skip
        got = room(SimpleNamespace(max_length=limit), codec, given)
        assert got is not None and (got.too_long, got.shortened) == (too_long, shortened)
        assert limit >= whole[0] or got.needed == least[0]
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())["properties"]["room"]
    jsonschema.validate(asdict(got), schema)
    assert room(SimpleNamespace(max_length=None), codec, given) is None
    assert room(SimpleNamespace(max_length=1), IslandCodec(), given) is None  # no prompt holds a whole frame


def test_ranking_pairs_the_same_moments() -> None:
    def judged(*errors: float) -> list[dict[str, Any]]:
        about = {"scenario": "a", "start_frame": 3, "seed": 0, "shift": "", "parsed": True, "valid_frames": 3,
                 "held_out": False}  # fmt: skip
        return [
            {**about, "index": k, "method": method, "rmse@3": error, "event_velocity_rmse": None}
            for k, e in enumerate(errors)
            for method, error in (("model", e), ("copy_last", 9.0), ("linear", 5.0), ("ballistic", 7.0))
        ]

    a, b = judged(1.0, 2.0, 3.0, 4.0), judged(2.0, 4.0, 6.0, 8.0)
    entries = {entry["name"]: entry for entry in rank({"b": b, "a": a}, 3)["entries"]}
    assert list(entries) == ["a", "b", "linear", "ballistic", "copy_last"]  # 2.5, 5, 5, 7, 9: b is named before linear
    assert entries["b"]["to_first"]["low"] == entries["b"]["to_first"]["high"] == 2  # paired: exactly twice, always
    assert entries["b"]["told_apart"] and not entries["a"]["told_apart"]
    single = rank({"a": a[:4], "b": b[:4]}, 3)
    assert not single["varies"] and not any(entry["told_apart"] for entry in single["entries"])
    lines = ranking_section(single)
    assert lines[0] == "## Ranking after 3 frames" and "no interval and no verdict between models" in lines[2]
    assert "| 2. **b** | 2.00 (n = 1) | 2.00 (n = 1) | – |" in "\n".join(lines)
    with pytest.raises(ValueError, match="other moments"):
        rank({"a": a, "b": b[:-4]}, 3)


def scored(scenes: int, starts: int, shifts: tuple[Shift, ...] = (IN_DISTRIBUTION,)) -> dict[str, list[dict[str, Any]]]:
    """Rows of two models, which are the extrapolations `linear` and `copy_last`, on the same drawn moments."""
    evaluation = Evaluation(**{**EVALUATION, "latest_start": 60, "starts": starts})
    codec: Any = SimpleNamespace(context_frames=1, unwritable=lambda scene: "")
    cases = evaluation.sample_cases(
        codec, ["billiards"], [1, 2], split="test", seed=0, per_scenario=scenes, trained_on=["billiards"], shifts=shifts
    )
    guesses = {name: [guess(given, 5) for given in cases.given] for name, guess in BASELINES.items()}
    whole = [True] * len(cases.given)
    return {
        name: score_rollouts(cases.truth, {"model": guesses[name], **guesses}, whole, [5], cases.meta)
        for name in ("linear", "copy_last")
    }


def test_the_ranking_has_the_figures_of_the_reports() -> None:
    """Several rollouts of a scene are one value, and copies out of distribution do not count."""
    rows = scored(4, 3, (IN_DISTRIBUTION, ("extreme_mass", 1.0), ("zero_gravity", 1.0)))
    ranking = rank({f"my {name}": some for name, some in rows.items()}, 5)
    entries = {entry["name"]: entry for entry in ranking["entries"]}
    assert ranking["rollouts"] == 4 * 3
    for name, some in rows.items():
        block = summarise(some)["all"]
        told = dict(block["horizons"]["5"]["rmse"]["model"])
        del told["median"]
        assert told["count"] == 4 and entries[f"my {name}"]["rmse"] == told
        assert entries[f"my {name}"]["parse_rate"] == block["parse_rate"]


def test_one_scene_tells_no_models_apart() -> None:
    """However many of its frames are started from."""
    ranking = rank({f"my {name}": some for name, some in scored(1, 12).items()}, 5)
    assert ranking["rollouts"] == 12 and not ranking["varies"]
    assert not any(entry["told_apart"] or entry["rmse"]["low"] for entry in ranking["entries"])
