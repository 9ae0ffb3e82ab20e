"""What a folder of clips says of them in one file, in the forms that trainers of video models share.

* `metadata.jsonl`, `captions.jsonl`, `metadata.csv`, `captions.csv`, `metadata.json`: a row a clip, with its file below
  the folder and its caption, as the Hugging Face `videofolder` and finetrainers have it;
* `captions.json`: `{"a.mp4": "caption"}`, or a list of captions for each, as diffusion-pipe has it;
* `videos.txt` and `prompts.txt`: line k of one belongs to line k of the other, as finetrainers and CogVideoX have it.

A `.txt` beside each clip is no such file; who lists clips looks for it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from physworld.errors import UserError, first_line
from physworld.io.names import whole_text

TABLES = ("metadata.jsonl", "captions.jsonl", "metadata.csv", "captions.csv", "metadata.json", "captions.json")
LISTS = ("videos.txt", "video.txt")
PROMPTS = ("prompts.txt", "prompt.txt", "captions.txt", "caption.txt")
FILES = ("file_name", "video", "path", "file")  # keys of a row, the first that is there counts
CAPTIONS = ("caption", "text", "prompt", "captions")


def read_captions(folder: Path) -> dict[str, dict[str, Any]]:
    """Path below `folder` -> row, whose `captions` are a list where there are any; {} without a file.

    Raises:
        UserError: there is such a file, and it cannot be read, or there are two.
    """
    found = [folder / name for name in TABLES if (folder / name).is_file()]
    lists = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if lists is not None:
        found.append(lists)
    if not found:
        return {}
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1].name} both list clips; leave one of them.")
    path = found[0]
    try:
        rows = _two_lists(path) if path == lists else _rows(path)
        table: dict[str, dict[str, Any]] = {}
        for row in rows:
            name = _inside(folder, str(_first(row, FILES)))
            if name in table:
                raise ValueError(f"{name} stands in two rows; give a clip several captions as a list in one")
            table[name] = {**row, "captions": captions_of(row)}
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a captions file ({first_line(error)}).") from None
    return table


def captions_of(row: Mapping[str, Any]) -> list[str]:
    """What a row, or the JSON beside a clip, says that the clip shows; [] where it says nothing.

    Raises:
        ValueError: what stands there is no text.
    """
    said = next((row[key] for key in CAPTIONS if row.get(key)), None)
    several = said if isinstance(said, list) else [] if said is None else [said]
    if any(not isinstance(each, str | int | float) for each in several):
        raise ValueError(f"the caption of {_first(row, FILES)} is no text")
    return [words for each in several if (words := " ".join(whole_text(str(each)).split()))]


def _inside(folder: Path, name: str) -> str:
    """`./a.mp4`, or an absolute path, as a path below the folder where it is one."""
    path = Path(name)
    return (path.relative_to(folder.absolute()) if path.is_relative_to(folder.absolute()) else path).as_posix()


def _first(row: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if row.get(key):
            return row[key]
    raise ValueError(f"a row lacks {keys[0]}; it has {', '.join(map(str, row)) or 'nothing'}")


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            return [_whole(row, reader.line_num) for row in reader]
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        return _objects(json.loads(line) for line in text.splitlines() if line.strip())
    whole = json.loads(text)
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        whole = whole["data"]
    if isinstance(whole, dict):
        return [{FILES[0]: name, CAPTIONS[0]: said} for name, said in whole.items()]
    if not isinstance(whole, list):
        raise ValueError("it is neither a list of rows nor {file: caption}")
    return _objects(whole)


def _objects(rows: Iterable[Any]) -> list[dict[str, Any]]:
    found = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is no JSON object")
        found.append(row)
    return found


def _whole(row: dict[str, Any], line: int) -> dict[str, Any]:
    """csv puts what is beyond the header's columns under None: mostly a caption with a comma and without quotes."""
    if None in row:
        raise ValueError(f"line {line} has more cells than the header; put quotes around a caption with a comma")
    return row


def _two_lists(path: Path) -> list[dict[str, Any]]:
    prompts = next((path.with_name(name) for name in PROMPTS if path.with_name(name).is_file()), None)
    if prompts is None:
        raise ValueError(f"there is no {', '.join(PROMPTS[:-1])} or {PROMPTS[-1]} beside it")
    names, said = ([line.strip() for line in f.read_text("utf-8-sig").splitlines()] for f in (path, prompts))
    while said and not said[-1] and len(said) > len(names):
        said.pop()
    names = [name for name in names if name]
    if len(names) != len(said):
        raise ValueError(f"it has {len(names)} lines, and {prompts.name} has {len(said)}")
    return [{FILES[0]: name, CAPTIONS[0]: caption} for name, caption in zip(names, said, strict=True)]
