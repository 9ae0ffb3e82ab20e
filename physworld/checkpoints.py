"""L4: weights on disk. Whatever comes from a file may come from a stranger: no pickled code, no foreign classes."""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from safetensors import SafetensorError

from physworld.errors import UserError
from physworld.runs import read_config


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A whole training checkpoint, memory-mapped.

    Raises:
        UserError: truncated, not a checkpoint, or it would run code when loaded.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"checkpoint {path} holds more than weights and numbers, or is damaged; it is not loaded."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError):
        raise UserError(
            f"checkpoint {path} is damaged or cut short; give another one, for example ckpt=best."
        ) from None
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"checkpoint {path} holds no training state (no state_dict).")
    return content


def save_model(network: Any, codec: Any, folder: Path) -> None:
    """Weights, network configuration and tokenizer, so that others load them in one line each."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    # The network's config.json must survive: tokenizers write only tokenizer*.json beside it.
    codec.tokenizer.save_pretrained(folder)


def load_model(run: Path, device: torch.device) -> tuple[Any, Any, dict[str, Any]]:
    """(network, codec, configuration) of a finished run.

    Raises:
        UserError: a file is missing or damaged.
    """
    config = read_config(run)
    try:
        codec = instantiate(config["codec"])
        with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a local folder
            network = _network_class(config).from_pretrained(run / "model")
    except KeyError as error:
        raise UserError(f"{run / 'config.yaml'} has no {error.args[0]}; it is not a training run's.") from None
    except (OSError, RuntimeError, SafetensorError, ValueError, TypeError) as error:
        raise UserError(f"The model in {run / 'model'} cannot be loaded ({str(error).splitlines()[0]}).") from None
    return network.to(device).eval(), codec, config


def _network_class(config: dict[str, Any]) -> Any:
    """`_target_` names a class, or one of its constructors."""
    found = get_object(config["model"]["network"]["_target_"])
    return getattr(found, "__self__", found)


def start_from(network: torch.nn.Module, run: Path) -> None:
    """Copy a finished run's weights into a network of the same shape.

    Raises:
        UserError: the shapes differ.
    """
    other, _, _ = load_model(run, torch.device("cpu"))
    try:
        network.load_state_dict(other.state_dict())
    except RuntimeError:
        raise UserError(
            f"init_from={run} holds another network than this one; give the same model= and codec=."
        ) from None
