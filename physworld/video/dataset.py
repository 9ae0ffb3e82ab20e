"""Clips of others as training data: what of them cannot be read, what lacks a caption or frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physworld.io.film import read_frames, read_timeline
from physworld.io.pictures import Unreadable
from physworld.judge.footage import Source
from physworld.reporting.findings import Checked

GAP = 1.5  # times the usual distance of two frames, from which on one is missing


def check(clips: Sequence[Source]) -> Checked:
    """Each clip is decoded once, at a small size."""
    told = any(clip.captions for clip in clips)  # clips without any captions are there to be judged
    checked = Checked(what="clip", files=sum(len(clip.files) for clip in clips))
    for clip in clips:
        path = clip.files[0]
        try:
            line = read_timeline(clip.files)
            every = np.arange(len(line.times))
            frames = read_frames(clip.files, line, every, size=(32, 32), fit="crop", background=(0, 0, 0))
        except Unreadable as error:
            checked.found(path, "unreadable", str(error))
            continue
        checked.count += 1
        checked.span("frames", len(every), len(every))
        checked.span("width, px", line.size[0], line.size[0])
        checked.span("height, px", line.size[1], line.size[1])
        if line.rate == line.rate and len(clip.files) == 1:
            checked.span("frames a second", line.rate, line.rate)
        if told and not clip.captions:
            checked.found(path, "caption", "it has none, and others have")
        gap = missing(line.times)
        if gap:
            checked.found(path, "frames", gap)
        if len(frames) > 1 and all(np.array_equal(frames[0], frame) for frame in frames[1:]):
            checked.found(path, "still", "all its frames are the same")
    return checked


def missing(times: np.ndarray) -> str:
    """'' or where the distance between two frames says that one is missing; times (T,) s."""
    steps = np.diff(times)
    if len(steps) < 2:
        return ""
    usual = float(np.median(steps))
    long = np.flatnonzero(steps > GAP * usual)
    if not len(long):
        return ""
    frame = int(long[0])
    return f"after frame {frame} the next comes {steps[frame]:.3g} s later, and others {usual:.3g} s"
