"""Plain text: what it says, that nothing is worked out in it, and what reading its answers back gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from physworld import scenarios
from physworld.lm.gpt import GPT
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.numbers import number_values
from physworld.text.codecs.plain import COAST, END, FIRST_BODY, MAX_BODIES, NEXT, REST, WORDS, PlainCodec
from physworld.text.rollout import rollout
from physworld.types import (
    Attractor,
    Body,
    Motor,
    MutualGravity,
    Peg,
    PinJoint,
    PivotJoint,
    Rope,
    Sample,
    Scene,
    Segment,
    Spring,
    State,
    Trajectory,
    Wind,
)

CODEC = PlainCodec(shuffle_names=False)
each_name = pytest.mark.parametrize("name", scenarios.names())


def path(name: str, frames: int = 60) -> Trajectory:
    return simulate(scenarios.build(name, generator(0, "test", 11), 2), frames)


def moments(run: Trajectory, *at: int) -> list[tuple[Trajectory, State]]:
    return [(run.window(t, t + 1), run.frame(t + 1)) for t in at]


@each_name
def test_every_type_is_written_and_read_back_to_half_the_last_digit(name: str) -> None:
    run = path(name)
    assert CODEC.unwritable(run.scene) == ""
    for now, _ in moments(run, 0, 30, 58):
        ids = CODEC.prompt(now)
        text = CODEC.write_prompt(now)
        assert CODEC.tokenizer(text, add_special_tokens=False)["input_ids"] == ids.tolist()
        back = CODEC.read_prompt(text)
        assert back is not None and CODEC.prompt(back).tolist() == ids.tolist()
        for exact, read in zip(
            (now.position, now.velocity, now.angle, now.spin),
            (back.position, back.velocity, back.angle, back.spin),
            strict=True,
        ):
            size = np.abs(exact)
            step = np.select([size < 9.9995, size < 99.995, size < 999.95], [0.001, 0.01, 0.1], 1.0)
            assert (np.abs(exact - read) <= step / 2 + 1e-9).all()
        assert len(back.scene.static) == len(run.scene.static) and len(back.scene.joints) == len(run.scene.joints)


@each_name
def test_answers_bring_the_next_frame(name: str) -> None:
    run = path(name)
    for now, then in moments(run, 0, 20, 40, 58):
        answer, event = CODEC.answer(run.scene, now.frame(0), then)
        said = CODEC.decode(answer, now)
        assert said is not None and len(event) == len(answer) <= CODEC.max_new_tokens(run.scene)
        speed = 0.25 + 0.005 * np.abs(then.velocity - now.velocity[0])  # `rest`, or the grid of impulses
        assert (np.abs(said.velocity - then.velocity) <= speed + 0.05).all()
        gyration = np.array([body.gyration for body in run.scene.bodies])
        turn = 0.25 + 0.005 * np.abs(then.spin - now.spin[0]) * gyration + 0.001 * gyration
        assert (np.abs(said.spin - then.spin) * gyration <= turn + 0.05).all()
        assert np.abs(said.position - then.position).max() < 0.05
        assert np.abs(said.angle - then.angle).max() < 0.05
        assert np.array_equal(CODEC.parse(CODEC.text(answer), now).position, said.position)


def test_nothing_is_worked_out() -> None:
    """A body's line changes with its own state alone, and there are as many lines as things."""
    run = path("billiards")
    now = run.window(10, 11)
    scene = run.scene
    lines = CODEC.write_prompt(now).split("\n")
    assert len(lines) == 2 + len(scene.static) + len(scene.joints) + len(scene.fields) + len(scene.bodies)
    moved = replace(now, position=now.position + np.eye(len(scene.bodies))[:1, :, None] * 50)
    other = CODEC.write_prompt(moved).split("\n")
    changed = [k for k, (a, b) in enumerate(zip(lines, other, strict=True)) if a != b]
    assert [lines[k].split()[1] for k in changed] == ["o0"]


def test_where_nothing_touches_the_codec_steps_as_pymunk_does() -> None:
    body = Body(shape="rect", size=(30.0, 20.0), position=(300.0, 400.0), velocity=(120.0, 80.0), angle=0.3, spin=4.0)
    scene = Scene(name="one", category="", difficulty=1, text="", bodies=(body,), gravity=(37.0, -981.0))
    truth = simulate(scene, 40)
    now = truth.window(0, 1)
    for t in range(1, 40):
        state = CODEC.parse("o0 coast", now)
        assert state is not None
        now = Trajectory.of(scene, [state])
        assert np.abs(state.position - truth.position[t]).max() < 1e-9
        assert np.abs(state.velocity - truth.velocity[t]).max() < 1e-9
        assert np.abs(state.angle - truth.angle[t]).max() < 1e-9


