"""Scene JSONL: golden file, round trips, files as others write them, refusals."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import physworld
from physworld.errors import FormatError
from physworld.text.codecs import scene_json
from physworld.text.codecs.scene_json import read_jsonl, scene_from_dict, scene_to_dict, write_jsonl
from physworld.types import FIXED, Attractor, Body, State, Trajectory

from plain_texts import SCENE, same, texts, trajectory


def test_jsonl_golden(tmp_path: Path) -> None:
    path = f"{tmp_path}/scene.jsonl"
    write_jsonl(path, trajectory(2), seed=5)
    header, frame = map(json.loads, Path(path).read_text().splitlines())
    assert header.pop("physworld") == {"version": 1, "scene": json.loads(json.dumps(scene_to_dict(SCENE)))}
    assert header.pop("physworld_version") == physworld.__version__
    ball = {"mass": 1.0, "friction": 0.3, "elasticity": 0.5}
    box = {"mass": 1.0, "friction": 0.5, "elasticity": 0.1}
    surface = {"friction": 0.5, "elasticity": 0.5}
    assert header == {
        "type": "scene_header",
        "seed": 5,
        "description": "A ball and a box.",
        "object_count": 2,
        "gravity": {"x": 0.0, "y": -981.0},
        "timestep": 1 / 60,
        "objects": [
            {"id": 0, "type": "circle", "position": {"x": 100.0, "y": 400.0}, "material": ball, "radius": 15.0},
            {"id": 1, "type": "rectangle", "position": {"x": 600.0, "y": 0.3333}, "material": box}
            | {"width": 50.0, "height": 50.0},
        ],
        "scenario_type": "projectile",
        "scenario_category": "collision",
        "difficulty": 2,
        "static_geometry": [
            {"type": "segment", "p1": {"x": 10.0, "y": 50.0}, "p2": {"x": 790.0, "y": 50.4}} | surface,
            {"type": "circle", "center": {"x": 400.0, "y": 300.0}, "radius": 8.0} | surface,
        ],
        "constraints": [
            {"type": "PinJoint", "body_a": "static", "body_b": 0, "anchor_a": [100.0, 500.0], "anchor_b": [0.0, 0.0]}
        ],
    }
    still = {"angular_velocity": 0.0}
    assert frame == {
        "frame": 1,
        "description": "Frame 1: 1 of 2 objects are moving.",
        "objects": [
            {"id": 0, "type": "circle", "position": {"x": 105.0, "y": 399.7275}, "velocity": {"x": 300.0, "y": -16.35}}
            | {"angle": 0.0, "material": ball}
            | still,
            {"id": 1, "type": "rectangle", "position": {"x": 600.0, "y": 0.3333}, "velocity": {"x": 0.0, "y": 0.0}}
            | {"angle": 0.7854, "material": box}
            | still,
        ],
    }


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_jsonl_round_trip(tmp_path: Path, suffix: str) -> None:
    path = f"{tmp_path}/scene.{suffix}"
    whole = trajectory(30)
    write_jsonl(path, whole)
    read = read_jsonl(path)
    assert read.scene == SCENE  # bit-exact: dataclasses compare their floats with ==
    assert len(read) == 30 and same(read.frame(0), SCENE.state)
    for name, half in (("position", 5e-5), ("velocity", 5e-5), ("angle", 5e-7), ("spin", 5e-7)):
        assert np.abs(getattr(read, name) - getattr(whole, name)).max() <= half * (1 + 1e-6)
    write_jsonl(path, read)
    again = read_jsonl(path)
    assert all(same(again.frame(t), read.frame(t)) for t in range(30))
    assert [p.name for p in tmp_path.iterdir()] == [f"scene.{suffix}"]


floats = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
points = st.tuples(floats, floats)
positive = st.floats(min_value=1e-80, max_value=1e80)  # a moment of inertia must be a number, too
steps = st.floats(1e-9, 1.0)


@given(place=points, speed=points, angle=floats, size=positive, mass=positive, dt=steps, field=points, text=texts)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scene_survives_a_file_bit_by_bit(
    tmp_path: Path,
    place: tuple,
    speed: tuple,
    angle: float,
    size: float,
    mass: float,
    dt: float,
    field: tuple,
    text: str,
) -> None:
    body = Body(shape="circle", size=(size,), position=place, velocity=speed, angle=angle, mass=mass)
    scene = replace(SCENE, bodies=(body,), joints=(), dt=dt, gravity=speed, text=text)
    scene = replace(scene, fields=(Attractor(center=field, strength=angle),))
    path = f"{tmp_path}/scene.jsonl"
    zero = State(position=np.zeros((1, 2)), velocity=np.zeros((1, 2)), angle=np.zeros(1), spin=np.zeros(1))
    write_jsonl(path, Trajectory.of(scene, [scene.state, zero]))
    read = read_jsonl(path)
    assert read.scene == scene and same(read.frame(0), scene.state)
    assert scene_from_dict(json.loads(json.dumps(scene_to_dict(scene)))) == scene


def test_a_window_keeps_its_exact_first_frame(tmp_path: Path) -> None:
    path = f"{tmp_path}/window.jsonl"
    window = trajectory(9).window(4, 9)
    write_jsonl(path, window)
    read = read_jsonl(path)
    assert read.scene == SCENE and len(read) == 5 and same(read.frame(0), window.frame(0))


def published(frames: int = 3) -> list[dict]:
    """A file as others write it: no key of ours, a joint whose anchor was lost, optional keys left out."""
    circle = {"id": 4, "type": "circle", "position": {"x": 30.0, "y": 40.0}, "radius": 5}
    box = {"id": 9, "type": "rectangle", "position": {"x": 1.0, "y": 2.0}, "width": 4, "height": 3.5}
    pins = [
        {"type": "PinJoint", "body_a": "static", "body_b": 4, "anchor_a": [0.0, 0.0], "anchor_b": [0.0, 0.0]},
        {"type": "PinJoint", "body_a": 9, "body_b": 4, "anchor_a": [2.0, 0.0], "anchor_b": [0.0, 0.0]},
    ]
    header = {
        "type": "scene_header",
        "gravity": {"x": 0.0, "y": -981.0},
        "timestep": 0.016666666666666666,
        "objects": [circle | {"material": {"mass": 2.5, "friction": 0.2, "elasticity": 0.3}}, box],
        "constraints": pins,
    }
    lines: list[dict] = [header]
    for t in range(1, frames + 1):
        ball = {"id": 4, "position": {"x": 30.0, "y": 40.0}, "velocity": {"x": t, "y": -16.35}}
        brick = {"id": 9, "position": {"x": 0.0, "y": 0.0}, "velocity": {"x": 0.0, "y": 0.0}, "angle": math.pi / 2}
        lines.append({"frame": t, "description": f"Frame {t}: ...", "objects": [brick, ball]})
    return lines


def write(path: str, lines: list) -> str:
    with open(path, "w") as stream:
        stream.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return path


def test_published_file_starts_at_its_first_frame(tmp_path: Path) -> None:
    read = read_jsonl(write(f"{tmp_path}/old.jsonl", published()))
    ball, box = read.scene.bodies
    assert len(read) == 3 and same(read.frame(0), read.scene.state)
    assert ball.velocity == (1.0, -16.35) and read.velocity[2, 0, 0] == 3.0  # matched by id, not by place
    assert (ball.mass, ball.friction, ball.restitution) == (2.5, 0.2, 0.3)
    assert (box.mass, box.friction, box.restitution, box.size) == (1.0, 0.5, 0.5, (4.0, 3.5))
    nailed, rod = read.scene.joints
    assert (nailed.body_a, nailed.body_b, nailed.anchor_a, nailed.length) == (FIXED, 0, (0.0, 0.0), 50.0)
    assert (rod.body_a, rod.body_b) == (1, 0)
    assert rod.length == pytest.approx(math.hypot(30, 38), abs=1e-9)  # the box's anchor (2, 0) turned by 90° is (0, 2)


def change(line: int, *path: object, value: object) -> list:
    """The published file with one value set; `...` removes the key."""
    lines = published(8)
    place: object = lines[line - 1]
    for key in path[:-1]:
        place = place[key]  # type: ignore[index]
    if value is ...:
        del place[path[-1]]  # type: ignore[attr-defined]
    else:
        place[path[-1]] = value  # type: ignore[index]
    return lines


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        ([*published(5), "{broken"], 7, "not valid JSON"),
        ([*published(5), '{"frame": 6, "description": "Fra'], 7, "(Unterminated string starting at column 29)"),
        ([*published(5), "[1]"], 7, "must be a JSON object, got list"),
        ([*published(5), "[" * 100_000], 7, "nested too deeply"),
        ([*published(5), '{"frame": ' + "9" * 5000 + "}"], 7, "has 5000 digits, which is too large a number"),
        ([*published(5), "", '{"frame": NaN}'], 8, "NaN is not a finite number"),
        (change(7, "frame", value=7), 7, "frame 7 follows frame 5; frame numbers must rise by one"),
        (change(7, "frame", value=5), 7, "frame 5 follows frame 5"),
        (change(7, "frame", value=...), 7, 'the key "frame" is missing'),
        (change(7, "frame", value=True), 7, "frame must be a whole number, got True"),
        (change(7, "objects", value=[]), 7, "the frame has 0 objects but the header lists 2"),
        (change(7, "objects", 0, "id", value=4), 7, "object 9 of the header is missing"),
        (change(7, "objects", 0, "velocity", value=...), 7, "velocity must be a JSON object, got nothing"),
        (change(7, "objects", 1, "position", "x", value="3"), 7, "position x must be a number, got '3'"),
        (change(7, "objects", 1, "position", "x", value=10**400), 7, "has 401 digits, which is too large a number"),
        (change(1, "timestep", value=10**400), 1, "has 401 digits"),
        (change(1, "gravity", "x", value=-(10**400)), 1, "has 402 digits"),
        (change(1, "objects", 0, "material", "mass", value=10**400), 1, "has 401 digits"),
        (change(1, "difficulty", value=10**400), 1, "has 401 digits"),
        (change(7, "objects", 1, "angle", value=float("nan")), 7, "NaN is not a finite number"),
        (change(1, "type", value="frame"), 1, "scene_header"),
        (change(1, "description", value="a \ud800"), 1, "description holds half a character ('a \\ud800')"),
        (change(1, "gravity", value=...), 1, "gravity must be a JSON object, got nothing"),
        (change(1, "timestep", value=0), 1, "timestep is 0.0, it must be positive"),
        (change(1, "object_count", value=3), 1, "object_count is 3 but the header lists 2 objects"),
        (change(1, "objects", value=[]), 1, "the header has 0 objects; 1 to 4096"),
        (change(1, "objects", value=[{}] * 4097), 1, "the header has 4097 objects; 1 to 4096"),
        (change(1, "objects", 0, "id", value=9), 1, "two objects have the same id"),
        (change(1, "objects", 0, "radius", value=...), 1, "object 0 radius must be a number, got nothing"),
        (change(1, "objects", 0, "radius", value=-1), 1, "sizes must be positive"),
        (change(1, "objects", 0, "type", value="hexagon"), 1, "'hexagon'; choose circle or rectangle"),
        (
            change(1, "constraints", 0, "type", value="GearJoint"),
            1,
            "a GearJoint, has the unknown key 'anchor_a'; choose one",
        ),
        (change(1, "constraints", 0, "type", value="Weld"), 1, "'Weld'; only PinJoint, PivotJoint, SlideJoint"),
        (change(1, "constraints", 0, "body_b", value=3), 1, "body_b 3, which is no object"),
        (change(1, "constraints", 0, "body_b", value="static"), 1, "holds static at both ends"),
    ],
)
def test_errors_name_file_line_and_problem(tmp_path: Path, lines: list, line: int, problem: str) -> None:
    path = write(f"{tmp_path}/scene.jsonl", lines)
    with pytest.raises(FormatError) as caught:
        read_jsonl(path)
    message = str(caught.value)
    assert message.startswith(f"{path} line {line}: ") and problem in message and "\n" not in message


def test_errors_of_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for lines, problem in ((published(0), "a header but no frames"), ([], "the file is empty")):
        path = write(f"{tmp_path}/scene.jsonl", lines)
        with pytest.raises(FormatError, match=f"{path}: .*{problem}"):
            read_jsonl(path)
    with pytest.raises(FormatError, match="there is no such file"):
        read_jsonl(f"{tmp_path}/nothing.jsonl")
    path = f"{tmp_path}/cut.jsonl.gz"
    data = gzip.compress("\n".join(map(json.dumps, published(50))).encode())
    for broken in (data[: len(data) // 2], b"no gzip"):
        Path(path).write_bytes(broken)
        with pytest.raises(FormatError, match=f"{path}: cannot be read"):
            read_jsonl(path)
    (tmp_path / "bad.jsonl.zst").write_bytes(b"no zstd at all")
    with pytest.raises(FormatError, match="cannot be read"):
        read_jsonl(f"{tmp_path}/bad.jsonl.zst")
    monkeypatch.setattr(scene_json, "MAX_LINE", 400)
    with pytest.raises(FormatError, match="line 1: the line is longer than 400 bytes"):
        read_jsonl(write(f"{tmp_path}/long.jsonl", published()))
    monkeypatch.undo()
    monkeypatch.setattr(scene_json, "MAX_STATES", 9)
    with pytest.raises(FormatError, match="line 6: the file has more than 9 body states"):
        read_jsonl(write(f"{tmp_path}/long.jsonl", published(20)))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("gravty", [0.0, 0.0], "scene has the unknown key 'gravty'; choose one of name, category"),
        ("bodies", [{"shape": "circle"}], 'scene bodies 0 lacks the key "size"'),
        ("gravity", [0.0], "scene gravity must have 2 numbers, got 1"),
        ("static", [{"type": "ring"}], "scene static 0 has an unknown type; choose segment or peg"),
    ],
)
def test_scene_dictionary_is_checked(key: str, value: object, problem: str) -> None:
    with pytest.raises(FormatError) as caught:
        scene_from_dict(scene_to_dict(SCENE) | {key: value})
    assert problem in str(caught.value)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = f"{tmp_path}/scene.jsonl"
    write_jsonl(path, trajectory(2))
    before = Path(path).read_text()
    bad = trajectory(3)
    bad.velocity[2, 0, 0] = np.nan
    with pytest.raises(ValueError, match="is not finite"):
        write_jsonl(path, bad)
    assert Path(path).read_text() == before
    with pytest.raises(ValueError, match="at least 2 frames"):
        write_jsonl(path, trajectory(1))


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("gravity", "y"), -100.0, 'gravity y is -100.0, but -981.0 in the "physworld" key; delete "physworld"'),
        (("timestep",), 0.02, "timestep is 0.02, but 0.0166"),
        (("objects", 0, "material", "mass"), 7.0, "objects 0 material mass is 7.0, but 1.0"),
        (("objects", 0, "radius"), 16.0, "objects 0 radius is 16.0, but 15.0"),
        (("objects", 1, "type"), "circle", "objects 1 type is 'circle', but 'rectangle'"),
        (("objects", 1, "position", "x"), 601.0, "objects 1 position x is 601.0, but 600.0"),
        (("static_geometry",), [], "static_geometry has 0 entries, but 2"),
        (("static_geometry", 0, "p2", "y"), 60.0, "static_geometry 0 p2 y is 60.0, but 50.4"),
        (("constraints", 0, "anchor_a", 1), 400.0, "constraints 0 anchor_a 1 is 400.0, but 500.0"),
        (("scenario_type",), "tower", "scenario_type is 'tower', but 'projectile'"),
    ],
)
def test_an_edit_that_would_be_read_past_is_refused(tmp_path: Path, path: tuple, value: object, problem: str) -> None:
    file = f"{tmp_path}/scene.jsonl"
    write_jsonl(file, trajectory(3))
    lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
    place = lines[0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(FormatError) as caught:
        read_jsonl(write(file, lines))
    assert str(caught.value).startswith(f"{file} line 1: ") and problem in str(caught.value)
    if path[0] == "gravity":
        del lines[0]["physworld"]
        assert read_jsonl(write(file, lines)).scene.gravity == (0.0, value)


def test_a_header_that_others_rounded_or_shortened_is_no_edit(tmp_path: Path) -> None:
    file = f"{tmp_path}/scene.jsonl"
    write_jsonl(file, trajectory(3).window(1, 3))  # frame 0 is not the scene's initial state
    lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
    lines[0]["timestep"] = 0.0167
    lines[0]["gravity"] = {"x": 0, "y": -981}
    lines[0]["note"] = "of another program"
    del lines[0]["difficulty"], lines[0]["objects"][0]["material"]["friction"]
    read = read_jsonl(write(file, lines))
    assert read.scene == SCENE and same(read.frame(0), trajectory(2).frame(1))
