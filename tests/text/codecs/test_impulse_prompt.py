"""Impulse prompts read back as scenes, and whole trajectories written at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs import _impulse_answer as answers
from physworld.text.codecs import _impulse_kernel as kernel
from physworld.text.codecs._impulse_words import MAX_BODIES, RECORDS
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.types import Sample, Trajectory

# The others follow from these.
JOINTS = ("pin", "hinge", "rope", "spring", "motor")
GIVEN_LINES = ("world", "wall", "peg", "field", "mutual", "wind", *JOINTS, "ball", "box")
NAMES = scenarios.names()
CODEC = ImpulseCodec()


def moment(name: str, difficulty: int, frame: int = 25) -> Trajectory:
    scene = scenarios.build(name, generator(0, "test", difficulty), difficulty)
    return simulate(scene, frame + 1).window(frame, frame + 1)


def prompt_text(given: Trajectory) -> str:
    return CODEC.text(CODEC.prompt(given))


def given_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith(GIVEN_LINES)]


@pytest.mark.parametrize("difficulty", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_read_back_prints_the_same_world(name: str, difficulty: int) -> None:
    text = prompt_text(moment(name, difficulty))
    read = CODEC.read_prompt(text)
    assert read is not None and len(read) == 1
    again = prompt_text(read)
    assert given_lines(again) == given_lines(text)
    # From printed numbers on nothing is rounded any more, so now every line agrees.
    twice = CODEC.read_prompt(again)
    assert twice is not None and twice.scene == read.scene
    assert prompt_text(twice) == again


def test_all_kinds_of_line_were_met() -> None:
    words = set()
    for name in NAMES:
        words |= {line.split()[0] for line in prompt_text(moment(name, 4)).split("\n")}
    assert words == {*RECORDS, "next"} > set(GIVEN_LINES)


def test_a_read_scene_rolls_like_the_one_it_was_written_from() -> None:
    given = moment("billiards", 2)
    read = CODEC.read_prompt(prompt_text(given))
    assert read is not None and read.scene.dt == given.scene.dt
    start = CODEC.round_state(given.frame(0), given.scene)
    for name in ("position", "velocity", "angle", "spin"):
        np.testing.assert_array_equal(getattr(read.frame(0), name), getattr(start, name))
    simulated = simulate(read.scene, 31)
    assert np.isfinite(simulated.position).all()


SMALL = """world 0 -981 16.67
wall 0 50 800 50 5 0.5 0.5 0
pin fixed o0 100 400 0 0 150
ball o0 100 250 0 30 0 0 12 1 0.5 0.5
box o1 300 70 0 0 0 0 40 30 2 0.5 0.1"""
JOINED = """world 0 -981 16.67
wall 0 50 800 50 5 0.5 0.5 -90
mutual 1.5 8
wind 120 -5 2.5
hinge fixed o0 100 400 0 150
rope o0 o1 0 0 3 -4 250
spring o0 o1 1 2 3 4 80 60.5 0.25
motor o1 o0 -3.5 12
ball o0 100 250 0 30 0 0 12 1 0.5 0.5
box o1 300 70 0 0 0 0 40 30 2 0.5 0.1"""


@pytest.mark.parametrize("text", [SMALL, JOINED])
def test_what_follows_from_the_rest_may_be_left_out(text: str) -> None:
    read = CODEC.read_prompt(text)
    assert read is not None
    assert prompt_text(read).startswith(text + "\nself o0")
    assert CODEC.read_prompt(text.replace("\n", " ")) is not None
    renamed = CODEC.read_prompt(text.replace("o0", "o70").replace("o1", "o71"))  # training samples start anywhere
    assert renamed is not None and renamed.scene == read.scene


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SMALL, ""),
        ("world 0 -981 16.67\n", ""),
        ("16.67\n", "16.67\nworld 0 0 1\n"),
        ("16.67", "0"),
        ("-981", "-98100"),
        ("-981", "nan"),
        ("-981", "-9_81"),
        ("-981", "١٢"),
        ("wall 0 50 800 50", "wall 0 50 0 50"),
        ("wall", "fence"),
        ("wall 0 ", "wall "),
        ("pin fixed o0", "pin o0 o0"),
        ("pin fixed o0", "pin o0 fixed"),
        ("pin fixed o0", "pin fixed o7"),
        ("pin fixed o0", "pin o9999 o0"),
        ("ball o0", "ball fixed"),
        ("box o1", "box o0"),
        ("0 12 1 0.5", "0 0 1 0.5"),
        ("0 12 1 0.5", "0 12 0 0.5"),
        ("0 12 1 0.5", "0 12 0.0004 0.5"),
        ("wall 0 50 800 50", "wall 0 50 0.0004 50"),
        ("2 0.5 0.1", "2 0.5 -0.1"),
        ("2 0.5 0.1", "2 0.5"),
        ("2 0.5 0.1", "2 0.5 0.1 next o0 coast end"),
        ("2 0.5 0.1", "2 0.5 0.1 self o0 1 0"),
        ("ball o0 100 250 0 30 0 0 12 1 0.5 0.5\nbox o1 300 70 0 0 0 0 40 30 2 0.5 0.1", ""),
    ],
)
def test_what_is_no_prompt_is_none(old: str, new: str) -> None:
    assert old in SMALL
    assert CODEC.read_prompt(SMALL.replace(old, new)) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5 0.5 -90", "0.5 0.5"),  # a wall as it was before surfaces ran
        ("mutual 1.5 8", "mutual 1.5 -8"),
        ("mutual 1.5 8", "mutual 1.5"),
        ("wind 120 -5 2.5", "wind 120 -5 -2.5"),
        ("hinge fixed o0", "hinge o0 o0"),
        ("hinge fixed o0", "hinge o0 fixed"),
        ("hinge fixed o0", "hinge o7 o0"),
        ("0 150\n", "0 150 9\n"),
        ("-4 250", "-4 -1"),
        ("-4 250", "-4 -250"),
        ("rope o0 o1", "rope o0 o0"),
        ("80 60.5 0.25", "-80 60.5 0.25"),
        ("80 60.5 0.25", "80 -60.5 0.25"),
        ("80 60.5 0.25", "80 60.5 -0.25"),
        ("80 60.5 0.25", "80 60.5"),
        ("spring o0 o1", "spring o1 fixed"),
        ("motor o1 o0 -3.5 12", "motor o1 o0 -3.5 -12"),
        ("motor o1 o0", "motor o1 o1"),
        ("motor o1 o0", "motor o1"),
    ],
)
def test_impossible_joints_and_fields_are_none(old: str, new: str) -> None:
    assert JOINED.count(old) == 1
    assert CODEC.read_prompt(JOINED.replace(old, new)) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_reading_never_raises_and_what_is_read_can_be_written(data: st.DataObject) -> None:
    tokens = data.draw(st.sampled_from([SMALL, JOINED])).split()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(tokens) - 1))
        odd = ["0", "-1", "9999", "0.0004", "o1", "fixed", "box", "rope", "touch", "next", "end", "", "inf", "1e3"]
        new = data.draw(st.sampled_from(odd) | st.text(max_size=4))
        tokens[at : at + data.draw(st.integers(0, 2))] = [new]
    read = CODEC.read_prompt(" ".join(tokens))
    if read is not None:
        assert CODEC.read_prompt(prompt_text(read)) is not None


def run_of(name: str, difficulty: int) -> Trajectory:
    return simulate(scenarios.build(name, generator(1, "test", difficulty), difficulty), 40)


@pytest.mark.slow
@pytest.mark.parametrize("shuffle_names", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_whole_trajectories_are_written_as_frame_by_frame(name: str, shuffle_names: bool) -> None:
    codec, run = ImpulseCodec(shuffle_names=shuffle_names), run_of(name, 3)
    written = codec.encode_frames(run, seed=5)
    assert len(written) == len(run) - 1
    for t, one in enumerate(written):
        want = codec.encode(Sample(seed=5 + t, given=run.window(t, t + 1), target=run.window(t + 1, t + 2)))
        assert one.seed == want.seed
        for part in ("input_ids", "labels", "event"):
            have, expected = getattr(one, part), getattr(want, part)
            assert have.dtype == expected.dtype
            np.testing.assert_array_equal(have, expected)


def test_frames_of_a_short_run_and_of_too_many_bodies() -> None:
    run = run_of("tower", 1)
    assert len(CODEC.encode_frames(run.window(0, 1))) == 0
    frames = CODEC.encode_frames(run)
    np.testing.assert_array_equal(frames[-1].input_ids, frames[len(run) - 2].input_ids)
    with pytest.raises(IndexError):
        frames[len(run) - 1]
    crowd = replace(run.scene, bodies=run.scene.bodies[:1] * (MAX_BODIES + 1), joints=())
    with pytest.raises(ValueError, match=str(MAX_BODIES)):
        CODEC.encode_frames(simulate(crowd, 2))


def test_compiled_code_is_kept_apart_by_what_it_calls() -> None:
    """A change in geometry.py must not leave the old contacts in the cached writers."""
    written = [value for value in {**vars(kernel), **vars(answers)}.values() if hasattr(value, "stats")]
    own = [f for f in written if f.py_func.__module__ in (kernel.__name__, answers.__name__)]
    kept = [f for f in own if f.targetoptions.get("inline") != "always"]  # what is inlined is part of its callers' code
    assert len(kept) > 8
    assert all("impulse-" in f.stats.cache_path for f in kept)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (SMALL, "", "the text is empty"),
        (SMALL, "A ball falls", "line 1: 'A' is unknown here; a line begins with world, wall, peg"),
        ("wall", "fence", "line 2: 'fence' is unknown here"),
        ("-981", "nan", "line 1: 'nan' stands where number 2 of the 3 of world belongs"),
        ("12 1 0.5 0.5\n", "12 1 0.5\n", "line 5: 'box' stands where number 10 of the 10 of ball belongs"),
        ("pin fixed o0", "pin fixed b0", "line 3: 'b0' stands where pin names a body"),
        ("2 0.5 0.1", "2 0.5", "line 5: box needs 1 names and 11 numbers, and the text ends before"),
        ("0 12 1 0.5", "0 0 1 0.5", "line 4: number 7 of ball is 0, it must be positive"),
        ("2 0.5 0.1", "2 0.5 -0.1", "line 5: number 11 of box is -0.1, it must be 0 or more"),
        ("wall 0 50 800 50", "wall 0 50 0 50", "line 2: a wall without length"),
        ("world 0 -981 16.67\n", "", "line 1: the text must begin with world, not with wall"),
        ("16.67\n", "16.67\nworld 0 0 1\n", "line 2: world is there twice"),
        ("box o1", "box o0", "line 5: the body o0 is there twice"),
        ("pin fixed o0", "pin fixed o7", "line 3: pin names o7, and no ball or box is called so"),
        ("pin fixed o0", "pin o0 o0", "line 3: pin holds o0 and o0, which it cannot"),
    ],
)
def test_what_is_no_prompt_is_said_with_line_and_word(old: str, new: str, said: str) -> None:
    text = SMALL.replace(old, new)
    assert CODEC.why_no_prompt(text).startswith(said) and CODEC.read_prompt(text) is None
    assert CODEC.why_no_prompt(SMALL) == ""
