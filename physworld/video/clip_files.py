"""People's own clips: files with captions, cut to one size, rate and number of frames."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import FormatError, suggest
from physworld.io.captions import read_captions
from physworld.io.film import WINDOWS, Timeline, choose, read_frames, read_timeline, scale_of
from physworld.io.pictures import FITS, Unreadable, colour
from physworld.judge.footage import Source, find
from physworld.seeding import SPLITS, generator
from physworld.types import Sample
from physworld.video.clips import check_shape
from physworld.video.codecs.usual import Usual
from physworld.video.source import Brief

REVERSED, JUMP, PLACEBO = "reversed", "jump", "placebo"
WRONG = (REVERSED, JUMP)  # the same frames in an order that no film has
FOLDERS = {"train": "train", "val": "val", "validation": "val", "test": "test"}  # name of a folder -> split
LEAST = 3  # clips: one for each split
MEMORY = 2**28  # bytes of frames that are kept, so that small clips are decoded once


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnClip:
    """What the loader feeds of one file."""

    frames: np.ndarray  # uint8 (T, H, W, 3)
    caption: str
    source: Source
    timeline: Timeline  # of the file
    chosen: np.ndarray  # (T,) int64 numbers of the file's frames
    begin: float  # s, of the first of them
    fps: float  # of `frames`
    scale: float  # by what both sides of the file's picture were multiplied
    physics: str  # correct, or one of WRONG

    @property
    def kept(self) -> float:
        """Share of the file's picture that is in the frames."""
        (height, width), have = self.frames.shape[1:3], self.timeline.size
        return min(1.0, width / (have[0] * self.scale)) * min(1.0, height / (have[1] * self.scale))


@dataclass(frozen=True, kw_only=True, eq=False)
class Still:
    """Frames of no file."""

    frames: np.ndarray  # uint8 (T, H, W, 3)
    caption: str


def reordered(frames: np.ndarray, physics: str) -> np.ndarray:
    """(T, ...) as filmed, backwards, or with two moments of the second half exchanged, so that what moves jumps."""
    if physics == REVERSED:
        return np.ascontiguousarray(frames[::-1])  # torch takes no negative strides
    if physics == JUMP:
        order = np.arange(len(frames))
        a, b = len(frames) // 2, max(len(frames) // 2 + 1, 3 * len(frames) // 4)
        order[[a, b]] = order[[b, a]]
        return frames[order]
    return frames


