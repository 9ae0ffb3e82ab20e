"""`engine` and `card` text in one alphabet: the bytes of a file, or the ids of the format's own tokenizer.

A trajectory is written once, frame by frame, without the frames' numbers (`Page`); prompts and answers are put
together from its parts, because every frame stands in several of them under different numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from physworld.text.codecs._refusal import refusal
from physworld.text.codecs._text_kernel import BOUND, LABEL, LINE_ROOM, write_frames
from physworld.types import Scene, Trajectory

Codes = Callable[[str], np.ndarray]  # text -> (L,) uint8


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What tells one format from the other. Titles, cues and answers have one {} for the frame's number."""

    name: str
    header: Callable[[Scene], str]
    begin: str  # between the header and the first frame
    decimals: int
    turned: float  # rad and rad/s: angle and spin are printed when one of them is larger
    at_rest: str  # '': said like any other frame
    in_motion: str
    moving: str  # follows "M of N"
    title: str  # before a given frame
    after: str  # behind a given frame
    cue: str  # ends the prompt
    answer: str  # begins the answer
    described: bool  # an answer says how many bodies move


class Page(NamedTuple):
    """A scene's header and T frames, as codes."""

    header: np.ndarray  # (H,) uint8
    codes: np.ndarray  # (L,) uint8
    starts: np.ndarray  # (T + 1,) where each frame begins
    lines: np.ndarray  # (T, N + 1) where each frame's first body line begins, and where each line ends


def utf8(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


class TextWriter:
    """One format in one alphabet; `codes` must give digits in order."""

    def __init__(self, layout: Layout, codes: Codes, moving: float) -> None:
        """moving: px/s, a body moves when a velocity component is above this."""
        self.layout, self.codes = layout, codes
        pieces = (
            layout.at_rest, layout.in_motion, " of ", layout.moving, ", ", "), vel=(", ")", ", a=", ", av=",
        )  # fmt: skip
        parts = [codes(piece) for piece in pieces]
        starts = np.cumsum([0, *map(len, parts)])
        signs = codes("0-.").copy()  # frozen and other arrays are two types, for each of which numba would compile
        self._fixed = (moving, layout.decimals, layout.turned, signs, np.concatenate(parts), starts)
        self._line_free = 64 + int(starts[-1])
        self._labels: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # bodies -> labels, lengths
        self._headers: dict[int, tuple[Scene, np.ndarray]] = {}  # of the scenes seen last
        self._texts: dict[tuple[str, int], np.ndarray] = {}

    def write(self, run: Trajectory) -> Page:
        """The frames of a trajectory; raises ValueError where a number cannot be written."""
        frames, count = run.angle.shape
        out = np.empty(frames * (self._line_free + count * LINE_ROOM) + 64, np.uint8)  # never written is never taken
        lines = np.empty((frames, count + 1), np.int64)
        parts = (
            np.ascontiguousarray(part, dtype=np.float64) for part in (run.position, run.velocity, run.angle, run.spin)
        )
        labels = self._labels_of(count)
        bad = write_frames(*parts, *self._fixed, *labels, out, lines)  # type: ignore[call-arg]  # numba has no types
        if bad >= 0:
            t, body = divmod(int(bad), count)
            raise ValueError(
                f"{self.layout.name} text cannot hold the state of body {body} in frame {t}: "
                f"its numbers must be finite and below {BOUND:.0e}"
            )
        starts = np.concatenate([[0], lines[:, -1]])
        return Page(self._header(run.scene), out, starts, lines)

    def prompt(self, page: Page, first: int, stop: int) -> np.ndarray:
        """Header, frames first .. stop - 1 of the page numbered from 1, and the cue for the next one."""
        parts = [page.header]
        after = self._text(self.layout.after)
        for number, t in enumerate(range(first, stop), start=1):
            parts += [self._text(self.layout.title, number), page.codes[page.starts[t] : page.starts[t + 1]], after]
        return np.concatenate([*parts, self._text(self.layout.cue, stop - first + 1)])

    def answer(self, page: Page, t: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame t as the answer to a prompt whose last frame has the number before; (N + 1,) bounds of its lines."""
        begin = page.starts[t] if self.layout.described else page.lines[t, 0]
        opening = self._text(self.layout.answer, number)
        codes = np.concatenate([opening, page.codes[begin : page.starts[t + 1]]])
        return codes, page.lines[t] - begin + len(opening)

    def _text(self, form: str, number: int = 0) -> np.ndarray:
        known = self._texts.get((form, number))
        if known is None:
            known = self._texts[form, number] = self.codes(form.format(number))
        return known

    def _header(self, scene: Scene) -> np.ndarray:
        known = self._headers.get(id(scene))
        if known is None:
            why = refusal(scene, self.layout.name)
            if why:
                raise ValueError(why)
            if len(self._headers) > 256:
                self._headers.clear()
            # with the scene itself, so that its id stays its own
            known = self._headers[id(scene)] = (scene, self.codes(self.layout.header(scene) + self.layout.begin))
        return known[1]

    def _labels_of(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        known = self._labels.get(count)
        if known is None:
            pieces = [self.codes(f"\n  obj_{index}: pos=(") for index in range(count)]
            lengths = np.array([len(piece) for piece in pieces], np.uint64)
            labels = np.zeros((count, 8 * LABEL), np.uint8)
            for row, piece in zip(labels, pieces, strict=True):
                row[: len(piece)] = piece
            known = self._labels[count] = (labels.view("<u8").astype(np.uint64), lengths)
        return known
