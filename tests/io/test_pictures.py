"""Pictures and clips as files: every frame is kept, and what people bring is read as it looks."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageDraw

from physworld.errors import UserError
from physworld.io import images
from physworld.io.images import gif_bytes, write_animation, write_mp4
from physworld.io.pictures import FITS, colour, first_frame, fitted

RED, GREEN = (200, 30, 40), (20, 180, 60)


def clip(count: int = 17) -> np.ndarray:
    """A square that rests, moves, and rests again: most frames equal the one before."""
    frames = np.full((count, 32, 48, 3), 40, np.uint8)
    for k in range(count):
        frames[k, 8:16, 10 + min(max(k - 5, 0), 3) :][:, :8] = (250, 120, 10)
    return frames


def shown(path: Path) -> np.ndarray:
    return iio.imread(path, plugin="pyav") if path.suffix == ".mp4" else iio.imread(path)[..., :3]


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
@pytest.mark.parametrize("frames", [clip(), np.full((17, 16, 16, 3), 90, np.uint8), clip(1), clip(2)])
def test_every_frame_is_written_also_when_nothing_moves(suffix: str, frames: np.ndarray, tmp_path: Path) -> None:
    seen = shown(write_animation(tmp_path / f"clip{suffix}", frames, 10))
    assert len(seen) == len(frames)
    assert np.abs(seen.astype(int) - frames).mean() < (1 if suffix == ".gif" else 8)


def test_a_gif_shows_each_frame_as_long(tmp_path: Path) -> None:
    with Image.open(write_animation(tmp_path / "clip.gif", clip(), 8)) as gif:
        durations = []
        for k in range(gif.n_frames):
            gif.seek(k)
            durations.append(gif.info["duration"])
        assert durations == [120] * 17 and gif.info["loop"] == 0


def test_a_frame_of_a_gif_lasts_no_longer_than_its_format_allows() -> None:
    for fps in (1e-3, 1e-9):
        with Image.open(io.BytesIO(gif_bytes(clip(2), fps))) as gif:
            assert gif.info["duration"] == 655350


def test_colours_are_counted_alike_where_they_are_few_and_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawings are counted in compiled code, clips with noise by sorting."""
    frames = np.random.default_rng(0).integers(0, 12, (3, 24, 24, 3), dtype=np.uint8) ** 2  # 1,115 colours, many ties
    few = gif_bytes(frames, 15)
    monkeypatch.setattr(images, "FEW_COLOURS", 64)
    assert gif_bytes(frames, 15) == few


def test_a_gif_of_random_pixels_keeps_its_exact_colours_frame_by_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (60, 3), dtype=np.uint8)
    frames = colours[rng.integers(0, 60, (9, 20, 30))]
    frames[4] = frames[3]
    assert np.array_equal(shown(write_animation(tmp_path / "clip.gif", frames, 10)), frames)


# --------------------------------------------------------------------------------------------------------- reading


