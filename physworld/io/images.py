"""Pictures, uint8 (T, H, W, 3), as GIF, MP4 and PNG files; each file is whole or absent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import GifImagePlugin, Image

from physworld.io.atomic import replacing

FEW_COLOURS = 1 << 14  # of drawings; counted one by one up to here


def _checked(frames: np.ndarray) -> np.ndarray:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 (T, H, W, 3) with T >= 1, got {frames.dtype} {frames.shape}")
    return frames


def _by_frequency(frames: np.ndarray) -> np.ndarray:
    """(K, 3) uint8: the colours of frames, the commonest first."""
    flat = Image.fromarray(frames.reshape(-1, *frames.shape[2:]))
    few: Any = flat.getcolors(FEW_COLOURS)  # None if there are more, as in clips with noise: sorting is faster then
    if few is not None:
        few.sort(key=lambda pair: (-pair[0], pair[1]))
        return np.array([colour for _, colour in few], dtype=np.uint8)
    packed = frames.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    colours = colours[np.argsort(-counts, kind="stable")]
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)


def _palette(frames: np.ndarray) -> Image.Image:
    """The 96 commonest colours exactly, and 96 that share out the rest.

    In the rest every colour counts once, however rare, else a thin red line loses its red to the background.
    """
    rgb = _by_frequency(frames)
    entries = rgb[:96]
    if len(rgb) > 96:
        rest = Image.fromarray(rgb[None, 96:]).quantize(96, method=Image.Quantize.MEDIANCUT)
        entries = np.concatenate([entries, np.array(rest.getpalette(), dtype=np.uint8).reshape(-1, 3)])
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries.tobytes())
    return palette


UNCHANGED = 255  # palette entry of pixels that stay as they were


def gif_bytes(frames: np.ndarray, fps: float) -> bytes:
    """Animated GIF of uint8 (T, H, W, 3) with T frames, looping, one palette of up to 192 colours for all of them.

    GIF counts time in 1/100 s, in 16 bits, and browsers slow delays under 2 down to 10, so the true rate is
    100 / round(100 / fps), at most 50 per second, and no frame lasts longer than 655.35 s.
    """
    frames = _checked(frames)
    palette = _palette(frames[:: max(1, len(frames) // 8)])
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    delay = min(65535, max(2, round(100 / fps))) * 10  # ms
    out = io.BytesIO()
    pictures[0].save(out, "GIF", duration=delay, loop=0, optimize=False)
    # Pillow's `save_all` would draw a frame that equals the one before as a longer delay, and T would shrink.
    parts = [out.getvalue().removesuffix(b";")]
    before = np.asarray(pictures[0])
    for picture in pictures[1:]:
        now = np.asarray(picture)
        rows, columns = (np.flatnonzero((now != before).any(axis)) for axis in (1, 0))
        top, bottom, left, right = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if len(rows) else (0, 1, 0, 1)
        area = (slice(top, bottom), slice(left, right))
        drawn = Image.fromarray(np.where(now[area] != before[area], now[area], np.uint8(UNCHANGED)), "P")
        place = (int(left), int(top))
        parts += GifImagePlugin.getdata(drawn, place, duration=delay, transparency=UNCHANGED, disposal=1)
        before = now
    return b"".join([*parts, b";"])


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


def write_animation(path: Path, frames: np.ndarray, fps: float) -> Path:
    """GIF or MP4, by suffix."""
    return (write_mp4 if path.suffix == ".mp4" else write_gif)(path, frames, fps)
