"""Evaluations of anybody in one table: ranked, each number with what made it."""

import csv
import json
import math
from pathlib import Path

import pytest
import yaml

from physworld.errors import UserError
from physworld.reporting.leaderboard import Number, Source, boards, markdown, number, share, write
from physworld.reporting.screen import screen
from physworld.runs.leaderboard import carried, leaderboard
from physworld.text.board import numbers

SOURCE = Source(folder="a", command="python evaluate.py run=a", commit="c" * 40, seeds="0")


def one(model: str, mean: float | None, **rest) -> Number:
    about = {"board": "Board", "figure": "error", "count": 5, "low": mean, "high": mean, **rest}
    return Number(model=model, mean=mean, **about)


def order(*entries) -> list[str]:
    rows = [line for line in markdown(entries, "c", "d") if line.startswith("| ") and line[2].isdigit()]
    return [row.split("|")[1].strip(" *0123456789.") for row in rows]


@pytest.mark.parametrize("higher", [False, True])
def test_the_best_comes_first_and_what_is_infinite_last(higher: bool) -> None:
    models = {"middle": 2.0, "small": 1.0, "big": 3.0}
    found = order(*((one(name, mean, higher=higher), SOURCE) for name, mean in models.items()))
    assert found == (["big", "middle", "small"] if higher else ["small", "middle", "big"])
    assert order((one("lost", None), SOURCE), (one("poor", 1e9), SOURCE)) == ["poor", "lost"]


def test_other_cases_are_another_table_and_a_baseline_stands_there_once() -> None:
    other = Source(folder="b", command="x", commit="y", seeds="1")
    baseline = {"reference": True, "same": "1"}
    found = boards(
        [
            (one("model", 1.0, same="1"), SOURCE), (one("linear", 2.0, **baseline), SOURCE),
            (one("model", 1.0, same="1"), other), (one("linear", 2.0, **baseline), other),
            (one("model", 1.0, same="2"), other),
        ]
    )  # fmt: skip
    assert [len(rows) for rows in found.values()] == [3, 1]
    assert list(found) == ["Board", "Board (2, other cases)"]


@pytest.mark.parametrize(("part", "count", "low", "high"), [(0.5, 10, 0.237, 0.763), (0.0, 20, 0.0, 0.161)])
def test_an_interval_of_a_share_is_wilsons(part: float, count: int, low: float, high: float) -> None:
    """Brown, Cai and DasGupta 2001, their formula (4)."""
    found = share(part, count, board="b", model="m", figure="f")
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def metrics(rmse: float, linear: float = 4.0) -> dict:
    cell = lambda mean: {"mean": mean, "low": mean / 2, "high": mean * 2, "count": 6}  # noqa: E731
    part = {
        "rmse": {"model": cell(rmse), "linear": cell(linear)}, "ratio": {"linear": cell(rmse / linear)},
        "velocity_rmse": {"model": cell(1.0), "linear": cell(2.0)}, "ratio_best": cell(rmse / linear),
    }  # fmt: skip
    block = {"rollouts": 6, "parse_rate": 1.0, "horizons": {"10": part}}
    return {
        "methods": ["model", "linear"], "horizons": [10], "seeds": [7], "seen": block, "held_out": None,
        "measured": {"split": "test", "command": "python evaluate.py x", "commit": "abc"},
    }  # fmt: skip


def evaluation(folder: Path, content: dict, **config) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text(yaml.safe_dump({"suite": {"name": "standard"}, "split": "test", **config}))
    return folder


