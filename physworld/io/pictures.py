"""Pictures that people bring, as cameras and tools make them, read as plain 8-bit colour.

The rules, whatever the file: it is turned as its EXIF tag or its container says; of an animation or a clip the first
frame counts; transparent parts show `background`; 16-bit values are divided by 257, so that ramps stay ramps; palettes,
CMYK and grey become RGB. To another size a picture is scaled by one factor for both sides, so that circles stay
circles: `crop` fills the frame and cuts off what stands out, `pad` shows everything, on `background`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from physworld.errors import UserError, first_line

FITS = ("crop", "pad")


class Unreadable(ValueError):
    """A file that holds no picture; one sentence."""


def colour(name: str, value: object) -> tuple[int, int, int]:
    """RGB of a colour's name or of #rrggbb.

    Raises:
        UserError: it is neither.
    """
    try:
        return ImageColor.getcolor(str(value), "RGB")  # type: ignore[return-value]
    except ValueError:
        raise UserError(f"{name}={value} is no colour; give a name such as white or black, or #rrggbb.") from None


def first_frame(path: Path, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """A picture file, or a clip's first frame: RGB, upright.

    Args:
        background: RGB of what is transparent.

    Raises:
        Unreadable: it holds no picture.
    """
    try:
        try:
            with Image.open(path) as file:
                return _rgb(ImageOps.exif_transpose(file), background)
        except UnidentifiedImageError:
            return _of_clip(path)
    except Unreadable:
        raise
    except Exception as error:  # a foreign file: decoders raise nearly anything, and none of it is a bug of ours
        reason = (error.strerror if isinstance(error, OSError) else "") or first_line(error)
        raise Unreadable(f"it cannot be read as a picture ({reason})") from None


def fitted(picture: Image.Image, size: tuple[int, int], *, fit: str, background: tuple[int, int, int]) -> Image.Image:
    """The whole picture, or its middle, at `size` (W, H) px; both sides are scaled alike.

    Args:
        fit: one of FITS.
        background: RGB of what `pad` adds.
    """
    if fit not in FITS:
        raise ValueError(f"fit={fit} is unknown; choose one of {', '.join(FITS)}")
    if fit == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=background)


def _rgb(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """8-bit colour on the background."""
    mode, clear = picture.mode, picture.info.get("transparency")
    if mode.startswith("I") or mode == "F":
        grey = np.asarray(picture)
        layer = Image.fromarray(_eight_bits(grey), "L").convert("RGBA")
        if isinstance(clear, int):
            layer.putalpha(Image.fromarray(np.where(grey == clear, 0, 255).astype(np.uint8), "L"))
    elif clear is not None or mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        straight = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)  # alpha that is multiplied in already
        layer = (picture.convert(straight) if straight != mode else picture).convert("RGBA")
    else:
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", layer.size, (*background, 255)), layer).convert("RGB")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """uint8 (H, W) of deeper grey: whole numbers up to 65535, or shares from 0 to 1.

    Raises:
        Unreadable: the numbers are neither.
    """
    most, least = (float(grey.max()), float(grey.min())) if grey.size else (0.0, 0.0)
    if grey.dtype.kind == "f" and least >= 0 and most <= 1:
        return np.round(grey * 255).astype(np.uint8)
    if grey.dtype.kind in "iu" and least >= 0 and most <= 65535:
        return np.round(grey / 257).astype(np.uint8)
    raise Unreadable(f"its pixels go from {least:g} to {most:g}, which is neither 0-1 nor 8 or 16 bits")


def _of_clip(path: Path) -> Image.Image:
    """The first frame of a film, turned as its container says."""
    import av  # here, because it loads all of ffmpeg

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise Unreadable("it holds no pictures")
        frame = next(container.decode(video=0))
        picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
        return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
