"""Runs the example that a model card shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any


def run_example(card: Path, base: str = "") -> tuple[str, str, dict[str, Any]]:
    """(what the card's lines print, what the card says they print, the names that they leave).

    Args:
        base: stands in for the base of an adapter, where the card cannot name it.
    """
    text = card.read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\n\nIt prints\n\n```\n(.*?)\n```\n", text, re.DOTALL)
    assert found is not None, text
    lines = found[1].replace("THIS_FOLDER_OR_REPO", str(card.parent)).replace("BASE_FOLDER_OR_REPO", base)
    scope: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(lines.replace("FOLDER_OF_THE_FILE", base), scope)
    return said.getvalue(), found[2] + "\n", scope
