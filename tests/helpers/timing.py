"""How long something takes, measured so that neither the machine nor what else the process does is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

REFERENCE = 0.02  # seconds of CPU that `_yardstick` takes on the core whose seconds the bounds are written in


def within(seconds: float, work: Callable[[], Result], tries: int = 3) -> Result:
    """What ``work`` returns, if one of a few tries takes at most ``seconds`` of CPU of this thread.

    The seconds are those of a fixed core: beside each try a fixed piece of Python is timed, and where that takes
    three times as long (an older machine, a neighbour on the same core), so may the work. One try is not enough: a
    garbage collection among the objects that hundreds of earlier tests left may take a second by itself, and other
    threads of the process (servers, loaders) are not what is measured.

    Raises:
        AssertionError: Every try took longer.
    """
    spent = []
    for _ in range(tries):
        before, (result, taken), after = _timed(_yardstick)[1], _timed(work), _timed(_yardstick)[1]
        spent.append(taken / max(1.0, (before + after) / (2 * REFERENCE)))
        if spent[-1] <= seconds:
            return result
    taken = ", ".join(f"{second:.4f}" for second in spent)
    raise AssertionError(f"allowed: {seconds} s of CPU of the reference core; taken: {taken}")


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.thread_time()
    result = work()
    return result, time.thread_time() - start


def _yardstick() -> dict[int, int]:
    """Plain Python as samples are made of it: dictionaries, sums, a loop."""
    counts: dict[int, int] = {}
    for number in range(300_000):
        counts[number % 997] = counts.get(number % 991, 0) + number
    return counts
