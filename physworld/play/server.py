"""The page's server: files of the page, scenes in and out, and one live connection for each page.

It answers only this machine (or the address that was typed), loads nothing from elsewhere, and takes files as data.
Every mistake, of a file or of a message, is one sentence that the page shows; what is on the page stays.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from physworld import scenarios
from physworld.drawing.render import comparison, render
from physworld.errors import FormatError, UserError
from physworld.io.images import gif_bytes
from physworld.io.ports import LOCAL, listening, names_of
from physworld.play import spatial
from physworld.play.export import choices
from physworld.play.live import Connection
from physworld.play.video import Studio, is_video
from physworld.play.worlds import state_of
from physworld.runs import directory as runs
from physworld.science import Model, load
from physworld.seeding import generator
from physworld.text.codecs.scene_json import scene_from_dict, scene_to_dict, write_jsonl
from physworld.text.codecs.yaml_scene import is_by_hand, read_yaml
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.sources.files import Row, is_table, read_scene
from physworld.types import Trajectory

PAGE = Path(__file__).parent / "page"
MAX_UPLOAD = 64 * 2**20  # bytes
LONGEST_NAME = 60  # letters, of up to 4 bytes, where a file system takes 255 bytes; the end, which says the kind
# Nothing comes from elsewhere, and no other page may put this one into a frame.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; connect-src 'self'; style-src 'self'; script-src 'self'; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}


class Models:
    """Models by name, each loaded once."""

    def __init__(self, given: Iterable[Path] = ()) -> None:
        """
        Args:
            given: run directories that are offered beside those under outputs/.
        """
        self.given = [str(run) for run in given if _is_text(run) and runs.brought_as(run) is None]
        self._loaded: dict[str, Model] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Runs of the package, those given, those of text physics under outputs/ (newest first); baselines."""
        found = [path.parents[1] for _, path in sorted(runs.written("model/config.json"), reverse=True)]
        own = list(dict.fromkeys([*self.given, *(str(run) for run in found if _is_text(run))]))
        return [*runs.BROUGHT, *own[:30], *BASELINES]

    def get(self, name: str) -> Model | None:
        """None is the name of no model.

        Raises:
            UserError: there is no such model.
        """
        if name == "none":
            return None
        with self._lock:
            if name not in self._loaded:
                if name not in self.names():  # a page may not name any folder of this machine
                    raise UserError(f"{name} is no model of this page; choose one of {', '.join(self.names())}.")
                self._loaded[name] = load(name)
            return self._loaded[name]


def _is_text(run: Path) -> bool:
    try:
        return bool(runs.read_config(run)["data"]["task"] == "text")
    except (UserError, KeyError, TypeError):
        return False


