"""Runs of pictures as clips: read as each picture looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from physworld.io.film import read_frames, read_timeline
from physworld.io.pictures import Unreadable


def read(files: list[Path], size: tuple[int, int], background: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    return read_frames(files, read_timeline(files), np.arange(2), size=size, fit="crop", background=background)


def test_deep_pictures_stay_ramps(tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.png" for k in range(2)]
    for path in files:
        Image.fromarray(np.linspace(0, 65535, 80).astype(np.uint16)[None].repeat(40, 0)).save(path)
    assert np.abs(read(files, (80, 40))[0, 0, :, 0] - np.linspace(0, 255, 80)).max() <= 1


def test_pictures_are_turned_as_their_camera_says(tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.jpg" for k in range(2)]
    for path in files:
        half = np.zeros((40, 80, 3), np.uint8)
        half[:20] = 255  # above, which is on the right after a quarter turn clockwise
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.fromarray(half).save(path, exif=turned)
    assert read_timeline(files).size == (40, 80)
    frame = read(files, (40, 80))[0]
    assert frame[:, 22:].min() > 200 and frame[:, :18].max() < 50


def test_what_is_transparent_shows_the_background(tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.png" for k in range(2)]
    for path in files:
        Image.fromarray(np.zeros((40, 80, 4), np.uint8)).save(path)
    assert (read(files, (80, 40), background=(10, 200, 30)) == (10, 200, 30)).all()


def test_a_picture_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.png" for k in range(2)]
    Image.fromarray(np.zeros((40, 80, 3), np.uint8)).save(files[0])
    files[1].write_text("words")
    with pytest.raises(Unreadable, match="it cannot be read as a picture"):
        read(files, (80, 40))
