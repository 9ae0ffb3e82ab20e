"""What `physworld serve` refuses of a request, and in which words of the protocol."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

pytest.importorskip("uvicorn", reason="the extra `play` is not installed")

from physworld.serve.served import Refused, SceneRun, Weights, load
from physworld.spatial.codecs.chunks import SpatialCodec

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
