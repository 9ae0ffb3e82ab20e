"""What of an evaluation of spatial scenes stands on a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physworld.reporting.leaderboard import Number, number
from physworld.runs.leaderboard import About

MODEL = "model"  # the row of the run itself
FIGURES = {  # name -> whether more is better
    "all_rules": True,
    "anchor": True,
    "parse": True,
    "direction_deg": False,
}


def numbers(metrics: Mapping[str, Any], about: About) -> list[Number]:
    """Shares of scenes that keep all rules, by axis and by how the answers are made; [] where the metrics are another
    system's."""
    found = []
    for axis, rows in metrics.get("axes", {}).items():
        for row, columns in rows.items():
            for column, figures in columns.items():
                for name, higher in FIGURES.items():
                    if name in figures and "low" in figures[name]:
                        name_of: dict[str, Any] = {
                            "board": f"Spatial scenes, split {metrics['measured']['split']}, axis {axis}",
                            "model": f"{about.model if row == MODEL else row}, {column}",
                            "reference": row != MODEL,
                        }
                        title = name.replace("_", " ")
                        found.append(number(figures[name], figure=title, higher=higher, **name_of))
    return found
