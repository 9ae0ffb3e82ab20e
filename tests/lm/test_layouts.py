"""Whatever a language model is made of, losses, answers and layers are the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from physworld.lm.generator import CachedGenerator
from physworld.lm.packed_lm import PackedLM
from physworld.lm.parts import flops, linear_names
from physworld.lm.weights import tunable
from physworld.optim import make_optimizer

SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "max_position_embeddings": 512,
}  # fmt: skip
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
MIXED = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
# Settings of each, and which fast paths its own scores allow: (examples in one row, output layer as one product).
KINDS: dict[str, tuple[dict[str, Any], tuple[bool, bool]]] = {
    "llama": ({}, (True, True)),
    "qwen2": ({}, (True, True)),
    "qwen3": ({"head_dim": 8}, (True, True)),
    "lfm2": (MIXED, (True, True)),
    "gemma": ({"head_dim": 8}, (True, True)),
    "mixtral": ({"num_local_experts": 4}, (True, True)),
    "gpt_neox": ({}, (True, True)),
    "nemotron": ({}, (False, True)),  # takes no attention from outside
    "gpt2": (GPT2, (False, True)),  # learned positions
    "mistral": ({}, (False, True)),  # a sliding window
    "bloom": ({}, (False, True)),  # positions as a bias of the attention
    "phi": ({}, (False, False)),  # a bias of the output layer
    "gptj": ({**GPT2, "rotary_dim": 4}, (False, False)),
    "gemma2": ({"head_dim": 8}, (False, False)),  # capped scores
    "cohere": ({}, (False, False)),  # scaled scores
    "granite": ({"logits_scaling": 3.0}, (False, False)),
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}
WINDOWS: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
}
STATES: dict[str, dict[str, Any]] = {
    "granitemoehybrid": {
        **MAMBA, "layer_types": ["mamba", "attention"], "num_local_experts": 0, "shared_intermediate_size": 48,
    },
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention"], "head_dim": 8, "linear_num_value_heads": 4,
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "mlp_only_layers": [0, 1],
    },
    "falcon_h1": {**MAMBA, "mamba_n_heads": 4, "mamba_d_ssm": 32, "mamba_n_groups": 1},
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
}  # fmt: skip


def model(kind: str) -> Any:
    """Weights large enough for what is left out to show."""
    torch.manual_seed(0)
    own = WINDOWS.get(kind) or STATES.get(kind) or KINDS[kind][0]
    lm: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **own})).eval()
    bias = getattr(lm.get_output_embeddings(), "bias", None)
    with torch.no_grad():
        for parameter in lm.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(5)
        if bias is not None:
            bias.normal_(std=2.0)
    return lm


def texts() -> tuple[Tensor, Tensor]:
    ids = torch.randint(2, 200, (2, 24), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, :10] = -100
    return ids, labels


@torch.no_grad()
def their_losses(lm: Any, ids: Tensor) -> Tensor:
    logits = lm(input_ids=ids, use_cache=False).logits[:, 9:-1]
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 10:].flatten(), reduction="none")


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_the_models_own(kind: str) -> None:
    lm, (ids, labels) = model(kind), texts()
    wanted = their_losses(lm, ids)
    network = PackedLM(lm, pad_id=0).eval()
    got = network.token_losses(ids, labels).losses
    assert got == pytest.approx(wanted, abs=1e-5)
    logits, target, _ = network.scored(ids, labels)
    assert F.cross_entropy(logits.float(), target, reduction="none") == pytest.approx(wanted, abs=1e-5)
    assert (network.checked().packs, network.checked().plain_head) == KINDS[kind][1]
    other = ids.clone()
    other[0, :10] += 37
    assert torch.equal(network.token_losses(other, labels).losses[14:], got[14:])  # no example reads another
    assert not torch.equal(network.token_losses(other, labels).losses[:14], got[:14])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_models_own(kind: str) -> None:
    lm, (ids, labels) = model(kind), texts()
    logits = lm(input_ids=ids, use_cache=False).logits[:, 9:-1]
    F.cross_entropy(logits.flatten(0, 1), ids[:, 10:].flatten()).backward()
    wanted = {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}
    lm.zero_grad()
    PackedLM(lm, pad_id=0).token_losses(ids, labels).loss.backward()
    got = {name: p.grad for name, p in lm.named_parameters() if p.grad is not None}
    assert got.keys() == wanted.keys()
    for name, grad in wanted.items():
        assert torch.allclose(got[name], grad, rtol=1e-3, atol=1e-5 * float(grad.abs().max() + 1)), name


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_models_own(kind: str) -> None:
    own, (ids, _) = model(kind), texts()
    prompts = [ids[0, :9], ids[1, :14]]
    wanted = []
    for prompt in prompts:
        text = prompt[None]
        for _ in range(6):
            text = torch.cat([text, own(input_ids=text, use_cache=False).logits[:, -1:].argmax(dim=-1)], dim=1)
        wanted.append(text[0, len(prompt) :].tolist())
    answers = CachedGenerator(model(kind), pad_id=0).generate([p.numpy() for p in prompts], [6, 6], end_id=-1)
    assert [answer.tolist() for answer in answers] == wanted


class Forces:
    """A guide after some of whose tokens others must come, how many depends on row and token."""

    expressions = None

    def __init__(self, rows: int) -> None:
        self.due: list[list[int]] = [list(range(20, 20 + row)) for row in range(rows)]

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        return [[self.due[row].pop(0) for _ in range(len(self.due[row]))] for row in rows]

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        masks = np.ones((len(rows), 320), bool)
        for mask, row in zip(masks, rows, strict=True):
            mask[:] = not self.due[row]
            mask[self.due[row][:1]] = True
        return masks, np.arange(len(rows))

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        for row, token in zip(rows, tokens, strict=True):
            if self.due[row]:
                assert token == self.due[row].pop(0)
            else:
                self.due[row] = list(range(30, 30 + (token + 2 * row) % 5))


@torch.no_grad()
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("kind", ["gpt2", *WINDOWS, *STATES])
def test_rows_of_other_lengths_change_no_answer(kind: str, guided: bool) -> None:
    """Prompts, limits and what must come differ from row to row; windows and running states are whole."""
    own, (ids, _) = model(kind), texts()
    prompts, limits = [ids[0, :9], ids[1, :24], ids[0, 3:16]], [4, 17, 12]
    guide, wanted = Forces(3), []
    for row, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
        text = prompt[None]
        for _ in range(limit):
            scores = own(input_ids=text, use_cache=False).logits[0, -1]
            if guided:
                scores = scores.masked_fill(~torch.as_tensor(guide.allowed([row])[0][0]), -torch.inf)
            token = scores.argmax()
            if guided:
                guide.advance([row], [int(token)])
            text = torch.cat([text, token[None, None]], dim=1)
        wanted.append(text[0, len(prompt) :].tolist())
    asked = CachedGenerator(model(kind), pad_id=0)
    assert asked.row_by_row is (kind in STATES)
    answers = asked.generate([p.numpy() for p in prompts], limits, -1, Forces(3) if guided else None)
    assert [answer.tolist() for answer in answers] == wanted


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "bloom", "mixtral"])
def test_layers_are_found_whatever_their_names(kind: str, optimizer: str) -> None:
    lm = tunable(
        model(kind), tuning="lora", rank=2, alpha=4, dropout=0.0, targets=linear_names(model(kind)),
        gradient_checkpointing=True,
    )  # fmt: skip
    network, (ids, labels) = PackedLM(lm, pad_id=0, tuning="lora"), texts()
    assert len(network.blocks) == 2 and all("lora_A" in str(list(block.state_dict())) for block in network.blocks)
    stepping = make_optimizer(network, optimizer, lr=0.01, adam_lr=0.01, weight_decay=0.0)
    losses = []
    for _ in range(5):
        loss = network.token_losses(ids, labels).loss
        losses.append(loss.item())
        loss.backward()
        stepping.step()
        stepping.zero_grad()
    assert losses[-1] < losses[0] - 0.05


def test_a_compiled_layer_is_still_the_model() -> None:
    """`compile_layers` in the layers of a model that calls them `h`."""
    network, (ids, labels) = PackedLM(model("gpt2"), pad_id=0).eval(), texts()
    wanted = network.token_losses(ids, labels).losses
    for layer in network.blocks:
        layer.compile(dynamic=True, backend="eager")
    assert network.token_losses(ids, labels).losses == pytest.approx(wanted, abs=1e-5)


def test_what_is_done_otherwise_is_said() -> None:
    def said(kind: str) -> str:
        return " ".join(PackedLM(model(kind), pad_id=0).checked().notes)

    assert said("llama") == ""
    assert "examples of a nemotron model are padded, not packed: in one row they would read each other" in said(
        "nemotron"
    )
    assert "a phi model does more to its scores than multiply by the output layer" in said("phi")


def test_models_without_a_cache_of_keys_are_refused() -> None:
    mamba = AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", **SIZES))
    with pytest.raises(ValueError, match="a mamba model has no cache of keys and values; choose a model"):
        CachedGenerator(mamba, pad_id=0)


def test_operations_of_experts_are_those_a_token_meets() -> None:
    """Two of four experts: the matrices of the other two do nothing for it."""
    lm = model("mixtral")
    experts = sum(p.numel() for p in lm.parameters() if p.ndim == 3)
    rest = sum(p.numel() for name, p in lm.named_parameters() if p.ndim == 2 and "embed" not in name)
    rest -= lm.get_output_embeddings().weight.numel()
    assert flops(lm, tokens=10, attended=0, scored=0) == 10 * 6 * (rest + experts / 2)
