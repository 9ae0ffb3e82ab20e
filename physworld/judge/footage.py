"""Clips that people bring, as files or as numbered pictures, read with the time of each frame."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from physworld.errors import UserError, first_line
from physworld.io.captions import captions_of, read_captions
from physworld.io.film import shown_size, why_unreadable
from physworld.io.listing import files
from physworld.io.names import whole_text
from physworld.io.pictures import Unreadable, first_frame

CLIPS = (".mp4", ".mov", ".gif", ".webm", ".mkv", ".avi", ".m4v")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MOST_BYTES = 2**30  # of one clip's frames in memory
FEWEST = 8  # frames: below that no curve can be told from another
NUMBERED = re.compile(r"^(.*?)(\d+)$")

# Why a clip is not judged: code -> what the report says beside the count.
REASONS = {
    "unreadable": "no clip, or damaged",
    "too_short": f"fewer than {FEWEST} frames",
    "too_long": "more frames than --most-frames",
    "cut": "the picture changes all at once",
    "camera_moves": "the camera moves",
    "nothing_moves": "no body moves by half its size",
    "too_many_bodies": "more moving bodies than can be told apart",
    "hidden": "the moving body is whole in too few frames",
    "never_free": "some place is never free of a body",
}


class Discard(ValueError):
    """A clip that cannot be judged: a code of REASONS, and one sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one clip lies, and what is known of it beside its pixels."""

    name: str  # path below the folder, without suffix: what pairs clips of two folders
    files: tuple[Path, ...]  # one clip, or the pictures of a sequence in order
    caption: str = ""
    captions: tuple[str, ...] = ()  # all that it has
    known: Mapping[str, Any] = field(default_factory=dict)  # sidecar or captions file: scale and truth, as typed
    notes: tuple[str, ...] = ()  # what lies beside it and could not be read


@dataclass(frozen=True, kw_only=True, eq=False)
class Footage:
    """One clip in memory."""

    frames: np.ndarray  # uint8 (T, H, W, 3), upright, perhaps smaller than the file
    times: np.ndarray  # (T,) s, increasing, 0 first
    shrink: float  # file pixels per pixel of `frames`


def find(folder: Path) -> list[Source]:
    """Every clip below `folder`: video files, and runs of numbered pictures (at least FEWEST of them), by name.

    A `.txt` or `.json` beside a clip, or a captions file in `folder` (`io.captions`; a row may have any key of a
    sidecar), says more about it.

    Raises:
        UserError: no such folder, nothing in it, or a captions file that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give one that holds clips ({', '.join(CLIPS)}) or numbered pictures.")
    table = read_captions(folder)
    found = [_source(folder, (path,), table) for path in files(folder, CLIPS)]
    runs: dict[tuple[Path, str, str], list[tuple[int, Path]]] = {}
    for path in files(folder, PICTURES):
        numbered = NUMBERED.match(path.stem)
        if numbered:
            key = (path.parent, numbered[1], path.suffix.lower())
            runs.setdefault(key, []).append((int(numbered[2]), path))
    for pictures in runs.values():
        if len(pictures) >= FEWEST:
            found.append(_source(folder, tuple(path for _, path in sorted(pictures)), table))
    if not found:
        raise UserError(f"{folder} holds no clips; give a folder with {', '.join(CLIPS)} or numbered pictures.")
    names = [each.name for each in found]
    twice = {name for name in names if names.count(name) > 1}
    return sorted(
        (
            Source(name=each.files[0].relative_to(folder).as_posix(), files=each.files, caption=each.caption,
                   captions=each.captions, known=each.known)
            if each.name in twice
            else each
            for each in found
        ),
        key=lambda each: each.name,
    )  # fmt: skip


def _source(folder: Path, parts: tuple[Path, ...], table: Mapping[str, Mapping[str, Any]]) -> Source:
    first = parts[0]
    if len(parts) > 1:
        prefix = NUMBERED.match(first.stem)[1].rstrip("_-. ")  # type: ignore[index]  # find() matched it
        inside = first.parent.relative_to(folder).as_posix()
        name = "/".join(part for part in (inside if inside != "." else "", prefix) if part) or folder.name
        beside = folder / name
    else:
        name, beside = first.relative_to(folder).with_suffix("").as_posix(), first.with_suffix("")
    known = dict(table.get(first.relative_to(folder).as_posix(), table.get(name, {})))
    notes: list[str] = []
    for suffix in (".json", ".txt"):
        path = beside.with_name(beside.name + suffix)
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
            row = dict(json.loads(text)) if suffix == ".json" else {"caption": text}
            known |= {**row, "captions": captions_of(row) or known.get("captions", [])}
        except (OSError, ValueError, TypeError, RecursionError) as error:  # perhaps somebody else's: it is done without
            notes.append(f"{path.name} beside the clip cannot be read ({first_line(error)}), and was not used")
    said = tuple(known.get("captions", ()))
    return Source(
        name=whole_text(name), files=parts, caption=said[0] if said else "", captions=said, known=known,
        notes=tuple(map(whole_text, notes)),
    )  # fmt: skip


