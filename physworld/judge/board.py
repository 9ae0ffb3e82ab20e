"""What of judged clips stands on a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physworld.judge.controls import ORACLE, PLACEBO
from physworld.reporting.leaderboard import Number, number
from physworld.runs.leaderboard import About

OURS = "clips"


def numbers(summary: Mapping[str, Any], about: About) -> list[Number]:
    """Clips that keep the laws, clips that were discarded, and laws one by one; [] where the file is another's."""
    if "rows" not in summary or OURS not in summary["rows"]:
        return []
    found = []
    for row, part in summary["rows"].items():
        name = str(summary["measured"]["folder"]) if row == OURS else row
        where: dict[str, Any] = {
            "board": "Clips, judged", "model": Path(name).name if row not in (ORACLE, PLACEBO) else f"{row} of {name}",
            "reference": row in (ORACLE, PLACEBO),
        }  # fmt: skip
        if part["lawful"] is not None:
            found.append(number(part["lawful"], figure="keep every law", higher=True, **where))
        found.append(number(part["discard_rate"], figure="discarded", **where))
        for law, cell in part["laws"].items():
            found.append(number(cell, figure=law.replace("_", " "), higher=True, **where))
    return found