def read_picture(
    path: Path, size: tuple[int, int], fit: str = "crop", background: tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    return np.asarray(fitted(first_frame(path, background), size, fit=fit, background=background))


def ramp16(tmp_path: Path, name: str, dtype: str = "<u2") -> Path:
    values = np.linspace(0, 65535, 256).round().astype(dtype)
    picture = Image.fromarray(np.tile(values, (16, 1)).astype(np.int32 if dtype == "<i4" else "<u2"))
    picture.save(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("name", ["ramp.png", "ramp.tif"])
def test_a_ramp_of_sixteen_bits_stays_a_ramp(name: str, tmp_path: Path) -> None:
    seen = np.asarray(first_frame(ramp16(tmp_path, name)))[0, :, 0].astype(int)
    assert np.array_equal(seen, np.arange(256))


def test_deep_grey_of_other_kinds(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(8, 0)).save(tmp_path / "share.tif")
    assert np.array_equal(np.asarray(first_frame(tmp_path / "share.tif"))[0, :, 0], np.arange(256))
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match="its pixels go from 70000 to 70000"):
        first_frame(tmp_path / "deep.tif")


def halves(size: tuple[int, int] = (40, 60)) -> Image.Image:
    """Red above, green below."""
    picture = Image.new("RGB", size, RED)
    picture.paste(GREEN, (0, size[1] // 2, *size))
    return picture


@pytest.mark.parametrize(
    ("tag", "turn"),
    [
        (1, None),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (5, Image.Transpose.TRANSPOSE),
    ],
)
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_a_picture_is_turned_as_its_camera_says(
    tag: int, turn: Image.Transpose | None, ending: str, tmp_path: Path
) -> None:
    stored = halves() if turn is None else halves().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = tag
    stored.save(tmp_path / f"phone.{ending}", exif=exif)
    seen = first_frame(tmp_path / f"phone.{ending}")
    assert seen.size == (40, 60)
    pixels = np.asarray(seen).astype(int)
    assert np.abs(pixels[10, 20] - RED).max() < 12 and np.abs(pixels[50, 20] - GREEN).max() < 12


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(300, 900), (900, 300), (400, 400), (120, 80)])
def test_a_circle_stays_a_circle(fit: str, size: tuple[int, int], tmp_path: Path) -> None:
    picture = Image.new("RGB", size, "black")
    middle, r = (size[0] // 2, size[1] // 2), min(size) // 5
    ImageDraw.Draw(picture).ellipse((middle[0] - r, middle[1] - r, middle[0] + r, middle[1] + r), fill="red")
    picture.save(tmp_path / "circle.png")
    seen = read_picture(tmp_path / "circle.png", (96, 64), fit=fit, background=(0, 0, 0))
    assert seen.shape == (64, 96, 3) and seen.dtype == np.uint8
    disc = seen[..., 0] > 128
    across, down = (np.ptp(np.flatnonzero(disc.any(axis))) + 1 for axis in (0, 1))
    scale = (max if fit == "crop" else min)(96 / size[0], 64 / size[1])
    assert abs(int(across) - int(down)) <= 1 and across == pytest.approx(2 * r * scale, abs=1.5)


def test_pad_shows_everything_on_the_background(tmp_path: Path) -> None:
    halves((40, 80)).save(tmp_path / "tall.png")
    seen = read_picture(tmp_path / "tall.png", (80, 80), fit="pad", background=(1, 2, 3))
    assert (
        seen[40, 5].tolist() == [1, 2, 3] and seen[2, 40].tolist() == list(RED) and seen[77, 40].tolist() == list(GREEN)
    )
    assert read_picture(tmp_path / "tall.png", (80, 80))[2, 5].tolist() == list(RED)  # crop has no bars


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "L", "RGB", "I;16"])
def test_what_is_transparent_shows_the_background(mode: str, tmp_path: Path) -> None:
    path, more = tmp_path / "clear.png", {}
    shape = np.zeros((20, 20, 4), np.uint8)
    shape[:, 10:] = (255, 255, 255, 255)
    picture = Image.fromarray(shape, "RGBA")
    if mode in ("LA", "RGBA"):
        picture = picture.convert(mode)
    elif mode in ("P", "PA"):
        indices = Image.fromarray((shape[..., 3] > 0).astype(np.uint8), "P")
        indices.putpalette([0, 0, 0, 255, 255, 255])
        picture, more = indices, {"transparency": 0 if mode == "P" else b"\x00\xff"}
    else:
        solid = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        picture = Image.fromarray(solid) if mode == "I;16" else picture.convert("RGB").convert(mode)
        more = {"transparency": (0, 0, 0) if mode == "RGB" else 0}
    picture.save(path, **more)
    seen = np.asarray(first_frame(path, (10, 120, 230)))
    assert seen[5, 2].tolist() == [10, 120, 230] and seen[5, 17].tolist() == [255, 255, 255]
    assert np.asarray(first_frame(path))[5, 2].tolist() == [255, 255, 255]  # white, where nothing is said


def test_half_transparent_parts_are_mixed(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "half.png")
    assert np.asarray(first_frame(tmp_path / "half.png"))[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize(
    ("mode", "ending"), [("CMYK", "jpg"), ("CMYK", "tif"), ("P", "png"), ("P", "bmp"), ("1", "png")]
)
def test_other_kinds_of_colour(mode: str, ending: str, tmp_path: Path) -> None:
    base = Image.new("RGB", (16, 16), (255, 0, 0) if mode != "1" else (255, 255, 255))
    base.convert(mode).save(tmp_path / f"x.{ending}")
    seen = np.asarray(first_frame(tmp_path / f"x.{ending}")).astype(int)
    assert seen.shape == (16, 16, 3) and np.abs(seen[8, 8] - np.asarray(base)[8, 8]).max() < 6


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif", "mp4"])
def test_the_first_frame_of_what_moves(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    pictures = [Image.new("RGB", (32, 32), c) for c in (RED, GREEN)]
    if ending == "mp4":
        write_mp4(path, np.stack([np.asarray(p) for p in pictures]), 5)
    else:
        pictures[0].save(path, save_all=True, append_images=pictures[1:])
    assert np.abs(np.asarray(first_frame(path))[16, 16].astype(int) - RED).max() < 12


def test_a_film_is_turned_as_its_container_says(tmp_path: Path) -> None:
    path = write_mp4(
        tmp_path / "x.mp4", np.asarray(halves().transpose(Image.Transpose.ROTATE_90))[None].repeat(3, 0), 5
    )
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # of version 0: what turns a quarter clockwise
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    seen = first_frame(path)
    assert seen.size == (40, 60)
    pixels = np.asarray(seen).astype(int)
    assert np.abs(pixels[8, 20] - RED).max() < 14 and np.abs(pixels[52, 20] - GREEN).max() < 14


def _cut(tmp_path: Path) -> Path:
    out = io.BytesIO()
    halves().save(out, "PNG")
    (tmp_path / "cut.png").write_bytes(out.getvalue()[:90])
    return tmp_path / "cut.png"


def test_what_is_no_picture_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "empty.png").touch()
    for path in (_cut(tmp_path), tmp_path / "words.txt", tmp_path / "empty.png", tmp_path, tmp_path / "nowhere.png"):
        with pytest.raises(ValueError, match="it cannot be read as a picture") as caught:
            first_frame(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="background=whte is no colour"):
        colour("background", "whte")
    assert colour("background", "#102030") == (16, 32, 48)
