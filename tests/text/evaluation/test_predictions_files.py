"""Predictions made elsewhere: a key that would be read past is refused, one that export= wrote may stay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from physworld.errors import UserError
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.engine import EngineCodec
from physworld.text.evaluation.evaluation import EvalCases
from physworld.text.evaluation.external_predictions import Predictions, write_cases
from physworld.text.evaluation.store import moment_id

from worlds import disc, world


def lines(path: Path, **more: object) -> Path:
    run = simulate(world(disc(100.0, 100.0, velocity=(60.0, 0.0))), 6)
    line = {"id": moment_id(run.window(0, 4)), "position": run.position[4:].tolist(), **more}
    path.write_text(json.dumps(line) + "\n")
    return path


def test_a_misspelt_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1 has the unknown key 'velocty'; .* Did you mean velocity\?"):
        Predictions(lines(tmp_path / "a.jsonl", velocty=[[[0.0, 0.0]]] * 2), EngineCodec())


def test_what_export_wrote_and_remarks_may_stay(tmp_path: Path) -> None:
    given = simulate(world(disc(100.0, 100.0, velocity=(60.0, 0.0))), 4)
    file = Predictions(lines(tmp_path / "a.JSONL", scenario="x", prompt="", dt=0.1, _model="mine"), EngineCodec())
    assert file.load([given], 2).parsed == [2]


def test_an_export_takes_the_place_of_an_export_alone(tmp_path: Path) -> None:
    run = simulate(world(disc(100.0, 100.0, velocity=(60.0, 0.0))), 6)
    cases = EvalCases(given=[run.window(0, 4)], truth=[run.window(4, 6)], meta=[], left_out={})
    write_cases(tmp_path / "cases.jsonl", cases, 2, EngineCodec())
    written = (tmp_path / "cases.jsonl").read_text()
    write_cases(tmp_path / "cases.jsonl", cases, 2, EngineCodec())
    assert (tmp_path / "cases.jsonl").read_text() == written
    answers = lines(tmp_path / "answers.jsonl")
    kept = answers.read_text()
    with pytest.raises(UserError, match=r"answers.jsonl is there already and is no export; choose another name"):
        write_cases(answers, cases, 2, EngineCodec())
    assert answers.read_text() == kept


@pytest.mark.parametrize("name", ["position", "velocity"])
@pytest.mark.parametrize("value", [1e308, -2e6])
def test_a_frame_out_of_range_is_not_read_as_it_is_not_of_text(name: str, value: float, tmp_path: Path) -> None:
    run = simulate(world(disc(100.0, 100.0, velocity=(60.0, 0.0))), 6)
    path = lines(tmp_path / "a.jsonl", velocity=run.velocity[4:].tolist())
    line = json.loads(path.read_text())
    line[name][1][0][1] = value
    path.write_text(json.dumps(line))
    with np.errstate(all="raise"):
        found = Predictions(path, EngineCodec()).load([run.window(0, 4)], 2)
    assert found.parsed == [1]
    nothing = Predictions(lines(tmp_path / "b.jsonl", position=[]), EngineCodec())
    assert nothing.coverage([run.window(0, 4)]).unanswered == 0 and nothing.load([run.window(0, 4)], 2).parsed == [0]
    assert found.predicted[0].position.tolist() == [run.position[4].tolist()] * 2  # from there on it stands still


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1" + "0" * 400])
def test_a_number_that_is_none_is_named(value: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    text = lines(path).read_text().replace("100.0", value, 1)
    path.write_text(text)
    file = Predictions(path, EngineCodec())
    given = simulate(world(disc(100.0, 100.0, velocity=(60.0, 0.0))), 4)
    with pytest.raises(UserError, match='line 1: "position" holds a number that is not finite'):
        file.coverage([given])  # before anything is scored
