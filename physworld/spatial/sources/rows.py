"""Payloads and scenes from JSONL files of rows."""

from __future__ import annotations

from pathlib import Path

from physworld.errors import FormatError
from physworld.io.compression import BROKEN, damage, opened
from physworld.spatial.codecs.rows import MOST_ROW, read_row
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.reading import lines
from physworld.types import Sample


class RowsSource:
    """The rows of a file, again and again; the order is the file's, so a sample is a function of its index."""

    def __init__(self, *, seed: int, split: str, train_file: str | None, valid_file: str | None) -> None:
        """seed: is not used, because nothing is drawn.

        Raises:
            FormatError: a file is missing, damaged or empty, or a line is no row.
        """
        path = train_file if split == "train" else valid_file
        if path is None:
            raise FormatError(f"data.{'train' if split == 'train' else 'valid'}_file=FILE is missing.")
        self.rows = _read(Path(path))

    def sample(self, index: int) -> Sample:
        payload, scene = self.rows[index % len(self.rows)]
        brief = resolve(payload, [thing.id for thing in scene.objects])
        return Sample(seed=index, given=brief, target=scene)


def _read(path: Path) -> list[tuple[Payload, SpatialScene]]:
    rows = []
    try:
        with opened(path) as file:
            for number, line in enumerate(lines(file, MOST_ROW), 1):
                if line.strip():
                    payload, scene = read_row(line, f"{path} line {number}")
                    strangers = {thing.id for thing in scene.objects} - {stem.id for stem in payload.stems}
                    if strangers:
                        raise FormatError(f"{path} line {number}: {sorted(strangers)[0][:40]} is no stem.")
                    ids = [thing.id for thing in scene.objects]
                    if len(set(ids)) < len(ids):
                        raise FormatError(f"{path} line {number}: {max(ids, key=ids.count)} is there twice.")
                    rows.append((payload, scene))
    except BROKEN as error:
        raise FormatError(f"{path} cannot be read ({damage(error)}).") from None
    if not rows:
        raise FormatError(f"{path} holds no rows.")
    return rows
