"""Mistakes of the person at the keyboard: one plain sentence each. Bugs keep their traceback."""

from __future__ import annotations

import difflib
import errno
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)  # no room on the disk, or in the quota


class UserError(Exception):
    """A mistake the user can mend; the message is one sentence that names the thing and the valid choices."""


class FormatError(ValueError):
    """A file that does not follow its format."""


class SweepError(UserError):
    """A mistake that every job of a sweep shares: the first one ends the sweep."""


def suggest(wrong: str, valid: Iterable[str]) -> str:
    """' Did you mean X?' with the nearest valid choice, or '' when nothing is near."""
    near = difflib.get_close_matches(wrong, list(valid), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """'1 ball', '2 balls'."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def no_setting(error: BaseException, function: Callable[..., Any], given: Iterable[str] = ()) -> str | None:
    """The sentence about a setting that a function does not take; None where a TypeError is about something else.

    Args:
        given: what the code gives by itself, so that nobody sets it.
    """
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown is None:
        return None
    owner: Any = function
    if "__init__()" in str(error) and inspect.ismethod(function):  # a classmethod that makes one
        owner = function.__self__
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes = [
        name for name, one in inspect.signature(owner).parameters.items() if one.kind in kinds and name not in given
    ]
    hint = suggest(unknown[1], takes)
    return f"{unknown[1]} is no setting of {owner.__qualname__}.{hint} It takes {', '.join(takes)}."


def call(make: functools.partial[Any], /, *objects: Any, **named: Any) -> Any:
    """Call what Hydra made of a node with `_partial_: true`; a setting it does not take is a user error.

    Raises:
        UserError: the configuration sets something that is unknown, or that the code sets by itself.
    """
    name = getattr(make.func, "__qualname__", str(make.func))
    # A constructor in the configuration is there to be replaced by what it makes.
    configured = make.keywords
    twice = [key for key in named if key in configured and not isinstance(configured[key], functools.partial)]
    if twice:
        raise UserError(f"{name} gets {' and '.join(twice)} from other settings; leave it out.")
    try:
        inspect.signature(make.func).bind(*make.args, *objects, **{**configured, **named})
    except TypeError as error:
        first = list(inspect.signature(make.func).parameters)[: len(objects)]
        known = no_setting(error, make.func, [*first, *named])
        raise UserError(known or f"The configuration does not fit {name}: {error}.") from None
    return make(*objects, **named)


def fetching(name: str) -> str:
    """What to do about a model that is not on this machine: the command that fetches it, where it has a name for that.

    Args:
        name: a folder, or OWNER/NAME on the hub, as it was typed.
    """
    folder = Path(name)
    on_the_hub = re.fullmatch(r"([\w-][\w.-]*/)?[\w-][\w.-]*", name) and not folder.is_dir()
    # Our own advice puts downloads into models/.
    if not on_the_hub or (len(folder.parts) == 2 and (folder.parts[0] == "models" or folder.parent.is_dir())):
        return "give the folder of a model, or a repository as OWNER/NAME"
    local = f"models/{folder.name}"
    command = f"hf download {name} --local-dir {local}"
    return f"where there is a network run `{command}`, bring that folder here and give {local}"


def unwritable(error: Exception, folder: str | None = None) -> str:
    """A disk that is full, read-only or not there.

    Args:
        folder: where the command writes, for errors that name no file.
    """
    name = getattr(error, "filename", None)
    if getattr(error, "errno", None) in FULL or any(f"os error {number})" in str(error) for number in FULL):
        where = Path(name) if name else None
        full = where.parent if where is not None and not where.is_dir() else where or folder or "The disk"
        return f"{full} is full: {where.name if where is not None and full != where else 'a file'} cannot be written."
    if isinstance(error, OSError) and error.strerror:
        return (
            f"{name or (f'A file of {folder}' if folder else 'A file')} cannot be read or written ({error.strerror})."
        )
    return f"A file{f' of {folder}' if folder else ''} cannot be read or written ({first_line(error)})."


def first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
