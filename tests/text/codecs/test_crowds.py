"""Scenes with more bodies than there are names, as `islands` text: only within a document do names count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from physworld.runs.checkpoints import load_model
from physworld.runs.directory import find_run
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs._impulse_words import COAST, END, FIRST_BODY, MAX_BODIES, NEXT, REST, WORD
from physworld.text.codecs._island_documents import MOST
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.evaluation.baselines import ballistic
from physworld.text.rollout import rollout
from physworld.types import Body, Sample, Scene, Segment, Trajectory

CODEC = IslandCodec(shuffle_names=False)


def crowd(count: int, *, pile: bool) -> Scene:
    """Discs in rows: loose ones that fly into each other, or a heap in which all touch."""
    rng = np.random.default_rng(0)
    bodies = []
    for k in range(count):
        column, row = k % 24, k // 24
        gap = 20.02 if pile else 28.0
        x, y = np.array([60 + gap * column, 60 + gap * row]) + (0 if pile else rng.uniform(-3, 3, 2))
        vx, vy = rng.normal(size=2) * 50
        bodies.append(
            Body(shape="circle", size=(10.0,), position=(float(x), float(y)), velocity=(float(vx), float(vy)))
        )
    walls = [((40, 40), (760, 40)), ((40, 40), (40, 900)), ((760, 40), (760, 900))]
    static = tuple(Segment(start=a, end=b) for a, b in walls)
    return Scene(name="crowd", category="", difficulty=5, text="", bodies=tuple(bodies), static=static)


def moment(count: int, *, pile: bool) -> tuple[Trajectory, Trajectory]:
    path = simulate(crowd(count, pile=pile), 7)
    return path.window(3, 4), path.window(4, 7)


def names_of(prompt: np.ndarray) -> list[int]:
    return (prompt[np.flatnonzero(prompt == WORD["self"]) + 1] - FIRST_BODY).tolist()


def lines_of(answer: np.ndarray, first: int) -> list[np.ndarray]:
    return np.split(answer, np.flatnonzero(answer >= first))[1:]


@pytest.mark.parametrize("pile", [False, True])
def test_every_body_is_answered_for_once_and_the_answers_make_up_the_frame(pile: bool) -> None:
    given, target = moment(500, pile=pile)
    _, listed, frames = CODEC._views(given)
    whole, _ = CODEC.answer(given.scene, listed, frames, given.frame(0), target.frame(0))
    first = CODEC.vocabulary.size
    of_body = {int(line[0]) - first: line[1:] for line in lines_of(whole[:-1], first)}
    documents = CODEC._documents(CODEC.prompt(given), given.scene)
    assert sorted(body for d in documents for body in d.own) == listed.tolist()
    answers = []
    for document in documents:
        names = names_of(document.ids)
        assert names == list(range(len(names))) and len(names) <= (MOST if pile else MAX_BODIES)
        named = document.ids[(document.ids >= FIRST_BODY) & (document.ids < FIRST_BODY + MAX_BODIES)] - FIRST_BODY
        assert set(named.tolist()) == set(names)  # nobody is named who has no lines
        lines = [np.concatenate([[FIRST_BODY + k], of_body[int(document.bodies[k])]]) for k in names]
        answers.append(np.concatenate([*lines, [END]]))
    joined = CODEC.join(given, answers)
    assert np.array_equal(joined, whole)
    said = CODEC.decode(joined, given)
    assert said is not None
    assert np.abs(said.velocity - target.velocity[0]).max() < 2.0  # an impulse is rounded to 0.3 %
    if not pile:  # where bodies overlap they are pushed in several directions, of which a line says one
        assert np.abs(said.position - target.position[0]).max() < 0.1
    again = CODEC.parse(CODEC.text(joined), given)
    assert again is not None and np.array_equal(again.velocity, said.velocity)


def test_a_crowds_text_can_be_read() -> None:
    given, _ = moment(300, pile=False)
    text = CODEC.write_prompt(given)
    assert "\nball o299 " in text
    back = CODEC.read_prompt(text)
    assert back is not None and np.array_equal(CODEC.prompt(back)[:3000], CODEC.prompt(given)[:3000])


@pytest.mark.parametrize("pile", [False, True])
def test_training_samples_of_a_crowd_are_documents_like_others(pile: bool) -> None:
    given, target = moment(300, pile=pile)
    for seed in range(6):
        ids = CODEC.encode(Sample(seed=seed, given=given, target=target)).input_ids
        begin = int(np.flatnonzero(ids == NEXT)[0]) + 1
        names = names_of(ids[:begin])
        assert ids.max() < CODEC.vocabulary.size and names == list(range(len(names)))
        said = ids[begin:-1]
        opens = said[(said >= FIRST_BODY) & (said < FIRST_BODY + MAX_BODIES)] - FIRST_BODY
        assert opens.tolist() == names and ids[-1] == END
        assert {COAST, REST} & set(said.tolist()) or len(said) > len(names)


def test_other_texts_still_name_at_most_as_many() -> None:
    assert CODEC.unwritable(crowd(500, pile=False)) == ""
    assert "128" in ImpulseCodec().unwritable(crowd(500, pile=False))


def test_five_hundred_bodies_roll() -> None:
    model, codec, _ = load_model(find_run("shipped", "run"), torch.device("cpu"))
    given, truth = moment(500, pile=False)
    said = rollout(model, codec, [given], 3)
    assert said.parsed == [3]

    def off(guess: Trajectory) -> float:
        return float(np.sqrt(np.square(guess.velocity - truth.velocity).sum(-1).mean()))

    assert off(said.predicted[0]) < 0.25 * off(ballistic(given, 3))
