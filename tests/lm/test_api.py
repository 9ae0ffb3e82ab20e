"""A model behind an API: what is asked, what is kept, and servers that do not keep to the protocol."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physworld.errors import UserError
from physworld.lm.api_answers import Answer, Answers, request_key
from physworld.lm.api_client import read_answer, waits
from physworld.lm.api_generator import ApiLM, key_of
from physworld.mains import composed

from servers import Said, Scripted, completion

KEY = "sk-secret-0123456789"


def api(url: str, cache: Path | None = None, **more: Any) -> ApiLM:
    """Ids are characters."""
    return ApiLM(
        base_url=url, name="m", write=lambda ids: "".join(map(chr, ids)),
        read=lambda text: np.array([*map(ord, text)], np.int64), cache=cache, say=lambda sentence: None,
        **{"first_wait": 0.01, "attempts": 3, "timeout": 5.0, **more},
    )  # fmt: skip


def ask(model: ApiLM, *prompts: str) -> list[str]:
    ids = [np.array([*map(ord, prompt)], np.int64) for prompt in prompts]
    answers = model.generate(ids, [9] * len(ids), end_id=0)
    return ["".join(map(chr, answer)) for answer in answers]


def echo(body: dict[str, Any], number: int) -> Said:
    return 200, {}, completion(body["prompt"].upper())


def test_answers_come_in_order_and_equal_requests_are_asked_once(tmp_path: Path) -> None:
    with Scripted(echo) as server:
        model = api(server.url, tmp_path / "a.sqlite")
        assert ask(model, "a", "bb", "a") == ["A\0", "BB\0", "A\0"]
        assert len(server.bodies) == 2 and server.bodies[0]["max_tokens"] == 9 and server.bodies[0]["temperature"] == 0
        assert ask(api(server.url, tmp_path / "a.sqlite"), "bb", "c") == ["BB\0", "C\0"]
        assert sorted(body["prompt"] for body in server.bodies) == ["a", "bb", "c"]
        assert ask(api(server.url, tmp_path / "a.sqlite", max_tokens=5), "c") == ["C\0"]  # another request
        assert len(server.bodies) == 4
    assert (model.cost["answers"], model.cost["asked now"], model.cost["prompt tokens"]) == (3, 2, 9)


BROKEN: dict[str, Said] = {
    "html": (200, {"content-type": "text/html"}, b"<html><body>Welcome</body></html>"),
    "half": (200, {}, completion("x")[:30]),
    "nothing": (200, {}, b""),
    "closed": None,
    "busy": (429, {"retry-after": "0.02"}, b'{"error": {"message": "slow down"}}'),
    "failed": (503, {}, b"<h1>Bad gateway</h1>"),
    "other json": (200, {}, b'{"choices": [{"text": 5}]}'),
    "list": (200, {}, b"[1, 2]"),
    "not text": (200, {}, b"\xff\xfe\x00"),
    "deep": (200, {}, b"[" * 100_000),
    "many tokens": (200, {}, b'{"choices": [{"text": "x"}], "usage": {"prompt_tokens": 1%s}}' % (b"0" * 30)),
}


def test_half_a_character_is_kept_as_a_question_mark(tmp_path: Path) -> None:
    """A server that cuts an answer by bytes says such a half; no file could hold it, and the answer is paid for."""
    half = b'{"choices": [{"text": "A\\ud83d", "finish_reason": "length"}]}'
    with Scripted(lambda body, number: (200, {}, half)) as server:
        for _ in range(2):  # asked, and read from the cache
            assert ask(api(server.url, tmp_path / "a.sqlite"), "a") == ["A?"]
        assert len(server.bodies) == 1


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_asked_again(name: str) -> None:
    with Scripted(lambda body, number: BROKEN[name] if number == 0 else echo(body, number)) as server:
        model = api(server.url)
        assert ask(model, "a") == ["A\0"]
        assert len(server.bodies) == 2 and model.cost["tried again"] == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("html", "it answers a web page"),
        ("half", "it answers no whole JSON"),
        ("nothing", "it answers nothing"),
        ("busy", "it says 429 .slow down."),
        ("other json", "its JSON is no completions reply"),
    ],
)
def test_a_server_that_stays_broken_is_one_sentence_and_nothing_is_lost(name: str, says: str, tmp_path: Path) -> None:
    def script(body: dict[str, Any], number: int) -> Said:
        return echo(body, number) if body["prompt"] == "good" else BROKEN[name]

    with Scripted(script) as server:
        model = api(server.url, tmp_path / "a.sqlite", concurrency=1)
        with pytest.raises(UserError, match=f"after 3 attempts: {says}.*the same command goes on"):
            ask(model, "good", "bad")
        assert [body["prompt"] for body in server.bodies] == ["good", "bad", "bad", "bad"]
        assert ask(api(server.url, tmp_path / "a.sqlite"), "good") == ["GOOD\0"]
        assert len(server.bodies) == 4


def test_a_server_that_is_not_there_yet() -> None:
    with Scripted(echo) as server:
        url = server.url
    with pytest.raises(UserError, match=r"does not answer after 3 attempts: .*; cache=null has kept no answers"):
        ask(api(url), "a")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (
            (401, {}, b'{"error": {"message": "bad key %s"}}' % KEY.encode()),
            r"status 401: bad key \*\*\*; model.key_from",
        ),
        ((400, {}, b'{"error": {"message": "too long"}}'), "status 400: too long"),
        ((302, {"location": "http://elsewhere.example/"}, b""), "it points elsewhere, to http://elsewhere.example/"),
        ((429, {}, b'{"error": {"message": "pay", "code": "insufficient_quota"}}'), "no quota left .pay."),
        ((200, {}, b" " * (17 * 2**20)), "answers more than 16 MB"),
    ],
)
def test_what_another_attempt_would_not_mend_ends_at_once(
    said: Said, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with Scripted(lambda body, number: said) as server, pytest.raises(UserError, match=says) as caught:
        ask(api(server.url, key_from="MY_KEY"), "a")
    assert len(server.bodies) == 1 and KEY not in str(caught.value)


def test_the_key_goes_into_the_header_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with Scripted(echo) as server:
        model = api(server.url, tmp_path / "a.sqlite", key_from="MY_KEY")
        ask(model, "a")
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        ask(api(server.url), "b")
        assert "authorization" not in server.headers[1]
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert KEY.encode() not in written and KEY not in json.dumps([server.bodies, model.cost])


def test_the_key_is_a_variable_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    for variable, says in (("MY_KEY", "is not set"), (KEY, "must be the name of an environment variable")):
        with pytest.raises(UserError, match=says) as caught:
            key_of(variable)
        assert KEY not in str(caught.value)


def test_so_many_at_once_and_no_faster_than_allowed() -> None:
    both = threading.Barrier(4, timeout=5)

    def script(body: dict[str, Any], number: int) -> Said:
        both.wait()  # breaks unless four are there
        return echo(body, number)

    with Scripted(script) as server:
        ask(api(server.url, concurrency=4), *"abcdefgh")
        assert server.most_at_once == 4
    with Scripted(echo) as server:
        start = time.monotonic()
        ask(api(server.url, requests_per_minute=1200, concurrency=1), *"abcdef")  # 50 ms each, the first at once
        assert time.monotonic() - start >= 0.25
        start = time.monotonic()
        ask(api(server.url, tokens_per_minute=3000, concurrency=1), *"abc")  # 5 tokens each: 100 ms
        assert time.monotonic() - start >= 0.2


def test_a_server_says_how_long_to_wait() -> None:
    with Scripted(
        lambda body, number: (429, {"retry-after": "0.3"}, b"") if number == 0 else echo(body, number)
    ) as server:
        start = time.monotonic()
        ask(api(server.url), "a")
        assert 0.3 <= time.monotonic() - start < 3
    assert waits({"retry-after": "1000000"}) == 120 and waits({"retry-after": "soon"}) is None
    assert waits({"retry-after": "nan"}) is None
    assert waits({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


def test_refusals_are_counted_and_are_empty_answers() -> None:
    def chat(content: str | None, refusal: str | None = None, finish: str = "stop") -> bytes:
        message = {"role": "assistant", "content": content, "refusal": refusal}
        return json.dumps({"choices": [{"message": message, "finish_reason": finish}]}).encode()

    replies = [
        (200, {}, chat(None, "I cannot help with that.")),
        (200, {}, chat("", finish="content_filter")),
        (400, {}, b'{"error": {"message": "declined", "code": "content_filter"}}'),
        (200, {}, chat("x", finish="length")),
    ]
    with Scripted(lambda body, number: replies[number]) as server:
        model = api(server.url, protocol="chat", concurrency=1, system="Be brief.")
        assert ask(model, *"abcd") == ["\0", "", "", "x"]
        assert server.bodies[0]["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
        ]
    assert (model.cost["refused"], model.cost["cut at max_tokens"]) == (3, 1)


def test_what_it_cost_and_no_more() -> None:
    with Scripted(echo) as server:
        model = api(server.url, price_prompt=1000.0, price_answer=500_000.0, budget=1.5, concurrency=1)
        with pytest.raises(UserError, match=r"model.budget=1.5 is spent \(2.006\)"):
            ask(model, *"abcd")
    assert len(server.bodies) == 2 and model.client.spent == pytest.approx(2 * (3 * 0.001 + 2 * 0.5))


def test_more_of_the_request() -> None:
    with Scripted(echo) as server:
        ask(api(server.url, body={"temperature": None, "reasoning_effort": "low"}, stop=["\n\n"]), "a")
    assert server.bodies == [
        {"model": "m", "prompt": "a", "max_tokens": 9, "stop": ["\n\n"], "reasoning_effort": "low"}
    ]


def test_fields_of_a_request_are_given_as_the_guide_types_them() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "how_to" / "api.md").read_text(encoding="utf-8")
    typed = re.findall(r"`'(model\.body=.*?)'`", guide)
    bodies = [composed("evaluate", ["model=api", word]).model.body for word in typed]
    assert bodies == [
        {"reasoning_effort": "low"}, {"max_tokens": None, "max_completion_tokens": 4000, "temperature": None}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"protocol": "grpc"}, "model.protocol=grpc is unknown"),
        ({"concurrency": 0}, "model.concurrency=0 must be a whole number from 1"),
        ({"timeout": -1}, "model.timeout=-1 must be a number above 0"),
        ({"timeout": float("nan")}, "model.timeout=nan must be a number above 0"),
        ({"price_prompt": "x"}, "model.price_prompt=x must be a number from 0 on"),
        ({"price_answer": -1}, "model.price_answer=-1 must be a number from 0 on"),
        ({"stop": "END"}, "model.stop=END must be a list of texts"),
        ({"system": 5}, "model.system=5 must be a text"),
        ({"body": 5}, "model.body=5 must be fields of a request"),
        ({"grammar": "regexp"}, "model.grammar=regexp is unknown. Did you mean regex"),
        ({"url": "127.0.0.1:8000"}, "must be an address such as"),
        ({"url": "http://127.0.0.1:99999/v1"}, "must be an address such as"),
        ({"url": "http://me:word@host/v1"}, "name or password in it"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        api(**{"url": "http://127.0.0.1:1/v1", **settings})


def test_answers_on_disk(tmp_path: Path) -> None:
    answer = Answer(text="é\0\n", finish="stop", refused=True, prompt_tokens=5, answer_tokens=7)
    first, second = Answers(tmp_path / "x" / "a.sqlite"), Answers(tmp_path / "x" / "a.sqlite")
    first.keep(request_key("u", {"a": 1}), answer)
    assert second.find(request_key("u", {"a": 1})) == answer and second.find(request_key("v", {"a": 1})) is None
    (tmp_path / "b.sqlite").write_text("no database, but a text that is longer than the header of one" * 20)
    with pytest.raises(UserError, match="cannot be used"):
        Answers(tmp_path / "b.sqlite")
    for k in range(200):
        first.keep(request_key("u", {"a": k}), answer)
    first.close()
    second.close()
    with (tmp_path / "x" / "a.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 30_000)
    with pytest.raises(UserError, match=r"cannot be read .*; give another cache="):
        Answers(tmp_path / "x" / "a.sqlite").find(request_key("u", {"a": 1}))


def test_a_reply_is_read_with_care() -> None:
    clean: Callable[[str], str] = str
    assert read_answer('{"choices": [{"text": "a", "finish_reason": null}], "usage": null}', "completions", clean) == (
        Answer(text="a", finish="")
    )
    for text in ("null", "5", '{"choices": []}', '{"choices": [{"text": "a"}], "usage": {"prompt_tokens": -1}}'):
        with pytest.raises(Exception, match="no completions reply"):
            read_answer(text, "completions", clean)
