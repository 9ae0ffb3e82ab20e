"""The impulse text: what it says, its own frames, and what reading its answers back gives."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from physworld import scenarios
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs._impulse_words import END, FIRST_BODY, MAX_BODIES, NEXT, RECORDS
from physworld.text.codecs.impulse import QUIET, STILL, ImpulseCodec
from physworld.types import FIXED, Attractor, Body, PinJoint, Sample, Scene, Segment, State, Trajectory

from impulse_scenes import (
    CODEC,
    DIFFICULTIES,
    cases,
    mirror_image,
    own_lines,
    path,
    rounding,
    step,
    stirred,
    true_answer,
    turned,
)

NAMES = scenarios.names()
each_name = pytest.mark.parametrize("name", NAMES)


# --- writing


@each_name
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_prompt_is_what_the_tokenizer_reads(name: str, difficulty: int) -> None:
    for now, _ in cases(name, difficulty):
        ids = CODEC.prompt(now)
        again = CODEC.tokenizer(CODEC.text(ids), add_special_tokens=False)["input_ids"]
        assert again == ids.tolist()


@each_name
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_lines_have_their_words_and_numbers(name: str, difficulty: int) -> None:
    for now, _ in cases(name, difficulty):
        text = CODEC.text(CODEC.prompt(now)).split("\n")
        assert text[-1] == "next"
        for line in text[:-1]:
            word, *items = line.split(" ")
            words, count = RECORDS[word]
            assert len(items) == words + count
            assert all(re.fullmatch(r"o\d+|fixed", item) for item in items[:words])
            assert all(re.fullmatch(r"-?[0-9.]+", item) for item in items[words:])
        states = [line for line in text if line.startswith(("ball ", "box "))]
        assert [line.split(" ")[1] for line in states] == [f"o{i}" for i in range(len(now.scene.bodies))]


BALL_ON_FLOOR = Scene(
    name="test",
    category="collision",
    difficulty=1,
    text="",
    bodies=(
        Body(shape="circle", size=(10.0,), position=(50.0, 15.5), velocity=(60.0, -60.0), mass=2.0),
        Body(shape="rect", size=(40.0, 20.0), position=(300.0, 200.0), angle=0.25, spin=-1.0, mass=3.0),
    ),
    static=(Segment(start=(0.0, 0.0), end=(100.0, 0.0), radius=5.0, restitution=0.8),),
)


def test_a_small_scene_reads_as_it_should() -> None:
    """By hand: after p + v·dt the ball is at (51, 14.5), 0.5 px deep; gravity's frame is 981/60 = 16.35 px/s; the
    lever arm to the middle of the overlap is 10 - 0.25 px, over a gyration radius of 10/sqrt(2) px."""
    now = simulate(BALL_ON_FLOOR, 1)
    assert CODEC.text(CODEC.prompt(now)).split("\n") == [
        "world 0 -981 16.67",
        "wall 0 0 100 0 5 0.5 0.8 0",
        "ball o0 50 15.5 0 60 -60 0 10 2 0.5 0.5",
        "box o1 300 200 0.25 0 0 -1 40 20 3 0.5 0.5",
        "self o0 0 1 -1 -60 60 0 -16.35 0",
        "touch o0 fixed 0.4 0.25 1 1 0 0.5 -0.5 -60 60 0 -1.379 0 0",
        "next",
    ]


def test_rods_and_fields_read_as_they_should() -> None:
    """A bob 30 px right of and 40 px below its nail at (100, 100), swinging at 50 px/s; a planet pulled from below."""
    swing = Scene(
        name="test",
        category="constraint",
        difficulty=1,
        text="",
        bodies=(Body(shape="circle", size=(10.0,), position=(130.0, 60.0), velocity=(0.0, 0.0), mass=2.0),),
        joints=(PinJoint(body_a=FIXED, body_b=0, anchor_a=(100.0, 100.0), length=50.0),),
        gravity=(0.0, -981.0),
    )
    moving = State(
        position=np.array([[130.0, 60.0]]), velocity=np.array([[40.0, 30.0]]), angle=np.zeros(1), spin=np.zeros(1)
    )
    # One frame ahead it is at (130 2/3, 60.5): 50.0069 px from the nail in direction (0.6132, -0.7899).
    text = CODEC.text(CODEC.prompt(Trajectory.of(swing, [moving]))).split("\n")
    assert text[1] == "pin fixed o0 100 100 0 0 50"
    assert text[3:] == [
        "self o0 0.613 -0.79 1 0.833 49.99 0 12.91 -10.03",
        "link o0 fixed 1 1 0 0.007 0.833 49.99 0 0",
        "next",
    ]
    planet = replace(
        swing, joints=(), gravity=(0.0, 0.0), fields=(Attractor(center=(130.0, 10.0), strength=5e5, softening=2.0),)
    )
    text = CODEC.text(CODEC.prompt(Trajectory.of(planet, [planet.state]))).split("\n")
    assert text[1] == "field 130 10 50 2"
    assert text[3:] == ["self o0 0 1 1 0 0 0 0 0", "pull o0 1 0 50 2 50", "next"]


def test_names_are_shuffled_and_nothing_else() -> None:
    shuffled = ImpulseCodec(shuffle_names=True)
    shifts = set()
    for seed in range(40):
        now, then = cases("tower", 2)[2]
        sample = Sample(seed=seed, given=now, target=Trajectory.of(now.scene, [then]))
        plain, other = CODEC.encode(sample), shuffled.encode(sample)
        is_name = (plain.input_ids >= FIRST_BODY) & (plain.input_ids < FIRST_BODY + MAX_BODIES)
        moved = other.input_ids - plain.input_ids
        assert (moved[~is_name] == 0).all() and len(set(moved[is_name].tolist())) == 1
        assert other.input_ids[is_name].max() < FIRST_BODY + MAX_BODIES
        shifts.add(int(moved[is_name][0]))
        np.testing.assert_array_equal(plain.event, other.event)
        for item in (plain, other):
            scored = item.labels != -100
            np.testing.assert_array_equal(item.labels[scored], item.input_ids[scored])
            assert scored[int(np.flatnonzero(item.input_ids == NEXT)[0]) + 1 :].all()
            assert not scored[: int(np.flatnonzero(item.input_ids == NEXT)[0]) + 1].any()
        np.testing.assert_array_equal(shuffled.prompt(now), CODEC.prompt(now))  # only training samples are renamed
    assert len(shifts) > 20


def test_more_bodies_than_names_is_refused() -> None:
    crowd = replace(BALL_ON_FLOOR, bodies=BALL_ON_FLOOR.bodies * 65)
    with pytest.raises(ValueError, match="at most 128 bodies"):
        CODEC.prompt(Trajectory.of(crowd, [crowd.state]))


# --- the own frame


@pytest.mark.slow
@each_name
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize(
    "image",
    [lambda now: turned(now, 0.9), lambda now: turned(now, -2.3), mirror_image],
    ids=["turned", "turned back", "mirrored"],
)
def test_turned_and_mirrored_scenes_read_the_same(name: str, difficulty: int, image: object) -> None:
    for seed, (now, _) in enumerate(cases(name, difficulty)):
        now = stirred(now, seed)
        plain, other = own_lines(now), own_lines(image(now))  # type: ignore[operator]
        assert [line[:2] for line in plain] == [line[:2] for line in other]
        for (word, _, a), (_, _, b) in zip(plain, other, strict=True):
            assert (np.abs(a - b) <= step(np.maximum(np.abs(a), np.abs(b)))).all(), (word, a, b)


# --- answers


@each_name
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_answers_read_back(name: str, difficulty: int) -> None:
    """Velocity and gyration speed to the grid's rounding; bodies without a line move exactly as said: freely."""
    for now, then in cases(name, difficulty):
        scene, start = now.scene, now.frame(0)
        _, listed, frames = CODEC._views(now)
        ids, _ = CODEC.answer(scene, listed, frames, start, then)
        got = CODEC.decode(ids, now)
        assert got is not None
        assert CODEC.parse(CODEC.text(ids), now) is not None
        free = np.setdiff1d(np.arange(len(scene.bodies)), listed)
        np.testing.assert_allclose(got.velocity[free], then.velocity[free], atol=1e-9)
        np.testing.assert_allclose(got.spin[free], then.spin[free], atol=1e-9)
        np.testing.assert_array_equal(got.position[free], start.position[free] + start.velocity[free] * scene.dt)

        gyration = np.array([body.gyration for body in scene.bodies])[listed]
        change, push, after = CODEC._impulses(scene, listed, frames, start, then)
        quiet = (np.abs(change).max(axis=1, initial=0) < QUIET) & (np.abs(push) < QUIET)
        rest = ~quiet & (after < STILL) & (np.abs(push) < QUIET)
        normal = frames[:, :2]
        tangent = frames[:, 2:] * np.stack([-frames[:, 1], frames[:, 0]], axis=1)
        off = got.velocity[listed] - then.velocity[listed]
        error = np.abs(
            np.stack(
                [
                    (off * normal).sum(axis=1),
                    (off * tangent).sum(axis=1),
                    (got.spin - then.spin)[listed] * gyration,
                ],
                axis=1,
            )
        )
        bound = np.where(quiet[:, None], QUIET, np.where(rest[:, None], 2**0.5 * STILL, rounding(np.abs(change))))
        assert (error <= bound + 1e-9).all(), (name, difficulty)

        # Positions: Chipmunk's push along the normal is said, what it pushed sideways (other contacts) is not.
        moved = got.position[listed] - then.position[listed]
        along = np.abs((moved * normal).sum(axis=1)) / scene.dt
        assert (along <= np.where(quiet | rest, QUIET, rounding(np.abs(push))) + 1e-9).all()
        np.testing.assert_allclose(got.angle, start.angle + start.spin * scene.dt, atol=1e-12)
        if (quiet | rest).all():
            np.testing.assert_array_equal(got.position, start.position + start.velocity * scene.dt)


