"""Tables that spreadsheets open."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from physworld.io.atomic import replacing
from physworld.io.names import no_formula


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A whole file or none; no text in it is taken for a formula."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for row in (head, *rows):
            writer.writerow([no_formula(cell) if isinstance(cell, str) else cell for cell in row])
