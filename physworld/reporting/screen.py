"""The screen, for every system. What is printed may hold any name, of a folder, a file or a run: it is no markup."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


def screen(width: int | None = None, file: IO[str] | None = None) -> Console:
    """A console on which `[bold]` and `:smile:` are letters, in tables and their titles too.

    Args:
        width: columns; None = the terminal's, and 80 in a pipe.
        file: None = standard output.
    """
    return Console(markup=False, emoji=False, highlight=False, width=width, file=file)


def progress(console: Console) -> Progress:
    """Bars that vanish when they are done; what they say is letters, too."""
    said = TextColumn("{task.description}", markup=False)
    return Progress(
        said, BarColumn(), TaskProgressColumn(markup=False), TimeRemainingColumn(), console=console, transient=True
    )
