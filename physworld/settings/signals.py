"""Ctrl-C, and SIGTERM of `timeout` or of a batch system, end a command: what it had not finished is taken away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

from physworld.errors import first_line

_heard: list[int] = []  # signals that asked this command to end


class Terminated(KeyboardInterrupt):
    """SIGTERM."""


def note(number: int) -> None:
    """Remember a signal that asks the command to end. What it raises may be lost in a library's callback from C, as
    numba's while it compiles; the library then fails in words of its own."""
    _heard.append(number)


def exit_code(error: BaseException) -> int | None:
    """128 and the signal's number, where an exception is how a signal ended the command; else None."""
    if isinstance(error, KeyboardInterrupt):
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    return 128 + _heard[-1] if _heard and isinstance(error, RuntimeError) else None


def said(error: BaseException) -> str:
    """The sentence for it."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "Stopped."
    return f"Stopped ({first_line(error).rstrip('.')})."


@contextmanager
def listening() -> Iterator[None]:
    """Within the block SIGTERM raises Terminated; it and Ctrl-C are remembered."""
    if current_thread() is not main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        note(number)
        if number == signal.SIGTERM:
            raise Terminated
        signal.default_int_handler(number, frame)

    previous = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in the background it may be ignored
        previous[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    _heard.clear()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
