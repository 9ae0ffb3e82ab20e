"""The files of a folder of stems: what they are called, whether they can be read, and their samples in blocks.

A stem's id is its file's name as far as a payload allows (`Lead Vox (dry).wav` -> `Lead_Vox_dry`). It follows from the
names in the folder alone, so every command finds the same file for it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.io.listing import files
from physworld.spatial.export.stems import BLOCK, MADE, MOST_SECONDS, RATES, SUFFIXES
from physworld.spatial.scene.reading import MOST_BYTES, Invalid, parse_json, printable
from physworld.spatial.scene.terms import MOST_STEMS

LONGEST_ID = 16  # characters (terms.ID_PATTERN)


@dataclass(frozen=True, kw_only=True)
class StemFile:
    """One file of audio, mono or stereo."""

    id: str  # as a payload may say it
    path: Path
    rate: int  # Hz
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def blocks(self) -> Iterator[np.ndarray]:
        """(n, channels) float32 in order, all of BLOCK samples but the last.

        Raises:
            UserError: the file ends early, or holds numbers that are not finite.
        """
        import soundfile

        seen = 0
        try:
            with soundfile.SoundFile(self.path) as file:
                for block in file.blocks(BLOCK, dtype="float32", always_2d=True):
                    if not np.isfinite(block).all():
                        raise UserError(f"{printable(str(self.path))} holds numbers that are not finite.")
                    seen += len(block)
                    yield block
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{printable(str(self.path))} cannot be read ({_first(error)}).") from None
        if seen != self.frames:
            raise UserError(f"{printable(str(self.path))} ends after {seen} of {self.frames} samples; copy it again.")


def ids_of(names: Sequence[str]) -> list[str]:
    """An id for each file name (without suffix), all different: letters, digits, `-` and `_`, at most 16 of them."""
    found: list[str] = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        base = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-") or "stem"
        base = base[:LONGEST_ID].rstrip("_-")
        made, count = base, 2
        while made.lower() in {one.lower() for one in found}:
            tail = f"_{count}"
            made, count = base[: LONGEST_ID - len(tail)] + tail, count + 1
        found.append(made)
    return found


def stem_files(folder: Path) -> list[StemFile]:
    """Every WAV, FLAC and AIFF file below a folder, in path order, opened once to see that it is one.

    Raises:
        UserError: no such folder, none or too many files in it, or one that cannot be a stem; all such are named.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of stems.")
    paths = [path for path in files(folder, SUFFIXES) if not path.name.lower().endswith(MADE)]
    if not paths:
        raise UserError(f"{folder} holds no stem; put WAV, FLAC or AIFF files there.")
    if len(paths) > MOST_STEMS:
        raise UserError(
            f"{folder} holds {len(paths)} stems; a payload has at most {MOST_STEMS}, so bounce some together."
        )
    found, broken = list[StemFile](), list[str]()
    for path, name in zip(paths, ids_of([path.stem for path in paths]), strict=True):
        try:
            found.append(_opened(path, name))
        except ValueError as error:
            broken.append(f"{printable(path.name)} {error}")
    if broken:
        raise UserError(f"{folder}: {'; '.join(broken)}. Mend or move {'it' if len(broken) == 1 else 'them'}.")
    return found


def _opened(path: Path, name: str) -> StemFile:
    """Raises: ValueError: the file is no stem; the message ends a sentence that begins with its name."""
    import soundfile  # here, because it loads libsndfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, frames, channels = int(file.samplerate), int(file.frames), int(file.channels)
    except (soundfile.LibsndfileError, OSError, ValueError, TypeError) as error:
        raise ValueError(f"cannot be read ({_first(error)})") from None
    if frames <= 0:
        raise ValueError("holds no sample")
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"has {rate} Hz; a stem has {RATES[0]} to {RATES[1]}")
    if channels > 2:
        raise ValueError(f"has {channels} channels; a stem is mono or stereo")
    if frames > MOST_SECONDS * rate:
        raise ValueError(f"lasts {frames / rate:.0f} s; a stem lasts at most {MOST_SECONDS}")
    return StemFile(id=name, path=path, rate=rate, frames=frames, channels=channels)


def _first(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0].rpartition(": ")[2].rstrip(".") if text else type(error).__name__


class Mono:
    """A stem as one channel at one rate, read anywhere; what lies beyond its end is silent."""

    def __init__(self, stem: StemFile, rate: int, folder: Path) -> None:
        """
        Args:
            rate: Hz, of the samples that `read` gives.
            folder: for the converted samples, where the file has another rate.
        """
        self.stem, self.rate = stem, rate
        self._file: Any = None
        self._raw: Path | None = None
        if stem.rate == rate:
            self.frames = stem.frames
            return
        self._raw = folder / f"{stem.id}.f32"
        converted = resampled(np.concatenate([block.mean(axis=1) for block in stem.blocks()]), stem.rate, rate)
        self.frames = len(converted)
        converted.astype(np.float32).tofile(self._raw)

    def read(self, start: int, count: int) -> np.ndarray:
        """(count,) float32 samples from `start` on, which may be below 0 or beyond the end.

        Raises:
            UserError: the file cannot be read any more, or holds numbers that are not finite.
        """
        out = np.zeros(count, np.float32)
        first, last = max(0, start), min(self.frames, start + count)
        if last > first:
            part = self._part(first, last - first)
            if not np.isfinite(part).all():
                raise UserError(f"{printable(str(self.stem.path))} holds numbers that are not finite.")
            out[first - start : first - start + len(part)] = part
        return out

    def _part(self, first: int, count: int) -> np.ndarray:
        if self._raw is not None:
            return np.fromfile(self._raw, np.float32, count, offset=4 * first)
        import soundfile

        try:
            if self._file is None:
                self._file = soundfile.SoundFile(self.stem.path)
            self._file.seek(first)
            found: np.ndarray = self._file.read(count, dtype="float32", always_2d=True).mean(axis=1)
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{printable(str(self.stem.path))} cannot be read ({_first(error)}).") from None
        return found

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def resampled(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """(n,) samples at another rate: scipy's polyphase filter."""
    from scipy.signal import resample_poly

    common = math.gcd(rate, target)
    found: np.ndarray = resample_poly(samples, target // common, rate // common)
    return found


def read_json(option: str, path: Path, most: int = MOST_BYTES) -> Any:
    """What a JSON file of `most` bytes holds that an option of the command names.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return parse_json(file.read(most + 1), most)
    except OSError as error:
        raise UserError(f"{option} {path} cannot be read ({error.strerror}).") from None
    except Invalid as error:
        raise UserError(f"{option} {path}: {error}.") from None
