"""Learned rivals: the same scene gets the same answer, what is scored is what is said, and each learns a contact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import physworld.lm.citizens
from physworld import scenarios
from physworld.data import collate
from physworld.lm import ordered_outputs as outputs
from physworld.lm.contact_net import ContactNet
from physworld.lm.interaction_net import InteractionNet
from physworld.lm.line_net import LineNet, judged_of
from physworld.lm.solver_net import SolverNet
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.plain import PlainCodec
from physworld.types import FIXED, Body, Sample, Scene, Spring, Trajectory

PLAIN, IMPULSE = PlainCodec(shuffle_names=False), ImpulseCodec(shuffle_names=False)
REMEMBERING = ImpulseCodec(shuffle_names=False, memory=True)
TYPES = ["billiards", "pendulum", "tower", "orbit", "chain", "seesaw", "wind", "conveyor", "trampoline"]
SIZES: dict[str, Any] = {"width": 16, "hidden": 24}
RIVALS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "interaction": (PLAIN, InteractionNet, {}),
    "contacts": (IMPULSE, ContactNet, {}),
    "contact_mlp": (IMPULSE, ContactNet, {"passes": 0}),
    "solver": (IMPULSE, SolverNet, {"rounds": 3, "state": 8}),
    "solver with memory": (REMEMBERING, SolverNet, {"rounds": 3, "state": 8}),
}
physworld.lm.citizens.register()
each = pytest.mark.parametrize("rival", RIVALS)


def network(rival: str, **sizes: Any) -> LineNet:
    codec, kind, own = RIVALS[rival]
    torch.manual_seed(0)
    made: LineNet = kind.for_vocabulary(codec.vocabulary, **{**SIZES, **own, **sizes})
    return made.double().eval()


def moments(*names: str) -> list[Sample]:
    found = []
    for name in names:
        run = simulate(scenarios.build(name, generator(1, "test", 3), 2), 25)
        found.append(Sample(seed=0, given=run.window(21, 23), target=run.window(23, 24)))
    return found


def batch(rival: str, *names: str) -> Any:
    codec = RIVALS[rival][0]
    return collate([codec.encode(sample) for sample in moments(*names)], pad=codec.vocabulary.pad)


@each
def test_company_changes_nothing_and_every_answer_can_be_read(rival: str) -> None:
    net, codec = network(rival), RIVALS[rival][0]
    some = moments(*TYPES)
    prompts = [codec.prompt(sample.given) for sample in some]
    room = [codec.max_new_tokens(sample.given.scene) for sample in some]
    together = net.generate(prompts, room, codec.end_id)
    for sample, prompt, most, answer in zip(some, prompts, room, together, strict=True):
        assert codec.decode(answer, sample.given) is not None
        assert np.array_equal(net.generate([prompt], [most], codec.end_id)[0], answer)


@each
def test_probabilities_sum_to_one_and_are_those_that_are_scored(rival: str) -> None:
    net, some = network(rival), batch(rival, "tower", "pendulum", "billiards")
    with torch.no_grad():
        everything = net(some.input_ids).exp()
        logits, _, place = net.scored(some.input_ids, some.labels)
    torch.testing.assert_close(everything.sum(dim=-1), torch.ones_like(everything[..., 0]), atol=1e-5, rtol=0)
    labels, index = some.labels.flatten(), net.output_index()
    body, slot, checked = -1, 0, 0
    said = {int(at): float(logits[k, 0].exp()) for k, at in enumerate(place.tolist()) if k >= len(everything)}
    for at, label in enumerate(labels.tolist()):
        if net.names[0] <= label < sum(net.names):
            body, slot = body + 1, 0
        elif label >= net.num_words:
            p = everything[body, slot, index[label]]
            p = p / everything[body, 0, net.ordered_from :].sum() if slot == 0 else p
            assert said[at] == pytest.approx(float(p), rel=1e-4, abs=1e-8)
            slot, checked = slot + 1, checked + 1
    assert checked > 10 and body + 1 == len(everything)


@each
def test_the_median_by_halving_is_that_of_all_probabilities(rival: str) -> None:
    made = network(rival)
    generator = torch.Generator().manual_seed(1)
    slots = len(made.SCALES)
    sizes = 10 ** torch.empty(600, 1, dtype=torch.float64).uniform_(-2, 4, generator=generator)
    said = torch.randn(600, slots, generator=generator, dtype=torch.float64) * sizes
    judged = torch.randn(600, judged_of(slots), generator=generator, dtype=torch.float64) * 4
    words, zeros = 0, 0
    quick = made._medians(said, judged)
    for slot in range(slots):
        scores = made._scores(said, judged, slot)
        # float32 sums of thousands of numbers may stop one short of where the half is passed
        assert (quick[:, slot] - outputs.median(scores, made.ordered_from)).abs().max() <= 1
        numbers = scores[:, made.ordered_from :].softmax(dim=1).cumsum(dim=1)
        exact = made.ordered_from + (numbers < 0.5).sum(dim=1)
        is_word = quick[:, slot] < made.ordered_from
        near = (numbers - 0.5).abs().min(dim=1).values < 1e-5
        assert torch.equal(quick[~is_word & ~near, slot], exact[~is_word & ~near])
        words += int(is_word.sum())
        zeros += int((made.values[made.outputs[exact] - made.num_words] == 0).sum())
    assert words > 100 and zeros > 100  # each way of answering is among them


@each
def test_it_learns(rival: str) -> None:
    """After sixty steps on one batch the truth is more than four times as likely, a number."""
    net, some = network(rival, width=32, hidden=48).float().train(), batch(rival, *TYPES[:4])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.004)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 60)  # at a constant rate the last loss is noise
    losses = []
    for _ in range(60):
        logits, target, _ = net.scored(some.input_ids, some.labels)
        loss = net.losses(logits, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        losses.append(float(loss.detach()))
    assert losses[0] - losses[-1] > np.log(4)


@each
def test_a_saved_network_is_the_same(rival: str, tmp_path: Path) -> None:
    net, codec = network(rival).float(), RIVALS[rival][0]
    net.save_run(tmp_path, codec.tokenizer, codec.end_id)
    again = type(net).from_pretrained(tmp_path / "model")
    some = batch(rival, "pendulum").input_ids
    assert torch.equal(again(some), net(some))
    known: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    prompt = codec.prompt(moments("pendulum")[0].given)
    (answer,) = net.generate([prompt], [99], codec.end_id)
    assert known.generate(torch.as_tensor(prompt)[None])[0].tolist() == [*prompt.tolist(), *answer.tolist()]


def test_rest_stands_for_what_stops_a_body() -> None:
    """The numbers behind `rest`, said as an answer, leave a body still, in world axes and in its own frame."""
    for rival in ("interaction", "contacts", "solver with memory"):
        net, codec = network(rival), RIVALS[rival][0]
        stopped, fastest = 0, 0.0
        for sample in moments("tower", "billiards", "pendulum", "trampoline"):
            given: Trajectory = sample.given
            stated = net.stated(torch.as_tensor(codec.prompt(given))[None])
            ids = []
            for name, numbers in zip(stated.name.tolist(), stated.stop.numpy(), strict=True):
                nearest = [int(np.abs(codec.vocabulary.values - x).argmin()) + codec.number_base for x in numbers]
                ids += [name, *nearest]
            state = codec.decode(np.array([*ids, codec.end_id]), given)
            listed = stated.name.numpy() - codec.first_body
            assert state is not None and np.abs(state.velocity[listed]).max(initial=0.0) < 0.6
            stopped, fastest = stopped + len(listed), max(fastest, np.abs(given.velocity[-1, listed]).max(initial=0.0))
        assert stopped > 5 and fastest > 20


def test_messages_travel_with_passes_and_not_without() -> None:
    """What is far along a chain changes the first body's answer after two passes; a per-contact MLP never knows."""
    (sample,) = moments("chain")
    prompt = torch.as_tensor(IMPULSE.prompt(sample.given))[None]
    starts = (prompt[0] == IMPULSE.word["self"]).nonzero()[:, 0]
    other = prompt.clone()
    at = int(starts[-1]) + 2 + 3  # VN of the last body
    other[0, at] = IMPULSE.number_base + int(np.abs(IMPULSE.vocabulary.values - 150).argmin())
    for passes, heard in ((3, True), (0, False)):
        net = network("contacts", passes=passes)
        with torch.no_grad():
            before, after = net.stated(prompt).said, net.stated(other).said
        moved = (before - after).abs().amax(dim=1) > 1e-9
        assert bool(moved[-1]) and bool(moved[:-1].any()) is heard


