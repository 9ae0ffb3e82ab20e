"""A card prompt, typed or written, is read back as what its text tells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec

TYPED = """Scene: 2 objects (1 circle, 1 rectangle). Gravity: (0.00, -981.00). Timestep: 0.0167.
Scenario: projectile (collision), difficulty: 2

Objects:
  obj_0: circle r=15.0 at (100.00, 400.00), density=14.1, friction=0.3
  obj_1: rect 50x40 at (600.00, 100.00), density=4.0, friction=0.5

Static geometry: 4 segments (walls)
Constraints: none

Frame 1: 1 of 2 objects moving.
  obj_0: pos=(105.00, 395.00), vel=(300.00, -100.00)
  obj_1: pos=(600.00, 100.00), vel=(0.00, 0.00)

Frame 2:"""


def test_a_typed_card_is_the_scene_that_it_says() -> None:
    codec = CardCodec(context_frames=1)
    known = codec.read_prompt(TYPED)
    assert known is not None
    scene = known.scene
    assert (scene.name, scene.category, scene.difficulty, scene.gravity) == (
        "projectile",
        "collision",
        2,
        (0.0, -981.0),
    )
    assert [(body.shape, body.size) for body in scene.bodies] == [("circle", (15.0,)), ("rect", (50.0, 40.0))]
    assert scene.bodies[0].mass == pytest.approx(14.1 * math.pi * 0.15**2)  # kg/m² times m²
    assert scene.bodies[1].mass == pytest.approx(4.0 * 0.5 * 0.4)
    assert len(scene.static) == 4 and scene.dt == 0.0167
    assert known.position.tolist() == [[[105.0, 395.0], [600.0, 100.0]]]
    assert known.velocity.tolist() == [[[300.0, -100.0], [0.0, 0.0]]]
    assert codec.write_prompt(known) == TYPED


@pytest.mark.parametrize("name", ["billiards", "projectile", "tower", "bowling"])
def test_what_is_written_is_read_and_written_alike(name: str) -> None:
    codec = CardCodec()
    for index in range(3):
        run = simulate(scenarios.build(name, generator(0, "val", index), 1 + index), 8)
        given = run.window(4, 7)
        text = codec.write_prompt(given)
        back = codec.read_prompt(text)
        assert back is not None, codec.why_no_prompt(text)
        assert codec.write_prompt(back) == text
        assert np.abs(back.position - given.position).max() <= 0.005 + 1e-9
        assert np.array_equal(codec.prompt(back), codec.prompt(given))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Scene: 2", "Scenes: 2", r"line 1 is 'Scenes: 2 .* where `Scene: N objects"),
        ("Scene: 2", "Scene: 3", "line 8 is 'Static geometry.* where the line of obj_2"),
        ("Scene: 2", "Scene: " + "9" * 5000, "line 1 is 'Scene: 999.* where `Scene: N objects"),
        ("difficulty: 2", "difficulty: " + "9" * 5000, "where `Scenario: NAME"),
        ("Frame 2:", f"Frame {'9' * 5000}:", "where `Frame 2:`, the cue for the answer should be"),
        ("Scene: 2", "Scene: 0", "line 1 has no object, so nothing moves"),
        ("  obj_1: rect", "  obj_7: rect", "line 6 names obj_7 where obj_1 should be"),
        ("r=15.0", "r=0.0", "line 5 is no body"),
        ("density=14.1", "density=heavy", "line 5 is .* where the line of obj_0"),
        ("none", "2 joints", "line 9 has joints, and the text does not say whom they hold; give the scene as JSONL"),
        ("Frame 1: 1", "Frame 4: 1", "line 11 is not frame 1"),
        ("pos=(105.00", "pos=(nan", "line 12 is .* where `  obj_0: pos="),
        ("pos=(105.00", "pos=(9999999.00", "out of range"),
        ("\n\nFrame 2:", "", "it ends where `Frame 2:`, the cue for the answer should follow"),
        ("Frame 2:", "Frame 3:", "should be `Frame 2:` and the last one"),
        ("Timestep: 0.0167", "Timestep: 0.0000", "its header is of no scene"),
    ],
)
def test_the_line_that_is_wrong_is_named(old: str, new: str, why: str) -> None:
    import re

    codec, text = CardCodec(), TYPED.replace(old, new)
    assert text != TYPED and codec.read_prompt(text) is None
    assert re.search(why, codec.why_no_prompt(text)), codec.why_no_prompt(text)
