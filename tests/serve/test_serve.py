"""`physworld serve` asked by OpenAI's own client and by `model=api`: the answers are those in process, to the token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch

pytest.importorskip("uvicorn", reason="the extra `play` is not installed")
openai = pytest.importorskip("openai", reason="openai is not installed")

from physworld import scenarios
from physworld.errors import UserError
from physworld.lm.api_generator import ApiLM
from physworld.lm.generator import CachedGenerator
from physworld.lm.gpt import GPT
from physworld.lm.tiny_lm import TinyLM
from physworld.seeding import generator
from physworld.serve.batches import Batches, Job, Unreadable
from physworld.serve.served import FrameRun, SceneRun, Weights, load
from physworld.serve.server import Service
from physworld.sim.pymunk_sim import simulate
from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.scene.reading import dumps
from physworld.text.codecs._text import TextCodec
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.text.codecs.plain import PlainCodec
from physworld.text.rollout import rollout
from physworld.types import Trajectory

from servers import Serving
from spatial_tools import samples as spatial_samples
from tiny_lms import bpe_tokenizer, tiny
from tiny_lms import samples as text_samples


def asked_of(server: Serving, method: str, path: str, **more: Any) -> httpx2.Response:
    """How long an answer takes says how busy the machine is: httpx2 waits for 5 s, where nothing is said."""
    return httpx2.request(method, f"{server.url}/{path}", timeout=60, **more)


def given(count: int, context: int) -> list[Trajectory]:
    return [sample.given.window(4 - context, 4) for sample in text_samples(count)]


def gpt(codec: Any, seed: int = 0) -> GPT:
    torch.manual_seed(seed)
    return GPT.for_vocabulary(codec.vocabulary, width=16, depth=1, heads=2).eval()


def api(url: str, codec: Any, cache: Path | None = None, **more: Any) -> ApiLM:
    return ApiLM(
        base_url=url,
        name="m",
        write=codec.write_ids,
        read=codec.read_ids,
        cache=cache,
        say=lambda sentence: None,
        **{"first_wait": 0.05, "timeout": 60.0, **more},
    )


@pytest.fixture(scope="module")
def weights() -> Weights:
    """A language model of transformers: random weights, a byte-level tokenizer."""
    tokenizer = bpe_tokenizer()
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return Weights(tiny("llama", len(tokenizer), pad_token_id=tokenizer.pad_token_id, **ids).eval(), tokenizer)


@pytest.fixture(scope="module")
def served(weights: Weights) -> Iterator[Serving]:
    with Serving(Service(weights, "m")) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(served: Serving) -> Any:
    return openai.OpenAI(base_url=served.url, api_key="none", max_retries=0)


@pytest.mark.parametrize("codec", [ImpulseCodec(), IslandCodec(), PlainCodec(), EngineCodec(), CardCodec()])
def test_a_run_answers_model_api_as_in_process(codec: Any) -> None:
    network, moments = gpt(codec), given(2, codec.context_frames)
    here = rollout(network, codec, moments, 2)
    with Serving(Service(FrameRun(network, codec), "m")) as serving:
        there = rollout(api(serving.url, codec, grammar="physworld"), codec, moments, 2)
    assert there.parsed == here.parsed == [2, 2]
    for a, b in zip(here.predicted, there.predicted, strict=True):
        for name in ("position", "velocity", "angle", "spin"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("codec", [ImpulseCodec(), PlainCodec(), EngineCodec()])
@pytest.mark.parametrize("guided", [True, False])
def test_tokens_are_those_in_process(codec: Any, guided: bool) -> None:
    """Cut short, too, and where nothing keeps them readable."""
    network, moments = gpt(codec, seed=1), given(3, codec.context_frames)
    prompts, limits = [codec.prompt(moment) for moment in moments], [7, 40, 3]
    said = network.generate(prompts, limits, codec.end_id, codec.guide(moments) if guided else None)
    with Serving(Service(FrameRun(network, codec), "m")) as serving:
        model = api(serving.url, codec, grammar="physworld")
        told = model.generate(prompts, limits, codec.end_id, codec.guide(moments) if guided else None)
    for a, b in zip(said, told, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [EngineCodec, CardCodec])
def test_weights_answer_model_api_as_in_process(kind: type[TextCodec], weights: Weights, served: Serving) -> None:
    """In process the codec writes with the model's tokenizer; over the protocol both sides have their own."""
    theirs, ours = kind(tokenizer=weights.tokenizer), kind()
    moments = given(2, ours.context_frames)
    here = rollout(weights.model, theirs, moments, 2)
    there = rollout(api(served.url, ours, grammar="regex"), ours, moments, 2)
    assert there.parsed == here.parsed == [2, 2]
    for a, b in zip(here.predicted, there.predicted, strict=True):
        np.testing.assert_array_equal(a.position, b.position)
        np.testing.assert_array_equal(a.velocity, b.velocity)


