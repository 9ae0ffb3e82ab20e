"""What of an evaluation of video physics stands on a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physworld.reporting.leaderboard import Number, number
from physworld.runs.leaderboard import About

LORA = "lora"  # the row of the model itself
UNTRAINED, TRUTH = ("zero", "scalar"), "oracle"  # rows that depend on the clips alone
FIGURES = {  # of generated clips -> (title, unit, whether more is better)
    "centroid": ("centre against the simulator", "diameters", False),
    "gravity_error": ("error of g, relative", "", False),
    "restitution_error": ("error of restitution", "", False),
    "validity": ("clips that can be read", "", True),
}


def numbers(metrics: Mapping[str, Any], about: About) -> list[Number]:
    """Wrong clips taken for the likelier (PPE) and what generated clips show; [] where the metrics are another
    system's."""
    if "likelihood" not in metrics:
        return []
    split, found = metrics["measured"]["split"], []

    def who(row: str) -> dict[str, Any]:
        return {"model": about.model if row == LORA else row, "reference": row != LORA}

    same = " ".join(f"{row}={metrics['likelihood'][row]['v_mse']['mean']:.5g}" for row in UNTRAINED)
    for row, block in metrics["likelihood"].items():
        for kind, cell in block["violations"].items():
            title = f"PPE {kind.replace('_', ' ')}"
            found.append(
                number(
                    cell["ppe"], board=f"Video physics, split {split}, likelihood", figure=title, same=same, **who(row)
                )
            )
    for scenario, rows in metrics.get("generated", {}).items():
        seen = {name: rows[TRUTH][name] for name in FIGURES if rows[TRUTH][name] is not None}
        same = " ".join(f"{name}={figure['mean']:.5g}" for name, figure in seen.items())
        for row, figures in rows.items():
            for name, (title, unit, higher) in FIGURES.items():
                if name in figures and figures[name] is not None:
                    found.append(
                        number(
                            figures[name], board=f"Video physics, split {split}, generated {scenario}", figure=title,
                            unit=unit, higher=higher, same=same, **who(row),
                        )
                    )  # fmt: skip
    return found
