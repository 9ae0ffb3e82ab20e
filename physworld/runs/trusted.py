"""Which classes a run's configuration may name: it may come from a stranger."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
SYSTEMS = sorted(path.parent.name for path in PACKAGE.glob("*/task.py"))
# Classes from here and nowhere else: not functions, and not VllmLM, which starts the program that it is given.
NAMES = re.compile(
    rf"physworld\.(data|lm(?!\.vllm_)|{'|'.join(SYSTEMS)}|training\.(hardware|loggers|logger_services|early))(\.[a-z_]+)*\.[A-Z]\w*(\.for_vocabulary)?"
    r"|lightning\.pytorch\.(Trainer|profilers\.\w+)"
)


@functools.cache
def trusted(target: str) -> bool:
    """Whether a `_target_` is one of NAMES and not what a module of ours imports from elsewhere.

    Nothing is imported. A name that nobody has passes: who uses it says that it is not there.
    """
    if not NAMES.fullmatch(target) or target.startswith("lightning."):
        return bool(NAMES.fullmatch(target))
    module, _, name = target.removesuffix(".for_vocabulary").rpartition(".")
    return _is_ours(module, name)


def _is_ours(module: str, name: str) -> bool:
    """Whether `name` is a class that a module defines or has from another of ours, or is not there at all."""
    text, rest = _source(module)
    if rest:  # no module: its name may be one that the module above it imports
        return re.search(rf"\b{rest}\b", text) is None
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.ImportFrom):
            names = [one.name for one in node.names if (one.asname or one.name) == name]
            if names:
                return (node.module or "").startswith("physworld.") and _is_ours(str(node.module), names[0])
        if isinstance(node, ast.Import) and any((one.asname or one.name) == name for one in node.names):
            return False
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return False
    return True


def _source(module: str) -> tuple[str, str]:
    """(text of a module or of the nearest one above it that there is, the first part of the name below that)."""
    place, rest = PACKAGE.joinpath(*module.split(".")[1:]), ""
    while not (file := place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).is_file():
        place, rest = place.parent, place.name
    return file.read_text(encoding="utf-8"), rest
