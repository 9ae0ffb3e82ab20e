"""The network and its words: whom a position is about, which way prompts are read, what is said without drawing."""

from __future__ import annotations

import pytest
import torch

from physworld.text.codecs._impulse_words import FIRST_BODY, NEXT, NUMBER_BASE

from tiny_gpt import CODEC, batch_of, network

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_prompt_read_as_a_whole_sees_all_of_itself_and_nothing_of_its_answer() -> None:
    """A number of the last record is changed: with `prefix` the first position feels it, without it none before does;
    an answer's token is felt by no position before its own, with or without."""
    batch = batch_of(count=1, names=("billiards",))
    ids = batch.input_ids
    end = int((ids[0] == NEXT).nonzero()[0, 0])
    edges = {end - 1: True, ids.shape[1] - 3: False}  # token -> whether it belongs to the prompt
    for prefix in (True, False):
        model = network(prefix=prefix)
        place, _, _ = model.places(ids)
        hidden = model(ids)
        for at, asked in edges.items():
            other = ids.clone()
            other[0, at] += 1 if ids[0, at] >= NUMBER_BASE else -1
            same = torch.isclose(model(other), hidden, atol=1e-6).all(dim=-1)[0]
            assert bool(same[: int(place[0, at])].all()) is not (prefix and asked)
            assert bool(same[0]) is not (prefix and asked)
            assert not same[int(place[0, at])]


def test_positions_know_whom_they_are_about() -> None:
    model = network(relations=True)
    lines = (
        "world 0 0 16.6\nself o7 0 1 -1 -60 60 0 -16.4 0\ntouch o7 o9 0 0 0 0 0 0 0 0 0 0 0 0 0\nnext\no7 coast\no9 1 2"
    )
    ids = torch.tensor([CODEC.tokenizer(lines)["input_ids"]])
    _, opens, _ = model.places(ids)
    names, line = model.about(ids, opens)
    none = model.names[1]
    assert names.tolist() == [[none, none], [7, none], [7, 9], [none, none], [7, none], [7, none], *[[9, none]] * 3]
    assert line.tolist() == [FIRST_BODY + 9]
    on, line = model.about(ids[:, -1:], opens[:, -1:], line)  # one token alone, the rest being in the cache
    assert on.tolist() == [[9, none]]


def test_relations_start_as_none_and_then_lead_to_the_partner() -> None:
    batch = batch_of(count=2, names=("billiards",))
    plain, model = network(relations=False), network(stirred=False)
    model.load_state_dict(plain.state_dict(), strict=False)
    assert torch.allclose(model(batch.input_ids), plain(batch.input_ids), atol=1e-5)
    with torch.no_grad():
        for block in model.blocks:
            block.relation[1, 0] = 4.0  # what my partner says of itself
    assert not torch.allclose(model(batch.input_ids), plain(batch.input_ids), atol=1e-2)


@pytest.mark.parametrize("name", ["prefix", "relations", "median"])
def test_a_switch_is_a_truth_value(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=maybe must be true or false"):
        network(**{name: "maybe"})


def test_a_number_in_doubt_is_said_as_its_median() -> None:
    """Numbers that share 0.65 of the probability beat a word that has 0.35; half of theirs lies on each side."""
    model = network()
    k, count = model.ordered_from, len(model.outputs)
    probability = torch.zeros(3, count)
    probability[0, 1], probability[0, k + 10 : k + 23] = 0.35, 0.05  # in doubt, but a number
    probability[1, 1], probability[1, k + 10 : k + 23] = 0.6, 0.4 / 13  # a word
    probability[2, 1], probability[2, k], probability[2, k + 50 : k + 53] = 0.1, 0.4, 0.5 / 3  # one end, or the other
    assert model.pick(probability.log()).tolist() == [k + 16, 1, k + 50]
    assert network(median=False).pick(probability.log()).tolist() == [1, 1, k]
