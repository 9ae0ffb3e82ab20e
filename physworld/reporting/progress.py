"""How far something is that takes minutes: a bar with rate and time left, or a line now and then without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

EVERY = 60.0  # s between two lines


def rate(speed: float) -> str:
    """`2.5/s`, or `30.0/min` where that is less than one a second."""
    return f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"


class Rate(ProgressColumn):
    """How many are done in a second or a minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(rate(speed) if speed else "")


class Lines:
    """`Evaluating: 64 of 512 · 30.0/min · 896 s left`, at most once a minute."""

    def __init__(self, what: str, total: int, every: float = EVERY) -> None:
        self.what, self.total, self.every = what, total, every
        self.done, self.begun = 0, time.monotonic()
        self.said = self.begun

    def __call__(self, done: int) -> None:
        self.done += done
        now = time.monotonic()
        if now - self.said < self.every or not self.done:
            return
        self.said = now
        speed = self.done / (now - self.begun)
        left = (self.total - self.done) / speed
        print(f"{self.what}: {self.done} of {self.total} · {rate(speed)} · {left:.0f} s left", flush=True)


@contextmanager
def bar(what: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """Yield what to call with the number of things that have just been done."""
    if not console.is_terminal:
        yield Lines(what, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.advance(task, done)
