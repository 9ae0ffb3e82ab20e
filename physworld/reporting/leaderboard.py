"""Evaluations side by side, whoever made them: a table for each set of cases, as Markdown, as a page and as CSV.

Two evaluations share a table when they asked the same (`Number.board`) of the same cases (`Number.same`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from physworld.io.atomic import replacing
from physworld.io.csv_file import write_csv
from physworld.reporting.charts import interval_bars, svg
from physworld.reporting.html import page
from physworld.reporting.markdown import fenced, header, plain, span, table
from physworld.types import Interval
from physworld.types.limits import range_fault

SHORT = 10  # letters of a commit in a table


@dataclass(frozen=True, kw_only=True)
class Number:
    """One figure of one model."""

    board: str  # what was asked
    model: str
    figure: str  # the first figure of a board is what its models are ranked by
    mean: float | None  # None = infinite
    low: float | None  # of the 95 % interval; None = infinite, or unknown
    high: float | None
    count: int  # cases behind it
    unit: str = ""
    higher: bool = False  # is better
    reference: bool = False  # a baseline, a control, the truth or a published figure
    same: str = ""  # differs where the cases do

    @property
    def title(self) -> str:
        return f"{self.figure}, {self.unit}" if self.unit else self.figure

    @property
    def interval(self) -> dict[str, float | None]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "count": self.count}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a number comes from."""

    folder: str
    command: str
    commit: str
    seeds: str


Entry = tuple[Number, Source]


def number(interval: Mapping[str, Any], **about: Any) -> Number:
    """A number from an interval as the systems write it: `mean`, `low`, `high`, and `count` or `n`.

    Raises:
        ValueError: one of them is none that a table can show.
    """
    count = interval["count"] if "count" in interval else interval["n"]
    refuse_odd({**interval, "count": count})
    return Number(mean=interval["mean"], low=interval["low"], high=interval["high"], count=count, **about)


def refuse_odd(interval: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: a part of an interval is of another kind, or its ends are the wrong way round.
    """
    for name in ("mean", "low", "high"):
        value = interval[name]
        if value is not None and (type(value) not in (int, float) or range_fault(value, signed=True)):
            raise ValueError(f"{name} of a number is {str(value)[:40]}, neither a finite number nor null")
    if interval["low"] is not None and interval["high"] is not None and interval["low"] > interval["high"]:
        raise ValueError(f"low of a number is {interval['low']}, above high, {interval['high']}")
    if type(interval["count"]) is not int or interval["count"] < 0:
        raise ValueError(f"count of a number is {interval['count']!r}, no whole number from 0 on")


def share(part: float, count: int, **about: Any) -> Number:
    """A share of `count` cases with Wilson's 95 % interval."""
    return Number(**asdict(Interval.of_share(part, count)), **about)


def boards(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Title -> its numbers, each once. Of two boards with one name and other cases, the later gets a number."""
    found: dict[str, dict[Entry, None]] = {}
    titles: dict[tuple[str, str], str] = {}
    for one, source in entries:
        key = (one.board, one.same)
        if key not in titles:
            every = (f"{one.board} ({place}, other cases)" for place in itertools.count(2))
            titles[key] = next(name for name in itertools.chain([one.board], every) if name not in titles.values())
        rows = found.setdefault(titles[key], {})
        if one.reference and any(known == one for known, _ in rows):
            continue  # baselines are the same in every evaluation of the same cases
        rows[one, source] = None
    return {title: list(rows) for title, rows in found.items()}


def _rows(entries: Sequence[Entry]) -> list[tuple[str, Source, dict[str, Number]]]:
    """(model, source, figure -> number), the best first."""
    grouped: dict[tuple[str, str, int], tuple[str, Source, dict[str, Number]]] = {}
    for one, source in entries:
        for again in itertools.count():  # a figure that a folder tells twice has two rows
            _, _, numbers = grouped.setdefault((one.model, source.folder, again), (one.model, source, {}))
            if one.title not in numbers:
                numbers[one.title] = one
                break
    first = entries[0][0]

    def place(row: tuple[str, Source, dict[str, Number]]) -> tuple[bool, float]:
        one = row[2].get(first.title)
        if one is None:
            return True, 0.0
        mean = math.inf if one.mean is None else one.mean
        return False, -mean if one.higher else mean

    return sorted(grouped.values(), key=place)


def markdown(entries: Sequence[Entry], command: str, commit: str) -> list[str]:
    """Every board as a table, best first, and below it where each row comes from."""
    parts = boards(entries)
    lines = header("Leaderboard", command, {"boards": len(parts), "made at commit": commit})
    lines += [
        "The best is first, in the first figure. Brackets hold 95 % intervals; *n* is how many cases are behind the "
        "first figure, and [n] behind another where it differs. *Italics* are no candidates: baselines, controls, "
        "truth, published figures.", "",
    ]  # fmt: skip
    for title, some in parts.items():
        figures = list(dict.fromkeys(one.title for one, _ in some))
        rows, made = [], dict[Source, list[str]]()
        for place, (model, source, numbers) in enumerate(_rows(some), start=1):
            lead = next(iter(numbers.values()))
            name = f"*{plain(model)}*" if lead.reference else f"**{plain(model)}**"
            cells = [_cell(numbers.get(figure), lead.count) for figure in figures]
            rows.append(
                [f"{place}. {name}", *cells, str(lead.count), plain(source.seeds), plain(source.commit[:SHORT])]
            )
            made.setdefault(source, []).append(str(place))
        lines += [f"## {plain(title)}", "", *table(["model", *figures, "n", "seeds", "commit"], rows)]
        for source, places in made.items():
            lines += [f"Of {plain(source.folder)}, rows {', '.join(places)}:", "", *fenced(source.command), ""]
    return lines


def _cell(one: Number | None, usual: int) -> str:
    if one is None:
        return "–"
    return span(one.interval) + (f" [{one.count}]" if one.count != usual else "")


def write(entries: Sequence[Entry], directory: Path, command: str, commit: str) -> list[Path]:
    """Write leaderboard.md, leaderboard.html and leaderboard.csv; returns their paths."""
    lines, charts = markdown(entries, command, commit), {}
    for title, some in boards(entries).items():
        first = some[0][0]
        known = [(model, source, row[first.title].interval) for model, source, row in _rows(some) if first.title in row]
        twice = Counter(model for model, *_ in known)
        shown: dict[str, dict[str, float | None]] = {}
        for model, source, interval in known:
            name = f"{model} ({source.folder})" if twice[model] > 1 else model
            several = itertools.chain([name], (f"{name}, {place}" for place in itertools.count(2)))
            shown[next(each for each in several if each not in shown)] = interval
        charts[f"{title}: {first.title}"] = svg(interval_bars({"": shown}, label=first.title))
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"leaderboard.{suffix}" for suffix in ("md", "html", "csv")]
    for path, text in zip(paths, ("\n".join(lines), page("\n".join(lines), charts)), strict=False):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    own = [f.name for f in fields(Number) if f.name not in ("board", "same")]
    where = [f.name for f in fields(Source)]
    write_csv(
        paths[2],
        ["board", *own, *where],
        [
            [title, *(vars(one)[name] for name in own), *(vars(source)[name] for name in where)]
            for title, some in boards(entries).items()
            for one, source in some
        ],
    )
    return paths
