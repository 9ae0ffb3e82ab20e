"""What is wrong with files of data: findings that name file and line, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from physworld.errors import counted
from physworld.io.atomic import replacing

SHOWN = 20  # findings on the screen; the report holds all


@dataclass(frozen=True, kw_only=True)
class Finding:
    place: str  # the file, with its line or row where there is one
    kind: str  # unreadable, energy, wall, held-out, ...
    problem: str


@dataclass(kw_only=True)
class Checked:
    """What a check of one kind of data saw."""

    what: str  # scene, row or clip
    count: int = 0  # of them that could be read
    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # of scenario types, and the like
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # name with its unit -> lowest, highest

    def found(self, place: object, kind: str, problem: str) -> None:
        self.findings.append(Finding(place=str(place), kind=kind, problem=problem.rstrip(".")))

    def span(self, name: str, low: float, high: float) -> None:
        """Widen a range so that it holds these."""
        before = self.ranges.get(name, (low, high))
        self.ranges[name] = (min(before[0], low), max(before[1], high))


def told(checks: Sequence[Checked], console: Console) -> int:
    """Print counts, ranges and findings; the number of findings."""
    for check in checks:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(check.counts.items()))
        held = f"{counted(check.count, check.what)} in {counted(check.files, 'file')}"
        console.print(f"{held}{f': {kinds}' if kinds else ''}", soft_wrap=True)
        for name, (low, high) in check.ranges.items():
            console.print(f"  {name:<28}{low:>12.4g} to {high:.4g}")
    findings = [finding for check in checks for finding in check.findings]
    for finding in findings[:SHOWN]:
        console.print(f"{finding.place}: {finding.kind}: {finding.problem}.", soft_wrap=True, highlight=False)
    if len(findings) > SHOWN:
        console.print(f"... and {len(findings) - SHOWN} more.")
    return len(findings)


def write(path: Path, folder: Path, checks: Sequence[Checked]) -> None:
    """Everything as JSON: per kind of data its counts, ranges and findings."""
    content: Mapping[str, object] = {"folder": str(folder), "checks": [asdict(check) for check in checks]}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
