"""`physworld preview`: a page of exactly what the loader feeds to a video model, with the numbers of every clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from physworld.errors import FormatError, UserError
from physworld.io.atomic import replacing
from physworld.io.csv_file import write_csv
from physworld.io.images import write_mp4, write_png
from physworld.reporting.markdown import header, plain, table
from physworld.reporting.progress import bar
from physworld.reporting.report import Gallery, write_report
from physworld.seeding import SPLITS
from physworld.video.clip_files import ClipFiles, OwnClip
from physworld.video.own_report import sheet

SMALL = 96  # px: lower films are enlarged pixel by pixel, to be seen
LITTLE = 0.5  # share of a picture: where less is kept, the page says so
COLUMNS = {
    "name": "clip", "split": "split", "width": "px wide", "height": "px high", "fps": "fps", "seconds": "s",
    "frames": "frames", "begin": "from, s", "repeated": "frames shown twice", "scale": "scaled by",
    "kept": "picture kept", "captions": "captions", "caption": "caption",
}  # fmt: skip


def preview(
    source: Callable[..., Any], codec: Any, directory: Path, *, command: str, count: int, seen: bool, console: Console
) -> Path:
    """Write report.html, clips.csv and preview.json; return the path of the page.

    Args:
        source: (split, changes) -> where samples come from.
        count: samples that are shown of training, and half as many of validation; in the loader's own order.
        seen: also what the codec leaves of them, which needs the autoencoder's weights.

    Raises:
        UserError: no clip can be trained on; the page is there all the same.
    """
    train, val = source("train"), source("val")
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    notes: list[str] = []
    shown = {"train": train, "val": val}
    facts: dict[str, Any] = {"frames": train.frames, "fps": train.fps, "size": f"{train.size[0]} x {train.size[1]} px"}
    if isinstance(train, ClipFiles):
        splits = {split: source(split, on_error="skip") for split in SPLITS}
        for each in splits.values():
            each.skipped = skipped  # one count over all of them
        rows, notes = _every_clip(splits, console)
        shown = {name: splits[name] for name in shown if any(row["split"] == name for row in rows)}
        found = ", ".join(f"{sum(row['split'] == split for row in rows)} {split}" for split in SPLITS)
        facts = {"folder": f"`{train.path}`", "clips": found, **facts, "fit": train.fit, "window": train.window}
        if train.every_frame:
            facts["fps"] = "every frame of the file"
    many = {"train": count, "val": -(-count // 2)}
    galleries = [_gallery(each, codec, directory / "pictures", many[name], seen) for name, each in shown.items()]
    lines = header("What the loader feeds", command, facts)
    if skipped:
        lines += ["## Bad files", "", "train.py stops at the first of them; with data.source.on_error=skip it goes on "
                  "without them.", "", *(f"* {plain(why)}" for why in skipped.values()), ""]  # fmt: skip
    if notes:
        lines += ["## To look at", "", *(f"* {plain(note)}" for note in notes), ""]
    if rows:
        lines += ["## Every clip", ""]
        lines += table(list(COLUMNS.values()), [[plain(_cell(row[key])) for key in COLUMNS] for row in rows])
    with replacing(directory / "preview.json") as temporary:
        whole = {"clips": rows, "skipped": list(skipped.values()), "notes": notes}
        temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if rows:
        write_csv(directory / "clips.csv", list(COLUMNS), [[row[name] for name in COLUMNS] for row in rows])
    write_report(directory, lines, {}, galleries)
    page = directory / "report.html"
    if "train" not in shown:
        raise UserError(f"None of these clips can be trained on; {page} says why, clip by clip.")
    return page


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _every_clip(splits: Mapping[str, ClipFiles], console: Console) -> tuple[list[dict[str, Any]], list[str]]:
    """(a row for each clip, what is odd about them); every clip is read once."""
    rows: list[dict[str, Any]] = []
    same: dict[str, list[str]] = {}
    empty: list[str] = []

    def usable(split: str, files: ClipFiles) -> int:
        try:
            return len(files.clips)
        except ValueError as why:  # not one of them; the page says so, and shows the others
            empty.append(str(why))
            return 0

    counts = {split: usable(split, files) for split, files in splits.items()}
    with bar("Reading", sum(counts.values()), console) as done:
        for split, files in splits.items():
            if not counts[split]:
                continue
            try:
                for clip in files.each():
                    rows.append(row_of(clip, split))
                    seen = hashlib.sha256(clip.frames.tobytes()).hexdigest()
                    same.setdefault(seen, []).append(f"{clip.source.name} ({split})")
                    done(1)
            except FormatError as why:
                empty.append(str(why))
    notes = empty + [f"{' and '.join(names)} show the same frames" for names in same.values() if len(names) > 1]
    odd: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
        ("have fewer frames a second than are asked for, so that frames come twice", lambda row: row["repeated"] > 0),
        ("are smaller than the frames, and are enlarged", lambda row: row["scale"] > 1),
        (
            f"lose more than {1 - LITTLE:.0%} of their picture; data.source.fit=pad keeps all",
            lambda row: row["kept"] < LITTLE,
        ),
    )
    for what, is_odd in odd:
        notes += _counted(rows, is_odd, what)
    if len(rows) > 1 and len({row["caption"] for row in rows}) == 1:
        notes.append("all clips have one caption, so that nothing can be asked for")
    return rows, notes


def _counted(rows: Sequence[Mapping[str, Any]], odd: Callable[[Mapping[str, Any]], bool], what: str) -> list[str]:
    names = [str(row["name"]) for row in rows if odd(row)]
    if not names:
        return []
    some = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return [f"{len(names)} of {len(rows)} clips {what}: {some}"]


def row_of(clip: OwnClip, split: str) -> dict[str, Any]:
    """The numbers of one clip."""
    times = clip.timeline.times
    rate = clip.timeline.rate if len(clip.source.files) == 1 else clip.fps
    return {
        "name": clip.source.name, "split": split, "width": clip.timeline.size[0], "height": clip.timeline.size[1],
        "fps": round(rate, 3), "seconds": round(len(times) / rate, 3) if rate > 0 else 0.0, "frames": len(times),
        "begin": round(clip.begin, 3), "repeated": len(clip.chosen) - len(np.unique(clip.chosen)),
        "scale": round(clip.scale, 4), "kept": round(clip.kept, 3), "captions": len(clip.source.captions),
        "caption": clip.caption,
    }  # fmt: skip


def _gallery(source: Any, codec: Any, folder: Path, count: int, seen: bool) -> Gallery:
    """The first samples of a stream, as the loader takes them."""
    pictures: list[tuple[str, Path]] = []
    for sample in source.samples(range(count)):
        clip = sample.target
        place = f"{source.split} {sample.seed}"
        if isinstance(clip, OwnClip):
            file = clip.source.files[0].relative_to(source.path)
            place += f", {file} frames {clip.chosen[0]} to {clip.chosen[-1]}"
        rows = [clip.frames]
        if seen:
            rows.append(codec.decode(codec.latents(torch.from_numpy(clip.frames[None])))[0])
        stem = folder / f"{source.split}_{sample.seed:04d}"
        pictures.append((f"{place}: {sample.given.caption}", write_png(stem.with_suffix(".png"), sheet(rows))))
        larger = max(1, -(-SMALL // clip.frames.shape[1]))
        shown = np.concatenate(rows, 2).repeat(larger, 1).repeat(larger, 2)
        pictures.append((f"{place}, {clip.fps:g} fps", write_mp4(stem.with_suffix(".mp4"), shown, clip.fps)))
    below = ", and below (in the film: to the right) what the codec leaves of it" if seen else ""
    return Gallery(
        title=f"Samples of {source.split}, in the loader's order",
        text=f"At most 17 frames of each on a sheet, the whole of it as a film{below}.",
        pictures=pictures,
    )