WORLD = """world 0 -981 16.67
wall 50 50 750 50 2 0.5 0.5 0

ball o3   400 300 0  10 -20 1.5  20 1 0.4 0.8
box o1 200 65 0 0 0 0 30 26 2 0.5 0.1
pin fixed o3 400 500 0 0 200
next
"""


def test_a_prompt_typed_by_hand() -> None:
    given = CODEC.read_prompt(WORLD)
    assert given is not None
    ball, box = given.scene.bodies
    assert (ball.shape, ball.position, ball.velocity, ball.spin) == ("circle", (400.0, 300.0), (10.0, -20.0), 1.5)
    assert (box.shape, box.size, box.mass) == ("rect", (30.0, 26.0), 2.0)
    assert given.scene.joints == (PinJoint(body_a=-1, body_b=0, anchor_a=(400.0, 500.0), length=200.0),)
    state = CODEC.parse("o0 -5 6 0.25 0 30 o1 rest end", given)
    assert state is not None
    np.testing.assert_allclose(state.velocity, [[5, -20 - 981 / 60 + 6], [0, 0]])
    np.testing.assert_allclose(state.position, [[400 + 10 / 60, 300 - 20 / 60 + 30 / 60], [200, 65]])
    np.testing.assert_allclose(state.spin, [1.75, 0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ball o0 1 2 0 0 0 0 5 1 0.5 0.5", "begin with world"),
        ("world 0 -981 16.67", "no ball and no box"),
        ("world 0 -981 16.67\nself o0 1 0 1 0 0 0 0 0", "line 2: 'self' is unknown here"),
        ("world 0 -981 16.67\nball o0 1 2 0 0 0 0 -5 1 0.5 0.5", "line 2: number 7 of ball is -5"),
        ("world 0 -981 16.67\nball o999 1 2 0 0 0 0 5 1 0.5 0.5", "line 2: 'o999' stands where ball names a body"),
        ("", "empty"),
    ],
)
def test_what_is_no_prompt_is_told(text: str, says: str) -> None:
    assert CODEC.read_prompt(text) is None
    assert says in CODEC.why_no_prompt(text)


def test_every_field_and_joint_is_written_and_read_back() -> None:
    bodies = tuple(Body(shape="circle", size=(10.0,), position=(100.0 + 100 * k, 300.0)) for k in range(4))
    scene = Scene(
        name="all",
        category="",
        difficulty=1,
        text="",
        bodies=bodies,
        static=(Peg(center=(50.0, 60.0), radius=5.0), Segment(start=(0.0, 0.0), end=(9.0, 0.0), surface_speed=30.0)),
        fields=(
            Attractor(center=(1.0, 2.0), strength=5e6, softening=3.0),
            MutualGravity(strength=2e5),
            Wind(velocity=(40.0, 0.0), drag=0.01),
        ),
        joints=(
            PinJoint(body_a=0, body_b=1, anchor_a=(1.0, 2.0), length=100.0),
            PivotJoint(body_a=-1, body_b=2, anchor_a=(300.0, 300.0)),
            Rope(body_a=1, body_b=2, anchor_a=(0.0, 0.0), length=120.0),
            Spring(body_a=2, body_b=3, anchor_a=(0.0, 0.0), length=90.0, stiffness=50.0, damping=0.5),
            Motor(body_a=-1, body_b=3, spin=3.0, torque=2e5),
        ),
    )
    back = CODEC.read_prompt(CODEC.write_prompt(Trajectory.of(scene, [scene.state])))
    assert back is not None
    assert (back.scene.static, back.scene.fields, back.scene.joints) == (scene.static, scene.fields, scene.joints)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "kinematic"}, "a kinematic body"),
        ({"sensor": True}, "a sensor"),
        ({"shape": "polygon", "size": (), "vertices": ((-5.0, -5.0), (5.0, -5.0), (0.0, 10.0))}, "a polygon"),
    ],
)
def test_what_it_has_no_words_for_is_refused_by_name(change: dict, what: str) -> None:
    body = replace(Body(shape="circle", size=(5.0,), position=(0.0, 0.0)), **change)
    scene = Scene(name="one", category="", difficulty=1, text="", bodies=(body,))
    assert CODEC.unwritable(scene).startswith(f"{what} cannot be written as plain text")
    with pytest.raises(ValueError, match=what):
        CODEC.prompt(Trajectory.of(scene, [scene.state]))


