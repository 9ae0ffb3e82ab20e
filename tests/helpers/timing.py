"""How long something takes, measured so that what else the process does is not counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, work: Callable[[], Result], tries: int = 3) -> Result:
    """What ``work`` returns, if one of a few tries takes at most ``seconds`` of CPU of this thread.

    One try is not enough: a garbage collection among the objects that hundreds of earlier tests left may take a
    second by itself, and other threads of the process (servers, loaders) are not what is measured.

    Raises:
        AssertionError: Every try took longer.
    """
    spent = []
    for _ in range(tries):
        start = time.thread_time()
        result = work()
        spent.append(time.thread_time() - start)
        if spent[-1] <= seconds:
            return result
    raise AssertionError(f"allowed: {seconds} s of CPU; taken: {', '.join(f'{s:.4f}' for s in spent)}")
