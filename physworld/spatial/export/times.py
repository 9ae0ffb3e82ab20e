"""Times of ADM: whole ticks of 10 µs, so that a block ends exactly where the next one begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from physworld.spatial.scene.terms import Pose

TICKS = 100_000  # a second, as ADM writes times with five decimals
START = 100  # ticks (1 ms): a moving object's first block, which puts it at its first keyframe
_TIME = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})(?:\.(\d+)(?:S(\d+))?)?", re.ASCII)


def ticks_of(samples: int, rate: int) -> int:
    """Length of a section, at least one tick."""
    return max(1, round(Fraction(samples * TICKS, rate)))


def time_text(ticks: int) -> str:
    """`00:00:01.50000`."""
    seconds, rest = divmod(ticks, TICKS)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:05d}"


def seconds_of(text: str) -> Fraction:
    """A time of ADM: with decimals, or with samples of a rate as in BS.2076-2 (`00:00:01.24000S48000`).

    Raises:
        ValueError: it is neither.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time")
    hours, minutes, seconds, part, rate = found.groups()
    whole = Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds))
    if part is None:
        return whole
    if rate is None:
        return whole + Fraction(int(part), 10 ** len(part))
    if int(rate) == 0:
        raise ValueError(f"{text[:40]!r} counts samples of no rate")
    return whole + Fraction(int(part), int(rate))


def blocks(path: Sequence[tuple[float, Pose]], total: int) -> list[tuple[int, int, Pose]]:
    """(begin, duration, pose at the end), ticks, of a path of at least two points; they fill 0..total without a gap.

    An object rests before its first point and after its last one. Where two points share a tick (a jump, or more
    keyframes than a very short section has ticks) the later one comes a tick later, and the last ones win.
    """
    first = max(1, min(START, total // 250))  # short enough to be read as t = 0 on the grid of keyframes
    ends: list[tuple[int, Pose]] = []
    for t, pose in path:
        tick = round(t * total)
        ends.append((max(tick, ends[-1][0] + 1) if ends else (tick or first), pose))
    ends = ends[-total:]
    limit = total
    for k in reversed(range(len(ends))):
        ends[k] = min(ends[k][0], limit), ends[k][1]
        limit = ends[k][0] - 1
    if ends[-1][0] < total:
        ends.append((total, ends[-1][1]))
    begins = [0, *(tick for tick, _ in ends)]
    return [(begin, tick - begin, pose) for begin, (tick, pose) in zip(begins, ends, strict=False)]
