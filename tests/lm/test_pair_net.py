"""PairNet: what is the same scene gets the same answer, whatever the order, the company and the point of view."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from physworld import scenarios
from physworld.data import collate
from physworld.lm.pair_net import PairNet
from physworld.scenarios._parts import mirrored
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.sim.turning import turned
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.plain import END, PlainCodec
from physworld.types import Encoded, Sample, Scene, Trajectory

CODEC = PlainCodec(shuffle_names=False)
TYPES = ["billiards", "pendulum", "tower", "orbit", "chain", "seesaw", "wind", "plinko", "conveyor", "trampoline"]


def network(**sizes: Any) -> PairNet:
    """Random weights everywhere, in those too that begin as zero."""
    torch.manual_seed(0)
    made = PairNet.for_vocabulary(CODEC.vocabulary, **{"width": 16, "inner": 24, "heads": 2, "rounds": 2, **sizes})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += torch.randn_like(parameter) * 0.03
    return made.double().eval()


def scene(name: str, difficulty: int = 1) -> Scene:
    """One a moment after its start, when all is in motion."""
    drawn = scenarios.build(name, generator(5, "test", 2), difficulty)
    now = simulate(drawn, 20).frame(19)
    rng = np.random.default_rng(0)
    states = zip(
        drawn.bodies, now.position.tolist(), (now.velocity + rng.normal(size=now.velocity.shape) * 20).tolist(),
        now.angle, now.spin + rng.normal(size=now.spin.shape), strict=True,
    )  # fmt: skip
    bodies = [
        replace(b, position=tuple(p), velocity=tuple(v), angle=float(a), spin=float(w)) for b, p, v, a, w in states
    ]
    return replace(drawn, bodies=tuple(bodies))


def ids_of(*scenes: Scene) -> torch.Tensor:
    prompts = [CODEC.prompt(Trajectory.of(one, [one.state])) for one in scenes]
    longest = max(map(len, prompts))
    return torch.tensor(
        np.stack([np.pad(p, (0, longest - len(p)), constant_values=CODEC.vocabulary.pad) for p in prompts])
    )


@torch.no_grad()
def said(net: PairNet, *scenes: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    _, numbers, judged = net.arrived(ids_of(*scenes))
    return numbers, judged


@pytest.mark.parametrize("name", TYPES)
def test_company_and_padding_change_nothing(name: str) -> None:
    net = network()
    alone, alone_judged = said(net, scene(name))
    beside, judged = said(net, scene("dominos", 2), scene(name), scene("pendulum"))
    first = len(scene("dominos", 2).bodies)
    torch.testing.assert_close(beside[first : first + len(alone)], alone)
    torch.testing.assert_close(judged[first : first + len(alone)], alone_judged)
    assert alone.abs().max() > 1  # something is said


@pytest.mark.parametrize("name", TYPES)
def test_lines_may_come_in_any_order(name: str) -> None:
    net, one = network(), scene(name)
    n, rng = len(one.bodies), np.random.default_rng(1)
    order = rng.permutation(n)
    place = {int(old): new for new, old in enumerate(order)}
    joints = [replace(joint, body_a=place.get(joint.body_a, -1), body_b=place[joint.body_b]) for joint in one.joints]
    other = replace(
        one,
        bodies=tuple(one.bodies[k] for k in order),
        static=tuple(one.static[k] for k in rng.permutation(len(one.static))),
        joints=tuple(joints[k] for k in rng.permutation(len(joints))),
    )
    before, after = said(net, one), said(net, other)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a[torch.as_tensor(order)], b)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", TYPES)
def test_a_turned_scene_gets_the_turned_answer(name: str, mirror: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net, one, angle = network(), scene(name), 0.7
    other = turned(mirrored(one) if mirror else one, angle)
    exact: dict[int, list[float]] = {}
    # the text rounds to four digits: here every number is looked up as it was before
    ids = []
    for k, each in enumerate((one, other)):
        numbers: list[float] = []
        monkeypatch.setattr(
            "physworld.text.codecs._scene_lines.number_indices",
            lambda values, numbers=numbers: (numbers.extend(values), np.arange(len(numbers)))[1],
        )
        monkeypatch.setattr(
            "physworld.text.codecs.plain.number_indices",
            lambda values, numbers=numbers: (
                numbers.extend(values),
                np.arange(len(numbers) - len(values), len(numbers)),
            )[1],
        )
        ids.append(torch.tensor(PlainCodec(shuffle_names=False).prompt(Trajectory.of(each, [each.state])))[None])
        exact[k] = numbers
    answers = []
    with torch.no_grad():
        for k in range(2):
            net.values[: len(exact[k])] = torch.tensor(exact[k])
            answers.append(net.double().arrived(ids[k]))
    (_, first, first_judged), (_, second, second_judged) = answers
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.double)
    flip = torch.tensor([-1.0 if mirror else 1.0, 1.0], dtype=torch.double)
    for at in (slice(0, 2), slice(3, 5)):
        torch.testing.assert_close(second[:, at], first[:, at] * flip @ turn.T, atol=2e-2, rtol=2e-3)
    torch.testing.assert_close(second[:, 2], first[:, 2] * flip[0], atol=2e-2, rtol=2e-3)
    torch.testing.assert_close(second_judged, first_judged, atol=2e-2, rtol=2e-3)


def batch(name: str) -> Any:
    run = simulate(scenarios.build(name, generator(1, "test", 3), 2), 30)
    items: list[Encoded] = [
        CODEC.encode(Sample(seed=t, given=run.window(t, t + 1), target=run.window(t + 1, t + 2))) for t in (0, 9, 28)
    ]
    return collate(items, pad=CODEC.vocabulary.pad)


@pytest.mark.parametrize("name", TYPES)
def test_probabilities_sum_to_one_and_are_those_that_are_scored(name: str) -> None:
    net, some = network(), batch(name)
    with torch.no_grad():
        everything = net(some.input_ids).exp()
        torch.testing.assert_close(everything.sum(dim=-1), torch.ones_like(everything[..., 0]), atol=1e-5, rtol=0)
        logits, target, place = net.scored(some.input_ids, some.labels)
    assert (target == 0).all()
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones_like(logits[:, 0]), atol=1e-5, rtol=0)
    # every number that a label says, found again in the whole distribution
    labels = some.labels.flatten()
    index, number = net.output_index(), labels >= net.num_words
    body, slot = -1, 0
    wanted = {}
    for at, label in enumerate(labels.tolist()):
        if net.names[0] <= label < sum(net.names):
            body, slot = body + 1, 0
        elif label >= 0 and label != END:
            if number[at]:
                p = everything[body, slot, index[label]]
                p = p / everything[body, 0, net.ordered_from :].sum() if slot == 0 else p
                wanted[at] = float(p)
            slot += 1
    said_at = {
        int(at): float(logits[k, 0].exp()) for k, at in enumerate(place.tolist()) if number[at] and k >= body + 1
    }
    assert wanted.keys() == said_at.keys()
    for at, p in wanted.items():
        assert math.isclose(said_at[at], p, rel_tol=1e-4, abs_tol=1e-8), at


def test_answers_keep_to_the_format_and_say_the_median() -> None:
    net = network()
    given = [Trajectory.of(one, [one.state]) for one in map(scene, TYPES)]
    prompts = [CODEC.prompt(now) for now in given]
    room = [CODEC.max_new_tokens(now.scene) for now in given]
    answers = net.generate(prompts, room, END)
    for answer, now in zip(answers, given, strict=True):
        assert CODEC.decode(answer, now) is not None and answer[-1] == END
    drawn = net.generate(prompts, room, END, noise=lambda shape: np.random.default_rng(0).gumbel(size=shape))
    assert any(not np.array_equal(a, b) for a, b in zip(answers, drawn, strict=True))
    assert all(CODEC.decode(answer, now) is not None for answer, now in zip(drawn, given, strict=True))
    (cut,) = net.generate(prompts[:1], [3], END)
    assert np.array_equal(cut, answers[0][:3])


def test_many_pairs_are_worked_out_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    prompts = [CODEC.prompt(Trajectory.of(one, [one.state])) for one in map(scene, TYPES)]
    whole = net.generate(prompts, [999] * len(prompts), END)
    assert len(net._parts(prompts)) == 1
    monkeypatch.setattr("physworld.lm.pair_net.PairNet.most_at_once", 60)
    assert 1 < len(net._parts(prompts)) <= len(prompts)
    for a, b in zip(net.generate(prompts, [999] * len(prompts), END), whole, strict=True):
        assert np.array_equal(a, b)
    assert net.generate([], [], END) == []


def test_a_saved_network_is_the_same(tmp_path: Path) -> None:
    net = network(rounds=3, shared_rounds=True).float()
    net.save_run(tmp_path, CODEC.tokenizer, END)
    again = PairNet.from_pretrained(tmp_path / "model")
    some = batch("pendulum").input_ids
    assert len(again.blocks) == 1 and torch.equal(again(some), net(some))


def test_switches_are_switches_and_other_texts_are_refused() -> None:
    for name in ("shared_rounds", "pair_bias", "ahead", "own_axes", "gap_start", "median"):
        with pytest.raises(ValueError, match=f"{name}=2 must be true or false"):
            PairNet.for_vocabulary(CODEC.vocabulary, **{name: 2})
    with pytest.raises(ValueError, match="codec=plain"):
        PairNet.for_vocabulary(ImpulseCodec().vocabulary)
    with pytest.raises(ValueError, match="rounds=0"):
        PairNet.for_vocabulary(CODEC.vocabulary, rounds=0)


@pytest.mark.parametrize("switch", ["pair_bias", "ahead", "own_axes", "gap_start"])
def test_every_switch_changes_the_answer(switch: str) -> None:
    with_it, without = said(network(), scene("billiards")), said(network(**{switch: False}), scene("billiards"))
    assert not torch.allclose(with_it[0], without[0])


def test_what_is_far_away_is_a_pair_too_and_nothing_is_left_out() -> None:
    one = scene("billiards")
    ids = ids_of(one)
    from physworld.lm.scene_pairs import by_body, lines, pairs

    net = network()
    inside = torch.ones_like(ids, dtype=torch.bool)
    found = {name: lines(ids, inside, record, net.values, net.num_words) for name, record in net.records.items()}
    bodies, _ = by_body(found, 1, True)
    n = len(one.bodies)
    assert len(pairs(bodies, found, net.kinds, net.num_words).body) == n * (n - 1 + len(one.static))
