"""Compiled functions on disk, for as long as what they are made of stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit


def kept(name: str, *files: str) -> Callable[[Callable[..., Any]], Any]:
    """numba's `njit(cache=True)` for functions that call those of other files.

    By itself numba looks at a function's own file only, and goes on using what it compiled from older versions of the
    functions that it calls elsewhere.

    Args:
        name: of the folder that it is kept in.
        files: every file that such a function is made of, its own included.
    """
    sources = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:12]

    def compiled(function: Callable[..., Any]) -> Any:
        config: Any = numba.config
        home = config.CACHE_DIR
        config.CACHE_DIR = str(Path(home or Path(files[-1]).parent / "__pycache__") / f"{name}-{sources}")
        try:
            return njit(cache=True)(function)
        finally:
            config.CACHE_DIR = home

    return compiled
