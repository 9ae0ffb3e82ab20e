"""Settings that a person typed, checked before anything starts; each mistake is one sentence."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from physworld import scenarios
from physworld.errors import FormatError, UserError, suggest
from physworld.seeding import SEEDS, SPLITS
from physworld.sim.ood import FAMILIES

Read = TypeVar("Read")
API = "physworld.lm.api_generator.ApiLM"  # what model=api is, read before torch is loaded
HORIZONS = (1, 5, 10, 30, 60, 100)  # frames ahead


def overrides() -> list[str]:
    """What was typed, each as KEY=VALUE without Hydra's sign before it; nothing outside a command."""
    return [each.lstrip("+~") for each in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []


def refuse_idle(idle: Mapping[tuple[str, ...], str]) -> None:
    """Refuse typed settings that would change nothing.

    Args:
        idle: beginnings of overrides -> where they change nothing.
    """
    for override in overrides():
        for keys, why in idle.items():
            if override.startswith(keys):
                raise UserError(f"{override} changes nothing {why}.")


def typed(value: Any) -> str:
    """A value as it is written on the command line."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def whole(name: str, value: Any, least: int, *, or_null: bool = False) -> None:
    """Refuse what is no whole number >= `least` (or null, where that means something)."""
    if value is None and or_null:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        valid = f"a whole number from {least} on{', or null' if or_null else ''}"
        raise UserError(f"{name}={typed(value)} must be {valid}.")


def number(name: str, value: Any, above: float, *, or_equal: bool = False, or_null: bool = False) -> None:
    """Refuse what is no finite number > `above` (or equal to it, or null, where that means something)."""
    if value is None and or_null:
        return
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not (above < value < float("inf") or (or_equal and value == above)):
        valid = f"a number from {above:g} on" if or_equal else f"a number above {above:g}"
        raise UserError(f"{name}={typed(value)} must be {valid}{', or null' if or_null else ''}.")


def share(name: str, value: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f"{name}={typed(value)} must be a number from 0 to 1.")


def flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise UserError(f"{name}={typed(value)} must be true or false.")


def below_one(name: str, value: Any) -> None:
    """Refuse what is no number from 0 to just below 1: an average that keeps all of itself never moves."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise UserError(f"{name}={typed(value)} must be a number from 0 to just below 1.")


def installed(extra: str, *packages: str, what: str) -> None:
    """Refuse `what` where packages of an extra are not installed."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        need = f"{what} needs {' and '.join(missing)}"
        raise UserError(f"{need}; install with: pip install 'physworld[{extra}]'.")


def pretrained(cfg: DictConfig) -> None:
    """Refuse weights for a model that has none of its own, and lora without the packages that make one."""
    network: Any = cfg.model.network if "network" in cfg.model else {}
    for name in ("weights", "base"):
        if cfg[name] is not None and "weights" not in network:
            raise UserError(f"{name}={cfg[name]} goes with pretrained models, such as model=lfm2 or model=hf.")
    if "tuning" in network:
        packages = {"lora": ("peft",), "qlora": ("peft", "bitsandbytes")}.get(network.tuning, ())
        installed("pretrained", *packages, what=f"model.network.tuning={network.tuning}")


def is_api(model: DictConfig) -> bool:
    """Whether model= is a model behind an API."""
    return str(model["_target_"]) == API if "_target_" in model else False


def with_weights(cfg: DictConfig) -> None:
    """Refuse a network without weights where a model is to be scored."""
    if "network" not in cfg.model or "weights" not in cfg.model.network:
        chosen = HydraConfig.get().runtime.choices["model"] if HydraConfig.initialized() else cfg.model._target_
        raise UserError(
            f"model={chosen} is a network without weights, so there is nothing to judge: a run brings its own network, "
            "so give run=DIR without model=; pretrained weights are judged with model=hf weights=FOLDER_OR_REPO."
        )


def seed(name: str, value: Any) -> None:
    """Refuse what is no whole number from 0 to below 2^64."""
    whole(name, value, 0)
    if value >= SEEDS:
        raise UserError(f"{name}={value} must be a whole number below 2^64.")


def betas(name: str, value: Any) -> None:
    """Refuse what is no pair of numbers from 0 to just below 1."""
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if len(items) != 2:
        raise UserError(f"{name}={typed(value)} must be a list of two numbers, for example {name}=[0.9,0.999].")
    for item in items:
        below_one(name, item)


def one_of(name: str, value: Any, choices: tuple[str | bool | None, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        known = [typed(choice) for choice in choices]
        hint = suggest(str(value), known)
        raise UserError(f"{name}={typed(value)} is unknown.{hint} Choose one of {', '.join(known)}.")


def duration(name: str, value: Any) -> timedelta:
    """DD:HH:MM:SS or HH:MM:SS, longer than nothing.

    Raises:
        UserError: something else.
    """
    # Eight digits: more days or hours than that are no time that Python can hold.
    found = re.fullmatch(r"(?:(\d{1,8}):)?(\d{1,8}):(\d{1,8}):(\d{1,8})", str(value), re.ASCII)
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise UserError(f"{name}={typed(value)} must be DD:HH:MM:SS, for example {name}=00:11:30:00, or null.")
    return length


def mfu(name: str, value: Any) -> None:
    """Refuse what is no share of a peak: a number above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise UserError(f"{name}={typed(value)} must be a number above 0 and at most 1, or null.")


def text(name: str, value: Any, *, or_null: bool = False) -> None:
    """Refuse what is no text (or null, where that means something)."""
    if not isinstance(value, str) and not (value is None and or_null):
        raise UserError(f"{name}={typed(value)} must be a name{', or null' if or_null else ''}.")


def profiler(name: str, value: Any) -> None:
    """Refuse the name of a profiler: by it Lightning's writes nothing down."""
    if value is not None and not isinstance(value, DictConfig):
        raise UserError(f"{name}={typed(value)} would write nothing down; choose debug=profile, or null.")


def path(name: str, value: Any) -> None:
    """Refuse what is no path and not null; a number would be taken for something else in one place or another."""
    if value is not None and not isinstance(value, str):
        raise UserError(f"{name}={typed(value)} must be a path; write a name that is a number as {name}=./3.")


def file(name: str, value: Any) -> Path | None:
    """One path, or None; a name made of digits is a name."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{name}={value} must be one path.")
    return Path(str(value))


def horizons(value: Any, frames: int) -> list[int]:
    """Frames ahead at which errors are read, in order; null = HORIZONS as far as the rollout goes, and its end."""
    if value is None:
        return sorted({h for h in HORIZONS if h < frames} | {frames})
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
    if not items or any(isinstance(h, bool) or not isinstance(h, int) or not 1 <= h <= frames for h in items):
        shown = f"[{','.join(map(str, items))}]" if items else value
        valid = f"a list of whole numbers from 1 to evaluation.frames={frames}, or null"
        raise UserError(f"evaluation.horizons={shown} must be {valid}.")
    return sorted(set(items))


def difficulties(value: Any, name: str = "curriculum.difficulties") -> list[int]:
    """A list of difficulties 1-5, not empty."""
    items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else None
    if not items or any(isinstance(item, bool) or item not in scenarios.DIFFICULTIES for item in items):
        shown = f"[{','.join(map(typed, items))}]" if items else typed(value)
        raise UserError(f"{name}={shown} must be a list of difficulties from 1 to 5, for example {name}=[1,2].")
    return [int(item) for item in items]


def split(value: Any) -> str:
    if value not in SPLITS:
        raise UserError(f"split={value} is unknown.{suggest(str(value), SPLITS)} Choose one of {', '.join(SPLITS)}.")
    return str(value)


def ood(family: Any, level: Any) -> None:
    """One of the out-of-distribution families (or null), and a level above 0 and at most 1."""
    if family is not None and family not in FAMILIES:
        hint = suggest(str(family), FAMILIES)
        raise UserError(f"ood.family={family} is unknown.{hint} Choose one of {', '.join(FAMILIES)}, or null.")
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level <= 1:
        raise UserError(f"ood.level={level} must be a number above 0 and at most 1.")


def scenario_names(value: Any) -> list[str]:
    """A list of scenario types that exist."""
    known = scenarios.names()
    if value is None or isinstance(value, str) or not isinstance(value, Iterable):
        example = value if isinstance(value, str) and value else known[0]
        raise UserError(f"scenario.names={value} must be a list, for example scenario.names=[{example}].")
    for name in value:
        if name not in known:
            raise UserError(f"scenario {name} is unknown.{suggest(str(name), known)} Choose from {', '.join(known)}.")
    if not value:
        raise UserError(f"scenario.names is empty; choose from {', '.join(known)}.")
    return list(value)


def once(name: str, values: Sequence[Any]) -> None:
    """Refuse a list that holds something twice, where a scene would be scored twice."""
    twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if twice is not None:
        raise UserError(f"{name} has {twice} twice; give each once.")


def read(reader: Callable[[Any], Read], path: Any) -> Read:
    """What a reader makes of a file that was typed as input=.

    Raises:
        UserError: the file does not follow its format, or cannot be read.
    """
    try:
        return reader(path)
    except FormatError as error:
        raise UserError(f"{str(error).rstrip('.')}.") from None
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror or error}).") from None
