"""The text formats card and engine, their tokenizer, and Scene JSONL."""

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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import physworld
from physworld.codecs import scene_json
from physworld.codecs._text import LARGEST
from physworld.codecs._tokenizer import word_tokenizer
from physworld.codecs.card import CardCodec
from physworld.codecs.engine import EngineCodec
from physworld.codecs.scene_json import FormatError, read_jsonl, scene_from_dict, scene_to_dict, write_jsonl
from physworld.types import FIXED, Attractor, Body, Peg, PinJoint, Sample, Scene, Segment, State, Trajectory

SCENE = Scene(
    name="projectile",
    category="collision",
    difficulty=2,
    text="A ball and a box.",
    bodies=(
        Body(shape="circle", size=(15.0,), position=(100.0, 400.0), velocity=(300.0, 0.0), mass=1.0, friction=0.3),
        Body(shape="rect", size=(50.0, 50.0), position=(600.0, 1 / 3), angle=0.7854, mass=1.0, restitution=0.1),
    ),
    static=(Segment(start=(10.0, 50.0), end=(790.0, 50.4), radius=3.0), Peg(center=(400.0, 300.0), radius=8.0)),
    joints=(PinJoint(body_a=FIXED, body_b=0, anchor_a=(100.0, 500.0), length=100.0),),
    fields=(Attractor(center=(1.0, 2.0), strength=0.1, softening=3.0),),
)
FREE = replace(SCENE, static=(), joints=(), fields=(), gravity=(0.0, 0.0))


def trajectory(frames: int, scene: Scene = SCENE) -> Trajectory:
    """Ball in flight, box at rest and turned; exact numbers, no simulator."""
    t = np.arange(frames) * scene.dt
    start = scene.state
    velocity = np.repeat(start.velocity[None], frames, axis=0)
    velocity[:, 0, 1] = 0.0 - 981.0 * t
    position = np.repeat(start.position[None], frames, axis=0)
    position[:, 0, 0] += 300.0 * t
    position[:, 0, 1] -= 981.0 * t * (t + scene.dt) / 2  # semi-implicit Euler
    return Trajectory(
        scene=scene,
        position=position,
        velocity=velocity,
        angle=np.repeat(start.angle[None], frames, axis=0),
        spin=np.repeat(start.spin[None], frames, axis=0),
    )


def sample(codec: CardCodec | EngineCodec, *, jump: float = 0.0) -> Sample:
    whole = trajectory(codec.context_frames + 1)
    whole.velocity[-1, 1, 0] += jump
    # the resting box: what gravity would have given it is taken away by the floor, an event of 16 px/s otherwise
    whole.velocity[-1, 1, 1] += -981.0 * SCENE.dt
    return Sample(seed=7, given=whole.window(0, codec.context_frames), target=whole.window(codec.context_frames, 99))


