"""No part of a world is made whose numbers no world can have: one sentence, the value and the range."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physworld import scenarios
from physworld.scenarios._parts import mirrored
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.scene_json import read_jsonl, write_jsonl
from physworld.text.codecs.yaml_scene import read_yaml, write_yaml
from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Filter,
    Gear,
    GrooveJoint,
    Motor,
    MutualGravity,
    Part,
    Peg,
    PinJoint,
    Ratchet,
    RotaryLimit,
    Scene,
    Segment,
    SlideJoint,
    Spring,
    Wind,
    features,
)
from physworld.types.limits import MAX_CANVAS

from worlds import disc, world

NAN, INF = math.nan, math.inf
BALL, BOX = {"shape": "circle", "size": (5.0,)}, {"shape": "rect", "size": (5.0, 6.0)}
SQUARE = ((-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0))
PAIR = {"body_a": 0, "body_b": 1}
ENDS = {**PAIR, "anchor_a": (0.0, 0.0)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": (-20.0,)}, "is a circle of size (-20.0,); sizes must be positive and finite (px)"),
        ({"size": (0,)}, "sizes must be positive"),
        ({"size": (NAN,)}, "sizes must be positive"),
        ({"size": (INF,)}, "sizes must be positive"),
        ({"size": (3.0, 4.0)}, "it must have a size of radius (px)"),
        ({"size": ("5",)}, "sizes must be positive"),
        (BOX | {"size": (5.0, -1.0)}, "is a rect of size (5.0, -1.0); sizes must be positive"),
        ({"mass": 0}, "has mass 0, it must be positive (kg)"),
        ({"mass": True}, "has mass True, it must be a finite number"),
        ({"position": {1.0, 2.0}}, "it must be two numbers (px)"),
        ({"mass": -1.0}, "has mass -1.0, it must be positive"),
        ({"mass": INF}, "has mass inf, it must be a finite number"),
        ({"mass": 1e-320, "size": (1e-3,)}, "moment of inertia (mass times size squared) of 0.0, it must be positive"),
        ({"size": (1e250,)}, "is too large: its moment of inertia (mass times size squared) has no number"),
        ({"friction": -1.0}, "has friction -1.0, it must not be negative"),
        ({"restitution": NAN}, "has restitution nan, it must be a finite number"),
        ({"position": (NAN, 0.0)}, "has position x nan, it must be a finite number (px)"),
        ({"position": (1.0,)}, "has position (1.0,), it must be two numbers"),
        ({"velocity": (0.0, -INF)}, "has velocity y -inf, it must be a finite number (px/s)"),
        ({"position": (INF, -INF)}, "has position x inf"),
        ({"angle": NAN}, "has angle nan"),
        ({"spin": INF}, "has spin inf"),
        ({"kind": "static"}, "has kind 'static'; choose dynamic or kinematic"),
        ({"sensor": 1}, "has sensor 1, it must be true or false"),
        ({"shape": "hexagon"}, "has shape 'hexagon'; choose circle, rect, polygon or compound"),
        ({"shape": "polygon", "size": (), "vertices": SQUARE[:2]}, "that has 2 corners; a polygon needs 3 or more"),
        ({"shape": "polygon", "size": (), "vertices": SQUARE[::-1]}, "that runs clockwise"),
        ({"shape": "polygon", "size": (), "vertices": ((0, 0), (5, 0), (10, 0))}, "that has no area"),
        ({"shape": "polygon", "size": (), "vertices": (*SQUARE, (0.0, 0.0))}, "that is not convex"),
        ({"shape": "polygon", "size": (), "vertices": (*SQUARE, SQUARE[0])}, "that names one corner twice"),
        ({"shape": "polygon", "size": (), "vertices": ((0, 0), (9, 0), (0, 9))}, "centre of mass at (3, 3) px"),
        ({"shape": "polygon", "size": (), "vertices": ((0, NAN), (9, 0), (0, 9))}, "has corner 0 y nan"),
        ({"shape": "polygon", "size": (4.0,), "vertices": SQUARE}, "it must have no size"),
        ({"vertices": SQUARE}, "has vertices, which only a polygon may have"),
        ({"shape": "compound", "size": ()}, "is a compound of 0 parts"),
        ({"parts": (Part(shape="circle", size=(3.0,)),)}, "is a circle of 1 parts"),
        ({"size": 20}, "has size 20, it must be a list of numbers (px)"),
        ({"size": None}, "has size None, it must be a list of numbers (px)"),
        ({"shape": "polygon", "size": (), "vertices": 5}, "has vertices 5, it must be a list of points (px)"),
        ({"shape": "compound", "size": (), "parts": 5}, "has parts 5, it must be a list of Part"),
        ({"shape": "compound", "size": (), "parts": (5,)}, "has part 5, it must be a Part"),
        ({"filter": 5}, "has filter 5, it must be a Filter"),
        ({"filter": None}, "has filter None, it must be a Filter"),
    ],
)
def test_bodies(changes: dict, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        Body(**{**BALL, "position": (0.0, 0.0), **changes})
    assert str(caught.value).startswith("a body ") and says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Part(shape="circle", size=(0.0,)), "a part is a circle of size (0.0,)"),
        (lambda: Part(shape="circle", size=5), "a part has size 5, it must be a list of numbers (px)"),
        (lambda: Body.polygon([1, 2, 3], position=(0.0, 0.0)), "a body has corner 0 1, it must be two numbers (px)"),
        (lambda: Body.polygon(5, position=(0.0, 0.0)), "a body has vertices 5, it must be a list of points (px)"),
        (lambda: Body.polygon(SQUARE, position=None), "a body has position None, it must be two numbers (px)"),
        (lambda: Body.compound([5], position=(0.0, 0.0)), "a body has part 5, it must be a Part"),
        (lambda: Segment(start=(0.0, 0.0), end=(1.0, 0.0), filter=5), "a wall has filter 5, it must be a Filter"),
        (lambda: Peg(center=(0.0, 0.0), radius=5.0, filter=5), "a peg has filter 5, it must be a Filter"),
        (lambda: PinJoint(**ENDS | {"body_a": 0.5}, length=1.0), "a joint holds bodies 0.5 and 1, which it cannot"),
        (lambda: Gear(**PAIR | {"body_b": 1.0}, ratio=1.0), "a joint holds bodies 0 and 1.0, which it cannot"),
        (lambda: Motor(**PAIR | {"body_b": True}, spin=1.0, torque=2.0), "a joint holds bodies 0 and True"),
        (lambda: Part(shape="circle", size=(1.0,), density=0.0), "a part has density 0.0, it must be positive"),
        (lambda: Part(shape="rect", size=(1.0, 1.0), at=(NAN, 0.0)), "a part has at x nan"),
        (lambda: Segment(start=(0.0, 0.0), end=(1.0, INF)), "a wall has end y inf"),
        (lambda: Segment(start=(0.0, 0.0), end=(1.0, 0.0), radius=-2.0), "a wall has radius -2.0, it must not be neg"),
        (lambda: Segment(start=(0.0, 0.0), end=(0.0, 0.0), surface_speed=5.0), "is a belt without length"),
        (lambda: Segment(start=(0.0, 0.0), end=(5.0, 0.0), one_way=(1.0, 0.0)), "must point to one side"),
        (lambda: Segment(start=(0.0, 0.0), end=(0.0, 0.0), one_way=(0.0, 1.0)), "must have a length"),
        (lambda: Peg(center=(0.0, 0.0), radius=-5.0), "a peg has radius -5.0, it must be positive (px)"),
        (lambda: Peg(center=(0.0, NAN), radius=5.0), "a peg has center y nan"),
        (lambda: Peg(center=(0.0, 0.0), radius=5.0, friction=-1.0), "a peg has friction -1.0, it must not be negative"),
        (lambda: Filter(mask=-1), "a filter has mask -1, it must be a whole number from 0 to 4294967295"),
        (lambda: PinJoint(**ENDS, length=-1.0), "a joint has length -1.0, it must not be negative (px)"),
        (lambda: PinJoint(**ENDS | {"body_b": 0}, length=1.0), "a joint holds bodies 0 and 0, which it cannot"),
        (lambda: PinJoint(**ENDS | {"body_b": FIXED}, length=1.0), "a joint holds bodies 0 and -1, which it cannot"),
        (lambda: PinJoint(**ENDS | {"body_a": -2}, length=1.0), "a joint holds bodies -2 and 1, which it cannot"),
        (lambda: PinJoint(**ENDS | {"anchor_a": (NAN, 0.0)}, length=1.0), "a joint has anchor_a x nan"),
        (lambda: Spring(**ENDS, length=1.0, stiffness=NAN), "a joint has stiffness nan, it must be a finite number"),
        (lambda: Motor(**PAIR, spin=1.0, torque=-2.0), "a joint has torque -2.0, it must not be negative"),
        (
            lambda: SlideJoint(**ENDS, shortest=5.0, longest=4.0),
            "has shortest 5, it must not be above longest, which is 4",
        ),
        (lambda: RotaryLimit(**PAIR, lowest=1.0, highest=-1.0), "has lowest 1, it must not be above highest"),
        (lambda: Gear(**PAIR, ratio=0.0), "a joint has ratio 0, it must be another number"),
        (lambda: Ratchet(**PAIR, ratchet=0.0), "a joint has ratchet 0"),
        (lambda: GrooveJoint(**PAIR, groove_start=(1.0, 1.0), groove_end=(1.0, 1.0)), "has a groove without length"),
        (lambda: Attractor(center=(0.0, 0.0), strength=INF), "a field has strength inf, it must be a finite number"),
        (lambda: MutualGravity(strength=1.0, softening=-1.0), "a field has softening -1.0, it must not be negative"),
        (lambda: Wind(velocity=(NAN, 0.0), drag=1.0), "a field has velocity x nan"),
        (lambda: Wind(velocity=(0.0, 0.0), drag=-1.0), "a field has drag -1.0, it must not be negative"),
    ],
)
def test_parts(make, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dt": 0.0}, "the timestep is 0.0, it must be positive (s)"),
        ({"canvas": 5}, "the canvas is 5, it must be width and height"),
        ({"canvas": {800, 600}}, "it must be width and height"),
        ({"difficulty": 2.5}, "the difficulty is 2.5, it must be a whole number from 1 to 5"),
        ({"difficulty": True}, "the difficulty is True, it must be a whole number"),
        ({"dt": -1 / 60}, "it must be positive (s)"),
        ({"dt": NAN}, "the timestep is nan, it must be a finite number"),
        ({"gravity": (0.0, INF)}, "a scene has gravity y inf"),
        (
            {"canvas": (0, 600)},
            f"the canvas is (0, 600), it must be width and height, whole numbers from 1 to {MAX_CANVAS}",
        ),
        ({"canvas": (-800, 600)}, "the canvas is (-800, 600)"),
        ({"canvas": (800.5, 600)}, "the canvas is (800.5, 600)"),
        ({"canvas": (800.0, 600.0)}, "the canvas is (800.0, 600.0)"),
        ({"canvas": (10**9, 600)}, "the canvas is (1000000000, 600)"),
        ({"canvas": (800,)}, "the canvas is (800,)"),
        ({"dt": 10.0}, "the timestep is 10.0, it must be at most 1 (s)"),
        ({"name": 3}, "a scene has name 3, it must be a text"),
        ({"category": None}, "a scene has category None, it must be a text"),
        ({"text": "a \ud800"}, "a scene has text 'a \\ud800', it holds half a character"),
        ({"difficulty": 0}, "the difficulty is 0, it must be a whole number from 1 to 5"),
        (
            {"joints": (PinJoint(**ENDS | {"body_b": 2}, length=1.0),)},
            "joint 0 holds bodies 0 and 2, which it cannot: the",
        ),
        ({"joints": (Gear(body_a=7, body_b=0, ratio=1.0),)}, "joint 0 holds bodies 7 and 0, which it cannot"),
    ],
)
def test_scenes(changes: dict, says: str) -> None:
    scene = world(disc(0.0, 0.0), disc(50.0, 0.0))
    with pytest.raises(ValueError) as caught:
        replace(scene, **changes)
    assert says in str(caught.value)


def test_a_joint_needs_a_body_that_it_can_move() -> None:
    driven = [disc(50.0 * k, 0.0, kind="kinematic") for k in range(2)]
    with pytest.raises(ValueError, match="joint 0 holds bodies 0 and 1, which it cannot: one of them must be dynamic"):
        world(*driven, joints=(Gear(body_a=0, body_b=1, ratio=1.0),))
    with pytest.raises(ValueError, match="one of them must be dynamic"):
        world(*driven, joints=(Gear(body_a=FIXED, body_b=1, ratio=1.0),))
    assert world(driven[0], disc(50.0, 0.0), joints=(Gear(body_a=0, body_b=1, ratio=1.0),)).joints


def test_what_is_possible_is_taken() -> None:
    """Edges of the ranges, whole numbers, numpy's numbers, and a wall that is a point."""
    Body(shape="circle", size=(np.float64(3.0),), position=(np.float64(1.0), 2), mass=1, friction=0, restitution=1.5)
    Segment(start=(1, 1), end=(1, 1), radius=0)
    PinJoint(**ENDS, length=0)
    Attractor(center=(0, 0), strength=-5e5)
    assert replace(world(disc(0.0, 0.0)), canvas=(1, MAX_CANVAS), difficulty=5).canvas == (1, MAX_CANVAS)
    counted = replace(world(disc(0.0, 0.0)), canvas=(np.int64(800), np.int64(600))).canvas
    assert list(map(type, counted)) == [int, int]  # what a file can hold


