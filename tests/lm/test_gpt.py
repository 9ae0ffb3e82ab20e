"""The network: what may and may not change its loss and its answers; saving, loading, optimising."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer

from physworld.lm.gpt import GPT, IGNORE, number_features
from physworld.lm.guides import guide_mask
from physworld.lm.next_token import NextTokenModule
from physworld.optim import MuonAdamW, split_layers
from physworld.runs.checkpoints import save_model
from physworld.text.codecs._impulse_words import COAST, END, FIRST_BODY, NEXT, NUMBER_BASE, PAD, WORD
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Batch, Trajectory

from tiny_gpt import CODEC, batch_of, network, prompts
from tiny_lms import samples

pytestmark = pytest.mark.usefixtures("one_thread")


# --- positions


def test_records_are_one_position() -> None:
    number = NUMBER_BASE + 5
    ball = [WORD["ball"], FIRST_BODY, *[number] * 10]
    row = [WORD["world"], *[number] * 3, *ball, NEXT, FIRST_BODY, COAST, FIRST_BODY + 1, *[number] * 4, END, PAD, PAD]
    place, opens, real = network().places(torch.tensor([row, row[:-5] + [PAD] * 5]))
    expected = [0] * 4 + [1] * 12 + [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
    assert place[0].tolist() == expected
    assert [i for i, o in enumerate(opens[0].tolist()) if o] == [0, 4, *range(16, 25)]
    assert real.tolist() == [11, 8]
    # A name or number inside a record opens nothing; the same tokens in an answer stand alone.
    assert place[1].tolist() == [*expected[:22], *[7] * 5]


def test_every_codec_record_is_known() -> None:
    model = network()
    length = {word: int(model.record_length[word]) for word in CODEC.vocabulary.records}
    assert length == {word: 1 + words + count for word, (words, count) in CODEC.vocabulary.records.items()}
    assert int((model.record_length > 1).sum()) == len(length)


def test_positions_of_a_prompt_are_its_lines() -> None:
    _, ids = prompts()
    for prompt in ids:
        _, _, real = network().places(torch.from_numpy(prompt)[None])
        assert int(real) == len(CODEC.text(prompt).split("\n"))


def test_number_features_are_finite_and_tell_numbers_apart() -> None:
    features = number_features(torch.as_tensor(CODEC.vocabulary.values))
    assert torch.isfinite(features).all() and features.abs().max() <= 100
    assert len(torch.unique(features, dim=0)) == len(features)
    assert torch.isfinite(number_features(torch.tensor([1e30, -1e30, 0.0]))).all()


# --- what must not matter


def add_noise(monkeypatch: pytest.MonkeyPatch, model: GPT, spared: Tensor) -> None:
    """Replace all hidden states by noise but the `spared` ones, counted as `scored` counts them."""
    inner = model.hidden

    def noisy(*inputs: Any) -> Any:
        hidden, *rest = inner(*inputs)
        keep = torch.zeros(len(hidden), 1, dtype=torch.bool)
        keep[spared] = True
        assert 0.05 < keep.float().mean() < 0.95
        return torch.where(keep, hidden, torch.randn_like(hidden) * 50), *rest

    monkeypatch.setattr(model, "hidden", noisy)


def test_noise_on_unscored_predictions_leaves_the_loss_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = network(), batch_of()
    position = model.hidden(batch.input_ids)[2]
    asked = position[batch.labels != IGNORE] - 1
    plain = model.losses(*model.scored(batch.input_ids, batch.labels)[:2])
    with monkeypatch.context() as patch:
        add_noise(patch, model, asked)
        assert torch.equal(plain, model.losses(*model.scored(batch.input_ids, batch.labels)[:2]))
    add_noise(monkeypatch, model, asked[1:])  # one scored prediction is noise as well, and it shows
    assert not torch.equal(plain, model.losses(*model.scored(batch.input_ids, batch.labels)[:2]))


def test_labels_nobody_scores_do_not_matter() -> None:
    """Dropping half of the labels drops their losses and leaves the others' as they were."""
    model, batch = network(), batch_of()
    logits, target, where = model.scored(batch.input_ids, batch.labels)
    loss = model.losses(logits, target)
    half = batch.labels.clone()
    half.view(-1)[where[::2]] = IGNORE
    logits, target, kept = model.scored(batch.input_ids, half)
    assert torch.equal(kept, where[1::2])
    torch.testing.assert_close(model.losses(logits, target), loss[1::2])


