"""Servers in a thread: one that answers as a test says, and the real one of `physworld serve`."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Said = tuple[int, dict[str, str], bytes] | None  # status, headers, body; None = the connection is closed


def completion(text: str, finish: str = "stop", prompt: int = 3, answer: int = 2) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": answer}
    return json.dumps({"choices": [{"text": text, "finish_reason": finish}], "usage": usage}).encode()


class Scripted:
    """An API of which every answer is what `script(body, number of the request)` says."""

    def __init__(self, script: Callable[[dict[str, Any], int], Said]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = self._now = 0
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    number = len(outer.bodies)
                    outer.bodies.append(body)
                    outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                    outer._now += 1
                    outer.most_at_once = max(outer.most_at_once, outer._now)
                said = script(body, number)
                with lock:
                    outer._now -= 1
                if said is None:
                    self.close_connection = True
                    return
                status, headers, content = said
                self.send_response(status)
                for key, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Serving:
    """`physworld serve` in a thread."""

    def __init__(self, service: Any) -> None:
        import uvicorn

        self.service = service
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/v1"
        config = uvicorn.Config(service.application(), log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        run = self.server.serve(sockets=[self.listening])
        self.thread = threading.Thread(target=asyncio.run, args=(run,), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)
        self.listening.close()
