"""Frames of a clip at chosen moments: what is not asked for is neither kept nor turned into a picture.

A clip of any length is read in the memory of the frames that are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import FormatError, first_line
from physworld.io.checksums import refuse_changed
from physworld.io.pictures import FITS, Unreadable, first_frame, fitted

WINDOWS = ("first", "middle", "random")  # which part of a clip that is longer than what is asked for
MOST_ENLARGED = 16.0
FAR = 64  # frames: nearer ones are reached by decoding from the beginning
JUST = 1e-3  # s: two moments that are one, in files that round to it


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """When each frame of a file is shown."""

    times: np.ndarray  # (T,) s, increasing; (T,) 0, 1, 2, ... of pictures without times
    stamps: np.ndarray | None  # (T,) int64 in the file's own unit; None where it has none
    size: tuple[int, int]  # (W, H) px, upright

    @property
    def rate(self) -> float:
        """Frames a second, on average; NaN of a single frame."""
        span = float(self.times[-1] - self.times[0])
        return round((len(self.times) - 1) / span, 6) if span > 0 else float("nan")


def why_unreadable(error: Exception) -> str:
    """In a few words, without the number and the path that ffmpeg puts around them."""
    inside = re.match(r"\[Errno -?\d+\] ([^:]+)(: '|$)", first_line(error))
    return inside[1] if inside else (error.strerror if isinstance(error, OSError) else "") or first_line(error)


def read_timeline(files: Sequence[Path]) -> Timeline:
    """Of one clip, or of a run of pictures; no frame but the first is decoded.

    Raises:
        Unreadable: it is no clip, cut short, or not what SHA256SUMS beside it says.
    """
    try:
        refuse_changed(files[0].parent, *(file.name for file in files))
        return _of_pictures(files) if len(files) > 1 else _of_clip(files[0])
    except Unreadable:
        raise
    except FormatError as error:
        raise Unreadable(str(error)) from None
    except Exception as error:  # a foreign file: decoders raise nearly anything, and none of it is a bug of ours
        raise Unreadable(f"it cannot be read as a clip ({why_unreadable(error)})") from None


def shown_size(stream: Any, frame: Any) -> tuple[int, int]:
    """Width and height at which a frame is shown before it is turned: a file may say that its pixels are not square.

    Raises:
        Unreadable: they are longer than any camera's or recorder's.
    """
    ratio = stream.sample_aspect_ratio
    if not ratio:  # not told
        return frame.width, frame.height
    if not 1 / 8 <= ratio <= 8:
        raise Unreadable(f"its pixels are {float(ratio):.3g} times as wide as high")
    return max(1, round(frame.width * ratio)), frame.height


def _of_pictures(files: Sequence[Path]) -> Timeline:
    return Timeline(times=np.arange(len(files), dtype=float), stamps=None, size=first_frame(files[0]).size)


def _of_clip(path: Path) -> Timeline:
    import av  # here, because it loads all of ffmpeg

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise Unreadable("it holds no pictures")
        stream = container.streams.video[0]
        promised, unit, rate = stream.frames, stream.time_base, stream.average_rate
        timed = container.format.name != "avi"  # which has no moments, only the order in which frames lie there
        stamps = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
    if not stamps:
        raise Unreadable("it has 0 frames")
    if len(stamps) < 0.9 * promised:
        raise Unreadable(f"it ends after {len(stamps)} of {promised} frames")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        size = shown_size(container.streams.video[0], frame)
        size = size[::-1] if frame.rotation % 180 else size
    known = timed and None not in stamps and len(set(stamps)) == len(stamps)
    if not known or unit is None:
        return Timeline(times=np.arange(len(stamps)) / float(rate or 25), stamps=None, size=size)
    ordered = np.array(sorted(stamps), np.int64)  # type: ignore[type-var]  # none of them is None
    return Timeline(times=(ordered - ordered[0]) * float(unit), stamps=ordered, size=size)


def choose(
    timeline: Timeline, *, frames: int, fps: float | None, window: str, draw: float = 0.0
) -> tuple[np.ndarray, float]:
    """(frames (frames,) int64 of the file, when the first is shown, s): what is on the screen at each 1/fps.

    Args:
        fps: None = every frame counts, whatever its time.
        window: one of WINDOWS.
        draw: 0-1, of window=random.

    Raises:
        Unreadable: the clip is shorter than what is asked for.
    """
    share = {"first": 0.0, "middle": 0.5, "random": draw}[window]
    times = timeline.times
    if fps is None:
        spare = len(times) - frames
        if spare < 0:
            raise Unreadable(f"it has {len(times)} frames, and {frames} are needed")
        skipped = min(int(share * (spare + 1)), spare)
        return np.arange(skipped, skipped + frames), float(times[skipped])
    need, span = (frames - 1) / fps, float(times[-1] - times[0])
    own = span / max(1, len(times) - 1)
    if need > span + own / 2 + JUST:
        raise Unreadable(
            f"it lasts {span + own:.2f} s, and {frames} frames at {fps:g} a second take {need + 1 / fps:.2f} s"
        )
    begin = float(times[0]) + share * max(0.0, span - need)
    moments = begin + np.arange(frames) / fps
    return np.searchsorted(times, moments + JUST, side="right") - 1, begin


def read_frames(
    files: Sequence[Path],
    timeline: Timeline,
    chosen: np.ndarray,
    *,
    size: tuple[int, int],
    fit: str,
    background: tuple[int, int, int],
) -> np.ndarray:
    """uint8 (len(chosen), H, W, 3), upright. Both sides are scaled alike; `crop` fills the frame and cuts off what
    stands out on both sides, `pad` shows everything on `background`.

    Args:
        chosen: numbers of frames, increasing; one may come again.
        size: (W, H) px.
        fit: one of FITS.

    Raises:
        Unreadable: a frame is not there.
    """
    scale = scale_of(timeline.size, size, fit)
    if scale > MOST_ENLARGED:
        small = f"{timeline.size[0]}x{timeline.size[1]}"
        raise Unreadable(f"it is {small} px, too small to be enlarged to {size[0]}x{size[1]}")
    wanted = sorted(set(chosen.tolist()))
    try:
        if len(files) > 1:
            found = {k: _picture(files[k], size, fit, background) for k in wanted}
        else:
            found = _decoded(files[0], timeline.stamps, wanted, size, fit, background)
            if len(found) < len(wanted):  # stamps of the container that the decoder does not keep
                found = _decoded(files[0], None, wanted, size, fit, background)
    except Unreadable:
        raise
    except Exception as error:  # as above
        raise Unreadable(f"it is damaged ({why_unreadable(error)})") from None
    if len(found) < len(wanted):
        raise Unreadable(f"it is damaged: {len(found)} of the {len(wanted)} frames that are needed can be decoded")
    return np.stack([found[k] for k in chosen.tolist()])


def scale_of(have: tuple[int, int], size: tuple[int, int], fit: str) -> float:
    """By what both sides of a picture (W, H) are multiplied."""
    if fit not in FITS:
        raise ValueError(f"fit={fit} is unknown; choose one of {', '.join(FITS)}")
    return (max if fit == "crop" else min)(size[0] / have[0], size[1] / have[1])


def _picture(path: Path, size: tuple[int, int], fit: str, background: tuple[int, int, int]) -> np.ndarray:
    return np.asarray(fitted(first_frame(path, background), size, fit=fit, background=background))


def _decoded(
    path: Path,
    stamps: np.ndarray | None,
    wanted: Sequence[int],
    size: tuple[int, int],
    fit: str,
    background: tuple[int, int, int],
) -> dict[int, np.ndarray]:
    import av

    number = {} if stamps is None else {int(stamp): k for k, stamp in enumerate(stamps)}
    found: dict[int, np.ndarray] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        if stamps is not None and wanted[0] > FAR:
            container.seek(int(stamps[wanted[0]]), stream=stream, backward=True)
        for counted, frame in enumerate(container.decode(stream)):
            k = counted if not number else -1 if frame.pts is None else number.get(frame.pts, -1)
            if k in wanted:
                found[k] = _fitted(frame, shown_size(stream, frame), size, fit, background)
            if k >= wanted[-1] and len(found) == len(wanted):
                break
    return found


def _fitted(
    frame: Any, shown: tuple[int, int], size: tuple[int, int], fit: str, background: tuple[int, int, int]
) -> np.ndarray:
    turned = bool(frame.rotation % 180)
    upright = shown[::-1] if turned else shown
    scale = scale_of(upright, size, fit)
    least = max if fit == "crop" else min
    width, height = (max(1, least(round(side * scale), goal)) for side, goal in zip(upright, size, strict=True))
    picture = frame.reformat(
        width=height if turned else width, height=width if turned else height, format="rgb24",
        interpolation="AREA" if scale < 1 else "BICUBIC",
    ).to_ndarray()  # fmt: skip
    if frame.rotation:
        picture = np.rot90(picture, frame.rotation // 90)
    if fit == "crop":
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        return np.ascontiguousarray(picture[top : top + size[1], left : left + size[0]])
    whole = np.empty((size[1], size[0], 3), np.uint8)
    whole[:] = background
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    whole[top : top + height, left : left + width] = picture
    return whole