def test_scored_labels_are_the_next_tokens() -> None:
    model, batch = network(), batch_of()
    _, target, flat = model.scored(batch.input_ids, batch.labels)
    assert torch.equal(model.outputs[target], batch.labels.flatten()[flat])
    assert torch.equal(batch.labels.flatten()[flat], batch.input_ids.flatten()[flat])


@pytest.mark.parametrize("codec", [CODEC, CardCodec(), EngineCodec()], ids=["impulse", "card", "engine"])
def test_nothing_sees_what_comes_later(codec: Any) -> None:
    """Each token in turn is replaced: what was hidden before its position stays, the position itself changes."""
    model, batch = network(codec), batch_of(codec, count=1)
    ids = batch.input_ids[:, :400]
    place, _, _ = model.places(ids)
    hidden = model(ids)
    rng = np.random.default_rng(0)
    changed = 0
    for at in rng.choice(ids.shape[1], 25, replace=False).tolist():
        other = ids.clone()
        token = int(ids[0, at])
        if token >= codec.vocabulary.num_words:
            other[0, at] = token + 1 if token + 1 < codec.vocabulary.size else token - 1
        elif token in codec.vocabulary.records:
            continue  # another layout of the line; its tokens would fall into other positions
        else:
            other[0, at] = token - 1 if FIRST_BODY < token < FIRST_BODY + 9 else token
            if codec is not CODEC:
                other[0, at] = (token + 1) % codec.vocabulary.num_words
        if torch.equal(other, ids) or codec.vocabulary.pad in (int(other[0, at]), token):
            continue
        here = int(place[0, at])
        new = model(other)
        assert torch.allclose(new[:, :here], hidden[:, :here], atol=1e-6)
        assert not torch.allclose(new[:, here], hidden[:, here], atol=1e-6)
        changed += 1
    assert changed >= 10


@pytest.mark.parametrize("codec", [CardCodec(), EngineCodec()], ids=["card", "engine"])
def test_text_without_the_words(codec: Any) -> None:
    assert network(codec, relations=True).names is None
    with pytest.raises(ValueError, match=r"prefix=true needs a text .* impulse or islands"):
        network(codec, prefix=True)


@pytest.mark.parametrize("sizes", [{}, {"prefix": True}, {"relations": False}], ids=["default", "prefix", "plain"])
def test_padding_and_company_change_nothing(sizes: Any) -> None:
    model, batch = network(**sizes), batch_of()
    together, _, flat = model.scored(batch.input_ids, batch.labels)
    row = flat // batch.labels.shape[1]
    for k in range(len(batch.seed)):
        length = int((batch.input_ids[k] != PAD).sum())
        alone, _, _ = model.scored(batch.input_ids[k : k + 1, :length], batch.labels[k : k + 1, :length])
        torch.testing.assert_close(alone, together[row == k], atol=2e-5, rtol=1e-4)


def test_grouping_by_length_changes_nothing() -> None:
    batch = batch_of(count=9)
    values = []
    for groups in (1, 4, 9):
        module = NextTokenModule(network=network(), total_steps=10, length_groups=groups)
        losses, event, right = module._losses(batch)
        values.append((losses.mean().item(), event.sum().item(), right.sum().item(), len(losses)))
    assert values[0][3] == int((batch.labels != IGNORE).sum())
    for other in values[1:]:
        assert other[0] == pytest.approx(values[0][0], rel=1e-5)
        assert other[1:] == values[0][1:]


