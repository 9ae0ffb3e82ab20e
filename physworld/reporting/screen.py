"""The screen, for every system. What is printed may hold any name, of a folder, a file or a run: it is no markup."""

from __future__ import annotations

from typing import IO

from rich.console import Console


def screen(width: int | None = None, file: IO[str] | None = None) -> Console:
    """A console on which `[bold]` and `:smile:` are letters, in tables and their titles too.

    Args:
        width: columns; None = the terminal's, and 80 in a pipe.
        file: None = standard output.
    """
    return Console(markup=False, emoji=False, highlight=False, width=width, file=file)
