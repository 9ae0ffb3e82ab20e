"""The report of a judged folder: report.md, report.html, summary.json, clips.json, clips.csv."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physworld.errors import UserError
from physworld.io.atomic import replacing
from physworld.io.csv_file import write_csv
from physworld.judge.clip import Verdict
from physworld.judge.controls import ORACLE, PLACEBO
from physworld.judge.footage import REASONS
from physworld.judge.laws import LAWS
from physworld.judge.summary import AGAINST, FIGURES, OURS, row, table_row
from physworld.reporting.charts import interval_bars
from physworld.reporting.markdown import figure, header, plain, single, span, table
from physworld.reporting.report import Gallery, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILES = ("summary.json", "clips.json", "clips.csv", "report.md", "report.html")
ROWS = {OURS: "these clips", ORACLE: "the same scenes, the law kept", PLACEBO: "the same scenes, a law broken"}


def percent(interval: Mapping[str, Any] | None) -> str:
    """`95 % (85–100)`; `100 % (n = 1)` of one pair."""
    if interval is None:
        return "–"
    mean, low, high = (100 * interval[part] for part in ("mean", "low", "high"))
    return f"{mean:.0f} % (n = 1)" if single(interval) else f"{mean:.0f} % ({low:.0f}–{high:.0f})"


def _labels(summary: Mapping[str, Any]) -> dict[str, str]:
    """Row -> what the report calls it."""
    return {name: f"clips in {summary['against']}" if name == AGAINST else ROWS[name] for name in summary["rows"]}


def headline(summary: Mapping[str, Any]) -> str:
    """The verdict in one or two sentences."""
    ours = summary["rows"][OURS]
    if not ours["judged"]:
        return f"None of {ours['clips']} clips could be judged."
    share = ours["lawful"]
    if ours["judged"] == 1:
        said = f"The one clip that was judged {'keeps every law' if share['mean'] else 'breaks a law'}"
        return f"{said}; {ours['clips'] - 1} more were discarded." if ours["clips"] > 1 else f"{said}."
    word = (
        "The folder keeps the laws" if share["low"] > 0.5
        else "The folder breaks the laws" if share["high"] < 0.5 else "Whether the folder keeps the laws is undecided"
    )  # fmt: skip
    said = f"{word}: {percent(share)} of {ours['judged']} judged clips keep every law that can be asked of them"
    placebo = summary["rows"].get(PLACEBO)
    if placebo and placebo["judged"]:
        said += f", against {percent(placebo['lawful'])} where a law is broken on purpose"
        passed = round(placebo["lawful"]["mean"] * placebo["judged"])
        if passed:
            said += f" (so {passed} of {placebo['judged']} breaks of a law were not seen, and more may be missed)"
    discarded = ours["clips"] - ours["judged"]
    return f"{said}. {discarded} of {ours['clips']} clips were discarded." if discarded else f"{said}."


def refuse_other(directory: Path, command: str) -> None:
    """A finished report is written over by the command that made it alone, however its paths are typed here.

    Raises:
        UserError: another command made it.
    """
    try:
        before = str(json.loads((directory / "summary.json").read_text(encoding="utf-8"))["command"])
        same = _asked(before) == _asked(command)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):  # none, or damaged
        return
    if not same:
        raise UserError(f"{directory} already holds the report of {before}; give --out ANOTHER, or move it.")


def _asked(command: str) -> dict[str, str]:
    """All that a report depends on of a command as `summary.json` has it: options have one value each."""
    folder, *words = shlex.split(command)[2:]
    found = {"folder": folder, **dict(zip(words[::2], words[1::2], strict=True))}
    found.pop("--out", None)
    return {
        name: str(Path(value).resolve()) if name in ("folder", "--against") else value for name, value in found.items()
    }


def report_lines(summary: Mapping[str, Any], verdicts: Sequence[Verdict]) -> list[str]:
    rows = summary["rows"]
    labels = _labels(summary)
    lines = header("Clips, judged", summary["command"], summary["measured"])
    lines += [f"**{headline(summary)}**", "", "## How many keep the laws", ""]
    lines += table(
        ["", "clips", "judged", "discarded", "keep every law"],
        [[plain(labels[n]), str(b["clips"]), str(b["judged"]), percent(b["discard_rate"]), percent(b["lawful"])]
         for n, b in rows.items()],
    )  # fmt: skip
    asked = [law for law in LAWS if any(law in block["laws"] for block in rows.values())]
    lines += ["95 % intervals over clips: Wilson's of shares, percentile bootstrap of figures.", ""]
    lines += [*_again(summary), "## Law by law", ""]
    lines += table(
        ["law", *(plain(labels[n]) for n in rows)],
        [[LAWS[law], *(_counted(b["laws"].get(law)) for b in rows.values())] for law in asked],
    )
    known = [name for name in FIGURES if any(name in block["figures"] for block in rows.values())]
    lines += ["## Figures", ""]
    lines += table(
        ["mean over clips", *(plain(labels[n]) for n in rows)],
        [[FIGURES[k], *(span(b["figures"].get(k)) for b in rows.values())] for k in known],
    )
    errors = rows[OURS]["errors"]
    if errors:
        lines += ["## Against the truth beside the clips", ""]
        lines += table(
            ["size of the error", "median", "90 %", "n"],
            [[f"{FIGURES[k]}{'' if k == 'restitution' else ', relative'}", figure(e["median"], ".3f"),
              figure(e["p90"], ".3f"), str(e["n"])] for k, e in errors.items()],
        )  # fmt: skip
    if "paired" in summary:
        pair = summary["paired"]
        lines += ["## Pair by pair", "", f"These clips minus {plain(summary['against'])}'s, "
                  f"over {pair['judged_in_both']} of {pair['pairs']} clips judged in both. Intervals of "
                  "differences of shares: Agresti and Min (2005).", ""]  # fmt: skip
        lines += table(
            ["difference", "mean"],
            [["share that keeps every law", percent(pair["lawful"])],
             ["share discarded", percent(pair["discard_rate"])],
             *([FIGURES[k], span(v)] for k, v in pair["figures"].items())],
        )  # fmt: skip
    told = [(v.name, note) for v in verdicts for note in v.notes]
    told += [(v.name, f"{FIGURES.get(k, k.replace('_', ' '))} is not told: {why}")
             for v in verdicts for k, why in v.unread.items()]  # fmt: skip
    if told:
        lines += ["## To look at", ""]
        lines += table(["clip", "what"], [[plain(name), plain(what)] for name, what in told])
    bad = [v for v in verdicts if not v.judged]
    if bad:
        lines += ["## Discarded", "", "; ".join(
            f"{n} × {REASONS[r]}" for r, n in rows[OURS]["discarded"].items()) + ".", ""]  # fmt: skip
        lines += table(["clip", "why"], [[plain(v.name), plain(v.sentence)] for v in bad])
    lines += ["## Clip by clip", ""]
    lines += table(
        ["clip", "motion", "laws broken", "g, px/s²", "g, m/s²", "e", "Galileo", "period, s"],
        [[plain(v.name), str(v.kind).replace("_", " "), ", ".join(v.broken()) or "none",
          *(_cell(v.figures.get(k)) for k in ("gravity_px", "gravity", "restitution", "galileo", "period"))]
         for v in verdicts if v.judged],
    )  # fmt: skip
    return lines


def _again(summary: Mapping[str, Any]) -> list[str]:
    """Lines that say how many clips were made again, and why not more."""
    of = summary["controls"]
    if not of["of"]:
        return []
    why = [f"{of[name]} {said}" for name, said in
           (("discarded", "discarded"), ("no_law", "with a motion whose law was not found")) if of[name]]  # fmt: skip
    said = f"{of['made']} of the first {of['of']} clips were made again"
    return [f"{said}; not made again: {', '.join(why)}." if why else f"{said}.", ""]


def _cell(value: float | None) -> str:
    return "–" if value is None else figure(value)


def _counted(interval: Mapping[str, Any] | None) -> str:
    return "–" if interval is None else f"{round(interval['mean'] * interval['n'])} of {interval['n']}"


def charts(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Caption -> figure."""
    labels = _labels(summary)
    rows = {labels[name]: block for name, block in summary["rows"].items()}
    shares = {"every law": {name: block["lawful"] for name, block in rows.items()}}
    for law in LAWS:
        if law in summary["rows"][OURS]["laws"]:
            shares[law] = {name: block["laws"].get(law) for name, block in rows.items()}
    return {"Share of judged clips that keep a law": interval_bars(shares, label="%", scale=100)}


def write(
    directory: Path, summary: Mapping[str, Any], verdicts: Sequence[Verdict], pictures: Sequence[tuple[str, Path]]
) -> Path:
    """Every file of the report; return the path of report.html."""
    for name, value in (("summary.json", summary), ("clips.json", [row(v) for v in verdicts])):
        with replacing(directory / name) as temporary:
            temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [table_row(v) for v in verdicts]
    write_csv(directory / "clips.csv", list(lines[0]), [list(line.values()) for line in lines])
    gallery = Gallery(
        title="Tracks",
        text="Left the bodies at several moments with their tracks, crosses where the velocity jumps; right the height "
        "against time, dots measured, lines the law. Red says what is broken.",
        pictures=pictures,
    )
    write_report(directory, report_lines(summary, verdicts), charts(summary), [gallery])
    return directory / "report.html"
