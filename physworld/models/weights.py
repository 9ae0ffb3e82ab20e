"""L3: weights of causal language models, from a folder or the hub: safetensors only, and none of their own code."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

SAFE: dict[str, Any] = {"trust_remote_code": False}


class WeightsError(ValueError):
    """Weights that are not there, or not safe to load; the message is one sentence that says what to do."""


def load_network(
    weights: str, base: str | None = None, *, dtype: torch.dtype | str = torch.float32, four_bit: bool = False
) -> Any:
    """The network in evaluation mode; a folder with `adapter_config.json` is put on its base and merged.

    Args:
        weights: folder, or OWNER/NAME on the hub: whole weights or a PEFT adapter.
        base: of an adapter; None = the one it names.
        four_bit: linear layers in NF4 with double quantisation (QLoRA, arXiv 2305.14314).

    Raises:
        WeightsError
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # of reading and writing files; downloads keep theirs
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it announces kernels it does without
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, **SAFE}
    if four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        )  # fmt: skip
    try:
        adapter = find_adapter(weights)
        whole = whole_weights(weights, base)
        network: Any = AutoModelForCausalLM.from_pretrained(whole, **options)
        if adapter is not None:
            if four_bit:
                raise WeightsError(
                    f"weights={weights} is an adapter, which 4-bit weights cannot take in; merge it first."
                )
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, weights, use_safetensors=True).merge_and_unload()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise _plain(weights, error) from None
    return network.eval()


def load_tokenizer(weights: str, base: str | None = None) -> Any:
    """The tokenizer beside the weights, else the one beside an adapter's base.

    Raises:
        WeightsError
    """
    from transformers import AutoTokenizer

    try:
        home = weights if (Path(weights) / "tokenizer_config.json").is_file() else whole_weights(weights, base)
        tokenizer = AutoTokenizer.from_pretrained(home, **SAFE)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise _plain(weights, error) from None
    if tokenizer.pad_token_id is None:  # padding is never scored, nor read by what is
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def whole_weights(weights: str, base: str | None) -> str:
    """`weights` itself, or what its adapter is put on."""
    adapter = find_adapter(weights)
    whole = weights if adapter is None else base or adapter.base_model_name_or_path
    if not whole:
        raise WeightsError(f"weights={weights} is an adapter that names no base model; give base=FOLDER_OR_REPO.")
    return str(whole)


def find_adapter(weights: str) -> Any:
    """The PEFT configuration of a folder or repository that is an adapter, else None."""
    from peft import PeftConfig

    folder = Path(weights)
    if folder.is_dir():
        if not (folder / "adapter_config.json").is_file():
            return None
        if not (folder / "adapter_model.safetensors").is_file():
            raise WeightsError(f"weights={weights} holds no adapter_model.safetensors; other formats may run code.")
        return PeftConfig.from_pretrained(weights)
    if folder.is_absolute() or weights.startswith("."):
        raise WeightsError(f"weights={weights} is no folder; give a folder, or a repository as OWNER/NAME.")
    try:
        return PeftConfig.from_pretrained(weights)
    except (OSError, ValueError):
        return None  # no adapter there: whether there is a model, transformers will say


def _plain(weights: str, error: Exception) -> WeightsError:
    if isinstance(error, WeightsError):
        return error
    name = Path(weights).name
    if not Path(weights).is_dir() and isinstance(error, OSError):
        return WeightsError(
            f"weights={weights} are not on this machine and the hub cannot be reached or does not have them; where "
            f"there is a network run `hf download {weights} --local-dir models/{name}`, bring that folder here and "
            f"give weights=models/{name}."
        )
    return WeightsError(f"weights={weights} cannot be loaded ({str(error).strip().splitlines()[0][:200]}).")
