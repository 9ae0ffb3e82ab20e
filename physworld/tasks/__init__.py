"""L4: one module per system, and the file name is what `data.task` says. Each offers

build(cfg) -> Parts                       everything a training run is made of
conclude(cfg, parts, network, directory, *, command, cost) -> (headline, score)
                                          saves the model, judges it, writes the report; a search lowers `score`
evaluate(cfg), predict(cfg), simulate(cfg)   what the mains of those names do for a run (or data) of this system
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from physworld.errors import UserError, suggest


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The system's module.

    Raises:
        UserError: there is no such system.
    """
    if name not in names():
        raise UserError(f"task={name} is unknown.{suggest(name, names())} Choose one of {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}")
