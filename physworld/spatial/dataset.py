"""Rows of others as training data: what of them cannot be read, and which rules their scenes break."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from physworld.errors import FormatError
from physworld.io.compression import BROKEN, damage, opened
from physworld.reporting.findings import Checked
from physworld.spatial.codecs.rows import MOST_ROW, read_row
from physworld.spatial.scene.reading import lines
from physworld.spatial.scene.rules import check as check_scene


def check(files: Sequence[Path]) -> Checked:
    """Every row of some files."""
    checked = Checked(what="row", files=len(files))
    for path in files:
        try:
            with opened(path) as file:
                for number, line in enumerate(lines(file, MOST_ROW), 1):
                    if line.strip():
                        _check(checked, line, f"{path} line {number}")
        except BROKEN as error:
            checked.found(path, "unreadable", damage(error))
    return checked


def _check(checked: Checked, line: bytes, place: str) -> None:
    try:
        payload, scene = read_row(line, place)
    except FormatError as error:
        checked.found(place, "unreadable", str(error).removeprefix(f"{place} ").removeprefix(f"{place}: "))
        return
    checked.count += 1
    checked.span("stems", len(payload.stems), len(payload.stems))
    checked.span("objects", len(scene.objects), len(scene.objects))
    strangers = sorted({thing.id for thing in scene.objects} - {stem.id for stem in payload.stems})
    if strangers:
        checked.found(place, "stranger", f"{strangers[0][:40]} is no stem of its payload")
    for violation in check_scene(scene, payload).violations:
        checked.found(place, "rule", str(violation))