def test_other_texts_and_switches_are_refused() -> None:
    with pytest.raises(ValueError, match="model=contacts or contact_mlp needs codec=impulse or codec=islands"):
        ContactNet.for_vocabulary(PLAIN.vocabulary)
    for codec in (IMPULSE, CardCodec()):
        with pytest.raises(ValueError, match="model=interaction reads codec=plain alone"):
            InteractionNet.for_vocabulary(codec.vocabulary)
    with pytest.raises(ValueError, match="passes=0 must be 1 or more"):
        InteractionNet.for_vocabulary(PLAIN.vocabulary, passes=0)
    with pytest.raises(ValueError, match="passes=-1 must be 0 or more"):
        ContactNet.for_vocabulary(IMPULSE.vocabulary, passes=-1)
    with pytest.raises(ValueError, match="median=2 must be true or false"):
        ContactNet.for_vocabulary(IMPULSE.vocabulary, median=2)


@each
def test_each_number_has_a_zero_of_its_own(rival: str) -> None:
    """A blow without friction: one speed turns round and the other stays as it was, and both are said so."""
    net, count = network(rival), len(network(rival).SCALES)
    said = torch.zeros(1, count, dtype=torch.float64)
    said[0, 0] = 300.0
    judged = torch.full((1, judged_of(count)), -6.0, dtype=torch.float64)
    judged[0, 2 + count + 1] = 9.0  # the second number is zero
    chosen = [net.outputs[outputs.median(net._scores(said, judged, slot), net.ordered_from)] for slot in (0, 1)]
    first, second = (float(net.values[token - net.num_words]) for token in chosen)
    assert abs(first - 300) < 10 and second == 0


