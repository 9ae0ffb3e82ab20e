"""Trajectory -> pictures, uint8 (T, H, W, 3). World y points up, picture y down."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from physworld.drawing.pen import ERROR, GHOST, GROUND, INK, PALETTE, SUPERSAMPLE, Pen, mix
from physworld.metrics.errors import per_horizon
from physworld.types import Trajectory

HEADER = 20  # px, label strip above the panels
GAP = 4  # px between panels


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own face, so that no machine's fonts change a picture."""
    return ImageFont.load_default(size)


def _bodies(pen: Pen, trajectory: Trajectory, t: int, trails: int) -> None:
    scene, state = trajectory.scene, trajectory.frame(t)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(scene.bodies))]
    for i, colour in enumerate(colours):
        pen.trail(trajectory.position[max(0, t - trails) : t + 1, i], colour)
    for i, colour in enumerate(colours):
        pen.body(scene, state, i, mix(colour, GROUND, 0.8), mix(colour, INK, 0.6), pen.thin)
    pen.joints(scene, state)


def _frames(
    trajectory: Trajectory, size: tuple[int, int], paint: Callable[[Pen, int], None], every: int = 1
) -> np.ndarray:
    """(T / every, H, W, 3): the scene's background, then whatever `paint` adds for each frame."""
    if len(trajectory) == 0:
        raise ValueError(f"trajectory of scene {trajectory.scene.name!r} has no frames to draw")
    if min(size) < 16:
        raise ValueError(f"picture size must be at least 16 x 16 px, got {size[0]} x {size[1]}")
    empty = Image.new("RGB", (SUPERSAMPLE * size[0], SUPERSAMPLE * size[1]), GROUND)
    Pen(empty, trajectory.scene, size).background(trajectory.scene)
    times = range(0, len(trajectory), every)
    frames = np.empty((len(times), size[1], size[0], 3), dtype=np.uint8)
    for k, t in enumerate(times):
        image = empty.copy()
        paint(Pen(image, trajectory.scene, size), t)
        frames[k] = np.asarray(image.reduce(SUPERSAMPLE))
    return frames


def render(
    trajectory: Trajectory, *, size: tuple[int, int] = (400, 300), trails: int = 12, every: int = 1
) -> np.ndarray:
    """Draw every frame, or each `every`-th from the first on: uint8 (T, H, W, 3) for size (W, H) px.

    `trails` is how many past frames a trail shows.

    The picture shows the scene's canvas, kept in proportion; bodies outside it are not seen.
    """
    return _frames(trajectory, size, lambda pen, t: _bodies(pen, trajectory, t, trails), every)


def comparison(
    truth: Trajectory, predicted: Trajectory, *, size: tuple[int, int] = (400, 300), trails: int = 12, every: int = 1
) -> np.ndarray:
    """Truth, prediction, and both laid over each other with red error lines: uint8 (T, H + 20, 3 W + 8, 3).

    Each `every`-th frame is drawn, from the first on, and labelled with its number from 1 and its position RMSE in px.
    `size` is one panel's (W, H).
    """
    if len(truth) != len(predicted) or truth.angle.shape != predicted.angle.shape:
        shapes = f"{truth.angle.shape} and {predicted.angle.shape}"
        raise ValueError(f"truth and prediction must have the same frames and bodies, got {shapes}")

    def overlay(pen: Pen, t: int) -> None:
        scene, true, guess = truth.scene, truth.frame(t), predicted.frame(t)
        for i in range(len(scene.bodies)):
            pen.body(scene, true, i, GHOST, mix(INK, GHOST, 0.25), pen.thin)
        pen.joints(scene, true, GHOST)
        for i in range(len(scene.bodies)):
            pen.body(scene, guess, i, None, PALETTE[0], 1.2 * SUPERSAMPLE)
        for start, end in zip(true.position, guess.position, strict=True):
            if np.isfinite(end).all() and math.dist(pen.point(start), pen.point(end)) > SUPERSAMPLE:
                pen.line(start, end, ERROR, 1.5 * SUPERSAMPLE)

    panels = [render(one, size=size, trails=trails, every=every) for one in (truth, predicted)]
    panels.append(_frames(truth, size, overlay, every))
    errors = per_horizon(truth, predicted)[::every]
    width, height = size
    sheet = np.empty((len(errors), height + HEADER, 3 * width + 2 * GAP, 3), dtype=np.uint8)
    for k, panel in enumerate(panels):
        start, end = k * (width + GAP), k * (width + GAP) + width
        sheet[:, HEADER:, start:end] = panel
        sheet[:, HEADER:, end : end + GAP] = mix(INK, GROUND, 0.18)
    for k, error in enumerate(errors):
        sheet[k, :HEADER] = _header(sheet.shape[2], width, k * every + 1, float(error))
    return sheet


def _header(total: int, panel: int, frame: int, error: float) -> np.ndarray:
    strip = Image.new("RGB", (total, HEADER), mix(INK, GROUND, 0.08))
    draw = ImageDraw.Draw(strip)
    labels = (("truth", f"frame {frame}"), ("prediction", ""), ("overlay", f"RMSE {error:.1f} px"))
    for k, (left, right) in enumerate(labels):
        x = k * (panel + GAP)
        draw.text((x + 6, HEADER // 2), left, fill=INK, font=font(12), anchor="lm")
        draw.text((x + panel - 6, HEADER // 2), right, fill=ERROR if k == 2 else INK, font=font(12), anchor="rm")
    return np.asarray(strip)
