"""Ctrl-C, and SIGTERM or SIGUSR1 of a batch system, end a command: what it had not finished is taken away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

from physworld.errors import first_line

_heard: list[int] = []  # signals that asked this command to end


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGUSR1."""


def note(number: int) -> None:
    """Remember a signal that asks the command to end. What it raises may be lost in a library's callback from C, as
    numba's while it compiles; the library then fails in words of its own."""
    _heard.append(number)


def exit_code(error: BaseException) -> int | None:
    """130 or 143, where an exception is how Ctrl-C or another signal ended the command; else None."""
    if isinstance(error, KeyboardInterrupt):
        return 143 if isinstance(error, Terminated) else 130
    if _heard and isinstance(error, RuntimeError):
        return 130 if _heard[-1] == signal.SIGINT else 143
    return None


def said(error: BaseException) -> str:
    """The sentence for it."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "Stopped."
    return f"Stopped ({first_line(error).rstrip('.')})."


@contextmanager
def listening() -> Iterator[None]:
    """Within the block SIGTERM and SIGUSR1 raise Terminated; they and Ctrl-C are remembered."""
    if current_thread() is not main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        note(number)
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        raise Terminated

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in the background it may be ignored
        previous[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    _heard.clear()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
