"""What the verdicts of a folder say together, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from physworld.judge.clip import Verdict
from physworld.judge.footage import REASONS
from physworld.judge.laws import LAWS
from physworld.metrics.bootstrap import bootstrap_mean, share
from physworld.types import Interval

OURS, AGAINST = "clips", "against"  # rows: the folder, and the one that it is compared with
FIGURES = {  # figure -> label
    "gravity": "g, m/s²",
    "restitution": "restitution",
    "galileo": "Galileo's ratio (4)",
    "parabola_residual": "distance from the parabola, diameters",
    "two_ball": "t₁²/t₂² over h₁/h₂ (1)",
    "period": "period, s",
    "two_pendulum": "T₁²/T₂² over L₁/L₂ (1)",
    "collision_restitution": "restitution of two bodies",
    "momentum_angle": "blows, ° from opposite (0)",
    "areas": "scatter of swept areas (0)",
}


def interval(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean with its 95 % interval over clips; None where there are none."""
    if not len(values):
        return None
    return bootstrap_mean(np.asarray(values, float)).to_dict(count="n")


def part(said: Sequence[bool]) -> dict[str, Any] | None:
    """Part of the clips of which something holds, with its 95 % interval; None where there are none."""
    return share(said).to_dict(count="n") if len(said) else None


def difference(said: Sequence[tuple[bool, bool]]) -> dict[str, Any] | None:
    """Part of the pairs of which the first holds minus that of the second, with its 95 % interval; None without any."""
    more, less = sum(a and not b for a, b in said), sum(b and not a for a, b in said)
    return Interval.of_paired_shares(more, less, len(said)).to_dict(count="n") if len(said) else None


def summarise(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Counts, shares with intervals over clips, and figures."""
    judged = [v for v in verdicts if v.judged]
    out: dict[str, Any] = {
        "clips": len(verdicts),
        "judged": len(judged),
        "discarded": {r: n for r in REASONS if (n := sum(v.reason == r for v in verdicts))},
        "discard_rate": part([not v.judged for v in verdicts]),
        "lawful": part([v.lawful for v in judged]),
        "kinds": dict(Counter(v.kind for v in judged)),
        "laws": {},
        "figures": {},
        "errors": {},
    }
    for name in LAWS:
        asked = [bool(v.laws[name]["kept"]) for v in judged if name in v.laws]
        if asked:
            out["laws"][name] = part(asked)
    for name in FIGURES:
        values = [float(x) for v in judged if (x := v.figures.get(name)) is not None and np.isfinite(x)]
        if values:
            out["figures"][name] = interval(values)
    for name in ("gravity", "restitution", "period"):
        off = [abs(v.errors[name]) for v in judged if name in v.errors]
        if off:
            out["errors"][name] = {"median": float(np.median(off)), "p90": float(np.percentile(off, 90)), "n": len(off)}
    return out


def paired(ours: Sequence[Verdict], others: Sequence[Verdict]) -> dict[str, Any]:
    """Ours minus the others', over clips of one name that were judged in both; intervals over these pairs."""
    by_name: Mapping[str, Verdict] = {v.name: v for v in others}
    pairs = [(v, by_name[v.name]) for v in ours if v.name in by_name]
    both = [(a, b) for a, b in pairs if a.judged and b.judged]
    out: dict[str, Any] = {
        "pairs": len(pairs),
        "judged_in_both": len(both),
        "discard_rate": difference([(not a.judged, not b.judged) for a, b in pairs]),
        "lawful": difference([(a.lawful, b.lawful) for a, b in both]),
        "figures": {},
    }
    for name in FIGURES:
        values = []
        for a, b in both:
            x, y = a.figures.get(name), b.figures.get(name)
            if x is not None and y is not None and np.isfinite(x - y):
                values.append(x - y)
        if values:
            out["figures"][name] = interval(values)
    return out


def noted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """With a note on clips that move at a constant speed, up or down the picture, where others of the folder fall.

    Whether gravity acts on them, their pixels cannot tell; that others fall makes it likely, and is no proof.
    """
    judged = [v for v in verdicts if v.judged]
    falling = sum(v.kind in ("free_fall", "bounce", "throw") for v in judged)
    if not falling:
        return list(verdicts)
    note = (
        f"uniform motion, and {falling} of {len(judged)} clips of the folder fall: if gravity acts here, it is broken"
    )
    return [
        replace(v, notes=(*v.notes, note)) if v.kind == "uniform" and v.figures.get("rise_px") and not v.broken() else v
        for v in verdicts
    ]


def row(verdict: Verdict) -> dict[str, Any]:
    """One clip as JSON."""
    return {
        "name": verdict.name, "caption": verdict.caption, "judged": verdict.judged, "reason": verdict.reason,
        "sentence": verdict.sentence, "frames": verdict.frames, "fps": verdict.fps, "width": verdict.size[0],
        "height": verdict.size[1], "kind": verdict.kind, "lawful": verdict.lawful if verdict.judged else None,
        "broken": verdict.broken(), "scale": verdict.scale,
        "figures": {k: None if v is None or not np.isfinite(v) else round(v, 5) for k, v in verdict.figures.items()},
        "laws": {k: dict(v) for k, v in verdict.laws.items()},
        "errors": {k: round(v, 5) for k, v in verdict.errors.items()},
        "unread": dict(verdict.unread), "notes": list(verdict.notes), "bodies": [dict(body) for body in verdict.bodies],
    }  # fmt: skip


COLUMNS = ("name", "judged", "reason", "kind", "lawful", "frames", "fps", "width", "height", "scale", "sentence")


def table_row(verdict: Verdict) -> dict[str, Any]:
    """One clip as a row of clips.csv."""
    whole = row(verdict)
    out = {name: whole[name] for name in COLUMNS}
    out["broken"] = " ".join(whole["broken"])
    names = [*FIGURES, "gravity_px", "pendulum_length_px", "mass_ratio"]
    out |= {name: whole["figures"].get(name) for name in names}
    return out | {f"{name}_error": whole["errors"].get(name) for name in ("gravity", "restitution", "period")}
