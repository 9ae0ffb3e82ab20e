"""Parts of a video model on disk. A tensor that is missing would be random, and one that is left over means that the
file is of something else: diffusers and transformers only warn of either, so both are refused here by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.utils import logging as transformers_logging

from physworld.errors import FormatError
from physworld.io.checksums import refuse_changed
from physworld.lm.weights import not_finite

LOCAL = "local folder"  # what is written of a base that is nowhere but on this machine


class Unfit(ValueError):
    """Weights that do not make the part; one sentence without a full stop."""


def origin(name: str) -> str:
    """How a base is named in what others may get: its hub name, and no path of this machine."""
    return LOCAL if Path(name).exists() else name


def version(name: str, subfolder: str) -> list[Any]:
    """What tells the files of a part from others under the same name, without reading them: names, sizes and times of
    change in a folder, the hub's commit otherwise; empty where nothing has been fetched yet."""
    folder = Path(name) / subfolder
    if folder.is_dir():
        files = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
        return [[file, about.st_size, about.st_mtime_ns] for file, about in files]
    try:
        found = try_to_load_from_cache(name, f"{subfolder}/config.json")
    except HFValidationError:  # a path that is not there
        return []
    return [Path(found).parents[1].name] if isinstance(found, str) else []


def read(kind: Any, name: str, subfolder: str | None = None, **options: Any) -> Any:
    """A network of diffusers or transformers with every one of its tensors from the files.

    Raises:
        Unfit: a tensor is missing, left over, of another shape or not finite, or a file is damaged.
        OSError, ValueError: the files are not there.
    """
    where = {} if subfolder is None else {"subfolder": subfolder}
    what = f"the {subfolder} of {name}" if subfolder else f"the weights in {name}"
    try:
        refuse_changed(Path(name) / (subfolder or ""))
    except FormatError as error:
        raise Unfit(f"{what} cannot be used: {error}") from None
    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()  # what they would warn of is refused below
    transformers_logging.set_verbosity_error()
    try:
        network, found = kind.from_pretrained(name, **where, output_loading_info=True, **options)
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        if isinstance(error, SafetensorError) or "Unable to load weights" in said:  # diffusers' words for it
            raise Unfit(f"{what} cannot be used: the file is damaged or cut short") from None
        if isinstance(error, RuntimeError) or "expected shape" in said:
            raise Unfit(f"{what} cannot be used: they are not those of its config.json ({said[:160]})") from None
        raise
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
    compare(what, missing=found["missing_keys"], left=found["unexpected_keys"])
    finite(what, network.state_dict())
    return network


def compare(what: str, *, missing: Iterable[str], left: Iterable[str]) -> None:
    """
    Raises:
        Unfit: there is one of either.
    """
    for names, how in ((sorted(missing), "lacks"), (sorted(left), "has no place for")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise Unfit(f"{what}: {'its file ' if how == 'lacks' else 'the network '}{how} {names[0]}{more}")


def finite(what: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """
    Raises:
        Unfit: a number is infinite or none.
    """
    broken = not_finite(tensors.items())
    if broken is not None:
        raise Unfit(f"{what}: numbers in {broken} are not finite")


def read_adapter(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse an adapter's file whose tensors are not those of the networks it is for.

    Args:
        shapes: of the tensors that it must have, by name.

    Raises:
        Unfit: it is damaged, or other tensors are in it.
    """
    try:
        held = load_file(path)
    except (SafetensorError, OSError):
        raise Unfit(f"the adapter {path} is damaged or cut short") from None
    compare(f"the adapter {path}", missing=set(shapes) - set(held), left=set(held) - set(shapes))
    for name, shape in shapes.items():
        if tuple(held[name].shape) != shape:
            raise Unfit(f"the adapter {path}: {name} is {list(held[name].shape)}, and this base needs {list(shape)}")
    finite(f"the adapter {path}", held)
