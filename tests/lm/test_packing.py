"""Packed examples cannot see each other, and their losses are those of transformers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from physworld.lm.packed_lm import PackedLM
from physworld.lm.packing import Documents, can_pack, packed
from physworld.lm.scored_loss import scored_loss
from physworld.lm.short_conv import convolve

from tiny_lms import FAMILIES, examples, tiny

LENGTHS = [7, 2, 19, 3, 11]


def read_packed(lm: Any, documents: list[Tensor]) -> list[Tensor]:
    """Scores (length, V) of each document of one packed row."""
    where = Documents([len(d) for d in documents])
    with packed():
        row = lm.model(
            input_ids=torch.cat(documents)[None], position_ids=where.place_N[None], use_cache=False, documents=where
        )
    return list(lm.lm_head(row.last_hidden_state[0]).split(where.lengths))


# --- packing


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_example_sees_no_other(family: str, checkpointing: bool) -> None:
    network = PackedLM(tiny(family), pad_id=0).train()
    assert network.checked().packs
    lm = network.lm
    if checkpointing:
        lm.activation_checkpointing_enable({"use_reentrant": False})
    ids, _ = examples(LENGTHS)
    documents = [row[:length] for row, length in zip(ids, LENGTHS, strict=True)]
    before = read_packed(lm, documents)
    for changed in range(len(documents)):
        other = [(d + 1) % 97 if k == changed else d for k, d in enumerate(documents)]
        after = read_packed(lm, other)
        for k in range(len(documents)):
            assert torch.equal(before[k], after[k]) == (k != changed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel is for NVIDIA GPUs")
@pytest.mark.parametrize("family", FAMILIES)
def test_one_kernel_for_all_documents_sees_what_one_by_one_does(family: str) -> None:
    """On a GPU only: loss and gradient of bf16 training with and without the fused attention, heads of 64."""
    found = []
    for fused_attention in (False, True):
        lm = tiny(family, hidden_size=256).cuda()
        network = PackedLM(lm, pad_id=0, fused_attention=fused_attention).train()
        ids, labels = (x.cuda() for x in examples([70, 2, 190, 33, 110]))
        with torch.autocast("cuda", torch.bfloat16):
            scored = network.token_losses(ids, labels)
        scored.loss.backward()
        grad = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        found.append((float(scored.loss), grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=0.01)
    assert torch.nn.functional.cosine_similarity(found[0][1], found[1][1], dim=0) > 0.99


def test_the_usual_packing_leaks_through_convolutions() -> None:
    """What the law above is about: position ids alone do not keep LFM2's examples apart."""
    lm = tiny("lfm2").eval()
    ids, _ = examples([7, 9])
    a, b = ids[0, :7], ids[1]
    places = torch.cat([torch.arange(7), torch.arange(9)])[None]
    seen = [
        lm(input_ids=torch.cat([first, b])[None], position_ids=places, use_cache=False).logits[0, 7:]
        for first in (a, (a + 1) % 97)
    ]
    assert (seen[0] - seen[1]).abs().max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_loss_and_gradient_are_those_of_single_examples(family: str) -> None:
    plain = tiny(family).train()
    network = PackedLM(copy.deepcopy(plain), pad_id=0).train()
    ids, labels = examples(LENGTHS)
    scored = network.token_losses(ids, labels)
    scored.loss.backward()
    singles = []
    for row, length in enumerate(LENGTHS):
        logits = plain(input_ids=ids[row : row + 1, :length], use_cache=False).logits[0, :-1]
        singles.append(F.cross_entropy(logits, labels[row, 1:length], ignore_index=-100))
    loss = torch.stack(singles).mean()
    loss.backward()
    assert abs(float(scored.loss.detach() - loss.detach())) < 1e-5
    assert scored.real == scored.computed == sum(LENGTHS)
    for (name, ours), theirs in zip(network.lm.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=2e-5, rtol=1e-3), name


@pytest.mark.parametrize("family", FAMILIES)
def test_unscored_tokens_do_not_count(family: str) -> None:
    network = PackedLM(tiny(family), pad_id=0).eval()
    ids, labels = examples([8])
    whole = network.token_losses(ids, labels)
    fewer = labels.clone()
    fewer[0, :6] = -100
    assert len(network.token_losses(ids, fewer).losses) == 2
    assert torch.allclose(network.token_losses(ids, fewer).losses, whole.losses[-2:], atol=1e-6)


def test_a_batch_split_in_any_way_has_the_same_loss() -> None:
    network = PackedLM(tiny("lfm2"), pad_id=0).eval()
    ids, labels = examples([9, 4, 30, 5])
    whole = float(network.token_losses(ids, labels).loss)
    parts = [float(network.token_losses(ids[k : k + 2], labels[k : k + 2]).loss) for k in (0, 2)]
    assert abs(whole - sum(parts) / 2) < 1e-6


