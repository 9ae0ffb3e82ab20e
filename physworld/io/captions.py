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
from pathlib import Path
from typing import Any

from physworld.errors import UserError, first_line

TABLES = ("metadata.jsonl", "captions.jsonl", "metadata.csv", "captions.csv", "metadata.json", "captions.json")
LISTS = ("videos.txt", "video.txt")
PROMPTS = ("prompts.txt", "prompt.txt", "captions.txt", "caption.txt")
FILES = ("file_name", "video", "path", "file")  # keys of a row, the first that is there counts
CAPTIONS = ("caption", "text", "prompt")


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
        table = {_inside(folder, str(_first(row, FILES))): dict(row) for row in rows}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a captions file ({first_line(error)}).") from None
    for row in table.values():
        said = next((row[key] for key in CAPTIONS if row.get(key)), None)
        several = said if isinstance(said, list) else [] if said is None else [said]
        row["captions"] = [" ".join(str(each).split()) for each in several]
    return table


def _inside(folder: Path, name: str) -> str:
    """`./a.mp4`, or an absolute path, as a path below the folder where it is one."""
    path = Path(name)
    return (path.relative_to(folder.absolute()) if path.is_relative_to(folder.absolute()) else path).as_posix()


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        if row.get(key):
            return row[key]
    raise ValueError(f"a row lacks {keys[0]}; it has {', '.join(map(str, row)) or 'nothing'}")


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    whole = json.loads(text)
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        whole = whole["data"]
    if isinstance(whole, dict):
        return [{FILES[0]: name, CAPTIONS[0]: said} for name, said in whole.items()]
    return list(whole)


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
