"""The compiled writer of engine and card text: what printf prints, and the ids that the tokenizer would give."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from physworld import scenarios
from physworld.lm.tokenizers import WordCutter, word_tokenizer
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs import _text_kernel, card, engine
from physworld.text.codecs._text_kernel import BOUND
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Body, Encoded, Sample, Scene, Trajectory

from plain_texts import CODECS, SCENE, bpe_tokenizer, each_codec, texts, trajectory

Codec = CardCodec | EngineCodec
BALL = Body(shape="circle", size=(1.0,), position=(0.0, 0.0))


def still(values: np.ndarray) -> Trajectory:
    """(T, N, 6) X Y VX VY ANGLE SPIN as a trajectory of balls."""
    scene = replace(SCENE, bodies=(BALL,) * values.shape[1], joints=())
    return Trajectory(
        scene=scene,
        position=values[..., :2],
        velocity=values[..., 2:4],
        angle=values[..., 4],
        spin=values[..., 5],
    )


# --- the text, once more, with Python's own formatting -------------------------------------------------------------


def engine_frame(run: Trajectory, t: int) -> str:
    lines = []
    for i in range(run.angle.shape[1]):
        a, w = run.angle[t, i], run.spin[t, i]
        turn = f", a={a:.4f}, av={w:.4f}" if abs(a) > 0.001 or abs(w) > 0.001 else ""
        (x, y), (vx, vy) = run.position[t, i], run.velocity[t, i]
        lines.append(f"\n  obj_{i}: pos=({x:.4f}, {y:.4f}), vel=({vx:.4f}, {vy:.4f}){turn}")
    return "".join(lines)


def engine_sentence(run: Trajectory, t: int) -> str:
    moving = sum(max(abs(v)) > 1.0 for v in run.velocity[t])
    if moving == 0:
        return "All objects are at rest."
    if moving == len(run.velocity[t]):
        return "All objects are in motion."
    return f"{moving} of {len(run.velocity[t])} objects are moving."


def card_rest(run: Trajectory, t: int) -> str:
    moving = sum(max(abs(v)) > 1.0 for v in run.velocity[t])
    rest = f" {moving} of {len(run.velocity[t])} objects moving."
    for i, ((x, y), (vx, vy)) in enumerate(zip(run.position[t], run.velocity[t], strict=True)):
        rest += f"\n  obj_{i}: pos=({x:.2f}, {y:.2f}), vel=({vx:.2f}, {vy:.2f})"
    return rest


def written(codec: Codec, run: Trajectory) -> tuple[str, str]:
    """Prompt of all frames but the last, and the last as its answer."""
    numbers = range(1, len(run))
    if isinstance(codec, CardCodec):
        frames = [f"Frame {k}:{card_rest(run, k - 1)}\n\n" for k in numbers]
        return card.write_header(run.scene) + "".join(frames) + f"Frame {len(run)}:", card_rest(run, len(run) - 1)
    titles = [f"Frame {k}: {engine_sentence(run, k - 1)}" for k in [*numbers, len(run)]]
    bodies = [engine_frame(run, t) for t in range(len(run))]
    gap = "\n\n"
    answer = f"\n{titles[-1]}{bodies[-1]}"
    if codec.published_bytes:
        gap, answer = "\n", f"\n\nFrame {len(run)}:{bodies[-1]}"
        titles = [f"Frame {k}: {title}" for k, title in enumerate(titles, start=1)]
    frames = [title + lines for title, lines in zip(titles[:-1], bodies[:-1], strict=True)]
    return gap.join([engine.write_header(run.scene), *frames, "Predict next frame:"]), answer


def by_tokenizer(codec: Codec, run: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """(prompt ids, answer ids) from that text and the codec's Hugging Face tokenizer."""

    def ids(text: str) -> list[int]:
        return codec.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    prompt, answer = written(codec, run)
    begin = [] if codec.tokenizer.bos_token_id is None else [codec.tokenizer.bos_token_id]
    return np.array([*begin, *ids(prompt)]), np.array([*ids(answer), codec.end_id])


def sample_of(run: Trajectory, *, seed: int = 0) -> Sample:
    return Sample(seed=seed, given=run.window(0, len(run) - 1), target=run.window(len(run) - 1, len(run)))


def assert_same(one: Encoded, other: Encoded) -> None:
    assert one.seed == other.seed
    for part in ("input_ids", "labels", "event"):
        have, want = getattr(one, part), getattr(other, part)
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have, want)


