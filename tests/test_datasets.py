"""`physworld validate FOLDER`: what is wrong is named with file and place, and what is right is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from physworld import scenarios
from physworld.cli import main
from physworld.io.images import write_gif
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.spatial.codecs.rows import row
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.codecs.yaml_scene import write_yaml
from physworld.text.dataset import gained, through_wall
from physworld.types import Body, Scene, Segment, Trajectory

from repository import ROOT
from spatial_tools import samples


def scene(name: str, index: int = 0) -> Trajectory:
    return simulate(scenarios.build(name, generator(0, "train", index), 2), 60)


def test_what_the_simulator_makes_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in scenarios.seen():
        write_jsonl(tmp_path / name / "scene_0.jsonl", scene(name))
    assert main(["validate", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{len(scenarios.seen())} scenes in" in said and "nothing is wrong" in said and "billiards 1" in said


def test_one_file_is_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = scene("billiards")
    write_jsonl(tmp_path / "right.jsonl", first)
    write_yaml(tmp_path / "right.yaml", first.scene)
    write_jsonl(tmp_path / "fast.jsonl", replace(first, velocity=first.velocity * np.arange(1, 61)[:, None, None]))
    (tmp_path / "wrong.yaml").write_text("bodies: [{shape: ball}]\n")
    (tmp_path / "words.yaml").write_text("words\n")
    said = {}
    for name in ("right.jsonl", "right.yaml", "fast.jsonl", "wrong.yaml", "words.yaml"):
        said[name] = main(["validate", str(tmp_path / name)]), capsys.readouterr().out
    assert {name: code for name, (code, _) in said.items()} == {
        "right.jsonl": 0, "right.yaml": 0, "fast.jsonl": 1, "wrong.yaml": 1, "words.yaml": 1,
    }  # fmt: skip
    assert "fast.jsonl" in said["fast.jsonl"][1] and "body 0 position must be" in said["wrong.yaml"][1]
    assert "JSON" not in said["words.yaml"][1]


def test_what_validate_would_leave_unread_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = scene("billiards")
    write_jsonl(tmp_path / "a.jsonl", first)
    write_yaml(tmp_path / "a.yaml", first.scene)
    (tmp_path / "scene.json").write_text("{}")
    report = str(tmp_path.with_suffix(".json"))
    for words, sentence in (
        (["a.jsonl", "b.jsonl"], "b.jsonl is one too many: data is checked one folder or file at a time"),
        ([".", "a.jsonl"], "a.jsonl is one too many"),
        (["a.yaml", "--report", report], "--report is for folders and files of frames"),
        (["scene.json", "--report", report], "--report and --not-trained-on are for data"),
        (["a.jsonl", "--report", str(tmp_path)], "is a folder; give the file to write"),
    ):
        full = [word if word.startswith("-") or Path(word).is_absolute() else str(tmp_path / word) for word in words]
        assert main(["validate", *full]) == 1
        assert sentence in capsys.readouterr().err
    assert not Path(report).exists()


def test_impossible_scenes_are_named_with_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = scene("billiards")
    fast = replace(right, velocity=right.velocity * np.where(np.arange(60) < 30, 1, 3)[:, None, None])
    tunnel = right.position.copy()
    tunnel[40:, 0] = (-300.0, 300.0)  # out of the table
    assert gained(right) == through_wall(right) == ""
    write_jsonl(tmp_path / "good.jsonl", right)
    write_jsonl(tmp_path / "fast.jsonl", fast)
    write_jsonl(tmp_path / "wall.jsonl", replace(right, position=tunnel))
    write_jsonl(tmp_path / "held.jsonl", scene(scenarios.HELD_OUT[0]))
    lines = (tmp_path / "good.jsonl").read_text().splitlines()
    (tmp_path / "gap.jsonl").write_text("\n".join(lines[:10] + lines[12:]) + "\n")
    (tmp_path / "nan.jsonl").write_text("\n".join([*lines[:5], lines[5].replace("[", "[NaN,", 1), *lines[6:]]) + "\n")
    report = tmp_path.with_suffix(".json")
    assert main(["validate", str(tmp_path), "--report", str(tmp_path / "good.jsonl")]) == 1
    assert (tmp_path / "good.jsonl").read_text().splitlines() == lines
    assert main(["validate", str(tmp_path), "--report", str(report)]) == 1
    told = {
        Path(finding["place"].split(" ")[0]).name: (finding["kind"], finding["problem"])
        for check in json.loads(report.read_text())["checks"]
        for finding in check["findings"]
    }
    assert {name: kind for name, (kind, _) in told.items()} == {
        "fast.jsonl": "energy", "wall.jsonl": "wall", "held.jsonl": "held-out", "gap.jsonl": "unreadable",
        "nan.jsonl": "unreadable",
    }  # fmt: skip
    assert "frame 30" in told["fast.jsonl"][1] and "in frame 40" in told["wall.jsonl"][1]
    assert "line 11" in told["gap.jsonl"][1] and "line 6" in told["nan.jsonl"][1]
    assert "5 findings" in capsys.readouterr().out
    assert main(["validate", str(tmp_path), "--not-trained-on"]) == 1
    assert "held-out" not in capsys.readouterr().out


def test_what_a_lift_raises_gains_energy() -> None:
    lift = Body.box(100, 20, position=(400, 100), velocity=(0, 150), kind="kinematic")
    run = simulate(Scene(bodies=(lift, Body.circle(15, position=(400, 126)))), 180)
    assert run.position[-1, 1, 1] > 500 and gained(run) == ""


def test_a_one_way_wall_is_a_wall_from_its_solid_side() -> None:
    wall = Segment(start=(300, 200), end=(500, 200), one_way=(0.0, 1.0))
    ball = Body.circle(15, position=(400, 100), velocity=(0, 600))
    run = simulate(Scene(bodies=(ball,), static=(wall,)), 90)
    assert run.position[:, 0, 1].max() > 250 and run.position[-1, 0, 1] > 200 and through_wall(run) == ""
    slow = simulate(Scene(bodies=(replace(ball, velocity=(0, 450)),), static=(wall,)), 90)
    height = slow.position[:, 0, 1]
    assert 200 < height.max() < 215 and height[-1] < 100 and through_wall(slow) == ""  # back before it was through
    above = simulate(Scene(bodies=(replace(ball, position=(400, 300), velocity=(0, 0)),), static=(wall,)), 40)
    assert through_wall(above) == ""
    sunk = above.position.copy()
    sunk[30:, 0, 1] = 150
    for walls in ((wall,), (replace(wall, start=wall.end, end=wall.start),)):
        fallen = replace(above, position=sunk, scene=replace(above.scene, static=walls))
        assert through_wall(fallen) == "object 0 passes through wall 0 in frame 30"


def test_rows_and_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(sample.given.payload, sample.target) for sample in samples(count=3)]
    broken = {**rows[2], "completion": rows[2]["completion"][:-5]}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (*rows, broken)))
    for name, frames in {"moves": np.arange(12), "stands": np.zeros(12, int)}.items():
        shades = np.broadcast_to(frames[:, None, None, None] * 20, (12, 32, 32, 3)).astype(np.uint8)
        write_gif(tmp_path / f"{name}.gif", shades, 10)
    (tmp_path / "moves.txt").write_text("A ball falls.")
    (tmp_path / "deep.jsonl").write_text("[" * 200_000)
    (tmp_path / "cut.gif").write_bytes((tmp_path / "moves.gif").read_bytes()[:20])
    assert main(["validate", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "3 rows in 1 file\n" in said and "rows.jsonl line 4: unreadable" in said
    assert "deep.jsonl: unreadable" in said
    assert "2 clips in 3 files" in said and "cut.gif: unreadable" in said
    assert "stands.gif: still" in said and "stands.gif: caption" in said and "moves.gif" not in said


def test_a_folder_without_data_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(tmp_path)]) == 1
    assert "holds no data: no scenes or rows" in capsys.readouterr().err


def test_a_payload_is_told_from_a_scene(capsys: pytest.CaptureFixture[str]) -> None:
    payload = ROOT / "physworld" / "spatial" / "examples" / "payload.json"
    assert main(["validate", str(payload)]) == 2
    assert f"{payload} is a payload and no scene" in capsys.readouterr().out
