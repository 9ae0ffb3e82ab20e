"""The page's scripts in node, with a stand-in for the browser: what a person does, what is sent, and what is shown."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

NODE = shutil.which("node")
if NODE is None:
    pytest.skip("node is not installed (Debian: apt-get install nodejs)", allow_module_level=True)

import physworld as pw
from physworld.play import limits
from physworld.play.export import PAGE
from physworld.play.page_text import scene_keys
from physworld.play.wasm import WEB
from physworld.text.codecs.scene_json import scene_to_dict

BALL = pw.Scene(bodies=(pw.Body.circle(20.0, position=(400.0, 300.0)),))


def node(folder: Path, script: str, *arguments: str, given: str = "") -> Any:
    shutil.copytree(PAGE, folder / "page")
    shutil.copytree(WEB, folder / "web")
    (folder / "package.json").write_text('{"type": "module"}')
    command = [str(NODE), str(Path(__file__).with_name(script)), str(folder), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def worker(folder: Path, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    begin = {"do": "begin", "scene": scene_to_dict(BALL), "model": "none"}
    known = {"scene": scene_keys(), "limits": limits.for_page()}
    ready, begun, *told = node(folder, "worker.mjs", given=json.dumps({**known, "messages": [begin, *messages]}))
    assert (ready["kind"], begun["kind"]) == ("ready", "begun")
    return list(told)


def test_a_frame_that_was_under_way_moves_nothing(tmp_path: Path) -> None:
    told = node(tmp_path / "rewind", "bodies.mjs", "rewind")
    assert told["sent"][:2] == [{"do": "pause"}, {"do": "back", "frame": 0}]
    assert told["shown"] == told["late"] == [0, 1]
    assert (told["at"], told["saved"], told["holes"]) == (2, 3, False)
    told = node(tmp_path / "slider", "bodies.mjs", "slider")
    assert told == {"did": ["pause"], "at": 2, "stays": 2, "frames": 7}
    assert node(tmp_path / "pause", "bodies.mjs", "pause") == {"did": ["pause"], "at": 6}


def test_a_change_at_an_earlier_frame_begins_a_new_course(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "change")
    assert told["asked"] == [{"do": "back", "frame": 4}, {"do": "world", "gravity": [0, 0]}]
    assert (told["kept"], told["frames"], told["step"], told["gravity"]) == (5, 5, ["step"], [0, 0])


def test_before_a_change_the_world_is_the_one_that_was(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "back")
    assert told["after"] == [0, "0.0 m/s²"]
    assert told["before"] == [2, -981, "-9.8 m/s²"]
    assert told["rewound"] == [0, 1, -981, "-9.8 m/s²"]


def test_a_held_body_is_let_go_though_the_world_was_paused(tmp_path: Path) -> None:
    assert node(tmp_path, "bodies.mjs", "letGo") == [["hold", 0], "pause", "release"]


def test_a_drag_that_is_cancelled_moves_nothing(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "cancelled")
    assert (told["seen"], told["after"], told["asked"]) == ([500, 500], [400, 299], [])
    assert told["both"] == [[400, 300], [400, 299]]
    assert told["thrown"] == [["begin", [500, 500]]]


def test_what_is_not_finite_shows_as_a_dash(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "endless")
    assert told["rmse"] == "–"
    assert told["figures"] == ["–, root mean square", "– true · 2.00 J model", "1.00 kg·m/s true · – model"]


def test_a_saved_scene_holds_one_world(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "save")
    needs = "A scene file holds at least two frames of one gravity, bounce and friction: let it run a little first."
    assert told["short"] == [None, None, needs]
    heights, gravity, said = told["after"]
    assert (heights, gravity) == ([297, 296, 295], 0) and said.startswith("The file begins at 0.05 s, where")
    assert told["before"][:2] == [[300, 299, 298], -981]
    assert told["film"] == 3, "a film holds no gravity, and all that is shown"


def test_a_new_line_is_told_the_speed(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "again")
    assert told == {"asked": ["begin"], "then": [{"do": "speed", "value": 0.1}]}


def test_a_push_before_the_answer_to_another_adds_to_it(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "pushes")
    assert (told["first"], told["second"]) == ([50], [50, 100])
    assert told["third"] == [50, 100, 100], "the one that was refused is not there"
    assert told["all"] == [*told["third"], 180, 0], "a scene that is new waits for no push of an old one"


def test_a_label_is_the_scenes(tmp_path: Path) -> None:
    assert node(tmp_path, "bodies.mjs", "label") == {"own": "-24.8 m/s²", "moved": "-3.0 m/s²"}


def test_a_link_that_is_typed_into_an_open_page_opens(tmp_path: Path) -> None:
    told = node(tmp_path, "bodies.mjs", "link")
    assert told["asked"] == [["begin", "linked"]] and told["all"] == 1
    assert told["said"] == "The address holds no scene that can be read."


def test_the_worker_says_what_world_it_went_back_to(tmp_path: Path) -> None:
    steps = [{"do": "step"}] * 3
    told = worker(tmp_path, [*steps, {"do": "world", "gravity": [0, 0]}, steps[0], {"do": "back", "frame": 0}, *steps])
    assert [one["kind"] for one in told] == ["frame"] * 4 + ["scene", "frame"] + ["frame"] + ["scene", "frame"] + [
        "frame"
    ] * 3
    scenes = [one["scene"]["gravity"] for one in told if one["kind"] == "scene"]
    assert scenes == [[0, 0], [0, -981]]
    frames = [(one["t"], one["since"]) for one in told if one["kind"] == "frame"]
    assert frames == [(0, 0), (1, 0), (2, 0), (3, 0), (3, 3), (4, 3), (0, 0), (1, 0), (2, 0), (3, 0)]
    assert told[-1] == told[3], "the same frames again"


def test_the_worker_refuses_a_surface_that_is_no_number(tmp_path: Path) -> None:
    told = worker(tmp_path, [{"do": "world", "friction": "x"}, {"do": "world", "friction": None, "restitution": 0.5}])
    assert [each["kind"] for each in told[-3:]] == ["sentence", "scene", "frame"]
    assert told[-3]["text"] == "the surface must be a finite number."
    ball = told[-2]["scene"]["bodies"][0]
    assert ball["restitution"] == 0.5 and ball["friction"] is not None, "null changes nothing, as on the server"


def test_the_worker_sends_what_a_file_and_json_hold(tmp_path: Path) -> None:
    fast = scene_to_dict(pw.Scene(bodies=(replace(BALL.bodies[0], velocity=(1e160, 0.0), angle=0.123456789),)))
    begun, frame = worker(tmp_path, [{"do": "begin", "scene": fast, "model": "linear"}])[1:3]
    assert begun["kind"] == "begun"
    assert frame["energy"] == [None, None], "as JSON has what is not finite"
    assert frame["truth"] == [[400.0, 300.0, 0.12345679, 1e160, 0.0, 0.0]]


def test_a_spatial_scene_keeps_what_was_changed_while_it_was_judged(tmp_path: Path) -> None:
    told = node(tmp_path / "turns", "spatial.mjs", "turns")
    assert told == {"now": 10, "then": 10, "verdict": "✓ at 10"}
    told = node(tmp_path / "write", "spatial.mjs", "write")
    assert told == {"now": ["other", "other"], "then": ["other", "other"]}
    assert node(tmp_path / "twice", "spatial.mjs", "twice") == ["second", "second"]
    told = node(tmp_path / "mend", "spatial.mjs", "mend")
    assert told["mended"] == [0, 1], "what a repair changed stays listed"
    assert (told["turned"], told["said"]) == (5, "The scene was changed meanwhile; press Repair again.")


def test_rules_are_judged_while_one_drags(tmp_path: Path) -> None:
    told = node(tmp_path, "spatial.mjs", "drag")
    assert told["during"] > 2 and told["count"] > 2 and told["last"]


@pytest.mark.parametrize("case", ["another", "stop"])
def test_a_clip_is_stopped_though_it_had_not_begun(tmp_path: Path, case: str) -> None:
    told = node(tmp_path, "video.mjs", case)
    assert told == {"made": 1, "stopped": True, "clips": ["camera", "truth", "wrong"], "making": False}
