"""Scenes drawn by what a run got wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physworld.errors import UserError
from physworld.text.sources.by_error import shares
from physworld.text.sources.physics import PhysicsSource

NAMES = ("billiards", "pendulum", "tower")


def run(folder: Path, *, split: str = "val", **ratios: float | None) -> str:
    """A folder with the figures of a run; `ratios` by type at the longest horizon."""

    def at(ratio: float | None) -> dict[str, Any]:
        return {"1": {"ratio_best": {"mean": 9.0}}, "30": {"ratio_best": None if ratio is None else {"mean": ratio}}}

    types = {name: {"horizons": at(ratio)} for name, ratio in ratios.items()}
    folder.mkdir()
    metrics = {"horizons": [1, 30], "scenarios": types, "measured": {"split": split}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return str(folder)


def test_half_is_alike_and_half_by_error(tmp_path: Path) -> None:
    given = run(tmp_path / "run", billiards=0.1, pendulum=0.0, tower=0.3, orbit=5.0)
    assert shares(given, NAMES) == pytest.approx(np.array([1 / 6 + 1 / 8, 1 / 6, 1 / 6 + 3 / 8]))


def test_scenes_are_drawn_so_and_validation_is_not(tmp_path: Path) -> None:
    given = run(tmp_path / "run", billiards=0.0, pendulum=0.0, tower=1.0)
    made = {"seed": 0, "names": NAMES, "difficulties": (1,)}
    source = PhysicsSource(split="train", errors=given, **made)  # type: ignore[arg-type]
    drawn = [source.scene(k).name for k in range(300)]
    assert drawn.count("tower") / 300 == pytest.approx(2 / 3, abs=0.08)  # three standard errors
    assert drawn == [PhysicsSource(split="train", errors=given, **made).scene(k).name for k in range(300)]  # type: ignore[arg-type]
    even = PhysicsSource(split="val", **made)  # type: ignore[arg-type]
    same = PhysicsSource(split="val", errors=given, **made)  # type: ignore[arg-type]
    assert [same.scene(k).name for k in range(20)] == [even.scene(k).name for k in range(20)]


@pytest.mark.parametrize(
    ("ratios", "split", "said"),
    [
        ({"billiards": 0.1, "pendulum": 0.1, "tower": 0.1}, "test", "no figures of validation scenes"),
        ({"billiards": 0.1, "tower": 0.1}, "val", "no figures of pendulum"),
        ({"billiards": 0.1, "pendulum": None, "tower": 0.1}, "val", "no finite error on pendulum"),
        ({"billiards": 0.0, "pendulum": 0.0, "tower": 0.0}, "val", "makes no errors"),
    ],
)
def test_what_cannot_be_drawn_by_is_a_sentence(tmp_path: Path, ratios: Any, split: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        shares(run(tmp_path / "run", split=split, **ratios), NAMES)


def test_a_run_of_another_system_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"modes": {}, "measured": {"split": "val"}}))
    with pytest.raises(UserError, match="has no errors by scenario type; give a run of text physics"):
        shares(str(tmp_path), NAMES)
