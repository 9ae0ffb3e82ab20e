"""L1: Trajectory -> pictures, uint8 (T, H, W, 3), and picture files. World y points up, picture y down."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from physworld.files import replacing
from physworld.metrics.errors import per_horizon
from physworld.pen import ERROR, GHOST, GROUND, INK, PALETTE, SUPERSAMPLE, Pen, mix
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
    truth: Trajectory, predicted: Trajectory, *, size: tuple[int, int] = (400, 300), trails: int = 12
) -> np.ndarray:
    """Truth, prediction, and both laid over each other with red error lines: uint8 (T, H + 20, 3 W + 8, 3).

    `size` is one panel's (W, H). Each frame is labelled with its number from 1 and its position RMSE in px.
    """
    if len(truth) != len(predicted) or truth.angle.shape != predicted.angle.shape:
        shapes = f"{truth.angle.shape} and {predicted.angle.shape}"
        raise ValueError(f"truth and prediction must have the same frames and bodies, got {shapes}")

    def overlay(pen: Pen, t: int) -> None:
        scene, true, said = truth.scene, truth.frame(t), predicted.frame(t)
        for i in range(len(scene.bodies)):
            pen.body(scene, true, i, GHOST, mix(INK, GHOST, 0.25), pen.thin)
        pen.joints(scene, true, GHOST)
        for i in range(len(scene.bodies)):
            pen.body(scene, said, i, None, PALETTE[0], 1.2 * SUPERSAMPLE)
        for start, end in zip(true.position, said.position, strict=True):
            if np.isfinite(end).all() and np.linalg.norm(pen.at(start) - pen.at(end)) > SUPERSAMPLE:
                pen.line(start, end, ERROR, 1.5 * SUPERSAMPLE)

    panels = [render(truth, size=size, trails=trails), render(predicted, size=size, trails=trails)]
    panels.append(_frames(truth, size, overlay))
    errors = per_horizon(truth, predicted)
    width, height = size
    sheet = np.empty((len(truth), height + HEADER, 3 * width + 2 * GAP, 3), dtype=np.uint8)
    sheet[:] = mix(INK, GROUND, 0.18)
    for k, panel in enumerate(panels):
        sheet[:, HEADER:, k * (width + GAP) : k * (width + GAP) + width] = panel
    for t, error in enumerate(errors):
        sheet[t, :HEADER] = _header(sheet.shape[2], width, t + 1, float(error))
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


def _checked(frames: np.ndarray) -> np.ndarray:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 (T, H, W, 3) with T >= 1, got {frames.dtype} {frames.shape}")
    return frames


def _palette(frames: np.ndarray) -> Image.Image:
    """The 96 commonest colours exactly, and 96 that share out the rest.

    In the rest every colour counts once, however rare, else a thin red line loses its red to the background.
    """
    packed = frames.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    colours = colours[np.argsort(-counts, kind="stable")]
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
    entries = rgb[:96]
    if len(rgb) > 96:
        rest = Image.fromarray(rgb[None, 96:]).quantize(96, method=Image.Quantize.MEDIANCUT)
        entries = np.concatenate([entries, np.array(rest.getpalette(), dtype=np.uint8).reshape(-1, 3)])
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries.tobytes())
    return palette


def gif_bytes(frames: np.ndarray, fps: float) -> bytes:
    """Animated GIF of uint8 (T, H, W, 3), looping, one palette of up to 192 colours for all frames.

    GIF counts time in 1/100 s and browsers slow delays under 2 down to 10, so the true rate is 100 / round(100 / fps)
    and at most 50 per second.
    """
    frames = _checked(frames)
    palette = _palette(frames[:: max(1, len(frames) // 8)])
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    out = io.BytesIO()
    delay = max(2, round(100 / fps)) * 10  # ms
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=delay, loop=0, optimize=True)
    return out.getvalue()


def write_gif(path: str | Path, frames: np.ndarray, fps: float) -> Path:
    """Write `gif_bytes`; the file is whole or absent."""
    data = gif_bytes(frames, fps)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_mp4(path: str | Path, frames: np.ndarray, fps: float) -> Path:
    """H.264 file of uint8 (T, H, W, 3). Odd sides grow by one repeated pixel: 4:2:0 colour needs even sides."""
    import imageio.v3 as iio  # here, because PyAV loads all of ffmpeg

    frames = _checked(frames)
    even = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    with replacing(path) as temporary:
        iio.imwrite(temporary, even, plugin="pyav", codec="libx264", fps=fps)
    return Path(path)


def write_png(path: str | Path, frame: np.ndarray) -> Path:
    """One picture, uint8 (H, W, 3)."""
    if frame.ndim != 3:
        raise ValueError(f"a PNG holds one picture (H, W, 3), got shape {frame.shape}; index one frame first")
    image = Image.fromarray(_checked(frame[None])[0])
    with replacing(path) as temporary:
        image.save(temporary, "PNG", optimize=True)
    return Path(path)