def test_eight_clients_at_once(weights: Weights, served: Serving, client: Any) -> None:
    prompts = [f"Frame {number}: 1 of {number} objects" for number in range(8)]
    alone = CachedGenerator(weights.model.network, pad_id=weights.tokenizer.pad_token_id)  # type: ignore[attr-defined]
    begin = threading.Barrier(8)

    def ask(prompt: str) -> str:
        begin.wait()
        return client.completions.create(model="m", prompt=prompt, max_tokens=30).choices[0].text

    with ThreadPoolExecutor(8) as clients:
        told = list(clients.map(ask, prompts))
    for prompt, text in zip(prompts, told, strict=True):
        asked = weights.prompt(prompt)
        (said,) = alone.generate([asked.ids], [30], weights.end_id)
        assert text == weights.text(asked, said, whole=True)
    assert len(set(told)) > 1


@pytest.mark.parametrize("chat", [False, True])
def test_a_stream_is_the_answer_in_pieces(client: Any, weights: Weights, chat: bool) -> None:
    """Four times in its answer the model waits until the client has read one more piece of it."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "Frame 1:"}]}]
    asked = {"messages": messages} if chat else {"prompt": "Frame 1:"}
    ask = client.chat.completions.create if chat else client.completions.create
    form = {"response_format": {"type": "regex", "regex": "[é0-9]{12}"}}
    asked |= {"model": "m", "max_tokens": 60, "extra_body": form}
    whole = ask(**asked)
    heard, in_time, calls = threading.Semaphore(0), [], []

    def hold(*_: Any) -> None:
        calls.append(1)
        if 3 <= len(calls) <= 6:
            in_time.append(heard.acquire(timeout=60))

    parts = []
    hook = weights.model.network.register_forward_pre_hook(hold)  # type: ignore[attr-defined]
    try:
        for part in ask(**asked, stream=True, stream_options={"include_usage": True}):
            parts.append(part)
            if part.choices and (part.choices[0].delta.content if chat else part.choices[0].text):
                heard.release()
    finally:
        hook.remove()
    said = [part.choices[0] for part in parts if part.choices]
    pieces = [choice.delta.content if chat else choice.text for choice in said]
    text = whole.choices[0].message.content if chat else whole.choices[0].text
    assert "".join(pieces) == text and len(text) == 12
    assert in_time == [True] * 4 and sum(map(bool, pieces)) > 3
    assert said[-1].finish_reason == "stop"
    assert parts[-1].usage == whole.usage and whole.usage.completion_tokens > 1


def test_grammars_of_anybody(client: Any) -> None:
    def ask(**form: Any) -> str:
        answer = client.completions.create(model="m", prompt="Frame 1:", max_tokens=200, extra_body=form)
        return str(answer.choices[0].text)

    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    assert json.loads(ask(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})) in (
        {"a": 1},
        {"a": 2},
    )
    assert ask(structured_outputs={"regex": "yes|no"}) in ("yes", "no")
    assert ask(guided_regex="ab{3}") == "abbb"
    assert ask(guided_grammar='start: "o" "k"') == "ok"
    assert ask(response_format={"type": "text"}) == ask()


def test_several_prompts_tokens_and_words_that_stop(weights: Weights, client: Any) -> None:
    one, two = (client.completions.create(model="m", prompt=p, max_tokens=20).choices[0].text for p in ("ab", "cd"))
    both = client.completions.create(model="m", prompt=["ab", "cd"], max_tokens=20)
    assert [(choice.index, choice.text) for choice in both.choices] == [(0, one), (1, two)]
    ids = weights.prompt("ab").ids.tolist()
    assert client.completions.create(model="m", prompt=ids, max_tokens=20).choices[0].text == one
    word = one[3:5]
    for stream in (False, True):
        found = client.completions.create(model="m", prompt="ab", max_tokens=20, stop=[word], stream=stream)
        text = "".join(part.choices[0].text for part in found) if stream else found.choices[0].text
        assert text == one[: one.index(word)]


def test_draws_follow_from_the_seed(client: Any) -> None:
    def draw(seed: int) -> str:
        answer = client.completions.create(model="m", prompt="ab", max_tokens=20, temperature=1.5, seed=seed)
        return str(answer.choices[0].text)

    assert draw(1) == draw(1) and len({draw(seed) for seed in range(4)}) > 1


@pytest.fixture(scope="module")
def solver() -> Any:
    return load("solver", None, torch.device("cpu"))


def together(run: Any, prompts: Sequence[Any], temperature: float) -> list[Any]:
    """Text of each answer, or the error, of requests that come at once."""
    jobs = [
        Job(prompt=prompt.ids, most=99, guide=None, temperature=temperature, seed=k) for k, prompt in enumerate(prompts)
    ]
    batches = Batches(run.model, run.end_id, run.size, most_rows=len(jobs), most_waiting=9)
    assert all(map(batches.put, jobs))
    answers = [(prompt, job.answer.exception(60), job.answer) for prompt, job in zip(prompts, jobs, strict=True)]
    return [error or run.text(prompt, answer.result(), whole=True) for prompt, error, answer in answers]


def test_bodies_that_are_said_side_by_side_are_drawn_apart(solver: Any) -> None:
    """And an answer follows from its seed, whoever asks beside it."""
    moment = simulate(scenarios.build("head_on", generator(0, "test", 0), 1), 40).window(30, 32)
    prompt = solver.prompt(solver.codec.write_prompt(moment))
    alone = [together(solver, [prompt], 30.0)[0], *together(solver, [prompt, prompt], 30.0)]
    assert alone[0] == alone[1] != alone[2]
    first, second = (line.split()[1:] for line in alone[0].splitlines()[:2])
    assert first != second


def test_a_prompt_that_is_none_costs_nobody_else_an_answer(solver: Any) -> None:
    good, bad = (solver.prompt(text) for text in ("self o1 1 0 1 0 0 0 0 0 next", "touch o1 o2 next"))
    for temperature in (0.0, 1.0):
        said = together(solver, [good, bad, good], temperature)
        assert said[0].startswith("o1 ") and said[2].startswith("o1 ") and isinstance(said[1], Unreadable)
    with Serving(Service(solver, "m")) as serving:
        for body, says in (
            ({"prompt": "touch o1 o2 next"}, "The model cannot read this prompt"),
            ({"prompt": "self", "response_format": {"type": "physworld"}}, "does not end with `next`"),
            ({"prompt": "touch \ud800"}, "half a character"),
        ):
            content = json.dumps({"model": "m", **body})
            answer = asked_of(
                serving, "POST", "completions", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400 and says in answer.json()["error"]["message"]


def test_models_are_listed(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["m"]


@pytest.mark.parametrize(
    ("make", "mode"), [(SpatialCodec, "schema"), (SpatialCodec, "pinned"), (PointerCodec, "pinned")]
)
def test_scenes_as_in_process(make: type[SpatialCodec], mode: str) -> None:
    torch.manual_seed(0)
    codec = make()
    network = TinyLM.for_vocabulary(codec.vocabulary, width=32, depth=1, heads=2, inner=64).eval()
    briefs = [sample.given for sample in spatial_samples(count=2)]
    limits = [codec.max_new_tokens(brief) for brief in briefs]
    said = network.generate([codec.prompt(b) for b in briefs], limits, codec.end_id, codec.guide(briefs, mode))
    form = {"response_format": {"type": "physworld", "mode": mode}}
    with Serving(Service(SceneRun(network, codec), "m")) as serving:
        client = openai.OpenAI(base_url=serving.url, api_key="none", max_retries=0)
        for brief, most, ids in zip(briefs, limits, said, strict=True):
            messages = [{"role": "user", "content": dumps(brief.payload)}]
            whole = client.chat.completions.create(model="m", messages=messages, max_tokens=most, extra_body=form)
            text = whole.choices[0].message.content
            if whole.choices[0].finish_reason == "stop":
                assert json.loads(text) == codec.decode(ids, brief)
            else:  # a network that learned nothing goes on until its room ends
                assert mode == "schema" and codec.decode(ids, brief) is None
            assert whole.usage.completion_tokens == len(ids)
            parts = client.chat.completions.create(
                model="m", messages=messages, max_tokens=most, stream=True, extra_body=form
            )
            assert "".join(part.choices[0].delta.content for part in parts) == text


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"model": "other"}, 404, "'other' is not here; choose 'm'"),
        ({"n": 2}, 400, "n=2 is not offered"),
        ({"logprobs": 5}, 400, "logprobs=5 is not offered"),
        ({"logprobs": 0}, 400, "logprobs=0 is not offered"),
        ({"tokens": 5}, 400, "'tokens' is no field"),
        ({"max_tokens": 0}, 400, "max_tokens must be a whole number"),
        ({"max_tokens": 60_000}, 400, "reads 4096 tokens of prompt and answer together"),
        ({"temperature": "hot"}, 400, "temperature must be a number"),
        ({"prompt": {"a": 1}}, 400, "prompt must be a text"),
        ({"prompt": [99_999_999]}, 400, "prompt must be a text, or tokens from 0"),
        ({"response_format": {"type": "xml"}}, 400, "response_format must be"),
        ({"response_format": {"type": "physworld"}}, 400, "no grammar of their own"),
        ({"guided_regex": "("}, 400, "is no grammar"),
        ({"guided_regex": "a", "guided_grammar": "b"}, 400, "more than one grammar"),
        ({"guided_regex": "(a{1000}){1000}", "max_tokens": 9}, 400, "The grammar cannot be followed to its end"),
        ({"messages": [{"role": "user", "content": "ab"}]}, 400, "This endpoint reads prompt, not messages"),
        ({"stop": [1]}, 400, "stop must be a text"),
    ],
)
def test_what_is_not_offered_is_one_sentence(served: Serving, body: dict[str, Any], status: int, says: str) -> None:
    asked = {"model": "m", "prompt": "ab", "max_tokens": 2, **body}
    answer = asked_of(served, "POST", "completions", json=asked)
    assert answer.status_code == status and says in answer.json()["error"]["message"]


def test_hostile_requests(served: Serving) -> None:
    def post(content: bytes, kind: str = "application/json", **headers: str) -> httpx2.Response:
        return asked_of(served, "POST", "completions", content=content, headers={"content-type": kind, **headers})

    good = json.dumps({"model": "m", "prompt": "ab", "max_tokens": 1}).encode()
    assert post(good).status_code == 200
    assert post(good, "text/plain").status_code == 415  # which any page in a browser may send
    assert post(good, host="evil.example").status_code == 400
    assert post(b"[" * 100_000).status_code == post(b"").status_code == post(b"[]").status_code == 400
    assert post(b'"' + b"a" * (17 * 2**20) + b'"').status_code == 413


def test_a_key_may_be_asked_for(weights: Weights) -> None:
    with Serving(Service(weights, "m", key="right")) as serving:
        for key, status in (("wrong", 401), ("right", 200)):
            answer = asked_of(serving, "GET", "models", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == status


def test_what_is_neither_run_nor_weights_is_called_as_it_was_typed() -> None:
    with pytest.raises(UserError, match=r"^shiped/nothing is no run, and no folder here"):
        load("shiped/nothing", None, torch.device("cpu"))


def test_who_leaves_frees_the_model(served: Serving, client: Any) -> None:
    """A client goes away in the middle of a long answer; the next one is not kept waiting for its end."""
    stream = client.completions.create(
        model="m", prompt="ab", max_tokens=4000, stream=True, extra_body={"guided_regex": "[a-z]{4000}"}
    )
    next(iter(stream))
    stream.close()
    whole = client.completions.create(model="m", prompt="ab", max_tokens=5, timeout=20)
    assert len(whole.choices[0].text) > 0


@pytest.mark.parametrize("codec", [EngineCodec(), EngineCodec(published_bytes=True), CardCodec()])
def test_the_grammar_follows_from_the_prompt(codec: Any) -> None:
    solved = text_samples(2)
    shown = codec.showing(solved[:1])
    for moment in given(2, codec.context_frames):
        for some in (codec, shown):
            text = some.write_ids(some.prompt(moment))
            assert codec.guide_to(text).expressions == codec.guide([moment]).expressions
    assert codec.guide_to("Hello") is None


def test_a_mode_of_another_system_is_refused() -> None:
    codec = PlainCodec()
    prompt = codec.write_ids(codec.prompt(given(1, codec.context_frames)[0]))
    asked = {"model": "m", "prompt": prompt, "response_format": {"type": "physworld", "mode": "pinned"}}
    with Serving(Service(FrameRun(gpt(codec, seed=1), codec), "m")) as serving:
        answer = asked_of(serving, "POST", "completions", json=asked)
    assert answer.status_code == 400 and "mode is for spatial scenes" in answer.json()["error"]["message"]
