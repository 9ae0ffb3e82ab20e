"""`physworld serve`: completions and chat completions as OpenAI's clients and `model=api` ask for them.

https://platform.openai.com/docs/api-reference/completions and .../chat. A run answers as it does in process, to the
token: the likeliest answer, unless a request names a temperature.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from physworld.io.ports import LOCAL, listening, names_of
from physworld.serve.asked import Asked, read, refuse_model
from physworld.serve.batches import Batches, Job, Unreadable
from physworld.serve.served import ANY_LENGTH, Prompt, Refused, Served

MOST_BYTES = 16 * 2**20  # of a request
MOST_WAITING = 512  # requests; later ones are told to come again
LOOK = 0.5  # s between looks whether the client is still there


class Service:
    """One model and everybody who asks it."""

    def __init__(self, served: Served, name: str, *, batch: int = 16, key: str | None = None) -> None:
        """
        Args:
            name: of the model in requests.
            batch: most answers side by side.
            key: that requests must bring; None = none.
        """
        self.served, self.name, self._key = served, name, key
        self.batches = Batches(served.model, served.end_id, served.size, most_rows=batch, most_waiting=MOST_WAITING)
        self._reader = ThreadPoolExecutor(1)  # tokenizers and grammars keep things: one request at a time
        self._since = int(time.time())

    def application(self, hosts: tuple[str, ...] = LOCAL) -> Starlette:
        model = {"id": self.name, "object": "model", "created": self._since, "owned_by": "physworld"}

        def models(request: Request) -> Response:
            self._admit(request)
            asked = request.path_params.get("name")
            if not asked:
                return JSONResponse({"object": "list", "data": [model]})
            refuse_model(asked, self.name)
            return JSONResponse(model)

        async def completions(request: Request) -> Response:
            return await self._answer(request, chat=False)

        async def chat(request: Request) -> Response:
            return await self._answer(request, chat=True)

        return Starlette(
            routes=[
                Route("/health", lambda _: JSONResponse({"answered": self.batches.answered})),
                Route("/v1/models", _told(models)),
                Route("/v1/models/{name:path}", _told(models)),  # a name may hold slashes
                Route("/v1/completions", _told(completions), methods=["POST"]),
                Route("/v1/chat/completions", _told(chat), methods=["POST"]),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
            exception_handlers={HTTPException: _no_endpoint},
        )

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._key is not None and not hmac.compare_digest(given.encode(), self._key.encode()):
            raise Refused("The key is missing or wrong.", status=401, code="invalid_api_key")

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        self._admit(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # which a page of another site cannot send unasked
            raise Refused("The request must have the content type application/json.", status=415)
        body = await _json(request)
        loop = asyncio.get_running_loop()
        asked, jobs, parts = await loop.run_in_executor(self._reader, self._jobs, body, chat, loop)
        reply = Reply(self.served, self.name, asked, jobs, parts, chat=chat)
        for job in jobs:
            if not self.batches.put(job):
                reply.leave()
                raise Refused("Too many requests wait already; come again.", status=429, code="busy")
        if asked.stream:
            return StreamingResponse(
                reply.events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
            )
        whole = asyncio.ensure_future(reply.whole())
        try:
            while not (await asyncio.wait([whole], timeout=LOOK))[0]:
                if await request.is_disconnected():
                    raise ClientDisconnect
            return JSONResponse(whole.result())
        finally:
            whole.cancel()
            reply.leave()

    def _jobs(self, body: Any, chat: bool, loop: asyncio.AbstractEventLoop) -> tuple[Asked, list[Job], list[Any]]:
        """What is asked, the work of it, and where each answer's tokens will come."""
        asked = read(body, self.served, self.name, chat=chat)
        jobs, parts = [], []
        for prompt in asked.prompts:
            here: asyncio.Queue[list[int]] = asyncio.Queue()
            guide = self.served.guide(prompt, asked.grammar)
            job = Job(prompt=prompt.ids, most=self._most(prompt, asked.most), guide=guide, tell=_sender(loop, here))
            job.temperature, job.seed = asked.temperature, asked.seed
            jobs.append(job)
            parts.append(here)
        return asked, jobs, parts

    def _most(self, prompt: Prompt, asked: int | None) -> int:
        """Tokens of an answer."""
        room, given = self.served.model.max_length, len(prompt.ids)
        left = ANY_LENGTH if room is None else room - given
        if left < 1 or (room is not None and asked is not None and asked > left):
            raise Refused(
                f"This model reads {room} tokens of prompt and answer together; {given} and {asked or 1} are more.",
                "max_tokens",
                code="context_length_exceeded",
            )
        return left if asked is None else asked


