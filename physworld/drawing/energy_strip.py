"""Energy and momentum over time, drawn as a strip below the frames of a comparison."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from physworld.drawing.pen import GROUND, INK, PALETTE, WALL, mix
from physworld.metrics.energy import linear_momentum, total_energy
from physworld.types import Trajectory

HEIGHT = 72  # px
MARGIN = 6  # px round each chart


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def under(frames: np.ndarray, truth: Trajectory, predicted: Trajectory) -> np.ndarray:
    """`frames` uint8 (T, H, W, 3) with a strip of HEIGHT px below: total energy in J left, |momentum| in kg·m/s right.

    Grey is the truth, blue the prediction; a line marks the frame that is shown above.
    """
    width = frames.shape[2]
    left = width // 2
    with np.errstate(over="ignore", invalid="ignore"):
        charts = (
            ("energy, J", total_energy(truth), total_energy(predicted), 0, left),
            ("momentum, kg·m/s", _size(linear_momentum(truth)), _size(linear_momentum(predicted)), left, width),
        )
    base = Image.new("RGB", (width, HEIGHT), GROUND)
    for title, true, guess, start, end in charts:
        _chart(ImageDraw.Draw(base), title, true, guess, start, end)
    out = np.empty((len(frames), frames.shape[1] + HEIGHT, width, 3), dtype=np.uint8)
    out[:, : frames.shape[1]] = frames
    for t in range(len(frames)):
        strip = base.copy()
        pen = ImageDraw.Draw(strip)
        for *_, start, end in charts:
            x = _across(start, end, t, len(frames))
            pen.line([(x, 16), (x, HEIGHT - MARGIN)], fill=INK)
        out[t, frames.shape[1] :] = np.asarray(strip)
    return out


def _size(momentum: np.ndarray) -> np.ndarray:
    return np.linalg.norm(momentum, axis=-1)


def _across(start: int, end: int, t: int, count: int) -> float:
    return start + MARGIN + (end - start - 2 * MARGIN) * t / max(1, count - 1)


def _chart(pen: ImageDraw.ImageDraw, title: str, true: np.ndarray, predicted: np.ndarray, start: int, end: int) -> None:
    """Two lines in one frame; the scale is the truth's and twice its range, so that a runaway leaves the picture."""
    low, high = float(true.min()), float(true.max())
    room = max(high - low, 0.1 * max(abs(low), abs(high)), 1e-6)
    low, high = low - room / 2, high + room / 2
    top, bottom = 16, HEIGHT - MARGIN
    pen.rectangle([start + MARGIN, top, end - MARGIN, bottom], outline=mix(INK, GROUND, 0.2))
    pen.text(
        (start + MARGIN, 1), f"{title}   {true[-1]:.3g} truth, {predicted[-1]:.3g} predicted", fill=INK, font=_font(11)
    )
    for values, colour, thick in ((true, WALL, 3), (predicted, PALETTE[0], 1)):
        heights = np.clip((values - low) / (high - low), 0, 1)
        points = [
            (_across(start, end, t, len(values)), bottom - (bottom - top) * float(h))
            for t, h in enumerate(heights)
            if np.isfinite(h)
        ]
        if len(points) > 1:
            pen.line(points, fill=colour, width=thick)