def application(hosts: tuple[str, ...] = LOCAL, given: Sequence[Path] = ()) -> Starlette:
    """The whole page as an ASGI application.

    Args:
        hosts: names under which it answers.
        given: run directories that are offered beside those under outputs/.
    """
    known, studio = Models(given), Studio(given)

    async def live(socket: WebSocket) -> None:
        if _foreign(socket.headers):
            await socket.close(code=1008)
            return
        await socket.accept()
        try:
            await Connection(socket, known.get).serve()
        except WebSocketDisconnect:
            return

    return Starlette(
        routes=[
            Route("/", lambda _: FileResponse(PAGE / "index.html", headers=HEADERS)),
            Route("/spatial", lambda _: FileResponse(PAGE / "spatial.html", headers=HEADERS)),
            Route("/api/spatial/choices", _sentenced(lambda _, __: spatial.choices())),
            *(
                Route(f"/api/spatial/{name}", _sentenced(_asked(do)), methods=["POST"])
                for name, do in (("scene", spatial.write), ("check", spatial.judge), ("repair", spatial.mend))
            ),
            Route("/video", lambda _: FileResponse(PAGE / "video.html", headers=HEADERS)),
            Route("/api/video/choices", _sentenced(lambda _, __: studio.choices())),
            Route("/api/video/job", _sentenced(lambda _, __: studio.job())),
            *(
                Route(f"/api/video/{name}", _sentenced(_asked(do)), methods=["POST"])
                for name, do in (("scene", studio.scene), ("make", studio.make), ("stop", studio.stop))
            ),
            Route("/api/choices", lambda _: JSONResponse(choices(known.names()))),
            Route("/api/draw", _sentenced(_draw)),
            Route("/api/check", _sentenced(_check), methods=["POST"]),
            Route("/api/open", _sentenced(_open), methods=["POST"]),
            Route("/api/save", _sentenced(_save), methods=["POST"]),
            WebSocketRoute("/live", live),
            Mount("/page", _Page(directory=PAGE)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
    )


class _Page(StaticFiles):
    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers.update(HEADERS)
        return response


def _foreign(headers: Headers) -> bool:
    """Whether another page of this browser asks."""
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")


def _sentenced(do: Callable[[Request, bytes], Any]) -> Callable[[Request], Any]:
    """An endpoint whose mistakes are {"sentence": ...} with status 400."""

    async def endpoint(request: Request) -> Response:
        if _foreign(request.headers):
            return _sentence("This server answers its own page alone.", 403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_UPLOAD:
                return _sentence(
                    f"The file is larger than {MAX_UPLOAD // 2**20} MB; the page takes no larger one.", 413
                )
        try:
            answer = await run_in_threadpool(do, request, body)
        except (UserError, FormatError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            return _sentence(sentence_of(error))
        return answer if isinstance(answer, Response) else JSONResponse(answer, headers=HEADERS)

    return endpoint


def _sentence(text: str, status: int = 400) -> Response:
    return JSONResponse({"sentence": text}, status_code=status, headers=HEADERS)


def sentence_of(error: Exception) -> str:
    """What the page shows of a mistake."""
    if isinstance(error, UserError | FormatError | ValueError):
        return f"{str(error).strip().splitlines()[0].rstrip('.')}." if str(error).strip() else "This cannot be read."
    if isinstance(error, KeyError):
        return f"The request has no {error}."
    return "The request is not as the page writes it."


def _asked(do: Callable[[Any], dict[str, Any]]) -> Callable[[Request, bytes], dict[str, Any]]:
    """An endpoint that takes a JSON object."""

    def endpoint(_: Request, body: bytes) -> dict[str, Any]:
        asked = _json(body)
        if not isinstance(asked, dict):
            raise FormatError("this JSON is no object")
        return do(asked)

    return endpoint


def _draw(request: Request, _: bytes) -> dict[str, Any]:
    """A scene of a type: ?type=, difficulty=, index=."""
    asked = request.query_params
    name, difficulty, index = asked.get("type", ""), asked.get("difficulty", "2"), asked.get("index", "0")
    if not difficulty.isdigit() or not index.isdigit() or int(index) >= 2**31:
        raise UserError("difficulty must be 1 to 5, and index a whole number.")
    return {"scene": scene_to_dict(scenarios.build(name, generator(0, "val", int(index)), int(difficulty)))}


def _json(body: bytes) -> Any:
    def refuse(constant: str) -> Any:
        raise FormatError(f"{constant} is not a finite number")

    try:
        return json.loads(body, parse_constant=refuse)
    except RecursionError:
        raise FormatError("this JSON is nested too deeply") from None
    except FormatError:
        raise
    except ValueError:
        raise FormatError("this is not valid JSON") from None


def _check(_: Request, body: bytes) -> dict[str, Any]:
    """A scene as the page (or a URL) has it, checked and made whole."""
    return {"scene": scene_to_dict(scene_from_dict(_json(body)))}


def _open(request: Request, body: bytes) -> dict[str, Any]:
    """A file of scenes, by its name's suffix; what is read is the scene and where its bodies were."""
    name = Path(request.query_params.get("name", "")).name[-LONGEST_NAME:]
    if name in ("", ".."):
        name = "scene.jsonl"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(body)
        try:
            if is_by_hand(path):
                return {"scene": scene_to_dict(read_yaml(path)), "frames": 0}
            run = read_scene(Row(path, 0) if is_table(path) else path)
        except FormatError as error:
            raise FormatError(str(error).replace(f"{folder}/", "")) from None
    first = run.frame(0)
    return {
        "scene": scene_to_dict(run.scene),
        "frames": len(run),
        "start": np.column_stack([first.position, first.angle, first.velocity, first.spin]).tolist(),
    }


def _save(_: Request, body: bytes) -> Response:
    """{"as": jsonl or gif, "scene": ..., "truth": [T][N][6], "guess": the same or null} as a file."""
    asked = _json(body)
    scene = scene_from_dict(asked["scene"])

    def trajectory(rows: Any) -> Trajectory:
        return Trajectory.of(scene, [state_of(frame, len(scene.bodies)) for frame in rows])

    truth = trajectory(asked["truth"])
    guess = trajectory(asked["guess"]) if asked["guess"] else None
    with tempfile.TemporaryDirectory() as folder:
        if asked["as"] == "jsonl":
            path = Path(folder) / "scene.jsonl"
            write_jsonl(path, truth)
            return Response(path.read_bytes(), media_type="application/x-ndjson", headers=HEADERS)
    if asked["as"] != "gif":
        raise UserError("A page saves jsonl or gif.")
    every = 2
    if guess is None:
        frames = render(truth, every=every)
    else:
        shared = min(len(truth), len(guess))
        frames = comparison(truth.window(0, shared), guess.window(0, shared), size=(300, 225), every=every)
    return Response(gif_bytes(frames, 1 / scene.dt / every), media_type="image/gif", headers=HEADERS)


def serve(host: str, port: int, ready: Callable[[str], None], given: Sequence[Path] = ()) -> None:
    """Serve the page until Ctrl-C.

    Args:
        given: run directories that are offered beside those under outputs/.

    Raises:
        UserError: the port is taken, or the page has no place for a run that is given.
    """
    import torch
    import uvicorn

    for run in given:
        task = runs.task_of(run)
        if not _is_text(run) and not is_video(run):
            raise UserError(
                f"{run} is a run of task={task}, which the page cannot show; it shows runs of text physics and video "
                "runs that were tuned on simulated clips."
            )
    torch.set_num_threads(1)  # one short document at a time: more threads wait for each other
    with listening(host, port) as (place, address):
        config = uvicorn.Config(
            application(names_of(host), given), log_level="warning", ws="websockets-sansio", ws_max_size=MAX_UPLOAD,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        ready(f"{address}/")
        asyncio.run(uvicorn.Server(config).serve(sockets=[place]))