# --- the loss


def test_without_smoothing_it_is_cross_entropy() -> None:
    model, batch = network(smoothing=0.0), batch_of()
    logits, target, _ = model.scored(batch.input_ids, batch.labels)
    torch.testing.assert_close(model.losses(logits, target), F.cross_entropy(logits, target, reduction="none"))


def test_smoothing_spreads_one_target_over_its_neighbours() -> None:
    model = network(smoothing=1.5)
    outputs = len(model.outputs)
    first = model.ordered_from
    target = torch.tensor([0, first - 1, first, first + 1, first + 400, outputs - 1])
    # d loss / d logits = softmax - weights: it sums to zero where the weights sum to one.
    logits = torch.zeros(len(target), outputs, requires_grad=True)
    model.losses(logits, target).sum().backward()
    assert logits.grad is not None
    weights = 1 / outputs - logits.grad
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(target)))
    assert (weights > -1e-6).all()
    assert torch.equal(weights.argmax(dim=1), target)
    assert (weights > 1e-6).sum(dim=1).tolist() == [1, 1, 5, 6, 9, 5]  # words are not spread, nor numbers onto words
    torch.testing.assert_close(weights[4, target[4] - 4 : target[4]], weights[4, target[4] + 1 : target[4] + 5].flip(0))


def test_a_near_miss_costs_less_than_a_far_one() -> None:
    model = network(smoothing=1.5)
    target = torch.full((3,), model.ordered_from + 400)
    logits = torch.zeros(3, len(model.outputs))
    logits[torch.arange(3), target + torch.tensor([0, 1, 30])] = 8.0
    exact, near, far = model.losses(logits, target).tolist()
    assert exact < near < far


# --- answers


def greedy(model: GPT, prompt: np.ndarray, given: Trajectory, limit: int, guided: bool) -> list[int]:
    """One answer without a cache: the whole text is read again for every token."""
    guide = CODEC.guide([given]) if guided else None
    said: list[int] = []
    table = model.output_table()
    for _ in range(limit):
        ids = torch.from_numpy(np.concatenate([prompt, np.array(said, np.int64)]))[None]
        _, _, real = model.places(ids)
        logits = model(ids)[0, int(real) - 1] @ table.T
        if guide is not None:
            logits = logits.masked_fill(~torch.from_numpy(guide_mask(guide, [0])[0])[model.outputs], -torch.inf)
        token = int(model.outputs[model.pick(logits[None])[0]])
        said.append(token)
        if guide is not None:
            guide.advance([0], [token])
        if token == END:
            break
    return said


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [{}, {"prefix": True}, {"relations": False}], ids=["default", "prefix", "plain"])
@pytest.mark.parametrize("guided", [True, False])
@torch.no_grad()
def test_cached_answers_are_those_of_reading_everything_again(guided: bool, sizes: Any) -> None:
    model = network(**sizes)
    given, ids = prompts()
    limits = [CODEC.max_new_tokens(g.scene) for g in given]
    said = model.generate(ids, limits, END, CODEC.guide(given) if guided else None)
    for k, answer in enumerate(said):
        assert answer.tolist() == greedy(model, ids[k], given[k], limits[k], guided)
        if guided:
            assert CODEC.decode(answer, given[k]) is not None
    assert len({tuple(answer.tolist()) for answer in said}) > 1
    assert len({len(answer) for answer in said}) > 1


@torch.no_grad()
def test_answers_do_not_depend_on_company() -> None:
    model = network()
    given, ids = prompts()
    limits = [CODEC.max_new_tokens(g.scene) for g in given]
    together = model.generate(ids, limits, END, CODEC.guide(given))
    for k in range(len(ids)):
        alone = model.generate(ids[k : k + 1], limits[k : k + 1], END, CODEC.guide(given[k : k + 1]))
        assert alone[0].tolist() == together[k].tolist()


