"""Scenes by hand: short forms mean what the long ones do, metres are 100 px, and every mistake is one sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from physworld import scenarios
from physworld.errors import FormatError
from physworld.seeding import generator
from physworld.text.codecs.yaml_scene import MAX_BYTES, parse_yaml, read_yaml, write_yaml
from physworld.types import Attractor, Body, MutualGravity, Part, Peg, Ratchet, Scene, Segment, Spring, Wind

TAGS = ("!!timestamp", "!!bool", "!!int", "!!float", "!!str", "!mine", "!")
ONE = "bodies: [{circle: 20, position: [150, 400]}]"


def test_short_forms_are_the_long_ones() -> None:
    scene = parse_yaml(
        """
        bodies:
          - {name: ball, circle: 20, position: [150, 400], velocity: [200, 0]}
          - {box: [80, 30], position: [500, 75], mass: 2}
          - {polygon: [[0, 0], [60, 0], [0, 60]], position: [300, 60], angle: 0.5}
        static:
          - {segment: [[0, 50], [800, 50]], radius: 10}
          - {peg: [400, 200], radius: 8}
        joints: [{spring: [world, ball], anchor_a: [120, 360], stiffness: 3e1}]
        fields: [{wind: [50, 0], drag: 0.002}, {attractor: [400, 300], strength: 1e6}, {mutual_gravity: 5}]
        """
    )
    assert scene == Scene(
        bodies=(
            Body.circle(20.0, position=(150.0, 400.0), velocity=(200.0, 0.0)),
            Body.box(80.0, 30.0, position=(500.0, 75.0), mass=2.0),
            Body.polygon([(0.0, 0.0), (60.0, 0.0), (0.0, 60.0)], position=(300.0, 60.0), angle=0.5),
        ),
        static=(Segment(start=(0.0, 50.0), end=(800.0, 50.0), radius=10.0), Peg(center=(400.0, 200.0), radius=8.0)),
        joints=(Spring(body_a=-1, body_b=0, anchor_a=(120.0, 360.0), length=50.0, stiffness=30.0),),
        fields=(
            Wind(velocity=(50.0, 0.0), drag=0.002),
            Attractor(center=(400.0, 300.0), strength=1e6),
            MutualGravity(strength=5.0),
        ),
    )


@pytest.mark.parametrize("word", ["1e3", "1.5e3", "-.5", "+2.", "1_000", "0x10", "0", "-7", "0.5e-3", ".5E+2"])
def test_what_people_write_for_a_number_is_one(word: str) -> None:
    scene = parse_yaml(f"bodies: [{{circle: 20, position: [{word}, 0]}}]")
    assert scene.bodies[0].position[0] == (16.0 if word == "0x10" else float(word))


@pytest.mark.parametrize("word", ["10:30", "0150", "1.2.3", "e3", "2 balls"])
def test_what_is_no_number_is_a_text(word: str) -> None:
    assert parse_yaml(f"{ONE}\ntext: {word}").text == word


def test_metres_are_the_same_world() -> None:
    """Each number goes with its own power of length: a file in m and the same in px are one scene."""
    in_metres = parse_yaml(
        """
        units: m
        bodies:
          - {circle: 0.2, position: [1.5, 4], velocity: [2, 0], spin: 3}
          - {box: [0.8, 0.3], position: [5, 0.75]}
        static: [{segment: [[0, 0.5], [8, 0.5]], radius: 0.1, surface_speed: 1.5}]
        joints:
          - {type: motor, body_a: world, body_b: 1, spin: 2, torque: 5}
          - {rotary_spring: [0, 1], rest_angle: 0, stiffness: 2, damping: 1}
          - {spring: [0, 1], length: 2, stiffness: 7, damping: 1}
        fields: [{wind: [1, 0], drag: 0.5}, {attractor: [4, 3], strength: 9, softening: 0.1}, {mutual_gravity: 2}]
        """
    )
    in_pixels = parse_yaml(
        """
        bodies:
          - {circle: 20, position: [150, 400], velocity: [200, 0], spin: 3}
          - {box: [80, 30], position: [500, 75]}
        static: [{segment: [[0, 50], [800, 50]], radius: 10, surface_speed: 150}]
        joints:
          - {type: motor, body_a: -1, body_b: 1, spin: 2, torque: 50000}
          - {rotary_spring: [0, 1], rest_angle: 0, stiffness: 20000, damping: 10000}
          - {spring: [0, 1], length: 200, stiffness: 7, damping: 1}
        fields: [{wind: [100, 0], drag: 0.005}, {attractor: [400, 300], strength: 9e6, softening: 10},
                 {mutual_gravity: 2e6}]
        """
    )
    assert in_metres == in_pixels and in_metres.gravity == (0.0, -981.0)


def test_the_length_of_a_joint_is_the_distance_of_its_anchors_in_the_world() -> None:
    turned = f"{{box: [80, 40], position: [300, 300], angle: {math.pi / 2}}}"
    scene = parse_yaml(
        f"bodies: [{{circle: 5, position: [300, 400]}}, {turned}]\njoints: [{{pin: [0, 1], anchor_b: [40, 0]}}]"
    )
    assert scene.joints[0].length == pytest.approx(60.0)  # type: ignore[union-attr]


def test_every_scenario_comes_back(tmp_path: Path) -> None:
    names = scenarios.names()
    scenes = [scenarios.build(name, generator(3, "train", k), 1 + k % 5) for k, name in enumerate(names)]
    for k, scene in enumerate(scenes):
        write_yaml(tmp_path / f"{k}.yaml", scene)
    assert [read_yaml(tmp_path / f"{k}.yaml") for k in range(len(scenes))] == scenes


def test_what_no_text_can_say_comes_back(tmp_path: Path) -> None:
    wheel = Body.compound(
        [Part(shape="circle", size=(9.0,)), Part(shape="rect", size=(30.0, 4.0))], position=(1.0, 2.0), kind="kinematic"
    )
    scene = Scene(
        bodies=[wheel, Body.circle(3.0, position=(5.0, 5.0), sensor=True)],  # type: ignore[arg-type]
        joints=[Ratchet(body_a=0, body_b=1, ratchet=0.3)],  # type: ignore[arg-type]
    )
    write_yaml(tmp_path / "scene.yaml", scene)
    assert read_yaml(tmp_path / "scene.yaml") == scene


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bodies: [{circle: -1, position: [0, 0]}]", "body 0 is a circle of size (-1.0,); sizes must be positive"),
        ("units: m\nbodies: [{box: [1, .nan], position: [0, 0]}]", "body 0 box is not a finite number"),
        ("units: m\nbodies: [{circle: 1, position: [0, 0], mass: 0}]", "body 0 has mass 0"),
        ("units: m\nbodies: [{circle: 0, position: [0, 0]}]", "sizes must be positive and finite (m)"),
        ("units: cm\nbodies: []", "units is 'cm'; choose px or m"),
        ("bodies: [{circle: 1, position: [0, 0], masss: 2}]", "unknown key 'masss'"),
        ("bodies: [{circle: 1, position: [0, 0], elasticity: 1}]", "Did you mean restitution".replace("D", "d", 1)),
        ("a: &a [1]\nbodies: *a", "line 2: aliases (*name) are not read"),
        ("bodies: [{circle: 1, circle: 2}]", "line 1: the key 'circle' is there twice"),
        ("? [1, 2]\n: 3\n? [1, 2]\n: 4", "this is not YAML"),
        ("{" + ",".join(f"k{k}" for k in range(20_000)) + ",k7}", "line 1: the key 'k7' is there twice"),
        ("bodies: []\ngravity: [", "line 2: this is not YAML"),
        ("bodies: !!python/object/apply:os.system [ls]", "line 1: tags (!!name) are not read"),
        *((f"{ONE}\nname: {tag} x", "line 2: tags (!!name) are not read") for tag in TAGS),
        ("[" * 1500, "nested too deeply"),
        ("- 1", "this is no scene but list"),
        ("", "this is no scene but nothing"),
        ("bodies: []", "the scene has 0 bodies"),
        ("bodies: [{position: [0, 0]}]", "body 0 has no shape; give one of circle, box, polygon"),
        ("bodies: [{circle: 1, box: [1, 1], position: [0, 0]}]", "body 0 has both circle and box"),
        ("bodies: [{polygon: [[0, 0], [1, 1]], position: [0, 0]}]", "body 0 is a polygon that has 2 corners"),
        (ONE + "\njoints: [{pin: [world, bal]}]", "joint 0 names the body 'bal'; there are world"),
        (ONE + "\njoints: [{pin: [world, 1]}]", "joint 0 holds body 1; give world, a name, or 0 to 0"),
        (ONE + "\njoints: [{hinge: [world, 0]}]", "joint 0 has no known kind; choose one of pin, pivot"),
        (ONE + "\nstatic: [{segment: [[0, 0]]}]", "wall 0 segment must be two points"),
        (ONE + "\nfields: [{wind: 3}]", "field 0 wind must be a list"),
        (ONE + "\ndifficulty: 9", "the difficulty is 9"),
        ("bodies: [{circle: 20, size: [40], position: [0, 0]}]", "body 0 has both circle and size; leave one out"),
        ("bodies: [{box: [2, 2], size: [4, 4], position: [0, 0]}]", "body 0 has both box and size"),
        ("bodies: [{polygon: [], vertices: [], position: [0, 0]}]", "body 0 has both polygon and vertices"),
        (ONE + "\nstatic: [{segment: [[0, 0], [9, 0]], end: [5, 0]}]", "wall 0 has both segment and end"),
        (ONE + "\nstatic: [{segment: [[0, 0], [9, 0]], peg: [5, 0]}]", "wall 0 has both segment and peg"),
        (ONE + "\nstatic: [{peg: [0, 0], center: [9, 0], radius: 2}]", "wall 0 has both peg and center"),
        (ONE + "\nstatic: [{peg: [0, 0], type: segment, radius: 2}]", "wall 0 has both peg and type"),
        (ONE + "\njoints: [{pin: [world, 0], type: rope}]", "joint 0 has both pin and type"),
        (ONE + "\njoints: [{pin: [world, 0], body_b: 0}]", "joint 0 has both pin and body_b"),
        (ONE + "\njoints: [{pin: [world, 0], rope: [world, 0]}]", "joint 0 has both pin and rope"),
        (ONE + "\nfields: [{wind: [1, 0], velocity: [2, 0], drag: 1}]", "field 0 has both wind and velocity"),
        (ONE + "\nfields: [{wind: [1, 0], mutual_gravity: 3}]", "field 0 has both mutual_gravity and wind"),
        (ONE + "\nfields: [{attractor: [1, 0], type: wind, strength: 1}]", "field 0 has both attractor and type"),
        (ONE + "\nfields: [{mutual_gravity: 1, strength: 2}]", "field 0 has both mutual_gravity and strength"),
        (ONE + '\ntext: "\\uD800"', "text holds half a character"),
        (ONE + "\ndt: 1:30", "dt must be a number, got '1:30'"),
        ("bodies: [{circle: 0150, position: [0, 0]}]", "body 0 circle must be a number, got '0150'"),
        (
            "units: m\n" + ONE + "\njoints: [{type: motor, body_b: 0, spin: 1, torque: -1}]",
            "not be negative (kg·m²/s²)",
        ),
        ("units: m\nbodies: [{circle: 1, position: [0, 0], velocity: [1, .inf]}]", "velocity is not a finite number"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(FormatError) as raised:
        parse_yaml(text)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_names_itself(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("#" * (MAX_BYTES + 1))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, sentence in (("large", "may have"), ("binary", "not UTF-8"), ("absent", "no such file")):
        with pytest.raises(FormatError, match=rf"{name}\.yaml: .*{sentence}"):
            read_yaml(tmp_path / f"{name}.yaml")