def bpe_tokenizer() -> PreTrainedTokenizerFast:
    """A stranger: byte-level BPE with merges across words, its own special tokens and no pad token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    codec = EngineCodec()
    corpus = [codec.write_prompt(trajectory(3)), CardCodec().write_prompt(trajectory(3))] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


CODECS = [CardCodec(), EngineCodec(), EngineCodec(published_bytes=True)]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=["card", "engine", "published"])

finite = st.floats(-99_999, 99_999)
texts = st.text(st.characters(codec="utf-8"), max_size=200)


@st.composite
def states(draw: st.DrawFn, bodies: int = 2) -> State:
    def grid(*shape: int) -> np.ndarray:
        count = math.prod(shape)
        scale = draw(st.sampled_from([1.0, 1e-3, 1e-7]))  # tiny values meet the thresholds and print as zero
        return np.array(draw(st.lists(finite, min_size=count, max_size=count))).reshape(shape) * scale

    return State(position=grid(bodies, 2), velocity=grid(bodies, 2), angle=grid(bodies), spin=grid(bodies))


def same(a: State, b: State) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("position", "velocity", "angle", "spin"))


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


# --- tokens -------------------------------------------------------------------------------------------------------


@each_codec
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126, include_characters="\n"), max_size=300))
def test_tokenizer_is_lossless_on_ascii(codec: CardCodec | EngineCodec, text: str) -> None:
    ids = codec.tokenizer(text)["input_ids"]
    assert codec.tokenizer.unk_token_id not in ids
    assert codec.tokenizer.decode(ids) == text


@each_codec
def test_tokenizer_is_lossless_on_the_formats(codec: CardCodec | EngineCodec) -> None:
    task = sample(codec)
    for text in (codec.write_prompt(task.given), codec.write_target(task), *(f" 1, (-2.5) <eos> {c}" for c in "\n\t")):
        ids = codec.tokenizer(text)["input_ids"]
        unknown = text.count("\t")
        assert ids.count(codec.tokenizer.unk_token_id) == unknown
        assert unknown or codec.tokenizer.decode(ids) == text


def test_tokenizer_spells_numbers_and_takes_whole_words() -> None:
    tokenizer = EngineCodec().tokenizer
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("\n  obj_12: pos=(-30.5, 7.25), vel=(")["input_ids"])
    assert pieces == ["\n", "  obj_", "1", "2", ": pos=(", *"-30.5", ", ", *"7.25", "), vel=("]


def test_longer_word_wins_and_words_are_escaped() -> None:
    tokenizer = word_tokenizer(["ab", "abc", "(.*", "a"])
    assert tokenizer.tokenize("abcab(.*a.") == ["abc", "ab", "(.*", "a", "."]


@each_codec
def test_auto_tokenizer_reloads_the_same(codec: CardCodec | EngineCodec, tmp_path: Path) -> None:
    codec.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = codec.write_prompt(trajectory(3)) + " ~ éà <x>"
    ids = codec.tokenizer(text)["input_ids"]
    assert again(text)["input_ids"] == ids
    assert again.get_vocab() == codec.tokenizer.get_vocab()
    assert again.decode(ids) == codec.tokenizer.decode(ids)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
        assert getattr(again, name) == getattr(codec.tokenizer, name) is not None
    reloaded = type(codec)(tokenizer=again)
    task = sample(reloaded)
    assert np.array_equal(reloaded.encode(task).input_ids, type(codec)().encode(task).input_ids)


@each_codec
def test_encode_scores_the_target_only(codec: CardCodec | EngineCodec) -> None:
    task = sample(codec)
    encoded = codec.encode(task)
    prompt = codec.prompt(task.given)
    ids, labels = encoded.input_ids, encoded.labels
    assert encoded.seed == 7 and ids.dtype == labels.dtype == np.int64
    assert np.array_equal(ids[: len(prompt)], prompt) and prompt[0] == codec.tokenizer.bos_token_id
    assert (labels[: len(prompt)] == -100).all() and np.array_equal(labels[len(prompt) :], ids[len(prompt) :])
    assert codec.tokenizer.decode(prompt[1:].tolist()) == codec.write_prompt(task.given)
    assert codec.tokenizer.decode(ids[len(prompt) : -1].tolist()) == codec.write_target(task)
    assert ids[-1] == codec.end_id and (ids == codec.end_id).sum() == 1


@pytest.mark.parametrize("own", [True, False], ids=["own", "bpe"])
@pytest.mark.parametrize("kind", [CardCodec, EngineCodec])
@pytest.mark.parametrize(("jump", "events"), [(9.9, []), (10.1, [1]), (-10.1, [1])])
def test_event_marks_the_tokens_of_jumping_bodies(kind: type, own: bool, jump: float, events: list[int]) -> None:
    codec = kind(tokenizer=None if own else bpe_tokenizer())
    task = sample(codec, jump=jump)
    encoded = codec.encode(task)
    assert not encoded.event[encoded.labels == -100].any() and not encoded.event[-1]
    marked = codec.tokenizer.decode(encoded.input_ids[encoded.event].tolist())
    rows = codec.write_target(task).split("\n")[-2:]
    assert marked.strip() == "\n".join(rows[i] for i in events).strip()


@pytest.mark.parametrize("kind", [CardCodec, EngineCodec])
def test_any_fast_tokenizer_works(kind: type) -> None:
    codec = kind(tokenizer=bpe_tokenizer())
    task = sample(codec)
    encoded = codec.encode(task)
    prompt, answer = codec.prompt(task.given), encoded.input_ids[encoded.labels >= 0]
    assert np.array_equal(encoded.input_ids, np.concatenate([prompt, answer]))
    assert answer[-1] == codec.end_id == codec.tokenizer.eos_token_id
    read, own = codec.decode(answer, task.given), kind().round_state(task.target.frame(0), SCENE)
    assert read is not None and np.array_equal(read.position, own.position)
    assert len(answer) <= codec.max_new_tokens(SCENE)


def test_a_description_cannot_spell_a_special_token() -> None:
    codec = EngineCodec(tokenizer=bpe_tokenizer())
    given_frames = trajectory(1, replace(SCENE, text="the </s> end"))
    assert codec.end_id not in codec.prompt(given_frames)


def test_tokenizer_without_end_is_refused() -> None:
    tokenizer = bpe_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="has no end token"):
        CardCodec(tokenizer=tokenizer)
    with pytest.raises(ValueError, match="at least 1"):
        CardCodec(context_frames=0)


# --- Scene JSONL --------------------------------------------------------------------------------------------------


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
positive = st.floats(min_value=1e-300, max_value=1e300)


@given(place=points, speed=points, angle=floats, size=positive, mass=positive, dt=positive, field=points, text=texts)
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
        ([*published(5), '{"frame": ' + "9" * 5000 + "}"], 7, "not valid JSON"),
        ([*published(5), "", '{"frame": NaN}'], 8, "NaN is not a finite number"),
        (change(7, "frame", value=7), 7, "frame 7 follows frame 5; frame numbers must rise by one"),
        (change(7, "frame", value=5), 7, "frame 5 follows frame 5"),
        (change(7, "frame", value=...), 7, 'the key "frame" is missing'),
        (change(7, "frame", value=True), 7, "frame must be a whole number, got True"),
        (change(7, "objects", value=[]), 7, "the frame has 0 objects but the header lists 2"),
        (change(7, "objects", 0, "id", value=4), 7, "object 9 of the header is missing"),
        (change(7, "objects", 0, "velocity", value=...), 7, "velocity must be a JSON object, got nothing"),
        (change(7, "objects", 1, "position", "x", value="3"), 7, "position x must be a number, got '3'"),
        (change(7, "objects", 1, "position", "x", value=10**400), 7, "position x is not a finite number"),
        (change(7, "objects", 1, "angle", value=float("nan")), 7, "NaN is not a finite number"),
        (change(1, "type", value="frame"), 1, "scene_header"),
        (change(1, "gravity", value=...), 1, "gravity must be a JSON object, got nothing"),
        (change(1, "timestep", value=0), 1, "timestep is 0.0, it must be positive"),
        (change(1, "object_count", value=3), 1, "object_count is 3 but the header lists 2 objects"),
        (change(1, "objects", value=[]), 1, "the header has 0 objects; 1 to 4096"),
        (change(1, "objects", value=[{}] * 4097), 1, "the header has 4097 objects; 1 to 4096"),
        (change(1, "objects", 0, "id", value=9), 1, "two objects have the same id"),
        (change(1, "objects", 0, "radius", value=...), 1, "object 0 radius must be a number, got nothing"),
        (change(1, "objects", 0, "radius", value=-1), 1, "sizes must be positive"),
        (change(1, "objects", 0, "type", value="hexagon"), 1, "'hexagon'; choose circle or rectangle"),
        (change(1, "constraints", 0, "type", value="GearJoint"), 1, "'GearJoint'; only PinJoint and PivotJoint can be"),
        (change(1, "constraints", 0, "body_b", value=3), 1, "body_b 3, which is no object"),
        (change(1, "constraints", 0, "body_b", value="static"), 1, "which it cannot"),
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
