"""A language model behind an OpenAI-compatible API as a generator of answers.

Prompts go out as text, and answers come back as text, which the codec's own tokenizer makes ids of again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError, suggest
from physworld.lm.api_answers import Answers
from physworld.lm.api_client import PROTOCOLS, ApiClient, ApiError
from physworld.protocols import Guide, Noise

GRAMMARS = ("none", "regex", "physworld")


class ApiLM:
    """Asks for the likeliest answers."""

    def __init__(
        self,
        *,
        base_url: str,
        name: str,
        write: Callable[[np.ndarray], str],
        read: Callable[[str], np.ndarray],
        cache: Path | None,
        say: Callable[[str], None],
        protocol: str = "completions",
        key_from: str | None = None,
        grammar: str = "none",
        system: str | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        attempts: int = 8,
        first_wait: float = 0.5,
        timeout: float = 300.0,
        max_tokens: int | None = None,
        max_length: int | None = None,
        stop: Sequence[str] = (),
        body: Mapping[str, Any] | None = None,
        price_prompt: float = 0.0,
        price_answer: float = 0.0,
        budget: float | None = None,
    ) -> None:
        """
        Args:
            base_url: up to and including the version, such as http://127.0.0.1:8000/v1.
            name: of the model, as the API calls it.
            write, read: ids -> text of a prompt, and text of an answer -> ids.
            cache: file of answers; None = of this process only.
            say: called with a sentence when something takes long.
            protocol: completions, or chat.
            key_from: the environment variable that holds the key; None = no key is sent.
            grammar: none = answers are free; regex = `structured_outputs` of vLLM; physworld = of `physworld serve`.
            system: first message of a chat.
            concurrency: requests at once.
            requests_per_minute, tokens_per_minute: None = as many as go.
            attempts, first_wait, timeout: of a request; s.
            max_tokens: of an answer; None = as many tokens of our own as the longest frame takes.
            max_length: tokens of our own that prompt and answer may take together; None = any number.
            stop: texts that end an answer.
            body: more of the request, as the API has it; null takes a key out.
            price_prompt, price_answer: of a million tokens.
            budget: most to spend, in the same money.

        Raises:
            UserError: a setting cannot be what it is, or the key is not there.
        """
        for setting, value, known in (("protocol", protocol, PROTOCOLS), ("grammar", grammar, GRAMMARS)):
            if value not in known:
                raise UserError(
                    f"model.{setting}={value} is unknown.{suggest(str(value), known)} Choose one of {', '.join(known)}."
                )
        _check(
            whole={"concurrency": concurrency, "attempts": attempts},
            whole_or_none={"max_tokens": max_tokens, "max_length": max_length},
            above={"timeout": timeout, "first_wait": first_wait},
            above_or_none={
                "requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute, "budget": budget
            },
            prices={"price_prompt": price_prompt, "price_answer": price_answer},
        )  # fmt: skip
        _check_forms(system, stop, body)
        self.name, self.grammar, self.system = name, grammar, system
        self.max_length, self.most_tokens = max_length, max_tokens
        self._write, self._read, self._stop, self._body = write, read, list(stop), dict(body or {})
        self.client = ApiClient(
            base_url, protocol=protocol, key=key_of(key_from), answers=Answers(cache), concurrency=concurrency,
            requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, attempts=attempts,
            first_wait=first_wait, timeout=timeout, prices=(price_prompt, price_answer), budget=budget, say=say,
        )  # fmt: skip
        self._prices = (price_prompt, price_answer)
        self.cost: dict[str, Any] = {}
        self._tally()

    def generate(
        self,
        prompts: list[np.ndarray],
        max_new_tokens: list[int],
        end_id: int,
        guide: Guide | None = None,
        *,
        noise: Noise | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """Answers without the prompt; those that ended by themselves have `end_id` at their end.

        Raises:
            ApiError: answers are to be drawn, the API has none, or the grammar is no regular expression.
        """
        if noise is not None:
            raise ApiError("An API is asked for its likeliest answers only; use evaluation.samples=0.")
        expressions = None if guide is None else guide.expressions
        if guide is not None and self.grammar == "regex" and expressions is None:
            raise ApiError("This text has no grammar as a regular expression; use model.grammar=none or codec=engine.")
        bodies = []
        for row, (prompt, most) in enumerate(zip(prompts, max_new_tokens, strict=True)):
            body = self.request(self._write(prompt), most)
            if guide is not None and self.grammar == "physworld":
                body["response_format"] = {"type": "physworld"}
            if expressions is not None and self.grammar == "regex":
                body["structured_outputs"] = {"regex": expressions[row]}
            bodies.append(body)
        answers = self.client.ask(bodies)
        self._tally()
        said = [self._read(answer.text) for answer in answers]
        return [
            np.append(ids, end_id) if answer.finish == "stop" else ids
            for ids, answer in zip(said, answers, strict=True)
        ]

    def request(self, prompt: str, most: int) -> dict[str, Any]:
        """The body of one request, without a grammar."""
        body: dict[str, Any] = {"model": self.name, "max_tokens": self.most_tokens or most, "temperature": 0}
        if self.client.protocol == "chat":
            first = [] if self.system is None else [{"role": "system", "content": self.system}]
            body["messages"] = [*first, {"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        if self._stop:
            body["stop"] = self._stop
        body.update(self._body)
        return {key: value for key, value in body.items() if value is not None}

    def _tally(self) -> None:
        """What the report says of the cost; the dictionary stays the same."""
        count = self.client.count
        money = sum(
            price * tokens / 1e6
            for price, tokens in zip(self._prices, (count.prompt_tokens, count.answer_tokens), strict=True)
        )
        self.cost.update(
            {
                "answers": count.answers,
                "asked now": count.asked,
                "tried again": count.tried_again,
                "refused": count.refused,
                "cut at max_tokens": count.cut,
                "prompt tokens": count.prompt_tokens,
                "answer tokens": count.answer_tokens,
            }
        )
        if any(self._prices):
            self.cost |= {"price": round(money, 4), "price of those asked now": round(self.client.spent, 4)}


def _check(
    *,
    whole: Mapping[str, Any],
    whole_or_none: Mapping[str, Any],
    above: Mapping[str, Any],
    above_or_none: Mapping[str, Any],
    prices: Mapping[str, Any],
) -> None:
    """Raises: UserError: a number is none of its kind."""
    for setting, value in {**whole, **whole_or_none}.items():
        if not (value is None and setting in whole_or_none) and (type(value) is not int or value < 1):
            raise UserError(f"model.{setting}={value} must be a whole number from 1.")
    for setting, value in {**above, **above_or_none}.items():
        if not (value is None and setting in above_or_none) and not (_finite(value) and value > 0):
            raise UserError(f"model.{setting}={value} must be a number above 0.")
    for setting, value in prices.items():
        if not (_finite(value) and value >= 0):
            raise UserError(f"model.{setting}={value} must be a number from 0 on.")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_forms(system: Any, stop: Any, body: Any) -> None:
    """Raises: UserError: a setting that is no number has another form than it must have."""
    if system is not None and not isinstance(system, str):
        raise UserError(f"model.system={system} must be a text, or null.")
    if not isinstance(stop, list | tuple) or not all(isinstance(text, str) for text in stop):
        raise UserError(f"model.stop={stop} must be a list of texts, for example model.stop=[END].")
    if body is not None and not isinstance(body, Mapping):
        raise UserError(f"model.body={body} must be fields of a request, for example 'model.body={{top_k: 1}}'.")


def key_of(variable: str | None, option: str = "model.key_from") -> str | None:
    """The key, which is read from the environment and never written anywhere.

    Raises:
        UserError: there is none.
    """
    if variable is None:
        return None
    if not str(variable).replace("_", "a").isalnum() or str(variable)[:3] == "sk-":
        raise UserError(f"{option} must be the name of an environment variable, such as OPENAI_API_KEY, no key.")
    key = os.environ.get(str(variable), "").strip()
    if not key:
        raise UserError(f"{option}={variable}: this environment variable is not set; put the key into it.")
    if not key.isascii() or not key.isprintable():
        raise UserError(f"{option}={variable}: what it holds is no key.")
    return key
