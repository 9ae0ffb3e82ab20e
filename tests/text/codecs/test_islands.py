"""Islands: every frame's answer is the sum of its islands' answers, and nothing else acts on an island."""

from __future__ import annotations

import numpy as np
import pytest

from physworld import scenarios
from physworld.lm.gpt import GPT
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs._impulse_words import END, NEXT, WORD
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.rollout import rollout
from physworld.text.sources.physics import PhysicsSource
from physworld.text.sources.windows import impulses
from physworld.types import Body, Sample, Scene, Trajectory

CODEC, PLAIN = IslandCodec(), ImpulseCodec(shuffle_names=False)
SOURCE = PhysicsSource(seed=0, split="val", names=scenarios.names(), difficulties=[1, 2, 3, 4, 5])


def split(sample):
    """(islands' prompts, the same islands' true answers, the whole answer)."""
    whole = PLAIN.encode(sample).input_ids
    begin = int(np.flatnonzero(whole == NEXT)[0]) + 1
    answer, lines, at = whole[begin:-1], {}, 0
    while at < len(answer):  # a name, then one word or four numbers
        size = 2 if answer[at + 1] < WORD["fixed"] else 5
        lines[int(answer[at])] = answer[at : at + size]
        at += size
    prompts = CODEC.prompts(sample.given)
    answers = []
    for prompt in prompts:
        names = prompt[np.flatnonzero(prompt == WORD["self"]) + 1]
        answers.append(np.concatenate([*(lines.pop(int(name)) for name in names), [END]]))
    assert not lines  # every listed body is in one island, and in one only
    return prompts, answers, whole[begin:]


@pytest.mark.parametrize("index", range(0, 45 * 8 * 5, 71))
def test_the_islands_answers_make_up_the_frame(index):
    sample = SOURCE.sample(index)
    _, answers, whole = split(sample)
    joined = CODEC.join(sample.given, answers[::-1])  # in whatever order they come
    assert (joined == whole).all()
    said = CODEC.decode(joined, sample.given)
    assert np.array_equal(said.position, PLAIN.decode(whole, sample.given).position)


@pytest.mark.parametrize("name", ["tower", "billiards", "newtons_cradle", "orbit", "hourglass", "bridge", "dominos"])
def test_no_contact_or_joint_leads_out_of_an_island(name):
    source = PhysicsSource(seed=1, split="val", names=[name], difficulties=[3])
    for index in range(0, 64, 8):
        for prompt in CODEC.prompts(source.sample(index).given):
            own = set(prompt[np.flatnonzero(prompt == WORD["self"]) + 1].tolist())
            named = {int(t) for t in prompt if WORD["o0"] <= t < WORD["o0"] + 128}
            assert named == own


@pytest.mark.slow
def test_a_training_sample_is_one_island_and_scores_its_answer():
    for index in range(0, 400, 8):
        sample = SOURCE.sample(index)
        encoded = IslandCodec(shuffle_names=False).encode(sample)
        prompts, answers, _ = split(sample)
        documents = [np.concatenate(pair).tolist() for pair in zip(prompts, answers, strict=True)]
        assert encoded.input_ids.tolist() in (documents or [[NEXT, END]])
        begin = encoded.input_ids.tolist().index(NEXT) + 1
        assert (encoded.labels[:begin] == -100).all()
        assert (encoded.labels[begin:] == encoded.input_ids[begin:]).all()


@pytest.mark.slow
def test_islands_are_drawn_by_what_is_struck():
    """A body that contacts or joints change the velocity of is in every sample of a codec that draws only those."""
    share = {0.0: [], 1.0: []}
    for index in range(0, 400, 4):
        sample = SOURCE.sample(index)
        if sample.given.scene.fields:  # a strong field's pull is in the answer too
            continue
        jump = sample.target.velocity[0] - sample.given.velocity[-1]
        (push,) = impulses(sample.given.then(sample.target))  # what gravity and fields do not explain
        hit = np.minimum(np.abs(jump).max(axis=1), np.abs(push).max(axis=1))
        if hit.max() < 10.1 * 2**0.5:  # struck in whatever frame of reference
            continue
        for collision_sampling, found in share.items():
            encoded = IslandCodec(shuffle_names=False, collision_sampling=collision_sampling).encode(sample)
            named = encoded.input_ids[np.flatnonzero(encoded.input_ids == WORD["self"]) + 1] - WORD["o0"]
            found.append(hit[named].max() > 9.9 / 2**0.5)
    assert len(share[1.0]) > 20
    assert all(share[1.0])
    assert not all(share[0.0])


def test_a_share_is_between_none_and_all():
    with pytest.raises(ValueError, match=r"collision_sampling=1\.5 must be a number from 0 to 1"):
        IslandCodec(collision_sampling=1.5)


def pair(at: tuple[float, float], extra: tuple[Body, ...] = ()) -> Trajectory:
    """Two discs about to meet at `at`."""
    x, y = at
    discs = (
        Body(shape="circle", size=(10.0,), position=(x - 10.5, y), velocity=(40.0, 5.0)),
        Body(shape="circle", size=(10.0,), position=(x + 10.5, y + 1.0), velocity=(-60.0, 0.0), mass=2.0),
    )
    scene = Scene(name="pair", category="test", difficulty=1, text="", bodies=(*discs, *extra))
    return Trajectory.of(scene, [scene.state])


def test_neither_the_place_nor_other_bodies_are_in_an_islands_text():
    (alone,) = CODEC.prompts(pair((200.0, 300.0)))
    (moved,) = CODEC.prompts(pair((512.0, 128.0)))
    far = Body(shape="circle", size=(10.0,), position=(700.0, 500.0))
    (beside,) = CODEC.prompts(pair((200.0, 300.0), extra=(far,)))  # it flies freely: no island of its own
    assert len(alone) > 20
    assert alone.tolist() == moved.tolist() == beside.tolist()


def test_frames_are_cut_like_samples():
    run = simulate(SOURCE.scene(3), 12)
    frames, whole = CODEC.encode_frames(run, seed=5), ImpulseCodec().encode_frames(run, seed=5)
    assert len(frames) == len(whole) == 11
    for t, frame in enumerate(frames):
        sample = Sample(seed=5 + t, given=run.window(t, t + 1), target=run.window(t + 1, t + 2))
        assert frame.input_ids.tolist() == CODEC.encode(sample).input_ids.tolist()
        assert len(frame.input_ids) <= len(whole[t].input_ids)


def test_unreadable_islands_stay_unreadable():
    given = pair((200.0, 300.0))
    prompts = CODEC.prompts(given)
    assert CODEC.decode(CODEC.join(given, [np.array([END])] * len(prompts)), given) is None
    assert CODEC.decode(CODEC.join(given, [np.array([NEXT, NEXT, END])] * len(prompts)), given) is None


def test_rollouts_answer_all_islands_under_the_grammar():
    network = GPT.for_vocabulary(CODEC.vocabulary, width=16, depth=1, heads=2).eval()
    given = [SOURCE.sample(i).given for i in (0, 8, 16)]
    said = rollout(network, CODEC, given, 3)
    assert said.parsed == [3, 3, 3]
    alone = rollout(network, CODEC, given[1:2], 3)
    assert np.allclose(alone.predicted[0].position, said.predicted[1].position, atol=1e-3)
