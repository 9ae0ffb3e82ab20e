"""Requests to an OpenAI-compatible API: many at once, paced, tried again, counted.

Servers may be strangers: what they answer is data of limited size, checked before it is used. The key goes into one
header and nowhere else; messages that quote a server have it blotted out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2

from physworld.errors import UserError
from physworld.lm.api_answers import Answer, Answers, request_key

PROTOCOLS = {"completions": "/completions", "chat": "/chat/completions"}
AGAIN = (408, 409, 425, 429)  # and 5xx: the same request may be answered later
MOST_BYTES = 16 * 2**20  # of one answer
logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every request
LONGEST_WAIT = 120.0  # s, however long a server asks for


class ApiError(UserError):
    """The API cannot or will not answer; the message is one sentence."""


class _Later(Exception):
    """Worth another try, after `wait` seconds where the server says so."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(kw_only=True)
class Count:
    """What was asked and what it cost, answers from the cache included where nothing else is said."""

    answers: int = 0
    asked: int = 0  # of them, over the network
    tried_again: int = 0
    refused: int = 0  # the API or the model declined
    cut: int = 0  # ended by the limit of tokens
    prompt_tokens: int = 0
    answer_tokens: int = 0
    paid_tokens: list[int] = field(default_factory=lambda: [0, 0])  # of those asked now: prompt, answer


