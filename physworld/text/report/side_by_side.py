"""One report above those of several candidates: who is best, all curves in one chart, where the details are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from physworld.io.names import safe_name
from physworld.metrics.scores import MODEL
from physworld.reporting.markdown import header, plain
from physworld.reporting.report import write_report
from physworld.runs import directory as runs
from physworld.text.evaluation.evaluation import EvalResult
from physworld.text.evaluation.ranking import rank
from physworld.text.report.charts import horizon_chart
from physworld.text.report.laws import laws_side_by_side
from physworld.text.report.sections import ranking_section


def write_ranking(
    directory: Path,
    results: Mapping[str, EvalResult],
    horizons: Sequence[int],
    *,
    command: str,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Write ranking.json, report.md and report.html; returns the ranking at the last horizon."""
    rankings = [rank({name: result.rows for name, result in results.items()}, h) for h in horizons]
    lines = header("Models side by side", command, measured)
    lines += laws_side_by_side({name: result.summary for name, result in results.items()})
    for ranking in reversed(rankings):
        lines += ranking_section(ranking)
    lines += ["## Reports", "", *(f"- [{plain(name)}]({safe_name(name)}/report.html)" for name in results), ""]
    first = next(iter(results.values())).summary["curves"]
    curves = {name: result.summary["curves"][MODEL] for name, result in results.items()}
    chart = horizon_chart(curves | {m: v for m, v in first.items() if m != MODEL}, models=list(results))
    write_report(directory, lines, {"Position RMSE at every frame": chart})
    content = {
        "rankings": rankings,
        "models": {name: result.summary["headline"] for name, result in results.items()},
        "measured": {"command": command},
    }
    runs.write_result(directory / "ranking.json", content)
    return rankings[-1]
