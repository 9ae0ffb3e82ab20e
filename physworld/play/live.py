"""One page's live connection: what it says changes the two worlds, and frames go back as they are made.

Messages are JSON. From the page: {"do": "begin", "scene", "start"?, "model"}, "play", "pause", "step",
"back" {"frame"}, "speed" {"value"}, "hold" {"body", "x", "y"}, "release", "model" {"name"}, "read",
"world" {"gravity"?, "friction"?, "restitution"?}.
To the page: {"kind": "begun"}, "frame", "text", "scene", "why", "state" and "sentence". Whenever the world is another
one, "scene" says so and the frame that holds in it follows: after "back" and "world" what the page shows is that frame.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from physworld.errors import FormatError, UserError
from physworld.play.limits import SPEEDS
from physworld.play.reading import shown
from physworld.play.worlds import Hand, Worlds, packed, state_of
from physworld.science import Model
from physworld.text.codecs.scene_json import scene_from_dict, scene_to_dict


class Connection:
    """The worlds of one page."""

    def __init__(self, socket: WebSocket, models: Callable[[str], Model | None]) -> None:
        self.socket, self.models = socket, models
        self.worlds: Worlds | None = None
        self.running, self.speed = False, 1.0
        self.turn = asyncio.Lock()  # one step or one change at a time

    async def serve(self) -> None:
        """Until the page goes."""
        player = asyncio.create_task(self._play())
        try:
            while True:
                try:
                    message = await self.socket.receive_json()
                except (ValueError, KeyError, RecursionError):
                    await self.say("A message to the server was not JSON.")
                    continue
                async with self.turn:
                    await self._take(message)
        finally:
            player.cancel()

    async def say(self, sentence: str) -> None:
        await self.socket.send_json({"kind": "sentence", "text": f"{sentence.rstrip('.')}."})

    async def _take(self, message: Any) -> None:
        try:
            do = message["do"]
            if do == "begin":
                await self._begin(message)
            elif self.worlds is None:
                raise UserError("There is no scene yet.")
            elif do in ACTS:
                await ACTS[do](self, self.worlds, message)
            else:
                raise UserError(f"The server does not know {do!r:.40}.")
        except (UserError, FormatError, ValueError) as error:
            await self.say(str(error))
        except ArithmeticError:
            await self.say("A number in a message to the server is too large to compute with.")
        except (LookupError, TypeError, RecursionError):
            await self.say("A message to the server lacks something.")

    async def _begin(self, message: dict[str, Any]) -> None:
        self.running = False  # the page has stopped already, even if this scene is refused
        scene = scene_from_dict(message["scene"])
        start = message.get("start")
        state = None if start is None else state_of(start, len(scene.bodies))
        model = await run_in_threadpool(self.models, str(message.get("model", "none")))
        self.worlds = Worlds(scene, model, state)
        await self.socket.send_json({"kind": "begun", "scene": scene_to_dict(scene), "why": self.worlds.why})
        await self._show(self.worlds)

    async def _show_world(self, worlds: Worlds) -> None:
        """The scene, too: going back undoes a change of gravity, and a change ends the course that was."""
        await self.socket.send_json({"kind": "scene", "scene": scene_to_dict(worlds.scene)})
        await self._show(worlds)

    async def _show(self, worlds: Worlds) -> None:
        await self.socket.send_json(packed(worlds.now, len(worlds.moments) - 1))

    async def _play(self) -> None:
        """Steps at the chosen speed, or as fast as the model can."""
        due = time.monotonic()
        while True:
            if not self.running or self.worlds is None:
                await asyncio.sleep(0.01)
                due = time.monotonic()
                continue
            async with self.turn:
                if self.running:
                    await self._step()
                    due = max(due + self.worlds.scene.dt / self.speed, time.monotonic() - 0.1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _step(self) -> None:
        worlds, wrong = self.worlds, ""
        assert worlds is not None
        had = worlds.now.guess is not None
        try:
            await run_in_threadpool(worlds.step)
        except UserError as error:
            wrong = str(error)
        except Exception as error:  # a model may raise anything, and the player has nobody else to tell
            told = str(error).strip().splitlines()
            wrong = f"The next frame could not be made ({': '.join([type(error).__name__, *told[:1]])})"
        try:
            if wrong:
                self.running = False
                await self.say(wrong)
                await self.socket.send_json({"kind": "state", "running": False})
                return
            await self._show(worlds)
            if had and worlds.now.guess is None:
                await self.say("The model's answer made no sense, so it stops here; the simulator goes on.")
        except (WebSocketDisconnect, RuntimeError):  # the page is gone
            self.running = False

    async def run(self, _: Worlds, message: dict[str, Any]) -> None:
        self.running = message["do"] == "play"
        await self.socket.send_json({"kind": "state", "running": self.running})

    async def step(self, _: Worlds, message: dict[str, Any]) -> None:
        self.running = False
        await self._step()

    async def back(self, worlds: Worlds, message: dict[str, Any]) -> None:
        worlds.back_to(int(message["frame"]))
        await self._show_world(worlds)

    async def set_speed(self, _: Worlds, message: dict[str, Any]) -> None:
        self.speed = min(max(finite(message["value"], "speed"), SPEEDS[0]), SPEEDS[1])

    async def hold(self, worlds: Worlds, message: dict[str, Any]) -> None:
        worlds.hold(Hand(body=int(message["body"]), x=finite(message["x"], "x"), y=finite(message["y"], "y")))

    async def release(self, worlds: Worlds, _: dict[str, Any]) -> None:
        worlds.hold(None)

    async def change(self, worlds: Worlds, message: dict[str, Any]) -> None:
        gravity = message.get("gravity")
        pull = None if gravity is None else (finite(gravity[0], "gravity"), finite(gravity[1], "gravity"))
        surface = [message.get(name) for name in ("friction", "restitution")]
        worlds.change(pull, *[None if value is None else finite(value, "the surface") for value in surface])
        await self._show_world(worlds)

    async def choose(self, worlds: Worlds, message: dict[str, Any]) -> None:
        worlds.choose(await run_in_threadpool(self.models, str(message["name"])))
        await self.socket.send_json({"kind": "why", "why": worlds.why})
        await self._show(worlds)

    async def read(self, worlds: Worlds, message: dict[str, Any]) -> None:
        """The documents of a frame, or of the last one before it that had any."""
        frame = min(int(message.get("frame", len(worlds.moments))), len(worlds.moments) - 1)
        asked = [k for k in range(frame, -1, -1) if (said := worlds.moments[k].said) is not None and said.prompts]
        said = worlds.moments[asked[0]].said if asked else None
        empty = {"kind": "text", "documents": [], "more": 0}
        text = empty if said is None or worlds.model is None else await run_in_threadpool(shown, worlds.model, said)
        await self.socket.send_json({**text, "t": asked[0] if asked else frame})


ACTS: dict[str, Callable[[Connection, Worlds, dict[str, Any]], Any]] = {
    "play": Connection.run,
    "pause": Connection.run,
    "step": Connection.step,
    "back": Connection.back,
    "speed": Connection.set_speed,
    "hold": Connection.hold,
    "release": Connection.release,
    "world": Connection.change,
    "model": Connection.choose,
    "read": Connection.read,
}


def finite(value: Any, name: str) -> float:
    """
    Raises:
        UserError: it is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{name} must be a finite number.")
    return float(value)
