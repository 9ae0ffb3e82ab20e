"""Clips that were judged before a command was stopped: a line of JSON for each, so that the same command goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

import physworld
from physworld.judge.clip import Settings, Verdict
from physworld.judge.footage import Source

ARRAYS = ("tracks", "motions", "times")  # of a verdict: what a report has no need of
PLAIN = [f.name for f in fields(Verdict) if f.name not in ARRAYS]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one clip gave."""

    verdict: Verdict
    controls: Sequence[tuple[str, Verdict]] = ()  # name of the row -> what became of the clip made again
    picture: tuple[str, str] | None = None  # title, path

    def light(self) -> Result:
        """Without the arrays."""
        return Result(
            verdict=_light(self.verdict), controls=[(n, _light(v)) for n, v in self.controls], picture=self.picture
        )


def _light(verdict: Verdict) -> Verdict:
    return replace(verdict, tracks=(), motions=(), times=np.zeros(0))


def key_of(source: Source, settings: Settings, **more: Any) -> str:
    """Changes with all that a result depends on."""
    files = [(str(path), *_stamp(path)) for path in source.files]
    whole = [physworld.__version__, source.name, files, source.caption, dict(source.known), asdict(settings), more]
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _stamp(path: Path) -> tuple[int, int]:
    """(bytes, time of change in ns); (-1, -1) of what is not there, which reading it will say."""
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


class Journal:
    """Results on disk. A line that was cut off is no result; a picture that is gone is made again."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, dict[str, Result]()
        self._stream: TextIO | None = None

    def __enter__(self) -> Journal:
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    key, result = _result(json.loads(line))
                except (ValueError, TypeError, KeyError):
                    continue
                if result.picture is None or Path(result.picture[1]).exists():
                    self.found[key] = result
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._stream is not None:
            self._stream.close()

    def keep(self, key: str, result: Result) -> None:
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("a", encoding="utf-8")
            self._stream.write("\n")  # ends what may have been cut off
        line = {
            "key": key, "verdict": _json(result.verdict), "controls": [[n, _json(v)] for n, v in result.controls],
            "picture": result.picture,
        }  # fmt: skip
        self._stream.write(json.dumps(line, default=float) + "\n")
        self._stream.flush()

    def remove(self) -> None:
        """The report is written: a next command judges anew."""
        self.path.unlink(missing_ok=True)


def _json(verdict: Verdict) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in PLAIN}


def _verdict(content: Any) -> Verdict:
    width, height = content["size"]
    return Verdict(**{**content, "size": (width, height)})


def _result(line: Any) -> tuple[str, Result]:
    picture = line["picture"]
    return str(line["key"]), Result(
        verdict=_verdict(line["verdict"]), controls=[(name, _verdict(v)) for name, v in line["controls"]],
        picture=None if picture is None else (str(picture[0]), str(picture[1])),
    )  # fmt: skip