@each_name
def test_positions_are_exact_from_a_state(name: str) -> None:
    """Without a push left over from an earlier frame, Chipmunk moves by p + v·dt and so does the codec."""
    for now, _ in cases(name, 3):
        then = simulate(now.scene, 2, start=now.frame(0)).frame(1)
        got = CODEC.decode(true_answer(now), now)
        assert got is not None
        np.testing.assert_allclose(got.position, then.position, atol=1e-9)
        np.testing.assert_allclose(got.angle, then.angle, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape",
    ["circle", "rect"],
)
def test_levers_are_the_simulators(shape: str) -> None:
    """A single contact turns a body by its levers, dS = AN·dN + AT·dT: to half the overlap, because Chipmunk pushes
    each body at its own surface and the text says the middle, and 0.1 px more."""
    checked = 0
    for name, t in itertools.product(NAMES, range(89)):
        run = path(name, 2)
        now = run.window(t, t + 1)
        then = simulate(now.scene, 2, start=now.frame(0)).frame(1)  # no push left over that would move the contact
        _, listed, frames = CODEC._views(now)
        change = CODEC._impulses(now.scene, listed, frames, now.frame(0), then)[0]
        touches = [line for line in own_lines(now) if line[0] != "self"]
        for body, (normal, tangent, turn) in zip(listed.tolist(), change.tolist(), strict=True):
            mine = [line for line in touches if line[1][0] == f"o{body}"]
            solid = now.scene.bodies[body]
            if [line[0] for line in mine] != ["touch"] or abs(tangent) < 2 or solid.shape != shape:
                continue
            depth, lever_n, lever_t = mine[0][2][[6, 9, 10]]
            slack = (abs(depth) / 2 + 0.1) / solid.gyration * abs(tangent) + 0.001 * abs(normal) + 0.05
            assert abs(turn - (lever_n * normal + lever_t * tangent)) <= slack, (name, t, body)
            checked += 1
    assert checked >= 4


def test_events_are_the_bodies_that_are_hit() -> None:
    seen = {True: 0, False: 0}
    for now, then in cases("billiards", 2):
        _, listed, frames = CODEC._views(now)
        ids, event = CODEC.answer(now.scene, listed, frames, now.frame(0), then)
        change = CODEC._impulses(now.scene, listed, frames, now.frame(0), then)[0]
        hit = {int(b) for b, c in zip(listed, np.abs(change[:, :2]).max(axis=1), strict=True) if c > 10}
        body = -1
        for token, flag in zip(ids.tolist(), event.tolist(), strict=True):
            if FIRST_BODY <= token < FIRST_BODY + MAX_BODIES:
                body = token - FIRST_BODY
                assert not flag  # the name is given
            elif token != END:
                assert flag == (body in hit)
                seen[flag] += 1
    assert min(seen.values()) > 0
