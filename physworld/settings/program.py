"""How the running command was started: what it prints names the same program."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

OF_THE_RUN = "of_the_run"  # evaluation= as the run was trained with
OFFERED = f"evaluation='{OF_THE_RUN}'"  # where a command adds it to what was typed
_silent = False  # within silence()


def program(verb: str) -> list[str]:
    """As one types it: `python train.py` in a clone, `physworld train` where it is installed."""
    return ["physworld", verb] if sys.argv[0].startswith("physworld ") else ["python", f"{verb}.py"]


def typed_command(verb: str, overrides: Iterable[str]) -> str:
    """The whole command, as a shell reads it."""
    return shlex.join([*program(verb), *(override for override in overrides if override != OFFERED)])


def at_home(arguments: list[str]) -> None:
    """A value that begins with ~/ is a path at home, in place: a shell leaves it behind a =, and a folder would be
    called ~."""
    for place, typed in enumerate(arguments):
        name, given, value = typed.partition("=")
        value = re.sub(r"(?:(?<=[\[,'\"])|^)~(?=/)", lambda _: str(Path.home()), value)
        arguments[place] = f"{name}{given}{value}"


def quiet(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether quiet=true is typed, and the other arguments; a value that is neither true nor false stays, for Hydra."""
    values = [a.partition("=")[2] for a in arguments if a in ("quiet=true", "quiet=false")]
    return "true" in values[-1:], [a for a in arguments if a not in ("quiet=true", "quiet=false")]


def loading(what: str) -> None:
    """Say on stderr what takes the next seconds.

    Not under quiet=true, not where torch is loaded and nothing takes long, and not in a notebook, where what stands on
    stderr looks like a mistake.
    """
    if "torch" not in sys.modules and "ipykernel" not in sys.modules and not _silent:
        print(f"Loading {what} ...", file=sys.stderr, flush=True)


@contextmanager
def silence() -> Iterator[None]:
    """Nothing on standard output, of this process and of those that it starts; mistakes are still told on stderr."""
    global _silent
    _silent = True
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with open(os.devnull, "w", encoding="utf-8") as stream, redirect_stdout(stream):
            yield
    finally:
        _silent = False
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
