"""How well `physworld judge` reads clips whose truth is known, clean and spoilt.

PYTHONPATH=. python experiments/019_judge/study.py FOLDER

Clips are rendered once into FOLDER/clips. Each judged clip is a line of FOLDER/rows_DIGEST.jsonl at once, so a study
that was stopped goes on; DIGEST is of the judge's own files, so a changed judge begins anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from families import FAMILIES, FPS, SIZE, SPOILT, Truth, spoil

import physworld.judge
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import FEWEST, Footage, Source
from physworld.seeding import generator


def compare(truth: Truth, verdict: Verdict) -> dict[str, Any]:
    """Errors of one clip's figures and tracks."""
    row: dict[str, Any] = {
        "right_kind": verdict.kind == truth.kind, "reason": verdict.reason, "kind": verdict.kind,
        "broken": {name: verdict.laws[name]["said"] for name in verdict.broken()}, "false": 0, "missed": 0, "bodies": 0,
    }  # fmt: skip
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


WEIGHTLESS = ("warp_uniform", "pymunk_orbit")  # the judge is told so, as with --view top


def judge(truth: Truth) -> tuple[Verdict, float]:
    footage = Footage(frames=truth.frames, times=np.arange(len(truth.frames)) / FPS, shrink=1.0)
    begun = time.process_time()
    settings = Settings(side_view=truth.family not in WEIGHTLESS)
    verdict = judge_footage(footage, Source(name=truth.family, files=(), known=truth.known), settings)
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


NAMES = ("gravity", "restitution", "period", "galileo", "two_ball", "mass_ratio", "collision_restitution")


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"n": len(rows), "judged": sum(r["reason"] is None for r in rows)}
    out["right_kind"] = sum(r["right_kind"] for r in rows)
    for name in NAMES:
        values = [r[name] for r in rows if name in r]
        asked = len(values) + sum(f"no_{name}" in r for r in rows)
        if asked:
            out[name] = {"n": len(values), "asked": asked}
        if values:
            out[name] |= {"median": float(np.median(values)), "p90": float(np.percentile(values, 90))}
    for name in ("false", "missed", "bodies"):
        out[name] = sum(r[name] for r in rows)
    out["break_a_law"] = sum(bool(r["broken"]) for r in rows)
    out["laws_broken"] = Counter(law for r in rows for law in r["broken"])
    out["discarded"] = Counter(r["reason"] for r in rows if r["reason"])
    out["seconds_a_clip"] = float(np.mean([r["seconds"] for r in rows]))
    return out


def page(report: dict[str, Any]) -> list[str]:
    """The tables of README.md."""
    hows = [how for how in SPOILT if how in report]
    lines = ["| | " + " | ".join(hows) + " |", "| :-- |" + " --: |" * len(hows)]

    def line(label: str, cell: Callable[[dict[str, Any]], str]) -> None:
        lines.append(f"| {label} | " + " | ".join(cell(report[how]) for how in hows) + " |")

    for name in NAMES:
        share = name not in ("restitution", "collision_restitution")

        def cell(part: dict[str, Any], name: str = name, share: bool = share) -> str:
            found = part.get(name)
            if found is None or not found["n"]:
                return "–"
            form = (lambda x: f"{100 * x:.1f} %") if share else (lambda x: f"{x:.3f}")
            return f"{form(found['median'])}, {form(found['p90'])} ({found['n']} of {found['asked']})"

        line(name.replace("_", " ") + (", relative" if share else ""), cell)
    line("motion named rightly", lambda part: f"{part['right_kind']} of {part['n']}")
    line("bodies missed", lambda part: f"{part['missed']} of {part['bodies']}")
    line("false tracks", lambda part: str(part["false"]))
    line("clips discarded", lambda part: str(part["n"] - part["judged"]))
    line("lawful clips said to break a law", lambda part: f"{part['break_a_law']} of {part['n']}")
    line("CPU seconds a clip, reading aside", lambda part: f"{part['seconds_a_clip']:.2f}")
    return lines


def one(kept: Path, how: str, family: str, index: int) -> dict[str, Any]:
    truth = spoil(family, index, how, kept)
    verdict, seconds = judge(truth)
    return compare(truth, verdict) | {"seconds": round(seconds, 4)}


def reasons(index: int) -> dict[str, Any]:
    """[[right, found], ...] of the clips of one index."""
    pairs = []
    for reason, frames in discards(index):
        footage = Footage(frames=frames, times=np.arange(len(frames)) / FPS, shrink=1.0)
        # What is too short is said by the reader, before anything is judged.
        short = len(frames) < FEWEST
        found = "too_short" if short else judge_footage(footage, Source(name="x", files=()), Settings()).reason
        pairs.append([reason, found])
    return {"pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="0-19 are the study's; develop on others, such as 1000")
    parser.add_argument("--how", nargs="*", default=list(SPOILT))
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    files = sorted(Path(physworld.judge.__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:10]
    path = options.folder / f"rows_{digest}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    done = {tuple(row["of"]): row for row in map(json.loads, (each for each in lines if each.endswith("}")))}
    span = range(options.first, options.first + options.clips)
    jobs: list[tuple[Any, ...]] = [("reasons", "", index) for index in span]
    jobs += [(how, family, index) for how in options.how for index in span for family in options.families]
    begun = time.process_time()
    with path.open("a") as stream:
        for count, job in enumerate(jobs):
            if job in done:
                continue
            how, family, index = job
            row = reasons(index) if how == "reasons" else one(options.folder / "clips", how, family, index)
            done[job] = row | {"of": job}
            stream.write(json.dumps(done[job]) + "\n")
            stream.flush()
            if count % 20 == 0:
                print(f"{count} of {len(jobs)}, {time.process_time() - begun:.0f} CPU s", flush=True)
    pairs = [pair for job in jobs if job[0] == "reasons" for pair in done[job]["pairs"]]
    report: dict[str, Any] = {"digest": digest, "reasons": {"right": sum(a == b for a, b in pairs), "of": len(pairs),
                              "wrong": [pair for pair in pairs if pair[0] != pair[1]]}}  # fmt: skip
    report |= {how: summary([done[job] for job in jobs if job[0] == how]) for how in options.how}
    report |= {f"{how} by family": {f: summary([done[j] for j in jobs if j[:2] == (how, f)]) for f in options.families}
               for how in options.how}  # fmt: skip
    (options.folder / "figures.json").write_text(json.dumps(report, indent=1))
    print("\n".join(page(report)))
    print("discard reasons right:", report["reasons"])
    for job in jobs:
        if job[0] != "reasons" and done[job]["broken"]:
            print(*job, done[job]["kind"], done[job]["broken"])


if __name__ == "__main__":
    main()