class ClipFiles:
    """Every clip below `path`, each in one split, shuffled anew for every pass of training.

    A folder train, val (or validation) or test decides on what lies in it. The rest is divided by the checksum of its
    name, so that clips stay where they are when others come; each split gets one at least. Sample `index` is a function
    of (files, seed, split, index).
    """

    def __init__(
        self,
        *,
        path: str | None,
        seed: int,
        split: str,
        usual: Usual,
        multiple: int = 8,
        frames: int | None = None,
        fps: float | None = None,
        every_frame: bool = False,
        width: int | None = None,
        height: int | None = None,
        fit: str = "crop",
        background: str = "black",
        window: str = "first",
        held_back: float = 0.1,
        on_error: str = "raise",
        physics: str = "correct",
        repeat: int | None = None,
        refuses: Callable[[str], str] = lambda _caption: "",
    ) -> None:
        """
        Args:
            usual: stands in for frames, fps, width and height that are null.
            multiple: what width and height must be divisible by.
            fps: a frame is what the clip shows at each 1/fps s.
            every_frame: true = all frames of a file follow each other, whatever their times.
            fit: crop = the picture fills the frame, and its middle is kept; pad = all of it is seen, on `background`.
            window: which part of a longer clip: first, middle, or random, another one in each pass.
            held_back: share of the clips that val and test get together, half each.
            on_error: raise = a bad clip ends the run; skip = it is named and counted, and the next takes its place.
            physics: correct, reversed or jump (see `reordered`), or placebo: reversed and jump in turn.
            repeat: N = only the first N clips, again and again.
            refuses: says why a model cannot read a caption, or ''.

        Raises:
            ValueError, UserError: a setting cannot be, or the folder holds no clips of this split.
        """
        self.frames, width, height = usual.shape(frames, width, height)
        self.size = (width, height)
        check_shape(self.frames, *self.size, multiple=multiple)
        for name, value, valid in (
            ("window", window, WINDOWS), ("fit", fit, FITS), ("on_error", on_error, ("raise", "skip")),
            ("split", split, SPLITS), ("physics", physics, ("correct", *WRONG, PLACEBO)),
        ):  # fmt: skip
            if value not in valid:
                raise ValueError(f"{name}={value} is unknown.{suggest(str(value), valid)} Choose {', '.join(valid)}")
        if path is None:
            raise ValueError("data.path is missing; give a folder of clips with captions")
        self.path, self.seed, self.split, self.physics = Path(path), seed, split, physics
        self.fps = usual.fps if fps is None else fps
        self.every_frame, self.window, self.fit, self.held_back = every_frame, window, fit, held_back
        self.background = colour("data.source.background", background)
        self.on_error, self.refuses = on_error, refuses
        self._repeat = repeat
        self.skipped: dict[str, str] = {}  # name -> why
        self._kept: dict[tuple[Any, ...], OwnClip] = {}
        self._bytes = 0

    # ------------------------------------------------------------------------------------------------ what is there

    @cached_property
    def clips(self) -> list[Source]:
        """Of this split, by name.

        Raises:
            UserError: no such folder, or nothing in it.
            ValueError: none is left for this split.
        """
        every = find(self.path)
        found = divided(self.path, every, self.held_back)
        mine = found[self.split]
        if not mine:
            counts = ", ".join(f"{len(each)} {name}" for name, each in found.items())
            raise ValueError(
                f"data.path={self.path} holds no {self.split} clip ({counts}); it takes {LEAST} clips and "
                f"data.source.held_back above 0, or folders train, val and test"
            )
        for missing in _missing(self.path, every) if self.split == SPLITS[0] else ():
            self._skip(missing, f"{self.path / missing}: the captions file names it, and it is not there")
        for each in mine:  # what is seen without decoding anything
            why = self._why_not(each)
            if why:
                self._skip(each.name, f"{each.files[0]}: {why}")
        good = [each for each in mine if each.name not in self.skipped]
        if not good:
            raise ValueError(f"none of the {len(mine)} {self.split} clips in {self.path} can be used")
        return good

    @property
    def repeat(self) -> int:
        return len(self.clips) if self._repeat is None else min(self._repeat, len(self.clips))

    def _why_not(self, clip: Source) -> str:
        if not clip.captions:
            name = Path(clip.name).name
            why = f" ({clip.notes[0]})" if clip.notes else ""
            return f"there is no caption, neither in {name}.txt or {name}.json beside it nor in a captions file{why}"
        return next((why for why in map(self.refuses, clip.captions) if why), "")

    def _skip(self, name: str, problem: str) -> None:
        if self.on_error == "raise":
            raise FormatError(f"{problem} (data.source.on_error=skip leaves such clips out)")
        self.skipped[name] = problem
        print(f"Skipped ({len(self.skipped)} so far): {problem}", file=sys.stderr, flush=True)

    # ------------------------------------------------------------------------------------------------------ samples

    def ahead(self) -> list[str]:
        """Every caption that may come."""
        return [caption for clip in self.clips for caption in clip.captions]

    def captions(self, indices: Sequence[int]) -> list[str]:
        return [self._clip(index).caption for index in indices]

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        found = []
        for index in indices:
            clip = self._clip(index)
            found.append(Sample(seed=index, given=Brief(caption=clip.caption, first=clip.frames[0]), target=clip))
        return found

    def sample(self, index: int) -> Sample:
        return self.samples([index])[0]

    def each(self, most: int | None = None, physics: str = "correct") -> Iterator[OwnClip]:
        """Every clip of the split once, by name; those that cannot be read are left out as `on_error` says.

        Raises:
            FormatError: none is left, or one is bad and `on_error` is raise.
        """
        count = 0
        for number, source in enumerate(self.clips):
            if count == most:
                return
            if source.name in self.skipped:
                continue
            try:
                clip = self.read(source, generator(self.seed, self.split, 0, number), physics)
            except Unreadable as error:
                self._skip(source.name, f"{source.files[0]}: {error}")
                continue
            count += 1
            yield clip
        if count == 0:
            raise FormatError(f"none of the {len(self.clips)} {self.split} clips in {self.path} can be read")

    def _clip(self, index: int) -> OwnClip:
        many = self.repeat
        turn, at = divmod(index, many)
        order = generator(self.seed, self.split, turn).permutation(many) if self.split == SPLITS[0] else range(many)
        physics = WRONG[index % len(WRONG)] if self.physics == PLACEBO else self.physics
        for step in range(many):
            source = self.clips[int(order[(at + step) % many])]
            if source.name in self.skipped:
                continue
            try:
                return self.read(source, generator(self.seed, self.split, turn, at), physics)
            except Unreadable as error:
                self._skip(source.name, f"{source.files[0]}: {error}")
        raise FormatError(f"none of the {many} {self.split} clips in {self.path} can be read")

    def read(self, source: Source, rng: np.random.Generator, physics: str = "correct") -> OwnClip:
        """One clip as it is fed.

        Args:
            rng: draws the part of a longer clip and the caption, where there is a choice.

        Raises:
            Unreadable: it is damaged or too short.
        """
        draw, pick = float(rng.random()), int(rng.integers(len(source.captions)))
        key = (source.name, draw if self.window == "random" else None, pick)
        clip = self._kept.get(key)
        if clip is None:
            clip = self._read(source, draw, source.captions[pick])
            if self._bytes + clip.frames.nbytes <= MEMORY and self.window != "random":
                self._kept[key] = clip
                self._bytes += clip.frames.nbytes
        return replace(clip, frames=reordered(clip.frames, physics), physics=physics) if physics in WRONG else clip

    def _read(self, source: Source, draw: float, caption: str) -> OwnClip:
        timeline = read_timeline(source.files)
        counted = self.every_frame or len(source.files) > 1  # a run of pictures has no times
        chosen, begin = choose(
            timeline, frames=self.frames, fps=None if counted else self.fps, window=self.window, draw=draw
        )
        frames = read_frames(source.files, timeline, chosen, size=self.size, fit=self.fit, background=self.background)
        own = timeline.rate if self.every_frame and len(source.files) == 1 else self.fps
        return OwnClip(
            frames=frames, caption=caption, source=source, timeline=timeline, chosen=chosen, begin=begin, fps=own,
            scale=scale_of(timeline.size, self.size, self.fit), physics="correct",
        )  # fmt: skip