def is_sequence(source: Source) -> bool:
    return len(source.files) > 1


def read(source: Source, *, most: int, side: int, fps: float | None) -> Footage:
    """
    Args:
        most: frames.
        side: px, what the longer side is made smaller to.
        fps: instead of the file's own times; a sequence of pictures needs it.

    Raises:
        Discard: it cannot be read, or is too short or too long.
    """
    try:
        frames, times, shrink = (
            _pictures(source.files, most, side) if is_sequence(source) else _clip(source.files[0], most, side)
        )
    except Discard:
        raise
    except Exception as error:  # a foreign file: decoders raise nearly anything, and none of it is a bug of ours
        raise Discard("unreadable", f"it cannot be read as a clip ({why_unreadable(error)})") from None
    if len(frames) < FEWEST:
        raise Discard("too_short", f"it has {len(frames)} frames, and {FEWEST} are needed")
    if fps is not None or times is None:
        times = np.arange(len(frames)) / (fps or 25.0)
    return Footage(frames=np.stack(frames), times=times - times[0], shrink=shrink)


def _too_long(count: int, most: int) -> Discard:
    return Discard("too_long", f"it has {count} frames or more, and {most} are read; cut it, or raise --most-frames")


def _room(count: int, width: int, height: int) -> None:
    """
    Raises:
        Discard: so many frames of that size would not fit.
    """
    if 3 * count * width * height > MOST_BYTES:
        most = MOST_BYTES // (3 * width * height)
        raise Discard("too_long", f"{count} frames of it take more than 1 GiB; cut it to {most} or fewer")


def _smaller(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _clip(path: Path, most: int, side: int) -> tuple[list[np.ndarray], np.ndarray | None, float]:
    import av  # here, because it loads all of ffmpeg

    frames: list[np.ndarray] = []
    times: list[float | None] = []
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise Discard("unreadable", "it holds no pictures")
        stream = container.streams.video[0]
        stream.thread_count = 1
        promised = stream.frames
        if promised > most:
            raise _too_long(promised, most)
        _room(promised, *_smaller(stream.width, stream.height, side))
        shrink = 1.0
        try:
            for frame in container.decode(stream):
                if len(frames) == most:
                    raise _too_long(most + 1, most)
                shown = shown_size(stream, frame)
                width, height = _smaller(*shown, side)
                _room(len(frames) + 1, width, height)
                shrink = shown[0] / width
                picture = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
                frames.append(np.rot90(picture, frame.rotation // 90) if frame.rotation else picture)
                times.append(frame.time)
        except av.FFmpegError as error:
            raise Discard("unreadable", f"it is damaged after frame {len(frames)} ({why_unreadable(error)})") from None
        rate = float(stream.average_rate or 25)
    if len(frames) < 0.9 * promised:
        raise Discard("unreadable", f"it ends after {len(frames)} of {promised} frames")
    if not frames:
        raise Discard("too_short", f"it has 0 frames, and {FEWEST} are needed")
    if len({frame.shape for frame in frames}) > 1:
        raise Discard("unreadable", "its frames differ in size")
    moments = np.array(times, float)  # s; NaN where the file tells none
    known = bool(np.isfinite(moments).all() and (np.diff(moments) > 0).all())  # else as fast as the file says
    return frames, moments if known else np.arange(len(frames)) / rate, shrink


def _pictures(paths: Sequence[Path], most: int, side: int) -> tuple[list[np.ndarray], None, float]:
    if len(paths) > most:
        raise _too_long(len(paths), most)
    frames, shrink = [], 1.0
    for path in paths:
        try:
            picture = first_frame(path)
        except Unreadable as error:
            raise Discard("unreadable", str(error)) from None
        size = _smaller(*picture.size, side)
        _room(len(paths), *size)
        shrink = picture.width / size[0]
        frames.append(np.asarray(picture if size == picture.size else picture.resize(size, Image.Resampling.BOX)))
    if len({frame.shape for frame in frames}) > 1:
        raise Discard("unreadable", "its pictures differ in size")
    return frames, None, shrink
