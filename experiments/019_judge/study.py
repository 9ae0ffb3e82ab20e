"""How well `physworld judge` reads clips whose truth is known, clean and spoilt.

PYTHONPATH=. python experiments/019_judge/study.py --clips 20 --out figures.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from families import FAMILIES, FPS, FRAMES, SIZE, SPOILT, Truth, spoil

from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Footage, Source
from physworld.seeding import generator


def compare(truth: Truth, verdict: Verdict) -> dict[str, Any]:
    """Errors of one clip's figures and tracks."""
    row: dict[str, Any] = {"family": truth.family, "right_kind": verdict.kind == truth.kind, "reason": verdict.reason,
                           "kind": verdict.kind, "broken": verdict.broken()}  # fmt: skip
    for name, right in truth.expected.items():
        value = verdict.figures.get(name)
        if value is None:
            row[f"no_{name}"] = True
            continue
        if name == "mass_ratio":  # whichever body comes first
            right, value = max(right, 1 / right), max(value, 1 / value)
        difference = name in ("restitution", "collision_restitution")
        row[name] = abs(value - right) if difference else abs(value / right - 1)
    if verdict.judged:
        bodies = truth.center.shape[1]
        matched = set()
        false = 0
        for track in verdict.tracks:
            away = np.linalg.norm(track.center[:, None] - truth.center[: len(track.center)], axis=-1)
            typical = np.nanmedian(away, axis=0)
            best = int(typical.argmin())
            if typical[best] < 0.6 * track.diameter and best not in matched:
                matched.add(best)
            else:
                false += 1
        row |= {"false": false, "missed": bodies - len(matched), "bodies": bodies}
    return row


def judge(truth: Truth) -> tuple[Verdict, float]:
    footage = Footage(frames=truth.frames, times=np.arange(len(truth.frames)) / FPS, shrink=1.0)
    begun = time.process_time()
    verdict = judge_footage(footage, Source(name=truth.family, files=(), known=truth.known), Settings())
    return verdict, time.process_time() - begun


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    from scipy import ndimage

    rough = sum(ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) * s for s in (1, 3, 8))
    return np.clip(128 + 45 * rough / rough.std(), 0, 255)


def discards(index: int) -> list[tuple[str | None, np.ndarray]]:
    """(right reason, clip): defects that must be found, and whole clips that must be kept."""
    rng = generator(16, "test", index)
    wide = _texture(rng, SIZE[1] + 120, SIZE[0] + 160)
    columns, rows = np.arange(SIZE[0])[None] + 0.5, np.arange(SIZE[1])[:, None] + 0.5

    def clip(
        camera: float = 0.0, radius: float = 12.0, shown: Any = lambda t: True, cut: bool = False, post: float = 0.0
    ) -> np.ndarray:
        frames = []
        for t in range(40):
            off = int(camera * t)
            base = wide[60 : 60 + SIZE[1], off : off + SIZE[0]].copy()
            if cut and t >= 22:
                base = 255 - wide[100 : 100 + SIZE[1], 140 : 140 + SIZE[0]]
            x, y = 60 + 4.2 * t, 40 + 0.5 * 400 * (t / 30) ** 2 * 0.6
            if radius and shown(t):
                base[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = (230, 40, 30)
            if post:
                base[:, 90 : int(90 + post)] = (20, 60, 30)
            frames.append(base + rng.normal(0, 3, base.shape))
        return np.clip(np.stack(frames), 0, 255).astype(np.uint8)

    return [
        (None, clip()),
        ("nothing_moves", clip(radius=0.0)),
        ("camera_moves", clip(camera=rng.uniform(0.4, 3.5))),
        ("cut", clip(cut=True)),
        ("hidden", clip(post=float(rng.uniform(80, 110)))),
        ("too_short", clip()[:6]),
    ]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("gravity", "restitution", "period", "galileo", "two_ball", "mass_ratio", "collision_restitution")
    out: dict[str, Any] = {"n": len(rows), "judged": sum(r["reason"] is None for r in rows)}
    out["right_kind"] = sum(r["right_kind"] for r in rows)
    for name in names:
        values = [r[name] for r in rows if name in r]
        asked = len(values) + sum(f"no_{name}" in r for r in rows)
        if values:
            out[name] = {"median": float(np.median(values)), "p90": float(np.percentile(values, 90)),
                         "n": len(values), "asked": asked}  # fmt: skip
    for name in ("false", "missed", "bodies"):
        out[name] = sum(r.get(name, 0) for r in rows)
    out["breaks_a_law"] = Counter(law for r in rows for law in r["broken"])
    out["discarded"] = Counter(r["reason"] for r in rows if r["reason"])
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--how", nargs="*", default=list(SPOILT))
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--out", type=Path, default=Path("figures.json"))
    options = parser.parse_args()
    report: dict[str, Any] = {"frames": FRAMES, "size": SIZE}
    right = total = 0
    for index in range(options.clips):
        for reason, frames in discards(index):
            footage = Footage(frames=frames, times=np.arange(len(frames)) / FPS, shrink=1.0)
            try:
                found = judge_footage(footage, Source(name="x", files=()), Settings()).reason
            except ValueError:
                found = "error"
            if len(frames) < 8:  # said by the reader
                found = "too_short"
            right, total = right + (found == reason), total + 1
            if found != reason:
                report.setdefault("wrong_reasons", []).append([index, reason, found])
    report["reasons"] = {"right": right, "of": total}
    print(report["reasons"], report.get("wrong_reasons"), flush=True)
    for how in options.how:
        rows, spent = [], 0.0
        for family in options.families:
            for index in range(options.clips):
                truth = spoil(family, index, how)
                verdict, seconds = judge(truth)
                spent += seconds
                rows.append(compare(truth, verdict))
        report[how] = summary(rows) | {"seconds_a_clip": spent / len(rows), "clips": rows}
        options.out.write_text(json.dumps(report, indent=1))
        print(how, {k: v for k, v in report[how].items() if k != "clips"}, flush=True)


if __name__ == "__main__":
    main()
