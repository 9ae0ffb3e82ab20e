"""Folders of data from others, checked before anything is trained on them: `physworld validate FOLDER`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from physworld.errors import FormatError, UserError, counted
from physworld.io import listing
from physworld.io.captions import TABLES
from physworld.io.compression import BROKEN, opened
from physworld.reporting import findings
from physworld.reporting.findings import Checked
from physworld.settings.checks import installed
from physworld.text.codecs.yaml_scene import is_by_hand, read_yaml

FINE, WRONG = 0, 1  # exit codes
ROWS = {"prompt", "completion"}


def validate(folder: Path, console: Console, *, training: bool = True, report: Path | None = None) -> int:
    """Check every scene, row and clip below a folder, or those of one file; 0 = nothing is wrong, 1 = something is.

    Args:
        training: held-out types are out of place in what is trained on.
        report: where to write everything as JSON.

    Raises:
        UserError: the folder holds no data, or the report would be among it.
    """
    from physworld.text.sources.files import is_table

    if report is not None and report.is_dir():
        raise UserError(f"--report {report} is a folder; give the file to write.")
    if report is not None and report.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"--report {report} lies in {folder}, where nothing is changed; write it elsewhere.")
    if is_by_hand(folder):
        if report is not None:
            raise UserError(f"--report is for folders and files of frames; {folder} is one scene by hand.")
        return _by_hand(folder, console)
    found = [folder] if folder.is_file() else listing.files(folder, listing.SCENES)
    files = [path for path in found if path.name not in TABLES]
    rows = [path for path in files if not is_table(path) and _holds_rows(path)]
    scenes = [path for path in files if path not in set(rows)]
    checks: list[Checked] = []
    if scenes:
        checks.append(_scenes(folder, scenes, training))
    if rows:
        installed("spatial", "pydantic", what=f"{rows[0]}, a file of rows,")
        from physworld.spatial.dataset import check as check_rows

        checks.append(check_rows(rows))
    clips = [] if folder.is_file() else _clips(folder)
    if clips:
        from physworld.video.dataset import check as check_clips

        checks.append(check_clips(clips))
    if not checks:
        raise UserError(f"{folder} holds no data: no scenes or rows ({', '.join(listing.SCENES)}), and no clips.")
    count = findings.told(checks, console)
    if report is not None:
        findings.write(report, folder, checks)
        console.print(f"Report:       {report}", soft_wrap=True)
    console.print(
        f"{folder}: {counted(count, 'finding')}." if count else f"{folder}: nothing is wrong.",
        soft_wrap=True,
    )
    return WRONG if count else FINE


def is_data(path: Path) -> bool:
    """Whether a path is a folder, or a file of scenes or rows by its name; another file is a spatial scene."""
    return path.is_dir() or path.name.lower().endswith(listing.SCENES) or is_by_hand(path)


def _by_hand(file: Path, console: Console) -> int:
    try:
        scene = read_yaml(file)
    except FormatError as error:
        console.print(str(error), soft_wrap=True)
        return WRONG
    bodies = counted(len(scene.bodies), "body", "bodies")
    console.print(f"{file}: a scene of {bodies}, nothing is wrong.", soft_wrap=True)
    return FINE


def _scenes(folder: Path, files: list[Path], training: bool) -> Checked:
    from physworld.text.dataset import check
    from physworld.text.sources.files import is_table, scene_files

    if any(is_table(path) for path in files):
        installed("parquet", "pyarrow", what="reading Parquet")
    checked = check(files, training=training)
    try:
        scene_files(folder)
    except FormatError as error:  # a scene that is there twice
        checked.found(folder, "twice", str(error))
    return checked


def _holds_rows(path: Path) -> bool:
    """Whether the first line of a file is a prompt and its completion."""
    try:
        with opened(path) as lines:
            first: Any = json.loads(next(iter(lines), b""))
    except (*BROKEN, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and set(first) >= ROWS


def _clips(folder: Path) -> list[Any]:
    from physworld.judge.footage import find

    try:
        return list(find(folder))
    except UserError:  # it holds none
        return []
