"""Rows of a leaderboard: only evaluations of the same clips share a table, and lengths have their unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from physworld.reporting.leaderboard import Source, boards
from physworld.runs.leaderboard import About
from physworld.video.board import numbers
from physworld.video.evaluation import BASE, LORA
from physworld.video.summary import likelihood_rows

SOURCE = Source(folder="a", command="x", commit="c", seeds="0")
CENTRE = {"mean": 0.25, "low": 0.2, "high": 0.3, "n": 4}


def metrics(cases: int, kinds: tuple[str, ...], pairs: int, model: float) -> dict[str, Any]:
    """Of an evaluation whose clips are drawn from `cases`; rows that were not trained depend on these alone."""
    rng = np.random.default_rng(cases)
    of_cases = {kind: rng.uniform(1, 2, (pairs, 2)) for kind in ("correct", *kinds)}
    losses = dict.fromkeys(("zero", "scalar", BASE), of_cases) | {
        LORA: {kind: model * found for kind, found in of_cases.items()}
    }
    centre = {**CENTRE, "mean": 0.01 * cases}
    rows = {
        row: {"centroid": found, "gravity_error": None, "restitution_error": None, "validity": None}
        for row, found in (("oracle", centre), (LORA, CENTRE))
    }
    return {
        "measured": {"split": "test"}, "likelihood": likelihood_rows(losses, kinds, 2),
        "generated": {"ball_drop": rows},
    }  # fmt: skip


def test_evaluations_of_other_clips_stand_in_other_tables() -> None:
    about = About(model="one", suite="", split="test", seed="0")
    asked = [
        (metrics(1, ("linear", "reversed"), 8, 0.5), about),
        (metrics(1, ("linear", "reversed"), 8, 0.7), replace(about, model="another")),
        (metrics(2, ("reversed", "jump"), 4, 0.5), replace(about, model="other clips")),
    ]
    found = boards([(one, SOURCE) for content, who in asked for one in numbers(content, who)])
    together = {title: {one.model for one, _ in rows if not one.reference} for title, rows in found.items()}
    for what in ("likelihood", "generated ball_drop"):
        title = f"Video physics, split test, {what}"
        assert together[title] == {"one", "another"}
        assert together[f"{title} (2, other cases)"] == {"other clips"}


def test_the_distance_of_the_centre_is_in_diameters() -> None:
    found = numbers(metrics(1, ("linear",), 4, 0.5), About(model="m", suite="", split="test", seed="0"))
    (title,) = {one.title for one in found if one.figure.startswith("centre")}
    assert title == "centre against the simulator, diameters"
