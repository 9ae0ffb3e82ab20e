"""Scenario types. The file name is the registry: `NAME.py` holds CATEGORY and build(rng, difficulty) -> Scene.

A type in which something does work on the bodies names it: ENERGY_SOURCES, some of "belt", "motor" and "wind".
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from types import ModuleType

import numpy as np

from physworld.types import Scene

# Types that no training run may draw from, so that generalisation can be measured.
HELD_OUT = ("pong", "bowling", "ramp_roll", "angry_birds", "hourglass", "newtons_cradle")
DIFFICULTIES = (1, 2, 3, 4, 5)
CATEGORIES = ("collision", "stacking", "ramp", "constraint", "minigame", "complex")  # the model card's order


@functools.cache  # reading the folder takes 40 µs, a fifth of drawing a small scene
def names() -> tuple[str, ...]:
    """All scenario types, sorted."""
    return tuple(sorted(part.name for part in pkgutil.iter_modules(__path__) if not part.name.startswith("_")))


def seen() -> tuple[str, ...]:
    """The types one may train on."""
    return tuple(name for name in names() if name not in HELD_OUT)


def heldout() -> tuple[str, ...]:
    """The types kept for testing."""
    return tuple(name for name in names() if name in HELD_OUT)


def category(name: str) -> str:
    """collision, stacking, ramp, constraint, minigame or complex."""
    return str(_module(name).CATEGORY)


def energy_sources(name: str) -> tuple[str, ...]:
    """What may add mechanical energy to this type's scenes."""
    return tuple(getattr(_module(name), "ENERGY_SOURCES", ()))


def build(name: str, rng: np.random.Generator, difficulty: int) -> Scene:
    """Draw one scene.

    Raises:
        ValueError: unknown name (suggests the nearest), or difficulty outside 1-5.
    """
    module = _module(name)
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty must be 1, 2, 3, 4 or 5, got {difficulty!r}")
    scene: Scene = module.build(rng, difficulty)
    return scene


def _module(name: str) -> ModuleType:
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"scenario {name!r} is unknown; {hint}choose one of {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
