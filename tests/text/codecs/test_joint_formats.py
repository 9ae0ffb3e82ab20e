"""Every kind of joint and field in the text formats and in files: written exactly, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from physworld.errors import FormatError
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.engine import write_header
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.scene_json import read_jsonl, scene_from_dict, scene_to_dict, write_jsonl
from physworld.types import (
    FIXED,
    PivotJoint,
)

from more_worlds import PLAIN


def test_a_file_keeps_every_kind_exactly(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "scene.jsonl", simulate(PLAIN, 5))
    assert read_jsonl(tmp_path / "scene.jsonl").scene == PLAIN
    header = json.loads((tmp_path / "scene.jsonl").read_text().splitlines()[0])
    kinds = [constraint["type"] for constraint in header["constraints"]]
    assert kinds == ["PinJoint", "PivotJoint", "SlideJoint", "DampedSpring", "SimpleMotor"]
    assert header["constraints"][1]["anchor_a"] == [250.0, 300.1] and "anchor_a" not in header["constraints"][4]


def test_engine_text_names_the_kinds() -> None:
    line = write_header(PLAIN).splitlines()[-1]
    assert line == (
        "Constraints: PinJoint static->1; PivotJoint static->0; SlideJoint 0->1; DampedSpring 1->2; "
        "SimpleMotor static->0"
    )


def test_impulse_text_writes_every_kind() -> None:
    """Strengths in px/s² at 100 px, drag in kg/(s·m), torque in kg·m²/s²; the rest as it is."""
    lines = ImpulseCodec().text(ImpulseCodec().prompt(simulate(PLAIN, 1))).split("\n")
    assert lines[1:10] == [
        "wall 0 0 800 0 2 0.9 0.5 -70",
        "field 1 2 50 3",
        "mutual 1 5",
        "wind 90 -1 1",
        "pin fixed o1 400 100 0 0 99.7",
        "hinge fixed o0 250 300.1 -50 0",
        "rope o0 o1 50 0 0 0 320",
        "spring o1 o2 0 1 0 0 80 33.3 0.7",
        "motor fixed o0 -3.1 1.235",
    ]


def test_published_pivot_is_where_the_body_has_it(tmp_path: Path) -> None:
    """Published files give a nailed anchor in its own body's frame, (0, 0), which says nothing."""
    joint = {"type": "PivotJoint", "body_a": "static", "body_b": 0, "anchor_a": [0.0, 0.0], "anchor_b": [30.0, 0.0]}
    box = {"id": 0, "type": "rectangle", "position": {"x": 1.0, "y": 2.0}, "width": 80, "height": 9}
    header = {"type": "scene_header", "gravity": {"x": 0.0, "y": -981.0}, "timestep": 1 / 60, "objects": [box]}
    frame = {"id": 0, "position": {"x": 5.0, "y": 7.0}, "velocity": {"x": 0.0, "y": 0.0}}
    lines = [header | {"constraints": [joint]}, {"frame": 1, "objects": [frame]}, {"frame": 2, "objects": [frame]}]
    (tmp_path / "old.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (pivot,) = read_jsonl(tmp_path / "old.jsonl").scene.joints
    assert pivot == PivotJoint(body_a=FIXED, body_b=0, anchor_a=(35.0, 7.0), anchor_b=(30.0, 0.0))


@pytest.mark.parametrize(
    ("key", "place", "change", "problem"),
    [
        ("joints", 0, {"type": "weld"}, "scene joints 0 has an unknown type; choose pin or pivot or rope or spring or"),
        ("joints", 3, {"stiffness": -1.0}, "joint 3 has stiffness -1.0, it must not be negative"),
        ("joints", 3, {"length": None}, "scene joints 3 length must be a number, got nothing"),
        ("joints", 4, {"body_b": FIXED}, "joint 4 holds bodies -1 and -1, which it cannot"),
        ("joints", 4, {"anchor_a": [0.0, 0.0]}, "scene joints 4 has the unknown key 'anchor_a'"),
        ("fields", 2, {"drag": -0.1}, "field 2 has drag -0.1, it must not be negative"),
        ("fields", 1, {"type": "magnet"}, "choose attractor or mutual_gravity or wind"),
        ("static", 0, {"end": [0.0, 0.0]}, "static 0 is a belt without length"),
    ],
)
def test_impossible_parts_are_named(key: str, place: int, change: dict, problem: str) -> None:
    data = json.loads(json.dumps(scene_to_dict(PLAIN)))
    data[key][place] |= change
    with pytest.raises(FormatError) as caught:
        scene_from_dict(data)
    assert problem in str(caught.value)
