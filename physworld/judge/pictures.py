"""A clip on one picture: its bodies at several moments, the tracks over them, and height against time with the law."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import numpy as np

from physworld.io.images import write_png
from physworld.judge.clip import Verdict
from physworld.judge.footage import Footage
from physworld.judge.plate import make_plate
from physworld.judge.tracks import Track
from physworld.reporting.charts import GREY, PALETTE, new_axes, pixels

SHOWN = 7  # moments of a body
BAD = "#D51E1E"


def picture(path: Path, verdict: Verdict, footage: Footage) -> Path:
    """Write the PNG."""
    height, width = footage.frames.shape[1:3]
    figure, axes = new_axes(9.6, max(2.9, min(4.6, 4.6 * height / width + 0.9)), columns=2)
    left, right = axes
    left.imshow(_strobe(footage.frames, verdict), interpolation="lanczos")
    left.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    left.grid(visible=False)
    left.spines[:].set(visible=True, color=GREY, linewidth=0.6)
    # Against time: the direction in which most happens.
    reach = [np.ptp(track.center[np.isfinite(track.center[:, 0])], axis=0) for track in verdict.tracks]
    axis = int(np.sum(reach, axis=0)[1] * 2 > np.sum(reach, axis=0)[0]) if reach else 1
    fine = np.linspace(0, float(footage.times[-1]), 400)
    for k, (track, motion) in enumerate(zip(verdict.tracks, verdict.motions, strict=True)):
        colour = PALETTE[(k + 1) % len(PALETTE)]
        left.plot(*track.center.T, color="white", linewidth=3.4, alpha=0.85, solid_capstyle="round")
        left.plot(*track.center.T, color=colour, linewidth=1.3)
        left.plot(
            *track.center[track.whole].T,
            ".",
            color=colour,
            markersize=3.5,
            markeredgecolor="white",
            markeredgewidth=0.3,
        )
        right.plot(
            footage.times,
            _up(track.center, axis, height) * footage.shrink,
            ".",
            color=colour,
            markersize=4,
            label=f"body {k + 1}: {motion.kind.replace('_', ' ')}",
        )
        if motion.swing is None and motion.orbit is None:
            for arc in motion.arcs:
                inside = fine[(fine >= arc.begin) & (fine <= arc.end)]
                if len(inside) > 1:
                    law = _up(arc.at(inside), axis, height) * footage.shrink
                    right.plot(inside, law, color=colour, linewidth=1, alpha=0.7)
        if motion.swing is not None:
            left.plot(*motion.swing.pivot, "+", color=colour, markersize=9)
        if motion.orbit is not None:
            left.plot(*motion.orbit.center, "+", color=colour, markersize=9)
        for hit in motion.impacts:
            left.plot(*hit.place, "x", color=BAD, markersize=7, markeredgewidth=1.6)
            right.axvline(hit.time, color=BAD, linewidth=0.7, alpha=0.5)
    right.set(xlabel="s", ylabel="height, px" if axis else "to the right, px", xlim=(0, float(footage.times[-1])))
    if verdict.tracks:
        right.legend(fontsize=7, loc="best", framealpha=0.8)
    broken = [str(verdict.laws[name]["said"]) for name in verdict.broken()]
    said = verdict.sentence if not verdict.judged else "; ".join(broken) if broken else "keeps every law"
    title = f"{verdict.name} · {(verdict.kind or 'discarded').replace('_', ' ')}"
    left.set_title(shorten(title, 64), fontsize=9, loc="left")
    good = verdict.lawful
    right.set_title(shorten(said, 78, placeholder="…"), fontsize=8, loc="left", color=PALETTE[7] if good else BAD)
    return write_png(path, pixels(figure))


def _up(path: np.ndarray, axis: int, height: int) -> np.ndarray:
    """(n,) px upwards or to the right, of (n, 2) px column, row."""
    return height - path[:, 1] if axis else path[:, 0]


def _strobe(frames: np.ndarray, verdict: Verdict) -> np.ndarray:
    """uint8 (H, W, 3): the empty scene with every body at a few moments, as far apart as it is wide."""
    if not verdict.tracks:
        return np.asarray(frames[len(frames) // 2])
    empty = make_plate(frames).empty
    out = empty.copy()
    for track in verdict.tracks:
        for t in _moments(track):
            top, left, bottom, right = track.box[t]
            box = (slice(max(0, top - 2), bottom + 2), slice(max(0, left - 2), right + 2))
            frame = frames[t][box].astype(np.float32)
            away = np.abs(frame - empty[box]).max(-1)
            share = np.clip((away - 6) / 18, 0, 1)[..., None]
            out[box] = share * frame + (1 - share) * out[box]
    return np.clip(out, 0, 255).astype(np.uint8)


def _moments(track: Track) -> list[int]:
    whole = np.flatnonzero(track.whole)
    path = track.center[whole]
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    count = int(np.clip(gone[-1] / max(1.15 * track.diameter, 1), 1, SHOWN))
    return [
        int(whole[int(np.searchsorted(gone, share * gone[-1]).clip(0, len(whole) - 1))])
        for share in np.linspace(0, 1, count + 1)
    ]
