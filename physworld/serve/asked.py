"""A request of the protocol, read and checked. What would change an answer and is not offered is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from physworld.serve.served import FREE, Grammar, Prompt, Refused, Served

MOST_PROMPTS = 64  # of one request
MOST_TOKENS = 65_536  # of one answer
SEEDS = 2**63
# Fields with the one value that may stand there, as clients send them unasked.
ONLY: dict[str, tuple[Any, ...]] = {
    "n": (1, None), "best_of": (1, None), "echo": (False, None), "logprobs": (False, None), "top_logprobs": (None,),
    "top_p": (1, 1.0, None), "top_k": (-1, 0, None), "min_p": (0, 0.0, None), "presence_penalty": (0, 0.0, None),
    "frequency_penalty": (0, 0.0, None), "repetition_penalty": (1, 1.0, None), "logit_bias": (None, {}),
    "suffix": (None, ""), "tools": (None, []), "functions": (None, []), "tool_choice": (None, "none"),
    "modalities": (None, ["text"]),
}  # fmt: skip
IGNORED = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls")
READ = (
    *("model", "prompt", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "stop", "stream"),
    *("stream_options", "response_format", "structured_outputs", "guided_regex", "guided_grammar", "guided_json"),
)
ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    prompts: list[Prompt]
    grammar: Grammar
    most: int | None  # tokens of an answer
    temperature: float
    seed: int
    stop: tuple[str, ...]
    stream: bool
    usage: bool  # whether a stream ends with the count of tokens


def read(body: Any, served: Served, name: str, *, chat: bool) -> Asked:
    """
    Raises:
        Refused: the request is no such request, or asks for what is not offered.
    """
    if not isinstance(body, dict):
        raise Refused("The request must be a JSON object.")
    for key, value in body.items():
        if key in ONLY:
            if not any(value == one and type(value) is type(one) for one in ONLY[key]):
                raise Refused(f"{key}={value!r:.60} is not offered; leave it out.", key)
        elif key not in READ and key not in IGNORED:
            raise Refused(f"{key!r:.60} is no field that is read here; leave it out.", key)
    other, own = ("prompt", "messages") if chat else ("messages", "prompt")
    if body.get(other) is not None:
        raise Refused(f"This endpoint reads {own}, not {other}; leave {other} out.", other)
    if body.get("model") is None:
        raise Refused(f"model is missing; choose {name!r}.", "model")
    refuse_model(body["model"], name)
    most = body.get("max_completion_tokens")
    most = body.get("max_tokens") if most is None else most
    if most is not None and (type(most) is not int or not 1 <= most <= MOST_TOKENS):
        raise Refused(f"max_tokens must be a whole number from 1 to {MOST_TOKENS}.", "max_tokens")
    temperature = body.get("temperature")
    temperature = 0.0 if temperature is None else temperature
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise Refused("temperature must be a number from 0 to 2.", "temperature")
    seed = body.get("seed")
    seed = 0 if seed is None else seed
    if type(seed) is not int or not -SEEDS <= seed < SEEDS:
        raise Refused("seed must be a whole number of 64 bits.", "seed")
    stream, options = body.get("stream") or False, body.get("stream_options") or {}
    if not isinstance(stream, bool) or not isinstance(options, dict):
        raise Refused("stream must be true or false, and stream_options an object.", "stream")
    return Asked(
        prompts=[served.of_chat(_messages(body.get("messages")))] if chat else _prompts(body.get("prompt"), served),
        grammar=_grammar(body),
        most=most,
        temperature=float(temperature),
        seed=seed % SEEDS,
        stop=_stop(body.get("stop")),
        stream=stream,
        usage=bool(options.get("include_usage")),
    )


def refuse_model(asked: Any, name: str) -> None:
    """Raises: Refused: another model than the one that is here."""
    if asked != name:
        said = f"The model {asked!r:.80} is not here; choose {name!r}."
        raise Refused(said, "model", status=404, code="model_not_found")


def _prompts(value: Any, served: Served) -> list[Prompt]:
    """A text, ids, or a list of either."""
    if isinstance(value, str) or (isinstance(value, list) and value and type(value[0]) is int):
        value = [value]
    if not isinstance(value, list) or not value:
        raise Refused("prompt must be a text, a list of tokens, or a list of either.", "prompt")
    if len(value) > MOST_PROMPTS:
        raise Refused(f"prompt holds {len(value)} prompts; send at most {MOST_PROMPTS} at once.", "prompt")
    return [_prompt(one, served) for one in value]


def _prompt(value: Any, served: Served) -> Prompt:
    if isinstance(value, str):
        found = served.prompt(value)
        if not len(found.ids):
            raise Refused("The prompt is empty.", "prompt")
        return found
    if isinstance(value, list) and value and all(type(token) is int and 0 <= token < served.size for token in value):
        return served.of_ids(np.array(value, np.int64))
    raise Refused(f"prompt must be a text, or tokens from 0 to {served.size - 1}.", "prompt")


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise Refused("messages must be a list of messages.", "messages")
    found = []
    for message in value:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            parts = [part.get("text") if isinstance(part, dict) else None for part in content]
            content = "".join(parts) if all(isinstance(part, str) for part in parts) else None  # type: ignore[arg-type]
        if not isinstance(content, str) or message.get("role") not in ROLES:
            raise Refused(f"A message has a role ({', '.join(ROLES)}) and a text as content.", "messages")
        found.append({"role": message["role"], "content": content})
    return found


def _stop(value: Any) -> tuple[str, ...]:
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts) or len(texts) > 16:
        raise Refused("stop must be a text, or up to 16 of them.", "stop")
    return tuple(texts)


def _grammar(body: Mapping[str, Any]) -> Grammar:
    """The one form that is asked for, in OpenAI's words (response_format) or vLLM's."""
    found = []
    form = body.get("response_format")
    if form is not None:
        found.append(_form(form))
    more = body.get("structured_outputs") or {}
    if not isinstance(more, dict) or set(more) - {"regex", "grammar", "json"}:
        raise Refused("structured_outputs takes regex, grammar or json.", "structured_outputs")
    named = {
        "regex": (more.get("regex"), body.get("guided_regex")),
        "lark": (more.get("grammar"), body.get("guided_grammar")),
        "json": (more.get("json"), body.get("guided_json")),
    }
    for kind, values in named.items():
        for value in values:
            if value is not None:
                if not isinstance(value, dict if kind == "json" else str):
                    raise Refused(f"A {kind} grammar must be {'an object' if kind == 'json' else 'a text'}.")
                found.append(Grammar(kind, value))
    found = [grammar for grammar in found if grammar != FREE]
    if len(found) > 1:
        raise Refused("The request has more than one grammar; send one.", "response_format")
    return found[0] if found else FREE


def _form(form: Any) -> Grammar:
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "text":
        return FREE
    if kind == "physworld":
        return Grammar("own", form.get("mode"))
    if kind == "json_object":
        return Grammar("json", {"type": "object"})
    if kind == "regex" and isinstance(form.get("regex"), str):
        return Grammar("regex", form["regex"])
    if kind == "json_schema" and isinstance(form.get("json_schema"), dict):
        schema = form["json_schema"].get("schema")
        if isinstance(schema, dict):
            return Grammar("json", schema)
    raise Refused(
        'response_format must be {"type": "text"}, "physworld", "json_object", "json_schema" with its schema, or '
        '"regex" with its regex.', "response_format",
    )  # fmt: skip
