"""Generation that keeps what it has read, against transformers' own `generate`, on tiny random networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from physworld.models.text_lm import TextLM
from physworld.rollout import Sampling

SIZES: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
END = 1


def network(kind: str) -> Any:
    torch.manual_seed(0)
    made: Any = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
        "lfm2": lambda: Lfm2ForCausalLM(
            Lfm2Config(**SIZES, layer_types=["conv", "full_attention", "conv"], block_multiple_of=16)
        ),
    }[kind]()
    for parameter in made.parameters():  # wide enough that the best token stands out from rounding
        if parameter.ndim > 1:
            parameter.data.mul_(3)
    return made.eval()


def reference(net: Any, prompt: np.ndarray, limit: int, **more: Any) -> np.ndarray:
    ids = torch.as_tensor(prompt)[None]
    out = net.generate(
        ids, max_new_tokens=limit, do_sample=False, eos_token_id=END, pad_token_id=0,
        attention_mask=torch.ones_like(ids), **more,
    )  # fmt: skip
    return out[0, len(prompt) :].numpy()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "lfm2"])
def test_answers_are_those_of_generate_while_prompts_grow_and_rows_leave(kind: str) -> None:
    """Prompts that go on, that part from what was said, and rows that disappear; the cache gets packed on the way."""
    net, rng = network(kind), np.random.default_rng(0)
    model = TextLM(net, pad_id=0)
    assert model.keep is (kind != "lfm2")  # convolutions carry a state: nothing can be left out of it
    prompts = [rng.integers(4, 200, size) for size in (50, 7, 23, 31)]
    rows = [0, 1, 2, 3]
    for turn in range(5):
        limits = [int(n) for n in rng.integers(3, 16, len(rows))]
        said = model.generate(prompts, limits, END, rows=rows)
        for prompt, limit, answer in zip(prompts, limits, said, strict=True):
            assert np.array_equal(answer, reference(net, prompt, limit)), turn
        kept = [a if rng.random() < 0.5 else a[:-1] for a in said]
        prompts = [np.concatenate([p, a, rng.integers(4, 200, 6)]) for p, a in zip(prompts, kept, strict=True)]
        if turn == 1:
            rows, prompts = [0, 2, 3], [prompts[0], prompts[2], prompts[3]]
        if turn == 2:
            prompts = [np.concatenate([p[:20], rng.integers(4, 200, 5)]) for p in prompts]  # most is forgotten
    if model.keep:
        longest = max(len(p) for p in prompts)
        assert model._valid.shape[1] < 3 * longest  # masked places do not pile up


def test_repetition_penalty_is_that_of_generate() -> None:
    net = network("llama")
    prompt = np.random.default_rng(1).integers(4, 200, 12)
    got = TextLM(net, pad_id=0, repetition_penalty=1.3).generate([prompt], [20], END)[0]
    assert np.array_equal(got, reference(net, prompt, 20, repetition_penalty=1.3))
    assert not np.array_equal(got, reference(net, prompt, 20))


def test_noise_makes_draws_from_the_softmax() -> None:
    """Gumbel noise: over many draws the first token comes as often as its probability says."""
    net = network("llama")
    prompt = np.array([5, 6, 7])
    with torch.no_grad():
        logits = net(torch.as_tensor(prompt)[None]).logits[0, -1] / 4.0
    expected = logits.softmax(-1)
    noise = Sampling(temperature=4.0, seed=3).noise(0)
    model = TextLM(net, pad_id=0)
    draws = np.concatenate(
        [np.concatenate(model.generate([prompt] * 500, [1] * 500, END, noise=noise)) for _ in range(4)]
    )
    counts = np.bincount(draws, minlength=200) / len(draws)
    likely = expected.argsort(descending=True)[:5].numpy()
    for token in likely:
        p = float(expected[token])
        assert counts[token] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / len(draws)))


def test_sampling_is_a_function_of_its_seed() -> None:
    shape = (3, 5)
    first, again, other = (Sampling(temperature=1.0, seed=s).noise(b)(shape) for s, b in ((1, 0), (1, 0), (1, 1)))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