def test_masses_beyond_training_are_read_as_its_edge_and_weigh_what_they_are() -> None:
    made = network("solver")
    assert isinstance(made, SolverNet)
    one, none = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.long)
    axes = torch.eye(2, dtype=torch.float64)[none]
    share = torch.tensor([0.001, 1 / 41, 0.5, 40 / 41, 1.0], dtype=torch.float64)
    columns = ("e", "mu", "cn", "ct", "gap", "next", "vn", "vt", "an", "at", "bn", "bt")
    number = {"share": share, **dict.fromkeys(columns, one)}
    rows = made._part("touch", number, "", none, none, axes, axes, one)
    torch.testing.assert_close(rows.weight, (1 - share) / share)  # 999 times as heavy stays so
    assert torch.equal(rows.vector[0], rows.vector[1])
    assert not torch.allclose(rows.vector[3], rows.vector[4])  # what does not move is no heavy body
    assert not torch.allclose(rows.vector[1], rows.vector[2])


@pytest.mark.parametrize("kind", ["orbit", "gravity_well", "solar_system", "planetary_rotation", "wind"])
def test_a_solver_that_has_learned_nothing_is_moved_the_way_a_field_moves(kind: str) -> None:
    """Signs and directions of fields are given by hand; only the size is learned."""
    net, checked = network("solver"), 0
    for number in range(12):
        run = simulate(scenarios.build(kind, generator(number, "test", 3), 1), 25)
        sample = Sample(seed=0, given=run.window(21, 23), target=run.window(23, 24))
        encoded = IMPULSE.encode(sample)
        some = net.stated(torch.as_tensor(encoded.input_ids)[None])
        words = IMPULSE.tokenizer.decode(encoded.input_ids)
        if "touch" in words or len(some.said) != words.count("self"):
            continue
        after = IMPULSE.decode(np.asarray(encoded.input_ids)[np.asarray(encoded.labels) != -100], sample.given)
        assert after is not None
        answer = words.split(" next ")[1].split()
        for row, name in enumerate(some.name.tolist()):
            at = answer.index(IMPULSE.tokenizer.decode([name]).strip()) + 1
            if answer[at] not in ("coast", "rest") and abs(float(answer[at])) > 1:
                assert np.sign(float(some.said[row, 0].detach())) == np.sign(float(answer[at])), words
                checked += 1
    assert checked > 5


@pytest.mark.parametrize(("stiffness", "stretch"), [(9.81, 300.0), (60.0, 40.0), (900.0, -15.0)])
def test_springs_begin_from_what_they_give(stiffness: float, stretch: float) -> None:
    """However soft and long a spring is: by Hooke's law k·x/m·dt, and nothing of it where the network is not told."""
    spring = Spring(body_a=FIXED, body_b=0, anchor_a=(100, 300), anchor_b=(0, 0), length=20, stiffness=stiffness)
    ball = Body(shape="circle", size=(10.0,), mass=2.0, position=(120 + stretch, 300))
    scene = Scene(name="coil", category="laws", difficulty=1, text="", bodies=(ball,), joints=(spring,), gravity=(0, 0))
    run = simulate(scene, 3)
    ids = torch.as_tensor(IMPULSE.encode(Sample(seed=0, given=run.window(0, 1), target=run.window(1, 2))).input_ids)
    pull = -stiffness * stretch / 2.0 / 60  # px/s along the normal, which points away from the wall
    told, untold = (network("solver", known_springs=known).stated(ids[None]).said for known in (True, False))
    assert float(told[0, 0].detach()) == pytest.approx(pull, rel=0.25)
    assert abs(float(untold[0, 0].detach())) < 0.25 * abs(pull)
