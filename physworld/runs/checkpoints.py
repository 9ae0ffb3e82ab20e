"""Weights on disk. Whatever comes from a file may come from a stranger: no pickled code, no foreign classes."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import zipfile
from functools import reduce
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from hydra.errors import HydraException
from safetensors import SafetensorError

from physworld.errors import FormatError, UserError
from physworld.io.atomic import replacing_within
from physworld.io.checksums import refuse_changed, write_sums
from physworld.lm.gpt import GPT
from physworld.lm.weights import CONFIGURATIONS, load_tokenizer, refuse_damage
from physworld.protocols import Codec, Network
from physworld.runs.directory import first_rank, flatten, read_config
from physworld.runs.wiring import codec_for, own_codec, uses_weights_tokenizer
from physworld.settings.checks import typed
from physworld.settings.messages import options

LAST = "last.ckpt"
WEIGHTS = ("model", "adapter", "base")  # folders of a run that hold weights
TRAINING_STATE = ("state_dict", "global_step", "optimizer_states", "lr_schedulers")  # what a run goes on from


def by_step(folder: Path) -> list[Path]:
    """step_N.ckpt of a folder, the latest first."""
    steps = {path: re.fullmatch(r"step_(\d+)\.ckpt", path.name) for path in folder.glob("step_*.ckpt")}
    return sorted((p for p, found in steps.items() if found), key=lambda p: -int(steps[p][1]))  # type: ignore[index]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A whole training checkpoint, memory-mapped.

    Raises:
        UserError: truncated, not a checkpoint, or it would run code when loaded.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            if parts.testzip() is not None:  # torch does not compare the check sums that it writes
                raise zipfile.BadZipFile
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"checkpoint {path} holds more than weights and numbers, or is damaged; it is not loaded."
        ) from None
    except MemoryError:
        raise
    except Exception:  # of a pickle that is none, torch's reader raises whatever it stumbles upon
        others = sorted(other for other in path.parent.glob("*.ckpt") if other != path)
        advice = f"give another one, for example ckpt={others[0]}" if others else "there is no other beside it"
        raise UserError(f"checkpoint {path} is damaged or cut short; {advice}.") from None
    absent = [name for name in TRAINING_STATE if not isinstance(content, dict) or name not in content]
    if absent:  # for example weights alone
        raise UserError(f"checkpoint {path} holds no training state (no {', no '.join(absent)}).")
    return content


def read_newest(asked: Path) -> tuple[Path, dict[str, Any]]:
    """last.ckpt; or, where that is damaged, the whole checkpoint beside it that is furthest; what is skipped is named.

    Raises:
        UserError: none is whole, or another one than last.ckpt was asked for.
    """
    try:
        return asked, read_checkpoint(asked)
    except UserError as error:
        if asked.name != LAST:
            raise
        broken = str(error)
    whole: list[tuple[int, Path]] = []
    skipped = [asked.name]
    for path in (*by_step(asked.parent), asked.with_name("best.ckpt")):
        try:
            whole.append((int(read_checkpoint(path)["global_step"]), path))
        except UserError:
            skipped += [path.name] if path.is_file() else []
    if not whole:
        raise UserError(broken)
    step, taken = max(whole, key=lambda one: one[0])
    if first_rank():
        names = " and ".join(skipped)
        print(f"{names} in {asked.parent} cannot be read; {taken.name} of step {step} is taken.", flush=True)
    return taken, read_checkpoint(taken)


def check_fits(path: Path, content: dict[str, Any], module: torch.nn.Module) -> None:
    """Refuse a checkpoint of another network before anything of the run is touched.

    Raises:
        UserError: names of weights or their shapes differ.
    """
    have = {name: tuple(value.shape) for name, value in content["state_dict"].items()}
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if have != wanted:
        first = next(name for name in sorted(have | wanted) if have.get(name) != wanted.get(name))
        raise UserError(
            f"checkpoint {path} holds another network than this one: {first} is {have.get(first, 'missing')} there and "
            f"{wanted.get(first, 'missing')} here; give the same model= and codec=."
        )


def save_model(network: Network, codec: Codec, run: Path) -> None:
    """model/ in the run's folder: weights, configuration and tokenizer, so that others load them in one line each.

    Beside them SHA256SUMS, by which damage is noticed. A model that is there stays until the new one is whole.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # of files that are written in a blink
    with replacing_within(run) as new:
        network.save_run(new, codec.tokenizer, codec.end_id)
        for name in WEIGHTS:
            if (new / name).is_dir():
                write_sums(new / name)


