"""Generation that keeps what it has read, against transformers' own `generate`, on tiny random networks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DynamicCache,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from physworld import scenarios
from physworld.lm import kv_cache as kept
from physworld.lm.generator import CachedGenerator
from physworld.lm.kv_cache import PaddedKVCache
from physworld.lm.short_conv import patch_short_convolutions
from physworld.protocols import Guide
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.engine import EngineCodec
from physworld.text.rollout import Sampling

from tiny_lms import samples

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


@pytest.mark.slow
@pytest.mark.parametrize("static_cache", ["off", "on"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "lfm2"])
def test_answers_are_those_of_generate_while_prompts_grow_and_rows_leave(kind: str, static_cache: str) -> None:
    """Prompts that go on, that part from what was said, and rows that disappear; the cache gets packed on the way."""
    net, rng = network(kind), np.random.default_rng(0)
    model = CachedGenerator(copy.deepcopy(net), pad_id=0, static_cache=static_cache)
    assert model.reuse_cache and model.fixed is (static_cache == "on")
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
    assert model._cache is not None
    assert model._cache.valid_BT.shape[1] < 3 * max(map(len, prompts))  # masked places do not pile up


def blocks(rows: list[np.ndarray], pieces: list[list[int]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Left-padded blocks (ids, which are real) that together are the rows; pieces[k][row] tokens of it in block k."""
    done, made = [0] * len(rows), []
    for sizes in pieces:
        ids = torch.full((len(rows), max(sizes)), 7)
        real = torch.zeros(ids.shape, dtype=torch.bool)
        for row, size in enumerate(sizes):
            if size:
                ids[row, -size:] = torch.as_tensor(rows[row][done[row] : done[row] + size])
                real[row, -size:] = True
                done[row] += size
        made.append((ids, real))
    assert done == [len(row) for row in rows]
    return made


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_rows_read_together_in_pieces_are_rows_read_alone_at_once(kind: str, fixed: bool) -> None:
    """Neither padding, nor neighbours, nor what a row has forgotten gets into its scores: not by attention, and not by
    convolutions, whose taps reach over the borders of blocks."""
    net, rng = network(kind), np.random.default_rng(2)
    rows = [rng.integers(4, 200, size) for size in (40, 9, 23)]
    alone = [net(torch.as_tensor(row)[None]).logits[0, -1] for row in rows]
    patch_short_convolutions(net)
    with torch.no_grad():
        cache = PaddedKVCache(net, 3, fixed=fixed)
        for ids, real in blocks(rows, [[20, 1, 7], [1, 0, 3], [1, 1, 1], [0, 2, 1], [16, 1, 10], [2, 4, 1]]):
            scores = cache.read(ids, real)
        for row in range(3):
            assert torch.allclose(scores[row], alone[row], atol=1e-5)
        # Row 1 leaves; of the others so much is forgotten that what convolutions reach for changes.
        cache.keep(torch.tensor([2, 0]), torch.tensor([5, 11]))
        other = [np.concatenate([rows[2][:5], rows[1]]), np.concatenate([rows[0][:11], rows[1][:2]])]
        for ids, real in blocks([other[0][5:], other[1][11:]], [[8, 1], [1, 1]]):
            scores = cache.read(ids, real)
        for row, whole in enumerate(other):
            assert torch.allclose(scores[row], net(torch.as_tensor(whole)[None]).logits[0, -1], atol=1e-5)


