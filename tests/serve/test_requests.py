"""What `physworld serve` refuses of a request, and in which words of the protocol."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch

pytest.importorskip("uvicorn", reason="the extra `play` is not installed")
openai = pytest.importorskip("openai", reason="openai is not installed")

from physworld.errors import UserError
from physworld.runs.directory import SHIPPED
from physworld.serve.asked import read
from physworld.serve.served import FrameRun, Refused, SceneRun, Weights, load
from physworld.serve.server import Service
from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.text.codecs.engine import EngineCodec

from servers import Serving
from tiny_gpt import network
from tiny_lms import bpe_tokenizer, tiny

PROMPT = "self o1 1 0 1 0 0 0 0 0 next"


@pytest.fixture(scope="module")
def solver() -> Any:
    return load("solver", None, torch.device("cpu"))


def conversation(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": PROMPT} for role in roles]


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        (["system", "user"], "conversations: it takes no system message; send one user message."),
        (["user", "developer"], "conversations: it takes no developer message; send one user message."),
        (["assistant"], "conversations: it takes no assistant message; send one user message."),
        (["user", "user"], "conversations; send one user message."),
    ],
)
def test_a_run_takes_one_user_message(solver: Any, roles: list[str], says: str) -> None:
    """Of text and of scenes alike; nothing of a chat is left out in silence."""
    for run in (solver, SceneRun(None, SpatialCodec())):
        with pytest.raises(Refused, match=f"{re.escape(says)}$") as refused:
            run.of_chat(conversation(*roles))
        assert (refused.value.status, refused.value.param) == (400, "messages")
    assert solver.of_chat(conversation("user")).text == PROMPT


def test_weights_with_a_template_take_conversations() -> None:
    tokenizer = bpe_tokenizer()
    tokenizer.chat_template = "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}"
    weights = Weights(tiny("llama", len(tokenizer), pad_token_id=tokenizer.pad_token_id), tokenizer)
    roles = ("system", "user", "assistant", "user")
    assert weights.of_chat(conversation(*roles)).text == "".join(f"{role}: {PROMPT}\n" for role in roles)
    tokenizer.chat_template = None
    with pytest.raises(Refused, match="it takes no system message"):
        weights.of_chat(conversation("system", "user"))


def asked(server: Serving, method: str, path: str, **more: Any) -> tuple[int, Any]:
    """(status, content) of an answer."""
    answer = httpx2.request(method, f"{server.url}/{path}", timeout=60, **more)
    return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def run(solver: Any) -> Iterator[Serving]:
    with Serving(Service(solver, "a/run")) as serving:
        yield serving


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("next", "The prompt is no islands text: it has nothing before `next`."),
        ("end next", "The prompt is no islands text: it goes on after `next` or `end`."),
        ("self o1 1 0 1 0 0 0 0 0 next o1 next", "The prompt is no islands text: it goes on after `next` or `end`."),
        ("self o1 1 0 1 0 0 0 0 0", "The prompt is no islands text: it does not end with `next`."),
    ],
)
def test_tokens_are_read_as_their_text_is(run: Serving, solver: Any, words: str, says: str) -> None:
    for prompt in (words, solver.codec.read_ids(words).tolist(), [PROMPT, words]):
        status, said = asked(run, "POST", "completions", json={"model": "a/run", "prompt": prompt})
        assert status == 400 and said["error"]["message"] == says and said["error"]["param"] == "prompt"


def test_tokens_of_a_whole_prompt_are_answered(run: Serving, solver: Any) -> None:
    prompts = (PROMPT, solver.codec.read_ids(PROMPT).tolist())
    said = [asked(run, "POST", "completions", json={"model": "a/run", "prompt": prompt}) for prompt in prompts]
    assert [(status, content["choices"][0]["text"]) for status, content in said] == [(200, "o1 coast")] * 2


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ([0] * 100_000, "The token 0 is no islands text."),
        ([], "prompt must be a text, a list of tokens, or a list of either."),
        ([[]], "prompt must be a text, or tokens from 0 to 74155."),
        ([74_156, 2], "prompt must be a text, or tokens from 0 to 74155."),
        ([-1, 2], "prompt must be a text, or tokens from 0 to 74155."),
    ],
)
def test_tokens_that_are_none_are_refused(run: Serving, prompt: list[Any], says: str) -> None:
    status, said = asked(run, "POST", "completions", json={"model": "a/run", "prompt": prompt})
    assert status == 400 and said["error"]["message"] == says


def test_tokens_of_spelled_text_are_those_of_its_tokenizer() -> None:
    """Where the network scores more than these; and one of them may pad and begin a text alike."""
    codec = EngineCodec()
    served = FrameRun(network(codec, relations=False), codec)
    served.size += 7
    ids = codec.prompt_ids("Frame 1:")
    assert served.of_ids(ids).text == "Frame 1:"
    with pytest.raises(Refused, match=rf"^The token {served.size - 1} is no engine text\.$"):
        served.of_ids(np.append(ids, served.size - 1))


def test_a_request_names_its_model(run: Serving) -> None:
    for body in ({"prompt": PROMPT}, {"prompt": PROMPT, "model": None}):
        status, said = asked(run, "POST", "completions", json=body)
        assert status == 400 and said["error"]["param"] == "model"
        assert said["error"]["message"] == "model is missing; choose 'a/run'."


def test_a_model_is_told_by_its_name(run: Serving) -> None:
    client = openai.OpenAI(base_url=run.url, api_key="none", max_retries=0)
    (listed,) = client.models.list()
    assert client.models.retrieve("a/run") == listed and listed.id == "a/run"
    assert asked(run, "GET", "models/a/run") == asked(run, "GET", "models/a%2Frun") == (200, listed.to_dict())
    with pytest.raises(openai.NotFoundError, match="The model 'b' is not here; choose 'a/run'"):
        client.models.retrieve("b")


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "embeddings", 404, "There is no /v1/embeddings here."),
        ("GET", "completions", 405, "/v1/completions takes POST, not GET."),
        ("DELETE", "models/a/run", 405, "/v1/models/a/run takes GET, not DELETE."),
    ],
)
def test_what_is_not_there_is_an_error_of_the_protocol(
    run: Serving, method: str, path: str, status: int, says: str
) -> None:
    error = {"message": says, "type": "invalid_request_error", "param": None, "code": None}
    assert asked(run, method, path) == (status, {"error": error})


def test_a_mistake_is_told_before_libraries_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "film" / "model").mkdir(parents=True)
    (tmp_path / "film" / "config.yaml").write_text("data: {task: video}")
    mistakes = {
        "docs": "docs is neither a run nor weights: it holds no config.yaml with a model/ folder beside it, and no "
        "config.json.",
        "film": "film is a run of video; only text and spatial runs are served.",
        "shipped --base x": "--base x is for weights; a run brings its own, so leave it out.",
        "shipped --key-from NO_SUCH_KEY": "--key-from=NO_SUCH_KEY: this environment variable is not set; put the key "
        "into it.",
        "shipped --key-from sk-1": "--key-from must be the name of an environment variable, such as OPENAI_API_KEY, no "
        "key.",
    }
    code = (
        f"import sys\nfrom physworld.cli import main\nfor words in {list(mistakes)}:\n    "
        "assert main(['serve', *words.split()]) == 1\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.splitlines() == list(mistakes.values()), done.stderr


def test_what_is_wrong_with_weights_is_said_as_it_was_typed(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    for what, says in (
        ("shiped", r"^shiped is no run, and no folder here, and .* Did you mean shipped\?$"),
        (str(tmp_path), f"^{tmp_path} holds no adapter_model.safetensors"),
        (str(SHIPPED / "model"), f"^{SHIPPED / 'model'} holds a network of physworld's own; give RUN of its run"),
    ):
        with pytest.raises(UserError, match=says):
            load(what, None, torch.device("cpu"))


def test_an_empty_prompt_is_refused() -> None:
    """Where no token begins a text."""
    tokenizer = bpe_tokenizer()
    tokenizer.bos_token = None
    weights = Weights(tiny("llama", len(tokenizer), pad_token_id=tokenizer.pad_token_id), tokenizer)
    with pytest.raises(Refused, match=r"^The prompt is empty\.$"):
        read({"model": "m", "prompt": ["Frame 1:", ""]}, weights, "m", chat=False)