def test_what_numpy_and_lists_make_comes_back_from_files_as_an_equal_scene(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = np.float64(1.5), np.int64(2)
    pair: Any = [one, two]
    table: Any = np.array(SQUARE)
    drawn: Any = rng.uniform(100, 500, 2)
    many: Any = [
        Body.circle(one, position=drawn, mass=two),
        Body.box(20, one, position=pair, velocity=np.array([1, 2]), angle=one, filter=Filter(group=two)),
        Body.polygon(table, position=drawn, friction=one),
        Body(shape="polygon", vertices=table, position=pair),
        Body.compound([Part(shape="rect", size=pair, at=pair)], position=pair),
    ]
    walls: Any = [Segment(start=pair, end=drawn, radius=one, one_way=pair), Peg(center=pair, radius=two)]
    joints: Any = [PinJoint(body_a=two, body_b=0, anchor_a=pair, length=one), Gear(**PAIR, ratio=two)]
    air: Any = [Wind(velocity=drawn, drag=one)]
    sides: Any = [640, two]
    scene = Scene(name=np.str_("mine"), difficulty=two, gravity=drawn, canvas=sides, bodies=many, static=walls,
                  joints=joints, fields=air)  # fmt: skip
    assert scene == replace(scene)
    write_yaml(tmp_path / "scene.yaml", scene)
    assert read_yaml(tmp_path / "scene.yaml") == scene
    write_jsonl(tmp_path / "scene.jsonl", simulate(scene, 2), seed=0)
    assert read_jsonl(tmp_path / "scene.jsonl").scene == scene


@pytest.mark.parametrize("huge", [10**400, -(10**400)])
def test_integers_that_no_float_can_hold_are_refused(huge: int) -> None:
    for make in (
        lambda: disc(huge, 0),
        lambda: disc(0.0, 0.0, mass=abs(huge)),
        lambda: Body(**BALL | {"position": (0, 0), "velocity": (0, 0)}, angle=huge, spin=0, friction=0, restitution=0),
        lambda: Segment(start=(huge, 0), end=(0, 1)),
        lambda: Segment(start=(huge, 0), end=(0, 1), radius=1, friction=1, restitution=1, surface_speed=0),
        lambda: Peg(center=(huge, 0.5), radius=1),
        lambda: PinJoint(**ENDS, length=abs(huge)),
        lambda: Wind(velocity=(huge, 0), drag=0),
        lambda: Scene(bodies=(disc(0.0, 0.0),), gravity=(0.0, huge)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="it must be a finite number"):
            make()


def test_a_hand_written_constructor_names_every_field_once() -> None:
    """Body, Segment and Peg write their own for speed: fields, defaults and order must be the class's."""
    for kind in (Body, Segment, Peg):
        taken = kind.__init__.__kwdefaults__
        assert [f.name for f in fields(kind)] == list(kind.__init__.__annotations__)[:-1]
        assert taken == {f.name: f.default for f in fields(kind) if f.name in taken}
        for f in fields(kind):
            assert (f.name in taken) == (type(f.default).__name__ != "_MISSING_TYPE"), f.name


def test_equal_bodies_are_equal_and_print_every_field() -> None:
    body = Body.polygon(SQUARE, position=(1.0, 2.0), sensor=True, filter=Filter(group=2))
    assert body == replace(body) and hash(body) == hash(replace(body)) and body != replace(body, sensor=False)
    assert "sensor=True" in repr(body) and "kind='dynamic'" in repr(body)


def test_scenes_of_all_types_have_no_feature_that_texts_lack() -> None:
    for name in scenarios.names():
        assert features(scenarios.build(name, generator(0, "test", 1), 5)) == frozenset()


def test_a_mirror_image_mirrored_is_the_scene() -> None:
    parts = (Part(shape="rect", size=(20.0, 4.0), at=(3.0, 1.0), angle=0.4), Part(shape="polygon", vertices=SQUARE))
    scene = world(
        Body.compound(parts, position=(100.0, 100.0), angle=0.2, spin=1.0, velocity=(5.0, 6.0)),
        Body.polygon(SQUARE, position=(300.0, 100.0), kind="kinematic", velocity=(9.0, 0.0)),
        static=(Segment(start=(0.0, 0.0), end=(100.0, 50.0), one_way=(-1.0, 1.0)),),
        joints=(
            Gear(body_a=1, body_b=0, ratio=2.0, phase=0.3),
            RotaryLimit(body_a=1, body_b=0, lowest=-1.0, highest=2.0),
            GrooveJoint(
                body_a=FIXED, body_b=0, groove_start=(10.0, 10.0), groove_end=(60.0, 20.0), anchor_b=(1.0, 2.0)
            ),
            Ratchet(body_a=1, body_b=0, ratchet=0.2, phase=0.1),
        ),
    )
    image = mirrored(scene)
    assert image.bodies[0].moment == pytest.approx(scene.bodies[0].moment)
    assert image.joints[1] == RotaryLimit(body_a=1, body_b=0, lowest=-2.0, highest=1.0)
    again = mirrored(image)
    assert again.joints == scene.joints and again.static == scene.static and again.bodies[1] == scene.bodies[1]
    assert isinstance(again, Scene) and again.bodies[0].parts[0].at == pytest.approx(scene.bodies[0].parts[0].at)


def test_corners_that_run_clockwise_are_turned_round_by_the_helper() -> None:
    assert Body.polygon(SQUARE[::-1], position=(0.0, 0.0)).area == pytest.approx(100.0)
    with pytest.raises(ValueError, match="a body is a compound of 0 parts"):
        Body.compound([], position=(0.0, 0.0))