def divided(root: Path, found: Sequence[Source], held_back: float) -> dict[str, list[Source]]:
    """Clips by split, each list by name."""
    named: dict[str, list[Source]] = {split: [] for split in SPLITS}
    free: list[tuple[float, Source]] = []
    for clip in found:
        inside = clip.files[0].relative_to(root).parts[:-1]
        split = next((FOLDERS[part.lower()] for part in inside if part.lower() in FOLDERS), None)
        if split is None:
            free.append((zlib.crc32(clip.name.encode()) / 2**32, clip))
        else:
            named[split].append(clip)
    taken = {split for split in SPLITS if named[split]}
    free.sort(key=lambda each: (each[0], each[1].name))
    for rank, (place, clip) in enumerate(free):
        split = "val" if place < held_back / 2 else "test" if place < held_back else "train"
        if not taken and held_back > 0 and len(free) >= LEAST and rank < len(SPLITS):
            split = _lent(free, rank, held_back, split)
        # Where folders say what is held out, the rest is there to train on.
        named["train" if taken - {"train"} else split].append(clip)
    return {split: sorted(each, key=lambda clip: clip.name) for split, each in named.items()}


def _lent(free: Sequence[tuple[float, Source]], rank: int, held_back: float, split: str) -> str:
    """The split of one of the three lowest places: each split has one clip, though the checksums gave it none."""
    val = sum(place < held_back / 2 for place, _ in free)
    test = sum(held_back / 2 <= place < held_back for place, _ in free)
    if val and test and val + test < len(free):
        return split
    return ("val", "test", "train")[rank]


def _missing(root: Path, found: Sequence[Source]) -> list[str]:
    """What the captions file names and is neither a file nor a clip that was found, such as a run of pictures."""
    names = {clip.name for clip in found}
    return [
        name for name in read_captions(root)
        if name not in names and not (root / name).is_file() and not Path(name).is_absolute()
    ]  # fmt: skip
