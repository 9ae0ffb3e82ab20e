"""How the running command was started: what it prints names the same program."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable


def program(verb: str) -> list[str]:
    """As one types it: `python train.py` in a clone, `physworld train` where it is installed."""
    return ["physworld", verb] if sys.argv[0].startswith("physworld ") else ["python", f"{verb}.py"]


def typed_command(verb: str, overrides: Iterable[str]) -> str:
    """The whole command, as a shell reads it."""
    return shlex.join([*program(verb), *overrides])
