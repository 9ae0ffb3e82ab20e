"""What Pymunk has beyond circles and rods: kept by both file formats, refused by texts, read from public keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from physworld.errors import FormatError
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs import scene_json
from physworld.text.codecs._public import public_header
from physworld.text.codecs.scene_json import read_jsonl, scene_from_dict, scene_to_dict, write_jsonl
from physworld.text.codecs.scene_parquet import read_parquet, write_parquet
from physworld.types import (
    FIXED,
    Motor,
    RotaryLimit,
    RotarySpring,
    Scene,
    SlideJoint,
)

from more_worlds import MORE, PLAIN


def test_both_file_formats_keep_everything_exactly(tmp_path: Path) -> None:
    run = simulate(MORE, 9)
    write_jsonl(tmp_path / "scene.jsonl", run)
    assert read_jsonl(tmp_path / "scene.jsonl").scene == MORE
    assert scene_from_dict(json.loads(json.dumps(scene_to_dict(MORE)))) == MORE
    write_parquet(tmp_path / "scene.parquet", [run, simulate(PLAIN, 4)])
    back, plain = read_parquet(tmp_path / "scene.parquet")
    assert back.scene == MORE and plain.scene == PLAIN
    assert back.position.tobytes() == run.position.tobytes() and back.spin.tobytes() == run.spin.tobytes()


@pytest.mark.parametrize("scene", [MORE, PLAIN])
def test_the_public_keys_alone_hold_the_physics(scene: Scene, tmp_path: Path) -> None:
    """Without our own key a file is still this world, from its first frame on."""
    run = simulate(scene, 12)
    write_jsonl(tmp_path / "scene.jsonl", run)
    header, *frames = [json.loads(line) for line in (tmp_path / "scene.jsonl").read_text().splitlines()]
    del header["physworld"]
    header |= public_header(scene, scene.state, full=True)
    (tmp_path / "public.jsonl").write_text("\n".join(map(json.dumps, [header, *frames])))
    read = read_jsonl(tmp_path / "public.jsonl").scene
    same = ("shape", "size", "vertices", "parts", "kind", "sensor", "filter")
    for one, other in zip(read.bodies, scene.bodies, strict=True):
        assert all(getattr(one, name) == getattr(other, name) for name in same)
        assert one.mass == pytest.approx(other.mass) and one.moment == pytest.approx(other.moment)
    assert (read.static, read.fields, read.canvas) == (scene.static, scene.fields, scene.canvas)
    for mine, theirs in zip(read.joints, scene.joints, strict=True):
        values = {k: pytest.approx(v, abs=1e-3) for k, v in vars(theirs).items()}
        assert type(mine) is type(theirs) and vars(mine) == values


def public(*constraints: dict, **changes: object) -> list[dict]:
    material = {"mass": 1.0, "friction": 0.5, "elasticity": 0.0}
    balls = [
        {"id": k, "type": "circle", "position": {"x": 100.0 * k, "y": 45.0}, "material": material, "radius": 15}
        for k in range(2)
    ]
    wall = {"type": "segment", "p1": {"x": -90, "y": 10}, "p2": {"x": 800, "y": 10}, "friction": 0.5, "elasticity": 0.0}
    header = {
        "type": "scene_header", "gravity": {"x": 0, "y": -981}, "timestep": 1 / 60, "objects": balls,
        "static_geometry": [wall], "constraints": list(constraints),
    }  # fmt: skip
    still = {"velocity": {"x": 0, "y": 0}, "angle": 0, "angular_velocity": 0}
    frame = {"objects": [{"id": k, "position": ball["position"], **still} for k, ball in enumerate(balls)]}
    return [header | changes, *({"frame": t, **frame} for t in range(1, 4))]


def read(tmp_path: Path, lines: list[dict]) -> Scene:
    (tmp_path / "scene.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return read_jsonl(tmp_path / "scene.jsonl").scene


def test_a_ball_lies_on_a_wall_as_thick_as_the_file_says(tmp_path: Path) -> None:
    lines = public()
    lines[0]["static_geometry"][0]["radius"] = 20
    run = simulate(read(tmp_path, lines), 120)
    assert run.position[-1, 0, 1] == pytest.approx(45.0, abs=0.2)
    assert simulate(read(tmp_path, public()), 120).position[-1, 0, 1] == pytest.approx(
        27.0, abs=0.2
    )  # 2 px, as published


@pytest.mark.parametrize(
    ("constraint", "joint"),
    [
        ({"type": "SimpleMotor", "rate": 2.0, "max_force": 5.0}, Motor(body_a=FIXED, body_b=1, spin=2.0, torque=5.0)),
        (
            {"type": "RotaryLimitJoint", "min": -1.0, "max": 0.5},
            RotaryLimit(body_a=FIXED, body_b=1, lowest=-0.5, highest=1.0),
        ),
        (
            {"type": "DampedRotarySpring", "rest_angle": 0.3, "stiffness": 9.0, "damping": 1.0},
            RotarySpring(body_a=FIXED, body_b=1, rest_angle=-0.3, stiffness=9.0, damping=1.0),
        ),
        (
            {"type": "SlideJoint", "min": 5.0, "max": 7.0, "anchor_a": [1.0, 0.0], "anchor_b": [100.0, 50.0]},
            SlideJoint(body_a=FIXED, body_b=1, anchor_a=(100.0, 50.0), anchor_b=(1.0, 0.0), shortest=5.0, longest=7.0),
        ),
    ],
)
def test_a_constraint_whose_second_end_is_static_is_turned_round(
    constraint: dict, joint: object, tmp_path: Path
) -> None:
    assert read(tmp_path, public(constraint | {"body_a": 1, "body_b": "static"})).joints == (joint,)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"graviti": {"x": 0, "y": -100}}, "the header has the unknown key 'graviti'"),
        ({"graviti": {"x": 0, "y": -100}}, "did you mean gravity?"),
        ({"damping": 0.9}, "the header has the unknown key 'damping'"),
        ({"gravity": {"x": 0, "y": -981, "z": 3}}, "gravity has the unknown key 'z'"),
        ({"canvas": [0, 600]}, "the canvas is (0, 600)"),
        (
            {"fields": [{"type": "wind", "velocity": [9.0, 0.0], "drag": -1.0}]},
            "has drag -1.0, it must not be negative",
        ),
    ],
)
def test_a_key_that_would_be_read_past_is_refused(change: dict, problem: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, public(**change))
    assert problem in str(caught.value) and "line 1" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "key", "value", "problem"),
    [
        (("objects", 0), "kind", "kinematic", "object 0 has the unknown key 'kind'; choose one of"),
        (("objects", 0), "kind", "kinematic", "did you mean body_type?"),
        (("objects", 0), "body_type", "static", "object 0 body_type is 'static'; choose dynamic or kinematic"),
        (("objects", 0), "width", 5, "object 0, a circle, has the unknown key 'width'"),
        (("objects", 0, "material"), "restitution", 0.5, "did you mean elasticity?"),
        (("objects", 0, "material"), "mass", 0, "object 0 has mass 0.0, it must be positive (kg)"),
        (("objects", 0, "material"), "elasticity", -1, "object 0 has elasticity -1.0, it must not be negative"),
        ((), "seed", "abc", "seed must be a whole number, got 'abc'"),
        ((), "timestep", 16.67, "the timestep is 16.67, it must be at most 1 (s)"),
        (("objects", 0, "material"), "friction", -1, "object 0 has friction -1.0, it must not be negative"),
        (("objects", 0, "material"), "density", 100.0, "density and size make 7.06858 kg; give one of the two"),
        (("static_geometry", 0), "radius", -2, "static_geometry 0 has radius -2.0, it must not be negative"),
        (("static_geometry", 0), "thickness", 9, "a segment, has the unknown key 'thickness'; choose one of"),
        (("static_geometry", 0), "one_way", {"x": 1, "y": 0}, "it must point to one side"),
        (("objects", 0), "filter", {"mask": -1}, "has mask -1"),
    ],
)
def test_a_wrong_part_of_a_public_header_is_named(
    path: tuple, key: str, value: object, problem: str, tmp_path: Path
) -> None:
    lines = public()
    place: object = lines[0]
    for step in path:
        place = place[step]  # type: ignore[index]
    place[key] = value  # type: ignore[index]
    with pytest.raises(FormatError) as caught:
        read(tmp_path, lines)
    assert problem in str(caught.value) and "line 1" in str(caught.value)


@pytest.mark.parametrize(
    ("constraint", "problem"),
    [
        ({"type": "GearJoint", "phase": 0.0}, 'constraint 0, a GearJoint, lacks the key "ratio"'),
        ({"type": "GearJoint", "phase": 0.0, "ratio": 0}, "constraint 0 has ratio 0, it must be another number"),
        ({"type": "SimpleMotor", "rate": 1.0}, 'lacks the key "max_force"'),
        ({"type": "SlideJoint", "min": 9.0, "max": 1.0}, "constraint 0 has min 9, it must not be above max, which"),
        ({"type": "RotaryLimitJoint", "min": 2.0, "max": 1.0}, "constraint 0 has min 2, it must not be above max"),
        ({"type": "PivotJoint", "body_a": "static", "body_b": "static"}, "constraint 0 holds static at both ends"),
        ({"type": "PinJoint", "max_force": 5.0}, "a PinJoint, has the unknown key 'max_force'"),
        ({"type": "PivotJoint", "collide_bodies": False}, "a PivotJoint, has the unknown key 'collide_bodies'"),
        ({"type": "DampedSpring", "rest_length": 5.0, "stiffness": -1.0, "damping": 0.0}, "has stiffness -1.0"),
        ({"type": "GrooveJoint", "groove_a": [1, 1], "groove_b": [1, 1]}, "has a groove without length"),
        ({"type": "GearJoint", "phase": 0, "ratio": 1, "body_b": "static"}, "name the moving body as body_b"),
    ],
)
def test_a_wrong_constraint_is_named(constraint: dict, problem: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read(tmp_path, public({"body_a": 0, "body_b": 1} | constraint))
    assert problem in str(caught.value)


def test_physics_that_changes_under_way_is_refused(tmp_path: Path) -> None:
    lines = public()
    lines[2] = json.loads(json.dumps(lines[2]))
    lines[2]["objects"][0] |= {"material": {"mass": 7.0, "friction": 0.5, "elasticity": 0.0}, "type": "circle"}
    with pytest.raises(FormatError, match=r"line 3: object 0 material mass is 7.0, but 1.0 in the header"):
        read(tmp_path, lines)
    lines[2]["objects"][0] |= {"material": {"mass": 1.0}, "type": "rectangle"}
    with pytest.raises(FormatError, match=r"line 3: object 0 type is 'rectangle', but 'circle' in the header"):
        read(tmp_path, lines)
    lines[2]["objects"][0] = lines[1]["objects"][0] | {"radius": 30}
    with pytest.raises(FormatError, match=r"line 3: an object of the frame has the unknown key 'radius'"):
        read(tmp_path, lines)


def test_what_a_file_leaves_out_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_json, "_STATED", set())
    lines = public()
    del lines[0]["objects"][0]["material"]["mass"], lines[0]["static_geometry"][0]["friction"]
    scene = read(tmp_path, lines)
    assert scene.bodies[0].mass == 1.0
    said = capsys.readouterr().err
    assert "scene.jsonl line 1: an object has no mass, so 1 kg is taken (said once" in said
    assert "static geometry has no friction, so 0.5 is taken" in said
    read(tmp_path, lines)
    assert capsys.readouterr().err == ""


def test_a_density_makes_the_mass(tmp_path: Path) -> None:
    lines = public()
    lines[0]["objects"] = json.loads(json.dumps(lines[0]["objects"]))
    lines[0]["objects"][1]["material"] = {"density": 100.0, "friction": 0.5, "elasticity": 0.0}
    assert read(tmp_path, lines).bodies[1].mass == pytest.approx(100 * 3.14159265 * 0.15**2)


def test_remarks_may_stand_anywhere(tmp_path: Path) -> None:
    lines = public(comment="mine", _tool="x", x_run=4)
    lines[0]["objects"][0]["note"] = "left"
    assert len(read(tmp_path, lines).bodies) == 2


def test_a_key_named_twice_is_refused(tmp_path: Path) -> None:
    """Of two masses one would be read past."""
    first, *frames = [json.dumps(line) for line in public()]
    first = first.replace('"mass": 1.0,', '"mass": 1.0, "mass": 5.0,', 1)
    (tmp_path / "scene.jsonl").write_text("\n".join([first, *frames]))
    with pytest.raises(FormatError, match="line 1: the key 'mass' is there twice in one object"):
        read_jsonl(tmp_path / "scene.jsonl")


@pytest.mark.parametrize("change", [{"gravity": [0.0, 0.0]}, {"scene": None, "scen": 1}])
def test_our_own_key_has_no_unknown_ones_either(change: dict, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "scene.jsonl", simulate(PLAIN, 3))
    header, *frames = [json.loads(line) for line in (tmp_path / "scene.jsonl").read_text().splitlines()]
    header["physworld"] |= change
    (tmp_path / "scene.jsonl").write_text("\n".join(map(json.dumps, [header, *frames])))
    with pytest.raises(FormatError, match='the "physworld" key has the unknown key'):
        read_jsonl(tmp_path / "scene.jsonl")


def test_a_public_key_beside_the_exact_scene_that_says_something_else_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "scene.jsonl", simulate(MORE, 3))
    header, *frames = [json.loads(line) for line in (tmp_path / "scene.jsonl").read_text().splitlines()]

    def read_with(path: tuple, value: object) -> str:
        changed = json.loads(json.dumps(header))
        place = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        (tmp_path / "edited.jsonl").write_text("\n".join(map(json.dumps, [changed, *frames])))
        try:
            read_jsonl(tmp_path / "edited.jsonl")
        except FormatError as error:
            return str(error)
        return ""

    assert "static_geometry 0 radius is 5, but 20.0" in read_with(("static_geometry", 0, "radius"), 5)
    assert read_with(("static_geometry", 0, "radius"), 20.0) == ""
    assert "fields has 1 entries, but 0" in read_with(("fields",), [{"type": "wind"}])
    assert "canvas 0 is 800, but 900" in read_with(("canvas",), [800, 700])
    assert "objects 2 body_type is 'dynamic', but 'kinematic'" in read_with(("objects", 2, "body_type"), "dynamic")
    assert "objects 0 sensor is True, but False" in read_with(("objects", 0, "sensor"), True)
    assert "constraints 0 ratio is 3.0, but 2.0" in read_with(("constraints", 0, "ratio"), 3.0)
    assert "constraints 6 max is 1.0, but 300.0" in read_with(("constraints", 6, "max"), 1.0)
    assert "objects 0 material density is 9.0, but nothing" in read_with(("objects", 0, "material", "density"), 9.0)
    assert "objects 0 vertices 0 0 is " in read_with(("objects", 0, "vertices", 0, 0), 7.0)
