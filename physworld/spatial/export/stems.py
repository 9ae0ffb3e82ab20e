"""The audio of a scene's stems: one file per stem, ID.wav (or .flac) below a folder, mono or mixed down to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from physworld.errors import UserError
from physworld.io.listing import files
from physworld.io.names import safe_name
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import printable

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".aifc")
# Made by an export beside a scene that lies among its stems.
MADE = (
    ".adm.wav",
    ".binaural.wav",
    ".ebu.wav",
    ".bed.wav",
    ".ambix.wav",
)
MOST_SECONDS = 3600
RATES = (8000, 384_000)  # Hz, lowest and highest
BLOCK = 2**17  # samples, read at a time: a small file may unpack to many channels


class StemError(UserError):
    """A stem's file is missing or does not fit."""


def read_stems(folder: Path, scene: SpatialScene) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """(objects' samples by id, the other files' samples by name, sample rate); all (n,) float64 of one length.

    An id that is no file name (`a/b`, say) is looked for under `names.safe_name` of it.

    Raises:
        StemError: a file is missing, damaged or of another sample rate than the others, or two files are one stem's.
    """
    if not folder.is_dir():
        raise StemError(f"{folder} is no folder of stems.")
    found: dict[str, Path] = {}
    for path in files(folder, SUFFIXES):
        if path.name.lower().endswith(MADE):
            continue
        if found.setdefault(path.stem, path) != path:
            name = printable(path.stem)
            raise StemError(f"{found[path.stem]} and {path} are both the stem {name}; leave one of them.")
    wanted = {thing.id: thing.id if thing.id in found else safe_name(thing.id) for thing in scene.objects}
    missing = [name for name, file in wanted.items() if file not in found]
    if missing:
        name = printable(missing[0][:40])
        raise StemError(f"{folder} has no {printable(wanted[missing[0]])[:90]}.wav for the object {name}.")
    audio, rates = {}, {}
    for name, path in found.items():
        audio[name], rates[name] = _read(path)
    first = next(iter(wanted.values()))
    rate = rates[first]
    odd = [name for name, value in rates.items() if value != rate]
    if odd:
        raise StemError(f"{found[odd[0]]} has {rates[odd[0]]} Hz, but {found[first]} has {rate} Hz.")
    longest = max(map(len, audio.values()))
    audio = {name: np.pad(samples, (0, longest - len(samples))) for name, samples in audio.items()}
    taken = set(wanted.values())
    objects = {name: audio[file] for name, file in wanted.items()}
    return objects, {name: samples for name, samples in audio.items() if name not in taken}, rate


def _read(path: Path) -> tuple[np.ndarray, int]:
    import soundfile  # here, because it loads libsndfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            fits = RATES[0] <= rate <= RATES[1] and 0 < frames <= MOST_SECONDS * rate
            blocks = file.blocks(BLOCK, dtype="float64", always_2d=True) if fits else ()
            mono = np.concatenate([np.zeros(0), *(block.mean(axis=1) for block in blocks)])
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise StemError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from None
    if not RATES[0] <= rate <= RATES[1]:
        raise StemError(f"{path} has {rate} Hz; a stem has {RATES[0]} to {RATES[1]}.")
    if not fits:
        raise StemError(f"{path} must hold between one sample and {MOST_SECONDS} s.")
    if not np.isfinite(mono).all():
        raise StemError(f"{path} holds numbers that are not finite.")
    return mono, rate