# --- numbers ------------------------------------------------------------------------------------------------------

ordinary = st.floats(-1e6, 1e6)
dyadic = st.builds(lambda m, k: m / 2.0**k, st.integers(-(10**8), 10**8), st.integers(0, 30))  # exact ties
near_tie = st.builds(
    lambda m, scale, side: float(np.nextafter((m + 0.5) / scale, side)) if side else (m + 0.5) / scale,
    st.integers(-(10**9), 10**9),
    st.sampled_from([1e2, 1e4]),
    st.sampled_from([0.0, -math.inf, math.inf]),
)
tiny = st.floats(-1e-3, 1e-3)
huge = st.floats(-0.999 * BOUND, 0.999 * BOUND)


@given(values=st.lists(st.one_of(ordinary, dyadic, near_tie, tiny, huge), min_size=6, max_size=36))
@example(values=[0.0, -0.0, -0.00001, -0.005, 0.99999, -9.99999])
@example(values=[9999.99999, -99999.999999, 0.03125, 0.09375, 0.125, 0.375])  # 312.5 and 937.5, 12.5 and 37.5: ties
@example(values=[1.00005, 2.00005, 1.005, 2.675, 5e-324, 2.0**53])
@example(values=[10.0**k for k in range(18)])
def test_numbers_are_those_of_printf(values: list[float]) -> None:
    run = still(np.array(values[: len(values) // 6 * 6]).reshape(1, -1, 6))
    task = Sample(seed=0, given=run, target=run)
    assert EngineCodec().write_target(task).endswith(engine_frame(run, 0))
    assert CardCodec().write_target(task) == card_rest(run, 0)


def test_a_million_ties_and_neighbours() -> None:
    rng = np.random.default_rng(0)
    ties = (rng.integers(-(10**7), 10**7, 150_000) + 0.5) / 1e4
    values = np.concatenate([ties, np.nextafter(ties, 0), np.arange(100_000) / 32, -np.arange(200_000) / 1e4])
    run = still(values.reshape(1, -1, 6))
    assert EngineCodec().write_target(Sample(seed=0, given=run, target=run)).endswith(engine_frame(run, 0))


@each_codec
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, BOUND])
def test_what_is_no_number_is_refused(codec: Codec, bad: float) -> None:
    name = "card" if isinstance(codec, CardCodec) else "engine"
    for part in range(4 if name == "card" else 6):
        values = np.ones((3, 2, 6))
        values[2, 1, part] = bad
        with pytest.raises(ValueError, match=f"^{name} text cannot hold the state of body 1 in frame 2: its numbers"):
            codec.encode_frames(still(values))


# --- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", scenarios.names())
def test_direct_ids_are_the_tokenizers(name: str) -> None:
    for difficulty in (1, 4):
        run = simulate(scenarios.build(name, generator(0, "test", difficulty), difficulty), 90).window(84, 90)
        for codec in CODECS:
            some = run.window(5 - codec.context_frames, 6)
            task = sample_of(some)
            assert (codec.write_prompt(task.given), codec.write_target(task)) == written(codec, some)
            prompt, answer = by_tokenizer(codec, some)
            np.testing.assert_array_equal(codec.prompt(task.given), prompt)
            np.testing.assert_array_equal(codec.encode(task).input_ids, np.concatenate([prompt, answer]))


@pytest.mark.slow
@each_codec
@given(count=st.integers(0, 12), data=st.data())
def test_direct_ids_of_any_numbers(codec: Codec, count: int, data: st.DataObject) -> None:
    size = 2 * count * 6
    numbers = st.one_of(ordinary, dyadic, near_tie, tiny)
    run = still(np.array(data.draw(st.lists(numbers, min_size=size, max_size=size))).reshape(2, count, 6))
    encoded = codec.encode(sample_of(run, seed=3))
    np.testing.assert_array_equal(encoded.input_ids, np.concatenate(by_tokenizer(codec, run)))
    # the same with the tokenizer as a stranger: through text, with events from the offsets of its tokens
    assert_same(encoded, foreign(codec, codec.tokenizer).encode(sample_of(run, seed=3)))


def foreign(codec: Codec, tokenizer: Any) -> Codec:
    if isinstance(codec, CardCodec):
        return CardCodec(tokenizer=tokenizer)
    return EngineCodec(tokenizer=tokenizer, published_bytes=codec.published_bytes)


@each_codec
def test_many_bodies_and_none(codec: Codec) -> None:
    rng = np.random.default_rng(1)
    for count in (0, 1, 9, 11, 101, 1001):
        run = still(rng.normal(size=(2, count, 6)) * 100)
        encoded = codec.encode(sample_of(run))
        np.testing.assert_array_equal(encoded.input_ids, np.concatenate(by_tokenizer(codec, run)))
        assert encoded.event.any() == (count > 0)
        read = codec.decode(encoded.input_ids[encoded.labels >= 0], run.window(0, 1))
        assert read is not None and read.position.shape == (count, 2)


@pytest.mark.parametrize("words", [card.WORDS, engine.WORDS, ("ab", "abc", "(.*", "a")], ids=["card", "engine", "few"])
@given(text=st.one_of(texts, st.text("ab(.*c \n\tFé⟨", max_size=60)))
def test_words_are_cut_as_by_the_tokenizer(words: tuple[str, ...], text: str) -> None:
    want = word_tokenizer(words)(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert WordCutter(words)(text).tolist() == want


def test_a_description_in_any_script_is_tokenized_alike() -> None:
    codec = EngineCodec()
    run = trajectory(2, replace(SCENE, text="Ein Ball fällt; мяч\n⟨end⟩ 落ちる Frame 3: "))
    np.testing.assert_array_equal(codec.encode(sample_of(run)).input_ids, np.concatenate(by_tokenizer(codec, run)))


# --- whole trajectories -------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[], Codec]] = {
    "card": CardCodec,
    "engine": EngineCodec,
    "engine-1": lambda: EngineCodec(context_frames=1),
    "engine-12": lambda: EngineCodec(context_frames=12),
    "published": lambda: EngineCodec(published_bytes=True),
    "card-bpe": lambda: CardCodec(tokenizer=bpe_tokenizer()),
    "engine-bpe": lambda: EngineCodec(tokenizer=bpe_tokenizer()),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", ["tower", "pinball"])
def test_whole_trajectories_are_written_as_frame_by_frame(make: Callable[[], Codec], name: str) -> None:
    codec, run = make(), simulate(scenarios.build(name, generator(1, "test", 2), 2), 30)
    given, frames = codec.context_frames, codec.encode_frames(run, seed=5)
    assert len(frames) == 30 - given
    for t, one in enumerate(frames):
        task = Sample(seed=5 + t, given=run.window(t, t + given), target=run.window(t + given, t + given + 1))
        assert_same(one, codec.encode(task))
    assert any(one.event.any() for one in frames)
    assert_same(frames[-1], frames[len(frames) - 1])
    with pytest.raises(IndexError):
        frames[len(frames)]


@each_codec
def test_short_runs_have_no_answer(codec: Codec) -> None:
    assert len(codec.encode_frames(trajectory(codec.context_frames))) == 0
    assert len(codec.encode_frames(trajectory(1))) == 0


@each_codec
def test_a_prompt_may_have_fewer_frames_and_arrays_any_layout(codec: Codec) -> None:
    run = trajectory(2)
    np.testing.assert_array_equal(codec.encode(sample_of(run)).input_ids, np.concatenate(by_tokenizer(codec, run)))
    turned = replace(run, position=np.asfortranarray(run.position), velocity=run.velocity[::-1][::-1])
    assert_same(codec.encode(sample_of(run)), codec.encode(sample_of(turned)))


def test_scenes_are_told_apart_however_many_are_seen() -> None:
    codec = EngineCodec()

    def scene(k: int) -> Scene:
        return replace(SCENE, text=f"Scene number {k}.")

    for k in [*range(300), 0, 299]:
        prompt = codec.tokenizer.decode(codec.prompt(trajectory(1, scene(k)))[1:].tolist())
        assert prompt.startswith(f"Scene: Scene number {k}.\n")


@each_codec
def test_a_codec_travels_to_a_worker(codec: Codec) -> None:
    task = sample_of(trajectory(3))
    assert_same(pickle.loads(pickle.dumps(codec)).encode(task), codec.encode(task))


def test_compiled_code_is_all_in_one_file() -> None:
    """numba would go on using what it compiled from an older version of a function in another file."""
    compiled = [value for value in vars(_text_kernel).values() if hasattr(value, "py_func")]
    assert len(compiled) > 5
    assert {function.py_func.__module__ for function in compiled} == {_text_kernel.__name__}