def test_the_usual_cache_lets_padding_into_convolutions() -> None:
    """What the law above is about: transformers' own state counts padding between a row's tokens as silence."""
    net, rng = network("lfm2"), np.random.default_rng(2)
    rows = [rng.integers(4, 200, size) for size in (12, 6)]
    cache = DynamicCache(config=net.config)
    valid = torch.zeros(2, 0, dtype=torch.bool)
    for ids, real in blocks(rows, [[8, 5], [4, 1]]):
        valid = torch.cat([valid, real], dim=1)
        place = (valid.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = net(input_ids=ids, attention_mask=valid.long(), position_ids=place, past_key_values=cache)
    alone = net(torch.as_tensor(rows[1])[None]).logits[0, -1]
    assert (out.logits[1, -1] - alone).abs().max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_single_tokens_of_a_fixed_cache_are_one_graph(kind: str) -> None:
    """What CUDA compiles: nothing breaks the graph, and no token makes another one. The compiler itself is left out."""
    from torch._dynamo.testing import CompileCounterWithBackend

    net, rng = network(kind), np.random.default_rng(3)
    patch_short_convolutions(net)
    rows = [rng.integers(4, 200, size) for size in (12, 9)]
    counter = CompileCounterWithBackend("eager")
    step = torch.compile(kept.scores, backend=counter, fullgraph=True, dynamic=False)
    with torch.no_grad():
        caches = [PaddedKVCache(net, 2, fixed=True, step=step), PaddedKVCache(net, 2)]
        for ids, real in blocks(rows, [[8, 3], [1, 1], [1, 1], [1, 1], [1, 1], [0, 2]]):
            ours, theirs = (cache.read(ids, real) for cache in caches)
            assert torch.allclose(ours, theirs, atol=1e-5)
    assert counter.frame_count == 1


@pytest.mark.slow
def test_where_nothing_can_be_compiled_steps_are_plain() -> None:
    def compiler(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    net, ids = network("llama"), torch.tensor([[5], [6]])
    step = kept.or_plain(torch.compile(kept.scores, backend=compiler))
    with torch.no_grad(), pytest.warns(UserWarning, match="without compiled steps"):
        caches = [PaddedKVCache(net, 2, fixed=True, step=step), PaddedKVCache(net, 2)]
        for _ in range(3):
            ours, theirs = (cache.read(ids, torch.ones(2, 1, dtype=torch.bool)) for cache in caches)
            assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are of NVIDIA GPUs")
@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_compiled_steps_say_what_others_do(kind: str) -> None:
    """On a GPU only: `static=auto` is on there, with CUDA graphs; tokens are those of `static=off`."""
    net, rng = network(kind).cuda(), np.random.default_rng(0)
    models = [
        CachedGenerator(copy.deepcopy(net), pad_id=0, static_cache=static_cache) for static_cache in ("auto", "off")
    ]
    assert [model.fixed for model in models] == [True, False]
    prompts = [rng.integers(4, 200, size) for size in (50, 7, 23)]
    for _ in range(4):
        said = [model.generate(prompts, [30, 12, 25], END, rows=[0, 1, 2]) for model in models]
        assert all(np.array_equal(a, b) for a, b in zip(*said, strict=True))
        prompts = [np.concatenate([p, a, rng.integers(4, 200, 6)]) for p, a in zip(prompts, said[0], strict=True)]


class Asked:
    """A guide that is asked about every token."""

    expressions = None

    def __init__(self, guide: Guide) -> None:
        self.allowed, self.advance = guide.allowed, guide.advance

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        return [[] for _ in rows]


@pytest.mark.slow
@pytest.mark.parametrize("reads", ["as it comes", "fixed", "in steps"])
@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_what_must_come_anyway_changes_no_answer(kind: str, reads: str) -> None:
    """Words between numbers are read with the token before them; where steps are compiled, one by one."""
    codec = EngineCodec()
    runs = [simulate(scenarios.build(name, generator(0, "test", 1), 1), 30) for name in ("billiards", "pendulum")]
    given = [run.window(20, 20 + codec.context_frames) for run in runs]
    prompts, limits = [codec.prompt(one) for one in given], [codec.max_new_tokens(one.scene) for one in given]
    passes: list[tuple[int, ...]] = []

    def step(network: Any, cache: Any, ids_BS: torch.Tensor, *more: Any) -> torch.Tensor:
        passes.append(tuple(ids_BS.shape))
        return kept.scores(network, cache, ids_BS, *more)

    said = []
    for guide in (codec.guide(given), Asked(codec.guide(given))):
        model = CachedGenerator(network(kind), pad_id=0, static_cache="off" if reads == "as it comes" else "on")
        if reads == "in steps":
            model._step = step
        said.append(model.generate(prompts, limits, codec.end_id, guide, rows=[0, 1]))
        assert all(codec.decode(answer, one) is not None for answer, one in zip(said[-1], given, strict=True))
    for ours, theirs in zip(*said, strict=True):
        assert ours.tolist() == theirs.tolist()
    assert {shape[1] for shape in passes} == ({1} if reads == "in steps" else set())


def test_static_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="static_cache=sometimes is unknown; choose one of auto, on, off"):
        CachedGenerator(network("llama"), pad_id=0, static_cache="sometimes")
    assert not CachedGenerator(network("llama"), pad_id=0).fixed  # auto, on a CPU
    assert CachedGenerator(network("llama"), pad_id=0, static_cache=True).fixed  # what YAML makes of `on`


def test_repetition_penalty_is_that_of_generate() -> None:
    net = network("llama")
    prompt = np.random.default_rng(1).integers(4, 200, 12)
    got = CachedGenerator(net, pad_id=0, repetition_penalty=1.3).generate([prompt], [20], END)[0]
    assert np.array_equal(got, reference(net, prompt, 20, repetition_penalty=1.3))
    assert not np.array_equal(got, reference(net, prompt, 20))


class Begins(Asked):
    """A guide that says some tokens before anything is asked."""

    def __init__(self, tokens: list[int], size: int) -> None:
        self.tokens, self.all = tokens, np.ones((1, size), bool)

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        said, self.tokens = self.tokens, []
        return [list(said) for _ in rows]

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        return self.all, np.zeros(len(rows), np.int64)

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None: ...


def test_what_had_to_come_is_penalised_like_what_was_chosen() -> None:
    net, prompt = network("llama"), np.random.default_rng(1).integers(4, 100, 12)
    model = CachedGenerator(net, pad_id=0, repetition_penalty=3.0)
    likeliest = int(model.generate([prompt], [1], END)[0][0])
    (after,) = model.generate([np.append(prompt, likeliest)], [12], END)
    (said,) = model.generate([prompt], [13], END, Begins([likeliest], 200))
    assert said.tolist() == [likeliest, *after.tolist()]


def test_noise_makes_draws_from_the_softmax() -> None:
    """Gumbel noise: over many draws the first token comes as often as its probability says."""
    net = network("llama")
    prompt = np.array([5, 6, 7])
    with torch.no_grad():
        logits = net(torch.as_tensor(prompt)[None]).logits[0, -1] / 4.0
    expected = logits.softmax(-1)
    noise = Sampling(temperature=4.0, seed=3).noise([])
    model = CachedGenerator(net, pad_id=0)
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
    moments = [sample.given for sample in samples(3)]
    asked = ((1, moments), (1, [*moments]), (2, moments), (1, moments[1:]))
    first, again, *others = (Sampling(temperature=1.0, seed=seed).noise(some)(shape) for seed, some in asked)
    assert np.array_equal(first, again) and not any(np.array_equal(first, other) for other in others)
