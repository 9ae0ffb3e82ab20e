"""What of judged clips stands on a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physworld.judge.controls import ORACLE, PLACEBO
from physworld.judge.summary import OURS
from physworld.reporting.leaderboard import Number, number
from physworld.runs.leaderboard import About


def numbers(summary: Mapping[str, Any], about: About) -> list[Number]:
    """Clips that keep the laws, clips that were discarded, and laws one by one; [] where the file is another's.

    Every folder has its own clips, so the cases of a row are not those of the next.
    """
    if "rows" not in summary or OURS not in summary["rows"]:
        return []
    found = []
    folder = str(summary["measured"]["folder"])
    for row, part in summary["rows"].items():
        control = row in (ORACLE, PLACEBO)
        name = f"{row} of {folder}" if control else folder if row == OURS else str(summary["against"])
        where: dict[str, Any] = {"board": "Clips, judged", "model": name, "reference": control}
        if part["lawful"] is not None:
            found.append(number(part["lawful"], figure="keep every law", higher=True, **where))
        found.append(number(part["discard_rate"], figure="discarded", **where))
        for law, cell in part["laws"].items():
            found.append(number(cell, figure=law.replace("_", " "), higher=True, **where))
    return found
