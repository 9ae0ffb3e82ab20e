"""The table of several runs: what each is called, and how many stand side by side."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from physworld.io.atomic import replacing
from physworld.runs.compare import SIDE_BY_SIDE, compare
from physworld.runs.directory import write_json


def said(*runs: str, width: int = 120) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as caught:
        compare(runs, console)
    return caught.get()


def test_runs_that_come_with_the_package_keep_their_names() -> None:
    lines = said("shipped", "solver").splitlines()
    assert lines[0] == "2 runs"
    assert [cell.strip() for cell in lines[2].strip("┃").split("┃")][1:] == ["shipped", "solver"]


def test_many_runs_with_many_figures_are_told_in_parts_that_can_be_read(tmp_path: Path) -> None:
    for number in range(9):
        folder = tmp_path / f"run_{number}"
        folder.mkdir()
        (folder / "config.yaml").write_text(f"seed: {number}\nname: a_name_that_is_long_{number}\n")
        write_json(folder / "metrics.json", {"headline": {f"f{k}/model": f"v{k}_{number}" for k in range(20)}})
    told = said(str(tmp_path), width=115)
    assert told.count("┏") == 3 == -(-9 // SIDE_BY_SIDE)  # each name and each figure whole, every run once
    for number in range(9):
        assert told.count(f"run_{number}") == 1 and told.count(f"a_name_that_is_long_{number}") == 1
        assert told.count(f"v19_{number}") == 1
    assert said(str(tmp_path), width=400).count("┏") == 1


def test_an_evaluation_of_several_models_is_told_from_a_run_that_has_not_ended(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / "both" / name).mkdir(parents=True)
        write_json(tmp_path / "both" / name / "metrics.json", {})
    (tmp_path / "both" / "config.yaml").write_text("seed: 1\n")
    told = said("solver", str(tmp_path / "both"), width=400)
    assert f"Of several models, which its report.md has side by side: {tmp_path / 'both'}" in told and "yet" not in told
    assert "No metrics.json comes with: solver" in told


def test_a_file_without_a_folder_to_lie_in_is_told_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a.csv") as temporary:
        tmp_path.rename(tmp_path.with_name("gone"))
        temporary.write_text("")
    assert caught.value.filename == str(tmp_path / "a.csv")


def test_a_table_for_spreadsheets_holds_no_formula_and_no_column_twice(tmp_path: Path) -> None:
    for name in ("=1+1", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").write_text(f"seed: '@SUM({name})'\n")
        write_json(tmp_path / "runs" / name / "metrics.json", {"headline": {"a/model": -1}, "cost": {"a/model": 2}})
    compare([str(tmp_path / "runs")], Console(file=io.StringIO()), tmp_path / "t.csv")
    rows = list(csv.reader((tmp_path / "t.csv").open()))
    assert rows[0] == ["run", "seed", "headline.a/model", "cost.a/model"]
    assert sorted(rows[1:]) == [["'=1+1", "'@SUM(=1+1)", "-1", "2"], ["b", "'@SUM(b)", "-1", "2"]]


def test_runs_of_spatial_scenes_have_their_figures(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    write_json(tmp_path / "metrics.json", {"headline": {"pinned/all_rules": 0.25, "pinned/anchor": 0.5}, "cost": {}})
    assert "pinned/all_rules" in said(str(tmp_path)) and "0.25" in said(str(tmp_path))
