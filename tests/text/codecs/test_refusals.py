"""A text refuses by name what it has no words for, and numbers that it would cut off."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec, write_header
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.plain import PlainCodec
from physworld.types import (
    FIXED,
    Body,
    Gear,
    GrooveJoint,
    Motor,
    Peg,
    PinJoint,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    Segment,
    SlideJoint,
)

from more_worlds import MORE, PLAIN
from worlds import disc, world

CANNOT = {
    "a polygon": (world(MORE.bodies[0]), ["engine"]),
    "a compound body": (world(MORE.bodies[1]), ["engine"]),
    "a kinematic body": (world(MORE.bodies[2]), []),
    "a sensor": (world(MORE.bodies[3]), []),
    "a collision filter": (world(MORE.bodies[4]), []),
    "a one-way wall": (world(PLAIN.bodies[1], static=MORE.static[1:2]), []),
    **{
        name: (world(*PLAIN.bodies, joints=(joint,)), ["engine"])
        for name, joint in (
            ("a gear joint", Gear(body_a=0, body_b=1, ratio=2.0)),
            ("a slide joint", SlideJoint(body_a=0, body_b=1, anchor_a=(0.0, 0.0), shortest=1.0, longest=900.0)),
            ("a groove joint", GrooveJoint(body_a=0, body_b=1, groove_start=(0.0, 0.0), groove_end=(1.0, 0.0))),
            ("a rotary limit joint", RotaryLimit(body_a=0, body_b=1, lowest=0.0, highest=1.0)),
            ("a rotary spring", RotarySpring(body_a=0, body_b=1, rest_angle=0.0, stiffness=1.0)),
            ("a ratchet joint", Ratchet(body_a=0, body_b=1, ratchet=1.0)),
        )
    },
}


@pytest.mark.parametrize("what", CANNOT)
@pytest.mark.parametrize(
    ("codec", "name"),
    [(ImpulseCodec(), "impulse"), (IslandCodec(), "islands"), (EngineCodec(), "engine"), (CardCodec(), "card")],
)
def test_a_text_refuses_by_name_what_it_has_no_words_for(codec, name: str, what: str) -> None:
    scene, able = CANNOT[what]
    given = simulate(scene, 6)
    if name in able:
        assert codec.unwritable(scene) == "" and len(codec.prompt(given))
        return
    others = ", ".join(able) or "none, only scene files can"
    says = f"{what} cannot be written as {name} text; codecs that can: {others}"
    assert codec.unwritable(scene) == says
    for write in (
        lambda: codec.prompt(given),
        lambda: codec.write_prompt(given),
        lambda: codec.encode_frames(given)[0],
    ):
        with pytest.raises(ValueError) as caught:
            write()
        assert str(caught.value) == says


def test_engine_text_names_a_gear() -> None:
    assert write_header(CANNOT["a gear joint"][0]).splitlines()[-1] == "Constraints: GearJoint 0->1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gravity": (0.0, -25000.0)}, "the number 25000 cannot be written as NAME text, whose numbers end at 9999"),
        ({"static": (Segment(start=(0.0, 0.0), end=(20000.0, 0.0)),)}, "the number 20000 cannot be written"),
        ({"bodies": (Body(shape="circle", size=(5.0,), position=(12000.0, 0.0)),)}, "the number 12000 cannot"),
        ({"bodies": (Body(shape="circle", size=(5.0,), position=(1.0, 0.0), mass=5e5),)}, "the number 500000 cannot"),
        ({"bodies": (Body(shape="circle", size=(5.0,), position=(1.0, 0.0), mass=1e-4),)}, "0.0001 cannot be written"),
        ({"static": (Peg(center=(5.0, 5.0), radius=3e-4),)}, "the time step, size or mass 0.0003 cannot be written"),
        ({"static": (Segment(start=(0.0, 0.0), end=(3e-4, 0.0)),)}, "the wall from (0.0, 0.0) to (0.0003, 0.0) cannot"),
        ({"static": (Segment(start=(5e3, 0.0), end=(5000.3, 0.0)),)}, "where it would print as a point"),
        ({"dt": 1e-7}, "the time step, size or mass 0.0001 cannot be written"),
    ],
)
@pytest.mark.parametrize("make", [ImpulseCodec, IslandCodec, PlainCodec])
def test_a_text_of_lines_refuses_a_number_that_it_would_cut_off(make: type, change: dict, says: str) -> None:
    scene = replace(world(PLAIN.bodies[1]), **change)
    codec = make()
    says = says.replace("NAME", codec.text_name)
    assert says in codec.unwritable(scene) and codec.unwritable(scene).endswith("codecs that can: engine, card")
    assert f"as {codec.text_name} text" in codec.unwritable(scene)
    with pytest.raises(ValueError, match=re.escape(says)):
        codec.prompt(simulate(scene, 1))


@pytest.mark.parametrize("kind", [PinJoint, Rope])
@pytest.mark.parametrize("length", [0.0, 3e-4, 5.0])
@pytest.mark.parametrize("make", [ImpulseCodec, IslandCodec, PlainCodec])
def test_a_short_joint_or_wall_that_is_written_is_read(make: type, length: float, kind: type) -> None:
    joint = kind(body_a=0, body_b=1, anchor_a=(0.0, 0.0), length=length)
    walls = (Segment(start=(5000.0, 0.0), end=(5001.0, 0.0)), Segment(start=(0.0, 0.0), end=(0.001, 0.0)))
    scene = world(disc(0.0, 0.0), disc(100.0, 0.0), joints=(joint,), static=walls)
    codec = make()
    assert codec.unwritable(scene) == ""
    text = codec.write_prompt(simulate(scene, 1))
    found = codec.read_prompt(text)
    assert found is not None, codec.why_no_prompt(text)
    assert found.scene.static == walls and found.scene.joints == (replace(joint, length=round(length, 3)),)


def test_a_motor_without_a_limit_is_written_as_the_strongest_one() -> None:
    scene = world(*PLAIN.bodies[:1], joints=(Motor(body_a=FIXED, body_b=0, spin=1.0, torque=1e12),))
    assert "motor fixed o0 1 9999" in ImpulseCodec().text(ImpulseCodec().prompt(simulate(scene, 1)))
