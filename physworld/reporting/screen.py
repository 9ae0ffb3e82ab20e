"""The screen, for every system. What is printed may hold any name, of a folder, a file or a run: it is no markup."""

from __future__ import annotations

import os
import sys
from typing import IO

from rich.console import Console

WIDE = 240  # columns of a file or a pipe, where no line needs to end at a window's edge


def screen(width: int | None = None, file: IO[str] | None = None) -> Console:
    """A console on which `[bold]` and `:smile:` are letters, in tables and their titles too.

    Args:
        width: columns; None = those of COLUMNS, else the terminal's, else WIDE.
        file: None = standard output.
    """
    if width is None and not (file or sys.stdout).isatty() and not os.environ.get("COLUMNS", "").isdigit():
        width = WIDE
    return Console(markup=False, emoji=False, highlight=False, width=width, file=file)
