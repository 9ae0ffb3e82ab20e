"""YAML that may come from a stranger: plain data, and nothing that stands for more than is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from physworld.errors import FormatError, first_line


class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """No aliases: a few of them can stand for a billion entries."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1
            raise FormatError(f"line {line}: aliases (*name) are not read; write the part out")
        return super().compose_node(parent, index)


def load_yaml(path: Path) -> Any:
    """What a file holds.

    Raises:
        OSError: it cannot be opened.
        FormatError: it is no YAML, or no plain data; the message is one line, without the file's name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError as error:  # bytes of no text
        raise FormatError(first_line(error)) from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """What a text says.

    Raises:
        FormatError: as `load_yaml`.
    """
    try:
        return yaml.load(text, PlainLoader)
    except FormatError:
        raise
    except RecursionError:
        raise FormatError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-02-31
        raise FormatError(first_line(error)) from None
