"""The text formats card and engine: golden texts, round trips, parsing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physworld.text.codecs._text import LARGEST
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Sample, State, Trajectory

from plain_texts import FREE, SCENE, each_codec, same, sample, states, texts, trajectory

# --- golden texts -------------------------------------------------------------------------------------------------


def test_card_golden() -> None:
    codec = CardCodec(context_frames=1)
    whole = trajectory(2)
    assert codec.write_prompt(whole.window(0, 1)) == (
        "Scene: 2 objects (1 circle, 1 rectangle). Gravity: (0.00, -981.00). Timestep: 0.0167.\n"
        "Scenario: projectile (collision), difficulty: 2\n"
        "\n"
        "Objects:\n"
        "  obj_0: circle r=15.0 at (100.00, 400.00), density=14.1, friction=0.3\n"
        "  obj_1: rect 50x50 at (600.00, 0.33), density=4.0, friction=0.5\n"
        "\n"
        "Static geometry: 1 segments (walls)\n"
        "Constraints: 1 joints\n"
        "\n"
        "Frame 1: 1 of 2 objects moving.\n"
        "  obj_0: pos=(100.00, 400.00), vel=(300.00, 0.00)\n"
        "  obj_1: pos=(600.00, 0.33), vel=(0.00, 0.00)\n"
        "\n"
        "Frame 2:"
    )
    assert codec.write_target(Sample(seed=0, given=whole.window(0, 1), target=whole.window(1, 2))) == (
        " 1 of 2 objects moving.\n"
        "  obj_0: pos=(105.00, 399.73), vel=(300.00, -16.35)\n"
        "  obj_1: pos=(600.00, 0.33), vel=(0.00, 0.00)"
    )
    assert "Constraints: none\n" in codec.write_prompt(trajectory(1, FREE))


ENGINE_HEADER = (
    "Scene: A ball and a box.\nGravity: (0.0, -981.0)\nTimestep: 0.01667\nType: projectile\nDifficulty: 2\n"
    "Static: seg (10,50)-(790,50); peg (400,300) r=8\nConstraints: PinJoint static->0\n"
)
ENGINE_BODIES = (
    "  obj_0: pos=(100.0000, 400.0000), vel=(300.0000, 0.0000)\n"
    "  obj_1: pos=(600.0000, 0.3333), vel=(0.0000, 0.0000), a=0.7854, av=0.0000\n"
)
ENGINE_ANSWER = (
    "  obj_0: pos=(105.0000, 399.7275), vel=(300.0000, -16.3500)\n"
    "  obj_1: pos=(600.0000, 0.3333), vel=(0.0000, 0.0000), a=0.7854, av=0.0000"
)


def test_engine_golden() -> None:
    codec = EngineCodec(context_frames=1)
    whole = trajectory(2)
    given, task = whole.window(0, 1), Sample(seed=0, given=whole.window(0, 1), target=whole.window(1, 2))
    title = "1 of 2 objects are moving.\n"
    prompt = f"{ENGINE_HEADER}\nFrame 1: {title}{ENGINE_BODIES}\nPredict next frame:"
    assert codec.write_prompt(given) == prompt
    assert codec.write_target(task) == f"\nFrame 2: {title}{ENGINE_ANSWER}"
    published = EngineCodec(context_frames=1, published_bytes=True)
    prompt = f"{ENGINE_HEADER}Frame 1: Frame 1: {title}{ENGINE_BODIES}Predict next frame:"
    assert published.write_prompt(given) == prompt
    assert published.write_target(task) == f"\n\nFrame 2:\n{ENGINE_ANSWER}"
    free = codec.write_prompt(trajectory(1, FREE))
    assert "Static" not in free and "Constraints" not in free and "Gravity: (0.0, 0.0)\n" in free


@pytest.mark.parametrize(
    ("speeds", "sentence"),
    [
        ([[1.0, -1.0], [0.0, 0.0]], "All objects are at rest."),  # exactly 1 px/s does not move
        ([[1.001, 0.0], [0.0, -5.0]], "All objects are in motion."),
        ([[0.9, 0.9], [0.0, -1.1]], "1 of 2 objects are moving."),
    ],
)
def test_engine_describes_motion_by_component(speeds: list[list[float]], sentence: str) -> None:
    whole = trajectory(1)
    whole.velocity[0] = speeds
    assert f"Frame 1: {sentence}\n" in EngineCodec().write_prompt(whole)


@each_codec
def test_prompt_holds_the_last_frames_numbered_from_one(codec: CardCodec | EngineCodec) -> None:
    whole = trajectory(9)
    last = whole.window(9 - codec.context_frames, 9)
    assert codec.write_prompt(whole) == codec.write_prompt(last)
    assert codec.write_prompt(whole).count("obj_0: pos=") == codec.context_frames


# --- round trips and parsing --------------------------------------------------------------------------------------


@each_codec
@given(state=states())
def test_text_round_trip(codec: CardCodec | EngineCodec, state: State) -> None:
    given_frames = trajectory(codec.context_frames)
    task = Sample(seed=0, given=given_frames, target=Trajectory.of(SCENE, [state]))
    half = 0.5 * (1e-2 if isinstance(codec, CardCodec) else 1e-4) * (1 + 1e-6)
    read = codec.parse(codec.write_target(task), given_frames)
    assert read is not None
    assert np.abs(read.position - state.position).max() <= half
    assert np.abs(read.velocity - state.velocity).max() <= half
    rounded = codec.round_state(state, SCENE)
    if isinstance(codec, EngineCodec):
        turned = (np.abs(state.angle) > 1e-3) | (np.abs(state.spin) > 1e-3)
        assert np.abs(read.angle - state.angle)[turned].max(initial=0) <= half
        assert not read.angle[~turned].any() and not read.spin[~turned].any()
        assert same(read, rounded)
    else:  # the card has no angles: the reader carries on the last given one
        assert np.array_equal(read.angle, given_frames.angle[-1] + given_frames.spin[-1] * SCENE.dt)
        assert np.array_equal(read.position, rounded.position) and np.array_equal(read.velocity, rounded.velocity)
        assert np.array_equal(rounded.angle, state.angle)
    ids = codec.encode(task)
    decoded = codec.decode(ids.input_ids[ids.labels >= 0], given_frames)
    assert decoded is not None and same(decoded, read)
    assert (ids.labels >= 0).sum() <= codec.max_new_tokens(SCENE)


def test_card_carries_angle_and_spin_on() -> None:
    codec, whole = CardCodec(), trajectory(4)
    whole.spin[:, 1] = 6.0
    task = Sample(seed=0, given=whole.window(0, 3), target=whole.window(3, 4))
    read = codec.parse(codec.write_target(task), task.given)
    assert read is not None
    assert read.spin.tolist() == [0.0, 6.0]
    assert read.angle[1] == pytest.approx(0.7854 + 6.0 / 60, abs=1e-12)


ROW = "  obj_{}: pos=(1.00, 2.00), vel=(3.00, -4.00)"


@each_codec
@pytest.mark.parametrize(
    "text",
    [
        "",
        ROW.format(0),  # a body is missing
        f"{ROW.format(0)}\n{ROW.format(0)}",  # named twice
        f"{ROW.format(0)}\n{ROW.format(1)}\n{ROW.format(1)}",
        f"{ROW.format(0)}\n{ROW.format(2)}",  # unknown
        f"{ROW.format(0)}\n\n{ROW.format(1)}",  # the frame ended before its second body
        f"one\ntwo\n{ROW.format(0)}\n{ROW.format(1)}",  # two titles
        f"{ROW.format(0)}\n{ROW.format(1)} and",
        f"{ROW.format(0)}\n{ROW.format(1)[:-1]}",  # cut short
        f"{ROW.format(0)}\n{ROW.format(1)}".replace("2.00", "nan"),
        f"{ROW.format(0)}\n{ROW.format(1)}".replace("2.00", "1e3"),
        f"{ROW.format(0)}\n{ROW.format(1)}".replace("2.00", "1000001.00"),  # out of range
        f"{ROW.format(0)}\n{ROW.format(1)}".replace("2.00", "9" * 400),
        f"{ROW.format(0)}\n{ROW.format(1)}".replace("2.00", "٣.00"),  # a digit, though not ours
        f"{ROW.format(0)}\n{ROW.format(10**30)}",
    ],
)
def test_parse_refuses(codec: CardCodec | EngineCodec, text: str) -> None:
    assert codec.parse(text, trajectory(1)) is None


@each_codec
def test_parse_ignores_what_follows_the_frame(codec: CardCodec | EngineCodec) -> None:
    task = sample(codec)
    text, given_frames = codec.write_target(task), task.given
    plain = codec.parse(text, given_frames)
    assert plain is not None
    for rest in ("\n", "  \n\n", "\n\nFrame 9: All objects are at rest.\n" + ROW.format(0), "\nPredict next frame:"):
        read = codec.parse(text + rest, given_frames)
        assert read is not None and same(read, plain)


def test_parse_keeps_the_largest_number() -> None:
    text = f"{ROW.format(0)}\n{ROW.format(1)}".replace("2.00", f"-{LARGEST:.2f}")
    read = EngineCodec().parse(text, trajectory(1))
    assert read is not None and read.position[0, 1] == -LARGEST


@each_codec
@given(data=st.data())
def test_parse_and_decode_never_raise(codec: CardCodec | EngineCodec, data: st.DataObject) -> None:
    task = sample(codec)
    good = codec.write_target(task)
    start, length = data.draw(st.integers(0, len(good))), data.draw(st.integers(0, 30))
    insert = data.draw(
        st.one_of(texts, st.sampled_from(["", "9" * 500, "-", ".", "nan", "inf", "1e999", "\n", "obj_"]))
    )
    for text in (insert, good[:start] + insert + good[start + length :]):
        read = codec.parse(text, task.given)
        assert read is None or (np.isfinite(read.position).all() and read.position.shape == (2, 2))
    ids = data.draw(st.lists(st.integers(-2, len(codec.tokenizer) + 2), max_size=60))
    codec.decode(np.array(ids, dtype=np.int64), task.given)


def test_special_token_inside_a_frame_is_a_failure() -> None:
    codec = EngineCodec()
    task = sample(codec)
    ids = codec.encode(task)
    answer = ids.input_ids[ids.labels >= 0]
    assert codec.decode(answer[:-1], task.given) is not None  # without the end token
    begin = [codec.tokenizer.bos_token_id]
    assert codec.decode(np.concatenate([answer[:20], begin, answer[20:]]), task.given) is None
    assert codec.decode(np.concatenate([answer, begin]), task.given) is not None  # after the end nothing counts