def test_more_bodies_than_names_are_refused() -> None:
    body = Body(shape="circle", size=(1.0,), position=(0.0, 0.0))
    scene = Scene(name="one", category="", difficulty=1, text="", bodies=(body,) * (MAX_BODIES + 1))
    assert CODEC.unwritable(scene) == f"plain text names at most {MAX_BODIES} bodies"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "o0 coast",
        "o1 coast o0 coast end",
        "o0 1 2 3 4 o1 coast end",
        "o0 1 2 3 4 5 6 o1 coast end",
        "o0 coast o1 coast end o0",
    ],
)
def test_answers_that_are_none(answer: str) -> None:
    given = CODEC.read_prompt(WORLD)
    assert given is not None and CODEC.parse(answer, given) is None


def test_the_grammar_lets_through_just_what_can_be_read() -> None:
    run = path("tower")
    now = run.window(20, 21)
    rng = np.random.default_rng(0)
    for _ in range(5):
        guide, said = CODEC.guide([now]), []
        while not said or said[-1] != END:
            masks, which = guide.allowed([0])
            choices = np.flatnonzero(masks[which[0]])
            words = choices[choices < len(WORDS)]
            pick = words if len(words) and rng.random() < 0.5 else choices
            said.append(int(rng.choice(pick)))
            guide.advance([0], [said[-1]])
        assert CODEC.decode(np.array(said), now) is not None
        assert len(said) <= CODEC.max_new_tokens(run.scene)


def test_names_are_shuffled_and_frames_encoded_alike() -> None:
    run = path("pendulum", 12)
    codec = PlainCodec()
    items = codec.encode_frames(run, seed=40)
    assert len(items) == 11
    firsts = set()
    for t, item in enumerate(items):
        one = codec.encode(Sample(seed=40 + t, given=run.window(t, t + 1), target=run.window(t + 1, t + 2)))
        assert np.array_equal(item.input_ids, one.input_ids) and np.array_equal(item.labels, one.labels)
        begin = int(np.flatnonzero(item.input_ids == NEXT)[0]) + 1
        assert (item.labels[:begin] == -100).all() and np.array_equal(item.labels[begin:], item.input_ids[begin:])
        firsts.add(int(item.input_ids[begin]))
        assert FIRST_BODY <= item.input_ids[begin] < FIRST_BODY + MAX_BODIES
    assert len(firsts) == 11


def test_words_for_nothing_and_for_a_stop() -> None:
    scene = Scene(
        name="two", category="", difficulty=1, text="",
        bodies=(
            Body(shape="circle", size=(10.0,), position=(400.0, 400.0)),
            Body(shape="circle", size=(10.0,), position=(200.0, 62.0)),
        ),
        static=(Segment(start=(0.0, 50.0), end=(800.0, 50.0)),),
    )  # fmt: skip
    run = simulate(scene, 60)
    answer, event = CODEC.answer(scene, run.frame(40), run.frame(41))
    assert answer.tolist() == [FIRST_BODY, COAST, FIRST_BODY + 1, REST, END]
    assert event.tolist() == [False, False, False, True, False]  # what rests is given as much as gravity takes


def test_a_model_may_say_small_spins() -> None:
    values = number_values()
    said = values[CODEC.vocabulary.outputs[CODEC.vocabulary.ordered_from :] - len(WORDS)]
    assert (np.diff(said) > 0).all() and {0.0, 0.001, -0.001, 0.01} <= set(said.tolist())
    assert CODEC.vocabulary.size == len(WORDS) + len(values)


def test_a_gpt_reads_it_too_and_answers_under_the_grammar() -> None:
    torch.manual_seed(0)
    model = GPT.for_vocabulary(CODEC.vocabulary, width=32, depth=1, heads=2, relations=True, prefix=True).eval()
    run = path("billiards")
    assert rollout(model, CODEC, [run.window(20, 21)], 2).parsed == [2]