def _sender(loop: asyncio.AbstractEventLoop, here: asyncio.Queue[list[int]]) -> Callable[[list[int]], None]:
    def send(tokens: list[int]) -> None:
        with suppress(RuntimeError):  # the server has been stopped
            loop.call_soon_threadsafe(here.put_nowait, tokens)

    return send


class Reply:
    """The answers to one request, in the words of the protocol."""

    def __init__(
        self,
        served: Served,
        name: str,
        asked: Asked,
        jobs: list[Job],
        parts: list[asyncio.Queue[list[int]]],
        *,
        chat: bool,
    ) -> None:
        self._served, self._asked, self._jobs, self._parts, self._chat = served, asked, jobs, parts, chat
        self._head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}", "created": int(time.time()), "model": name
        }  # fmt: skip

    def leave(self) -> None:
        """Nobody waits for the answers any more: those that are not there yet end."""
        for job in self._jobs:
            job.left = True

    async def whole(self) -> dict[str, Any]:
        found = await asyncio.gather(*map(self._finished, range(len(self._jobs))))
        choices = []
        for index, (text, finish, _) in enumerate(found):
            said = (
                {"message": {"role": "assistant", "content": text, "refusal": None}} if self._chat else {"text": text}
            )
            choices.append({"index": index, **said, "logprobs": None, "finish_reason": finish})
        kind = "chat.completion" if self._chat else "text_completion"
        usage = self._usage(sum(count for _, _, count in found))
        return {**self._head, "object": kind, "choices": choices, "usage": usage}

    async def _finished(self, index: int) -> tuple[str, str, int]:
        """(text, why it ended, tokens of an answer)."""
        parts = [part async for part in self._texts(index)]
        return "".join(text for text, _, _ in parts), *parts[-1][1:]

    async def _texts(self, index: int) -> AsyncIterator[tuple[str, str, int]]:
        """New text of an answer, with '' until the last time, and then with why it ended and its tokens."""
        job, prompt, here = self._jobs[index], self._asked.prompts[index], self._parts[index]
        done = asyncio.ensure_future(asyncio.wrap_future(job.answer))
        ids: list[int] = []
        sent = ""
        try:
            while not done.done():
                coming = asyncio.ensure_future(here.get())
                await asyncio.wait([coming, done], return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    break
                ids += coming.result()
                while not here.empty():
                    ids += here.get_nowait()
                if not self._asked.stream and not self._asked.stop:
                    continue
                text = self._served.text(prompt, np.array(ids, np.int64), whole=False)
                if (cut := _stopped(text, self._asked.stop)) is not None:
                    job.left = True
                    yield cut.removeprefix(sent), "stop", len(ids)
                    return
                text = text[: len(text) - _held(text, self._asked.stop)]
                if len(text) > len(sent) and text.startswith(sent):
                    yield text[len(sent) :], "", 0
                    sent = text
            answer = await done
            text = self._served.text(prompt, answer, whole=True)
            ended = bool((answer == self._served.end_id).any())
            cut = _stopped(text, self._asked.stop)
            yield (
                (text if cut is None else cut)[len(sent) :],
                "stop" if ended or cut is not None else "length",
                len(answer),
            )
        finally:
            done.cancel()

    async def events(self) -> AsyncIterator[str]:
        """The same as events of a stream; an error in the middle is one of them."""
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        count = 0

        def event(choices: list[dict[str, Any]], **more: Any) -> str:
            return f"data: {json.dumps({**self._head, 'object': kind, 'choices': choices, **more})}\n\n"

        try:
            for index in range(len(self._jobs)):
                if self._chat:
                    first = {"role": "assistant", "content": ""}
                    yield event([{"index": index, "delta": first, "logprobs": None, "finish_reason": None}])
                async for text, finish, tokens in self._texts(index):
                    said = {"delta": {"content": text}} if self._chat else {"text": text}
                    yield event([{"index": index, **said, "logprobs": None, "finish_reason": finish or None}])
                    count += tokens
            if self._asked.usage:
                yield event([], usage=self._usage(count))
        except Unreadable as unread:  # the status has been sent already
            yield f"data: {json.dumps(_error(str(unread), 'invalid_request_error', unread.field))}\n\n"
        except Exception as error:
            yield f"data: {json.dumps(_error(_broken(error), 'server_error'))}\n\n"
        finally:
            self.leave()
        yield "data: [DONE]\n\n"

    def _usage(self, answer: int) -> dict[str, int]:
        prompt = sum(len(job.prompt) for job in self._jobs)
        return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _stopped(text: str, stop: tuple[str, ...]) -> str | None:
    """The text before the first of the words that end it; None: none is there."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else None


def _held(text: str, stop: tuple[str, ...]) -> int:
    """How many last characters may be the beginning of a word that ends the text."""
    lengths = [k for word in stop for k in range(1, len(word)) if text.endswith(word[:k])]
    return max(lengths, default=0)


async def _json(request: Request) -> Any:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refused(f"The request is larger than {MOST_BYTES // 2**20} MB.", status=413)
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("The request holds half a character (a surrogate without its other half).") from None
    except (ValueError, RecursionError):
        raise Refused("The request is no JSON.") from None
    return found


def _error(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _no_endpoint(request: Request, error: Exception) -> Response:
    """An address, or a method of one, that is not there."""
    assert isinstance(error, HTTPException)
    path = f"{request.url.path:.80}"
    takes = [one for one in (error.headers or {}).get("Allow", "").split(", ") if one not in ("", "HEAD")]
    said = f"{path} takes {takes[0]}, not {request.method}." if takes else f"There is no {path} here."
    content = _error(said, "invalid_request_error")
    return JSONResponse(content, status_code=error.status_code, headers=error.headers)


def _broken(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"The model failed ({lines[0][:200] if lines else type(error).__name__})."


def _told(do: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """An endpoint whose mistakes are errors of the protocol."""

    async def endpoint(request: Request) -> Response:
        try:
            found = do(request)
            return found if isinstance(found, Response) else await found
        except Refused as refused:
            kind = "authentication_error" if refused.status == 401 else "invalid_request_error"
            headers = {"Retry-After": "1"} if refused.status == 429 else None
            content = _error(str(refused), kind, refused.param, refused.code)
            return JSONResponse(content, status_code=refused.status, headers=headers)
        except Unreadable as unread:
            content = _error(str(unread), "invalid_request_error", unread.field)
            return JSONResponse(content, status_code=400)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # of a network, of many kinds; the server goes on
            return JSONResponse(_error(_broken(error), "server_error"), status_code=500)

    return endpoint


def serve(service: Service, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Answer until Ctrl-C.

    Raises:
        UserError: the port is taken.
    """
    import uvicorn

    with listening(host, port) as (place, address):
        ready(f"{address}/v1")
        config = uvicorn.Config(service.application(names_of(host)), log_level="warning", timeout_graceful_shutdown=1)
        asyncio.run(uvicorn.Server(config).serve(sockets=[place]))