BROUGHT = {"board": "Elsewhere", "model": "them", "figure": "score", "mean": 1, "low": 0.5, "high": 2, "count": 9}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low": 3}, "low of a number is 3, above high, 2"),
        ({"mean": float("nan")}, "mean of a number is nan, neither a finite number nor null"),
        ({"high": 10**400}, "high of a number is 1000.*, neither a finite number nor null"),
        ({"count": -3}, "count of a number is -3, no whole number"),
        ({"count": "9"}, "count of a number is '9', no whole number"),
        ({"higher": "no"}, "higher of a number is 'no', no true or false"),
        ({"unit": 5}, "unit of a number is 5, no text"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(wrong: dict, said: str) -> None:
    assert carried({**BROUGHT, "low": None, "high": None}).mean == 1
    with pytest.raises(ValueError, match=said):
        carried(BROUGHT | wrong)


def test_folders_of_runs_and_of_predictions_meet_in_one_table(tmp_path: Path, capsys) -> None:
    ours = evaluation(tmp_path / "ours", metrics(1.0), run="shipped", predictions=None)
    theirs = evaluation(tmp_path / "theirs", metrics(2.0), run=None, predictions="far/away/graph_net.jsonl")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "metrics.json").write_text(json.dumps({"leaderboard": [BROUGHT]}))
    (tmp_path / "more" / "broken").mkdir()
    (tmp_path / "more" / "broken" / "metrics.json").write_text('{"leaderboard": [{"model": "x"}]}')
    for hidden in (".old", ".ipynb_checkpoints"):  # copies that nobody means
        evaluation(tmp_path / "ours" / hidden, metrics(9.0), run="stale", predictions=None)
    out = tmp_path / "out"
    folders = [str(folder) for folder in (theirs, ours, tmp_path / "more")]
    leaderboard(folders, {"metrics.json": [numbers]}, out, screen(240))
    said = capsys.readouterr().out
    assert "broken" in said and "a number lacks board" in said
    rows = list(csv.DictReader((out / "leaderboard.csv").open()))
    board = [r for r in rows if r["board"].startswith("Text physics") and r["figure"] == "position RMSE@10"]
    assert {r["model"]: (float(r["mean"]), r["count"], r["seeds"], r["commit"]) for r in board} == {
        "shipped": (1.0, "6", "7", "abc"), "graph_net.jsonl": (2.0, "6", "7", "abc"), "linear": (4.0, "6", "7", "abc")
    }  # fmt: skip
    assert [r["mean"] for r in rows if r["model"] == "them"] == ["1"] and "stale" not in {r["model"] for r in rows}
    text = (out / "leaderboard.md").read_text()
    assert text.index("shipped") < text.index("**graph_net.jsonl**") < text.index("*linear*")
    assert "python evaluate.py x" in (out / "leaderboard.html").read_text()


def test_what_strangers_write_stays_text_and_two_of_one_name_stay_two(tmp_path: Path) -> None:
    for name, rmse in (("ann", 1.0), ("ben", 2.0)):
        content = {**metrics(rmse), "seeds": "[0](javascript:alert(1)) ![x](http://t.example/p.png)"}
        evaluation(tmp_path / name, content, run=None, predictions="=cmd.jsonl")
    folders = [str(tmp_path / name) for name in ("ann", "ben")]
    leaderboard(folders, {"metrics.json": [numbers]}, tmp_path / "out", screen())
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    assert "javascript:alert(1)" in page and "<a " not in page and "<img" not in page
    chart = page[page.index("<svg") : page.index("</svg>")]
    assert [f"({folder})" in chart for folder in folders] == [True, True]
    with (tmp_path / "out" / "leaderboard.csv").open() as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"'=cmd.jsonl", "linear"}


@pytest.mark.parametrize("folder", ["nothing", "empty"])
def test_a_folder_without_figures_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=folder):
        leaderboard([str(tmp_path / folder)], {"metrics.json": [numbers]}, tmp_path / "out", screen())
    assert not (tmp_path / "out").exists()


def test_a_board_with_the_name_of_another_is_one_of_its_own() -> None:
    again = one("m2", 1.0, same="2"), SOURCE
    found = boards([(one("m1", 1.0), SOURCE), again, (one("m3", 1.0, board="Board (2, other cases)"), SOURCE)])
    assert [[number.model for number, _ in rows] for rows in found.values()] == [["m1"], ["m2"], ["m3"]]


def test_two_numbers_of_one_model_from_one_folder_are_two_bars(tmp_path: Path) -> None:
    page = write([(one("m", 1.0), SOURCE), (one("m", 2.0), SOURCE)], tmp_path, "c", "d")[1].read_text(encoding="utf-8")
    assert "m (a)" in page and "m (a), 2" in page


def test_two_numbers_of_one_model_from_one_folder_are_two_rows() -> None:
    assert order((one("m", 2.0), SOURCE), (one("m", 1.0), SOURCE), (one("n", 1.5), SOURCE)) == ["m", "n", "m"]


@pytest.mark.parametrize(
    "wrong", [{"mean": "x"}, {"mean": math.nan}, {"low": []}, {"count": math.inf}, {"count": 1.5}, {"low": 3.0}]
)
def test_a_figure_that_makes_no_sense_is_none(wrong: dict) -> None:
    whole = {"mean": 1.0, "low": 0.5, "high": 2.0, "count": 3}
    assert number(whole, board="b", model="m", figure="f").mean == 1.0
    with pytest.raises(ValueError, match="of a number is"):
        number(whole | wrong, board="b", model="m", figure="f")
