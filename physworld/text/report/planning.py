"""Tables of `suite=planning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from physworld.metrics.scores import MODEL
from physworld.reporting.markdown import plain, span, table

LABELS = {MODEL: "model", "truth": "the simulator itself", "chance": "any order, expected", "copy_last": "copy-last"}
FIGURES = {
    "solved@1": "solved at the 1st attempt",
    "solved@3": "within 3",
    "solved@10": "within 10",
    "auccess": "AUCCESS",
    "foreseen": "outcomes foreseen",
}
# Virtual Tools: shares of people, and of runs of its authors' model SSUP, that had solved a level within so many
# attempts, means over levels. Counted from data/ of github.com/k-r-allen/tool-games (94 people on 21 original levels,
# 50 on 10 for validation; 250 runs a level). They put tools where they like, so these are no rows of the same table.
PUBLISHED = {
    "people, original levels": (0.31, 0.59, 0.78),
    "people, validation levels": (0.21, 0.51, 0.72),
    "SSUP, original levels": (0.42, 0.59, 0.77),
    "SSUP, validation levels": (0.37, 0.49, 0.64),
}


def planning_section(summary: Mapping[str, Any]) -> list[str]:
    """What was solved by whose rollouts; nothing for other suites."""
    if "planning" not in summary:
        return []
    found = summary["planning"]
    lines = [
        "## Planning", "",
        f"{len(found['levels'])} puzzles; of each {found['actions']} actions, the same for everybody, at most a "
        "quarter of which work. They are tried in the order of what the planner's own rollouts foresee. Intervals are "
        "over puzzles. Who foresees nothing is at *any order*; AUCCESS weighs the k-th attempt by ln(k+1) − ln(k).", "",
    ]  # fmt: skip
    shown = {figure: title for figure, title in FIGURES.items() if figure in found["rows"][MODEL]}
    rows = [
        [LABELS.get(name, name.replace("_", " ")), *(span(row.get(figure)) for figure in shown)]
        for name, row in found["rows"].items()
    ]
    lines += table(["planner", *shown.values()], rows)
    if any(name.startswith("virtual_tools") for name in summary["scenarios"]):
        lines += ["Published, with tools placed freely:", ""]
        lines += table(
            ["who", "solved at the 1st attempt", "within 3", "within 10"],
            [[who, *(f"{share:.2f}" for share in shares)] for who, shares in PUBLISHED.items()],
        )
    for name, why in found["left_out"].items():
        lines.append(f"- left out: {plain(name)} ({plain(why)})")
    return [*lines, ""] if found["left_out"] else lines