def test_an_answer_that_says_pad_has_ended() -> None:
    """An untrained network may say it, where any word may be said; alone it would leave nothing to read."""
    codec = EngineCodec()
    model, (sample, *_) = network(codec, relations=False), samples(1)
    prompt = codec.prompt(sample.given)
    with torch.no_grad():
        hidden_ND, _, _ = model.hidden(torch.as_tensor(prompt)[None])
        model.say_words[model.pad] = 100.0 * hidden_ND[-1]
    assert model.generate([prompt], [9], codec.end_id)[0].tolist() == []


def test_a_limit_ends_an_answer() -> None:
    given, ids = prompts()
    said = network().generate(ids, [1, 2, 3, 4, 5], END)
    assert all(len(answer) <= limit for answer, limit in zip(said, [1, 2, 3, 4, 5], strict=True))
    assert len(given) == len(said)


# --- saving


@pytest.mark.parametrize("sizes", [{"relations": False}, {"prefix": True, "median": False}], ids=["plain", "other"])
def test_saved_and_loaded_it_is_the_same(sizes: Any, tmp_path: Path) -> None:
    model, batch = network(**sizes), batch_of()
    save_model(model, CODEC, tmp_path)
    again = GPT.from_pretrained(tmp_path / "model").eval()
    assert torch.equal(model.scored(batch.input_ids, batch.labels)[0], again.scored(batch.input_ids, batch.labels)[0])
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["width"], config["depth"], config["heads"]) == (32, 2, 2)
    for other in (again, model.unsharded()):
        settings = (other.prompt_end, other.names, other.median)
        assert settings == ((NEXT, [FIRST_BODY, 128], False) if "prefix" in sizes else (-1, None, True))
        assert other.state_dict().keys() == model.state_dict().keys()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "self o0 0 1 -1 -60 60 0 -16.35 0\nnext\no0 coast\nend"
    assert tokenizer(text)["input_ids"] == CODEC.tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == text.split()
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD, END)


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="width 30 must be a multiple"):
        network(width=30, heads=4)


# --- learning


def steps(model: GPT, optimizer: MuonAdamW, batch: Batch, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model.losses(*model.scored(batch.input_ids, batch.labels)[:2]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def optimizer_of(model: GPT) -> MuonAdamW:
    return MuonAdamW(*split_layers(model), lr=0.02, adam_lr=0.003, weight_decay=0.01)


def test_optimizer_goes_on_where_it_was_saved() -> None:
    model, batch = network(), batch_of()
    optimizer = optimizer_of(model)
    steps(model, optimizer, batch, 3)
    for group in optimizer.param_groups:  # as a scheduler would
        group["lr"] *= 0.5
    other = copy.deepcopy(model)
    resumed = optimizer_of(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert [g["lr"] for g in resumed.param_groups] == [g["lr"] for g in optimizer.param_groups] == [0.01, 0.0015]
    assert steps(model, optimizer, batch, 3) == steps(other, resumed, batch, 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    for group in resumed.param_groups:  # the groups it shows are the ones it uses
        group["lr"] = 0.0
    before = copy.deepcopy(other.state_dict())
    steps(other, resumed, batch, 1)
    assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())


def test_every_weight_is_optimised_once() -> None:
    model = network()
    matrices, rest = split_layers(model)
    assert sorted(map(id, [*matrices, *rest])) == sorted(id(p) for p in model.parameters())
    assert len(matrices) == 4 * len(model.blocks) and all(m.ndim == 2 for m in matrices)


@pytest.mark.slow
@pytest.mark.parametrize("codec", [CODEC, CardCodec(), EngineCodec()], ids=["impulse", "card", "engine"])
def test_every_text_can_be_learned(codec: Any) -> None:
    """Four samples by heart, twenty steps."""
    model = network(codec, stirred=False).train()
    batch = batch_of(codec, count=4, names=("billiards",))
    losses = steps(model, optimizer_of(model), batch, 20)
    assert all(np.isfinite(losses))
    assert losses[-1] < 0.75 * losses[0], losses
