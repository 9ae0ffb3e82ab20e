"""A finished report on disk: report.md, which links to its pictures, and report.html, which holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from physworld.io.atomic import replacing
from physworld.reporting.charts import svg
from physworld.reporting.html import page
from physworld.reporting.markdown import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    text: str  # what is to be seen
    pictures: Sequence[tuple[str, Path]]  # caption and file: GIF, PNG or MP4


def captioned(files: Sequence[str | Path]) -> list[tuple[str, Path]]:
    """Files with their names as captions."""
    return [(Path(file).stem.replace("_", " "), Path(file)) for file in files]


def write_report(
    directory: Path, lines: Sequence[str], charts: Mapping[str, Figure], galleries: Sequence[Gallery] = ()
) -> Path:
    """Write report.md and report.html; each is whole or absent.

    Args:
        lines: Markdown, beginning with `markdown.header`.
        charts: caption -> figure; they are in the page alone.
        galleries: without pictures they are left out.

    Returns:
        The path of report.md.

    Raises:
        ValueError: a picture is not there.
    """
    galleries = [gallery for gallery in galleries if gallery.pictures]
    missing = [file for gallery in galleries for _, file in gallery.pictures if not file.is_file()]
    if missing:
        raise ValueError(f"figure {missing[0]} does not exist, so the report cannot show it")
    links = []
    for gallery in galleries:
        links += [f"## {gallery.title}", "", gallery.text, ""]
        for caption, file in gallery.pictures:
            links += [f"![{plain(caption)}]({quote(Path(os.path.relpath(file, directory)).as_posix())})", ""]
    shown = [(gallery.title, gallery.text, gallery.pictures) for gallery in galleries]
    texts = {
        "report.md": "\n".join([*lines, *links]),
        "report.html": page("\n".join(lines), {caption: svg(figure) for caption, figure in charts.items()}, shown),
    }
    for name, text in texts.items():
        with replacing(directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return directory / "report.md"
