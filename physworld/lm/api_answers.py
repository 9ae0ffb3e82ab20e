"""Answers of an API on disk, one by one, so that what was paid for is never asked again.

One SQLite file: every answer is there whole or not at all, several processes may share it, and nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from physworld.errors import UserError

BUSY = 60.0  # s that another process may hold the file


@dataclass(frozen=True, kw_only=True)
class Answer:
    text: str
    finish: str  # why it ended, in the API's words: stop, length, content_filter, ...
    refused: bool = False
    prompt_tokens: int = 0  # as the API counts them
    answer_tokens: int = 0


def request_key(url: str, body: Mapping[str, Any]) -> str:
    """SHA-256 of all that an answer depends on."""
    return hashlib.sha256(json.dumps([url, body], sort_keys=True).encode()).hexdigest()


class Answers:
    """The file; `None` keeps them for this process alone."""

    def __init__(self, path: Path | None) -> None:
        """
        Raises:
            UserError: the file is no such file, or cannot be written.
        """
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(":memory:" if path is None else path, timeout=BUSY, isolation_level=None)
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, finish TEXT NOT NULL, "
                "refused INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, answer_tokens INTEGER NOT NULL)"
            )
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"The answers in {path} cannot be used ({error}); give another cache=.") from None

    def find(self, key: str) -> Answer | None:
        """
        Raises:
            UserError: the file is damaged.
        """
        try:
            row = self._base.execute(
                "SELECT text, finish, refused, prompt_tokens, answer_tokens FROM answers WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            raise UserError(f"The answers in {self.path} cannot be read ({error}); give another cache=.") from None
        if row is None:
            return None
        text, finish, refused, prompt, answer = row
        return Answer(text=text, finish=finish, refused=bool(refused), prompt_tokens=prompt, answer_tokens=answer)

    def keep(self, key: str, answer: Answer) -> None:
        """
        Raises:
            UserError: the disk is full, or the file cannot be written any more.
        """
        values = (
            key, answer.text, answer.finish, int(answer.refused), answer.prompt_tokens, answer.answer_tokens
        )  # fmt: skip
        try:
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            raise UserError(f"The answers in {self.path} cannot be written ({error}); give another cache=.") from None

    def close(self) -> None:
        self._base.close()