def test_the_loss_is_the_mean_over_examples_or_over_tokens() -> None:
    network = PackedLM(tiny("llama"), pad_id=0).train()
    ids, labels = examples(LENGTHS)
    scored = network.token_losses(ids, labels, mean_over="tokens")
    assert float(scored.loss.detach()) == pytest.approx(float(scored.losses.mean()), rel=1e-6)
    scored.loss.backward()
    ours = network.lm.model.norm.weight.grad.clone()
    network.zero_grad()
    logits, target, place = network.scored(ids, labels)  # all at once and padded, as preferences read them
    assert torch.equal(place, scored.place)
    F.cross_entropy(logits, target).backward()
    assert torch.allclose(ours, network.lm.model.norm.weight.grad, atol=1e-6, rtol=1e-4)
    example = torch.stack([scored.losses[scored.place // ids.shape[1] == row].mean() for row in range(len(ids))])
    assert float(network.token_losses(ids, labels).loss.detach()) == pytest.approx(float(example.mean()), rel=1e-6)


def test_a_model_that_cannot_be_packed_is_padded() -> None:
    lm = tiny("qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=0)
    assert not can_pack(lm)
    network = PackedLM(lm, pad_id=0).eval()
    ids, labels = examples(LENGTHS)
    scored = network.token_losses(ids, labels)
    assert (scored.real, scored.computed) == (sum(LENGTHS), len(LENGTHS) * max(LENGTHS))
    single = network.token_losses(ids[1:2], labels[1:2])
    row = scored.place // ids.shape[1] == 1
    assert torch.allclose(scored.losses[row], single.losses, atol=1e-5)


def test_an_example_without_scores_is_refused() -> None:
    ids, labels = examples([5, 6])
    labels[1] = -100
    with pytest.raises(ValueError, match="no scored token"):
        PackedLM(tiny("llama"), pad_id=0).token_losses(ids, labels)


def test_convolution_is_torch_s_within_each_document() -> None:
    x, weight = torch.randn(20, 4, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    documents = Documents([1, 2, 12, 5])
    ours = convolve(x, weight, documents.place_N).split(documents.lengths)
    for part, mine in zip(x.split(documents.lengths), ours, strict=True):
        theirs = F.conv1d(F.pad(part.T[None], (2, 0)), weight[:, None], groups=4)[0].T
        assert torch.allclose(mine, theirs)


# --- loss


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_loss_in_chunks_is_cross_entropy(chunk: int) -> None:
    hidden = torch.randn(10, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(17, 6, dtype=torch.float64, requires_grad=True)
    target, share = torch.randint(0, 17, (10,)), torch.rand(10, dtype=torch.float64)
    loss, losses, right = scored_loss([(hidden, weight)], target, share, chunk=chunk)
    grads = torch.autograd.grad(2.5 * loss, (hidden, weight))
    logits = hidden @ weight.T
    plain = F.cross_entropy(logits, target, reduction="none")
    expected = torch.autograd.grad(2.5 * (plain * share).sum(), (hidden, weight))
    assert torch.allclose(losses.double(), plain, atol=1e-5)
    assert torch.equal(right, logits.argmax(-1) == target)
    for ours, theirs in zip(grads, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("chunk", [3, 100])
def test_products_side_by_side_are_one_with_barred_columns(chunk: int) -> None:
    hidden = torch.randn(10, 6, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(rows, 6, dtype=torch.float64, requires_grad=k != 1) for k, rows in enumerate((7, 9, 2))]
    share, barred = torch.rand(10, dtype=torch.float64), torch.tensor([0, 8])
    target = torch.tensor([1, 2, 6, 7, 9, 15, 16, 17, 3, 10])
    wanted = [hidden, weights[0], weights[2]]

    def products() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(hidden, weights[0]), (2 * hidden, weights[1]), (hidden, weights[2])]

    loss, losses, right = scored_loss(products(), target, share, barred=barred, chunk=chunk)
    grads = torch.autograd.grad(loss, wanted)
    logits = torch.cat([x @ weight.T for x, weight in products()], dim=1).index_fill(1, barred, -torch.inf)
    plain = F.cross_entropy(logits, target, reduction="none")
    expected = torch.autograd.grad((plain * share).sum(), wanted)
    assert torch.allclose(losses.double(), plain, atol=1e-5)
    assert torch.equal(right, logits.argmax(-1) == target)
    for ours, theirs in zip(grads, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 2.0**16, 2.0**20])  # the second is where GradScaler begins
def test_half_precision_holds_the_gradient_of_many_tokens(scale: float) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(2000, 16), 0.02 * torch.randn(3000, 16) + 0.05
    target, share = torch.randint(0, 3000, (2000,)), torch.full((2000,), 1 / 2000)
    found = []
    for dtype in (torch.float32, torch.float16):
        x, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is torch.float16):
            loss = scored_loss([(x, w)], target, share)[0]
        found.append([grad / scale for grad in torch.autograd.grad(loss * scale, (x, w))])
    for exact, half in zip(*found, strict=True):
        if scale > 1:  # hidden states' gradients are float16's own: at scale 1 they are below what it can hold
            assert (half - exact).norm() / exact.norm() < 2e-3
        assert torch.isfinite(half).all()


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3)
    scored_loss([(hidden, weight)], torch.tensor([0, 1, 2, 3]), torch.full((4,), 0.25))[0].backward()
    assert hidden.grad is not None and weight.grad is None