def load_model(run: Path, device: torch.device) -> tuple[Any, Any, dict[str, Any]]:
    """(network, codec, configuration) of a finished run.

    Raises:
        UserError: a file is missing or damaged.
    """
    config, folder = read_config(run), run / "model"
    if not any((folder / name).is_file() for name in CONFIGURATIONS):
        raise UserError(f"{folder} has no config.json, so it holds no model.")
    _refuse_damage(run)
    try:
        for target in (config["codec"]["_target_"], config["model"]["network"]["_target_"]):
            try:
                resolve_name(target)
            except (ImportError, AttributeError, ValueError):
                raise UserError(f"{run / 'config.yaml'} names {target}, which this physworld does not have.") from None
        if uses_weights_tokenizer(config):
            codec = codec_for(config["codec"], load_tokenizer(str(run / "model")))
        else:
            codec = own_codec(config["codec"])
        with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a local folder
            network = _network_class(config).from_pretrained(folder)
        longest = config["model"]["network"].get("max_length")
        if longest is not None:  # it answers as it was trained
            network.max_length = min(network.max_length, int(longest))
        refuse_damage(network, codec.vocabulary, str(folder))
    except (AttributeError, ImportError, HydraException) as error:
        raise UserError(f"{run / 'config.yaml'} does not describe a model ({str(error).splitlines()[0]}).") from None
    except KeyError as error:
        raise UserError(f"{run / 'config.yaml'} has no {error.args[0]}; it is not a training run's.") from None
    except (OSError, RuntimeError, SafetensorError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, SafetensorError):  # whose words are about headers and buffers
            reason = "its weights are damaged or cut short"
        elif "loading state_dict" in reason:  # torch's heading of many lines
            reason = "its config.json describes another network than its weights are of"
        raise UserError(f"The model in {folder} cannot be loaded ({reason}).") from None
    return network.to(device).eval(), codec, config


def _refuse_damage(run: Path) -> None:
    """Raises: UserError, where weights are not what was written."""
    for name in WEIGHTS:
        try:
            refuse_changed(run / name)
        except FormatError as error:
            raise UserError(f"The model in {run / name} cannot be loaded: {error}.") from None


def _network_class(config: dict[str, Any]) -> Any:
    """`_target_` names a class, or one of its constructors."""
    return resolve_name(config["model"]["network"]["_target_"].removesuffix(".for_vocabulary"))


def start_from(network: torch.nn.Module, run: Path, config: dict[str, Any]) -> None:
    """Copy a finished run's weights into a network of the same shape. Relations, which begin as none, may be new.

    Args:
        config: of the new run.

    Raises:
        UserError: the shapes differ.
    """
    from physworld.lm.packed_lm import PackedLM  # late: it loads the models of transformers

    if isinstance(network, PackedLM) and network.tuning != "full":  # it knows what of it is trained
        _refuse_damage(run)
        try:
            network.start_from(run)
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(f"{str(error).splitlines()[0]}; give the same model= and codec=.") from None
        return
    other, _, theirs = load_model(run, torch.device("cpu"))
    try:
        lacks = network.load_state_dict(other.state_dict(), strict=False)
    except RuntimeError:  # shapes
        lacks = None
    if lacks is None or lacks.unexpected_keys or not all(k.endswith(GPT.BEGIN_AS_NONE) for k in lacks.missing_keys):
        raise UserError(
            f"init_from={run} holds another network than this one; give what it has: {_shape(theirs, config)}."
        )


def _shape(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The overrides that would make our network and codec theirs, as far as the two configurations tell."""
    words = []
    for group, path in (("model", ("model", "network")), ("codec", ("codec",))):
        have, want = (reduce(_part, path, config) for config in (ours, theirs))
        target = want.get("_target_")
        if have.get("_target_") != target:  # then whatever differs from that choice
            choices = ((name, reduce(_part, path[1:], option)) for name, option in options(group).items())
            name, have = next(((n, node) for n, node in choices if node.get("_target_") == target), (target, want))
            words.append(f"{group}={name}")
        before = ".".join(path) + "."
        have, want = flatten(have, before), flatten(want, before)
        words += [f"{key}={typed(want[key])}" for key in want if key in have and have[key] != want[key]]
    return " ".join(words) or "the same model= and codec="


def _part(node: Any, name: str) -> Any:
    """A part of a configuration, empty where there is none."""
    return node.get(name, {})
