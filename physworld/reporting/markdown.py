"""Figures, intervals and tables as Markdown, the same in the reports of every system. Input is plain JSON data.

An interval is a mapping with `mean`, `low` and `high`; None in it stands for infinity, as JSON has none. How many
samples are behind it is its `n` or `count`, if it has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def figure(value: float | None, form: str = "") -> str:
    """A number in `form` (as in Python's format); without one, with three figures or so; None is infinite."""
    if value is None:
        return "∞"
    if form:
        return format(value, form)
    size = abs(value)
    if size and size < 0.01:
        return f"{value:.4f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def no_bounds(interval: Mapping[str, Any]) -> bool:
    """A figure from single samples; an infinite one has no bounds either, but it has no figure."""
    return interval["mean"] is not None and interval["low"] is None and interval["high"] is None


def single(interval: Mapping[str, Any]) -> bool:
    """One sample is behind it: its resamples are all alike, and say nothing of how sure it is."""
    return 1 in (interval.get("n"), interval.get("count")) and interval["low"] == interval["high"]


def span(interval: Mapping[str, Any] | None, form: str = "", scale: float = 1.0) -> str:
    """`12.3 (11.0–13.5)`, times `scale`; `12.3` where there are no bounds, `12.3 (n = 1)` where one sample has none to
    show, `–` where there is nothing."""
    if interval is None:
        return "–"
    if single(interval) and interval["mean"] is not None:
        return f"{figure(scale * interval['mean'], form)} (n = 1)"
    mean, low, high = (None if interval[part] is None else scale * interval[part] for part in ("mean", "low", "high"))
    if no_bounds(interval):
        return figure(mean, form)
    return f"{figure(mean, form)} ({figure(low, form)}–{figure(high, form)})"


def plain(text: str) -> str:
    """A name that a user gave, as Markdown that shows it letter by letter."""
    signs = r"[\\`*\[\]<>|]|(?<!\w)_+|_+(?!\w)"
    return re.sub(signs, lambda found: re.sub("(.)", r"\\\1", found[0]), " ".join(text.splitlines()))


def fenced(text: str) -> list[str]:
    """Lines of a block of code; its fence is longer than any in the text."""
    fence = "`" * max(3, *(1 + len(run) for run in re.findall("`+", text)), 3)
    return [fence, text, fence]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, its first column to the left; an empty line ends it. A cell may hold any sign, `|` too."""
    align = [":--", *["--:"] * (len(head) - 1)]
    return ["| " + " | ".join(map(_cell, cells)) + " |" for cells in (head, align, *rows)] + [""]


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.splitlines()))


def header(title: str, command: str, measured: Mapping[str, Any]) -> list[str]:
    """The head of every report: what to type to get it again, and what was measured.

    Args:
        measured: split, seed, commit, cost and whatever else belongs to it; numbers get their thousands apart.
    """
    facts = [f"- {name}: {_fact(value)}" for name, value in measured.items()]
    return [f"# {plain(title)}", "", *fenced(command), "", *facts, ""]


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else plain(str(value))