class Pace:
    """Lets through so many units a minute, evenly."""

    def __init__(self, a_minute: float | None) -> None:
        self.a_minute, self._free = a_minute, 0.0

    async def __call__(self) -> None:
        """Wait until what was spent is paid off."""
        if self.a_minute is not None and (wait := self._free - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    def spend(self, units: float) -> None:
        if self.a_minute is not None:
            self._free = max(self._free, time.monotonic()) + 60 * units / self.a_minute


class ApiClient:
    """Asks one address."""

    def __init__(
        self,
        base_url: str,
        *,
        protocol: str,
        key: str | None,
        answers: Answers,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        attempts: int,
        first_wait: float,
        timeout: float,
        prices: tuple[float, float],
        budget: float | None,
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            base_url: up to and including the version, such as http://127.0.0.1:8000/v1.
            answers: what is there is not asked again; what comes is kept there at once.
            attempts: of one request, waiting `first_wait` s after the first, then twice as long each time.
            timeout: s for one attempt, from the first byte sent to the last one read.
            prices: of a million tokens of prompts and of answers.
            budget: most that this process may spend, in the same money.
            say: called with a sentence when something takes long.

        Raises:
            UserError: base_url is no address, or has a password in it.
        """
        self.url = checked_url(base_url) + PROTOCOLS[protocol]
        self.base_url, self.protocol, self.count = base_url, protocol, Count()
        self._key, self._answers, self._say = key, answers, say
        self._concurrency, self._attempts, self._first_wait, self._timeout = concurrency, attempts, first_wait, timeout
        self._prices, self._budget = prices, budget
        self._requests, self._tokens = Pace(requests_per_minute), Pace(tokens_per_minute)
        self._runner = asyncio.Runner()
        self._http: httpx2.AsyncClient | None = None
        self._told = 0.0  # when something was last said

    @property
    def spent(self) -> float:
        """By this process."""
        return sum(price * tokens / 1e6 for price, tokens in zip(self._prices, self.count.paid_tokens, strict=True))

    def ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """The answers to requests, in their order. Equal ones are asked once.

        Raises:
            ApiError: one cannot be had; those that came are kept.
        """
        return self._runner.run(self._ask(bodies))

    async def _ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[Answer]:
        keys = [request_key(self.url, body) for body in bodies]
        found = {key: self._answers.find(key) for key in keys}
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if found[key] is None}
        places = asyncio.Semaphore(self._concurrency)

        async def one(key: str, body: Mapping[str, Any]) -> None:
            async with places:
                found[key] = await self._insist(key, body)

        try:
            async with asyncio.TaskGroup() as group:
                for key, body in missing.items():
                    group.create_task(one(key, body))
        except ExceptionGroup as failures:  # the first one ended the others
            raise failures.exceptions[0] from None
        answers = [found[key] for key in keys]
        for answer in answers:
            assert answer is not None
            self._note(answer)
        return answers  # type: ignore[return-value]

    def _note(self, answer: Answer) -> None:
        count = self.count
        count.answers += 1
        count.refused += answer.refused
        count.cut += answer.finish == "length"
        count.prompt_tokens += answer.prompt_tokens
        count.answer_tokens += answer.answer_tokens

    async def _insist(self, key: str, body: Mapping[str, Any]) -> Answer:
        """Ask until there is an answer, and keep it."""
        if self._budget is not None and self.spent >= self._budget:
            raise ApiError(
                f"model.budget={self._budget:g} is spent ({self.spent:.4g}); {self._left('with a larger one ')}"
            )
        for attempt in range(self._attempts):
            await self._requests()
            await self._tokens()
            self._requests.spend(1)
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self._once(body)
            except TimeoutError:
                why, wait = f"no answer within model.timeout={self._timeout:g} s", None
            except _Later as later:
                why, wait = str(later), later.wait
            else:
                self._answers.keep(key, answer)
                self.count.asked += 1
                self.count.paid_tokens[0] += answer.prompt_tokens
                self.count.paid_tokens[1] += answer.answer_tokens
                self._tokens.spend(answer.prompt_tokens + answer.answer_tokens)
                return answer
            if attempt + 1 < self._attempts:
                self.count.tried_again += 1
                spread = 0.75 + int(key[:4], 16) / 2**17  # 0.75-1.25, so that not all come back at once
                pause = self._first_wait * 2**attempt * spread if wait is None else wait
                pause = min(pause, LONGEST_WAIT)
                self._tell(f"{self.base_url}: {why}; trying again in {pause:.1f} s.")
                await asyncio.sleep(pause)
        raise ApiError(
            f"base_url={self.base_url} does not answer after {self._attempts} attempts: {why}; {self._left()}"
        )

    def _left(self, changed: str = "") -> str:
        """What becomes of the answers that came."""
        if self._answers.path is None:
            return f"cache=null has kept no answers, and the same command {changed}begins anew."
        return f"the answers that came are kept, and the same command {changed}goes on from them."

    def _tell(self, sentence: str) -> None:
        """At most once in ten seconds: all requests meet the same trouble."""
        if time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            self._say(sentence)

    async def _once(self, body: Mapping[str, Any]) -> Answer:
        """One attempt.

        Raises:
            _Later: it failed, and another one may not.
            ApiError: another one would fail too.
        """
        if self._http is None:
            limits = httpx2.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
            self._http = httpx2.AsyncClient(timeout=self._timeout, limits=limits, follow_redirects=False)
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        content = bytearray()
        try:
            async with self._http.stream("POST", self.url, json=body, headers=headers) as response:
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise ApiError(f"base_url={self.base_url} answers more than {MOST_BYTES // 2**20} MB at once.")
        except httpx2.UnsupportedProtocol:
            raise ApiError(f"base_url={self.base_url} must begin with http:// or https://.") from None
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise _Later(self._clean(str(error)) or type(error).__name__) from None
        status, text = response.status_code, content.decode("utf-8", "replace")
        if status == 200:
            return read_answer(text, self.protocol, self._clean)
        said = self._clean(error_of(text))
        if status in AGAIN or status >= 500:
            if "insufficient_quota" in text:
                raise ApiError(f"base_url={self.base_url}: the account has no quota left ({said}).")
            raise _Later(f"it says {status} ({said})", waits(response.headers))
        if filtered(text):
            return Answer(text="", finish="content_filter", refused=True)
        if status in (401, 403):
            said += "; model.key_from names the environment variable that holds the key"
        if 300 <= status < 400:
            said = f"it points elsewhere, to {self._clean(response.headers.get('location', 'nowhere'))}"
        raise ApiError(f"base_url={self.base_url} refuses the request with status {status}: {said}.")

    def _clean(self, text: str) -> str:
        """At most 200 printable characters of what a server said, without the key."""
        text = text if self._key is None else text.replace(self._key, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
        return line[:200].rstrip(".")

    def close(self) -> None:
        if self._http is not None:
            self._runner.run(self._http.aclose())
        self._runner.close()


def checked_url(base_url: str) -> str:
    """base_url without a slash at its end.

    Raises:
        UserError: it is no address, or has a name or password in it.
    """
    try:
        parts = urlsplit(base_url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half a bracket
        whole = False
    if "@" in base_url:
        raise UserError("base_url= has a name or password in it; give the key by model.key_from=VARIABLE instead.")
    if not whole:
        raise UserError(f"base_url={base_url} must be an address such as http://127.0.0.1:8000/v1.")
    if parts.query or parts.fragment:
        raise UserError(f"base_url={base_url} must end with the path, without ? and #.")
    return base_url.rstrip("/")


def read_answer(text: str, protocol: str, clean: Callable[[str], str]) -> Answer:
    """The first choice of a reply.

    Raises:
        _Later: it is no reply of this protocol.
    """
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        what = "nothing" if not text.strip() else "a web page" if text.lstrip()[:1] == "<" else "no whole JSON"
        shown = f", {clean(text)!r}" if text.strip() else ""
        raise _Later(f"it answers {what}{shown}") from None
    try:
        choice = reply["choices"][0]
        finish = choice.get("finish_reason")
        refused = finish == "content_filter"
        if protocol == "chat":
            message = choice["message"]
            said = message.get("content")
            refused |= bool(message.get("refusal"))
        else:
            said = choice["text"]
        said = "" if said is None else said
        usage = reply.get("usage") or {}
        spent = [usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")]
        if not isinstance(said, str) or any(type(number) is not int or not 0 <= number < 2**63 for number in spent):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        raise _Later(f"its JSON is no {protocol} reply, {clean(text)!r}") from None
    # A server may cut a character in two: the half becomes a question mark, for no file can hold it.
    said, finish = (str(part or "").encode("utf-8", "replace").decode() for part in (said, finish))
    return Answer(text=said, finish=finish, refused=refused, prompt_tokens=spent[0], answer_tokens=spent[1])


def error_of(text: str) -> str:
    """What an error reply says, in whatever form."""
    try:
        reply = json.loads(text)
        error = reply.get("error", reply)
        found = error.get("message", error) if isinstance(error, dict) else error
        return str(found)
    except (ValueError, AttributeError, RecursionError):
        return text or "nothing"


def filtered(text: str) -> bool:
    """Whether an error is that the prompt was declined, as some services tell it."""
    try:
        error = json.loads(text)["error"]
        return error["code"] in ("content_filter", "content_policy_violation")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def waits(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks for by Retry-After (RFC 9110, 10.2.3)."""
    asked = headers.get("retry-after", "")
    try:
        seconds = float(asked)
        return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)
    except ValueError:
        pass
    try:
        return min(max(parsedate_to_datetime(asked).timestamp() - time.time(), 0.0), LONGEST_WAIT)
    except ValueError:
        return None
