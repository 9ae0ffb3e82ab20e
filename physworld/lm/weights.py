"""Weights of causal language models, from a folder or the hub: loaded, and made ready to be tuned.

Files are safetensors only, and none of their own code runs. Tuning is of all weights (full), of low-rank updates (lora,
arXiv 2106.09685), or of such updates on weights in 4 bits (qlora, arXiv 2305.14314); adapters are plain PEFT's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from physworld.types import Vocabulary

SAFE: dict[str, Any] = {"trust_remote_code": False}
CONFIGURATIONS = ("config.json", "adapter_config.json")  # one of them says what weights beside it are
TUNINGS = ("lora", "qlora", "full")


class WeightsError(ValueError):
    """Weights that are not there, or not safe to load; the message is one sentence that says what to do."""


def load_network(
    weights: str,
    base: str | None = None,
    *,
    dtype: torch.dtype | str = torch.float32,
    four_bit: bool = False,
) -> Any:
    """The network in evaluation mode; an adapter's updates go into the weights of its base.

    Args:
        weights: folder, or OWNER/NAME on the hub: whole weights or a PEFT adapter.
        base: of an adapter; None = the one it names.
        four_bit: linear layers in NF4 with double quantisation, as in QLoRA.

    Raises:
        WeightsError
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # of reading and writing files; downloads keep theirs
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


def refuse_damage(network: nn.Module, vocabulary: Vocabulary | None, weights: str) -> None:
    """Weights must be finite numbers, and the tables that a GPT of ours carries in its file those of its codec.

    Args:
        vocabulary: of the codec; None = the network has no such tables.

    Raises:
        WeightsError: names what is damaged.
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsError(f"The model in {weights} is damaged: numbers in its {name} are not finite.")
        if vocabulary is not None and name in ("values", "outputs"):
            table = torch.as_tensor(getattr(vocabulary, name), dtype=value.dtype)
            if not torch.equal(value, table):
                raise WeightsError(f"The model in {weights} is damaged: its {name} are not those of its codec.")


def check_tuning(tuning: str) -> None:
    """Raises: ValueError."""
    if tuning not in TUNINGS:
        raise ValueError(f"tuning {tuning!r} is unknown; choose one of {', '.join(TUNINGS)}")


def tunable(
    network: Any,
    *,
    tuning: str,
    rank: int,
    alpha: int,
    dropout: float,
    targets: Sequence[str],
    gradient_checkpointing: bool,
) -> Any:
    """A loaded network with what is to be trained trainable, in training mode; it was loaded for use, dropout off.

    Args:
        rank, alpha, dropout, targets: see attach_lora; full ignores them.
        gradient_checkpointing: keep one state per layer and compute the rest again in the backward pass.
    """
    check_tuning(tuning)
    if tuning == "qlora":
        from peft import prepare_model_for_kbit_training

        network = prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
    if gradient_checkpointing:
        network.activation_checkpointing_enable({"use_reentrant": False})
    if tuning != "full":
        network = attach_lora(network, rank=rank, alpha=alpha, dropout=dropout, targets=targets)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # small updates vanish in half precision
    return network.train()


def attach_lora(network: Any, *, rank: int, alpha: int, dropout: float, targets: Sequence[str]) -> Any:
    """Freeze `network` and give its target layers trainable low-rank updates.

    Args:
        rank: of the update.
        alpha: the update is scaled by alpha / rank.
        dropout: on the update's input, 0..1.
        targets: ends of layer names, such as q_proj.

    Raises:
        ValueError: the network has no such layer, or the rank is not positive.
    """
    from peft import LoraConfig, get_peft_model

    names = [name for name, _ in network.named_modules()]
    absent = [target for target in targets if not any(n == target or n.endswith(f".{target}") for n in names)]
    if absent or not targets:
        raise ValueError(f"the network has no layer named {absent[0] if absent else '(none given)'}")
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), bias="none",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    return get_peft_model(network, config)


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


def local_folder(weights: str) -> Path:
    """Where the files of a folder or repository lie on this machine; what is missing is fetched from the hub.

    Raises:
        WeightsError
    """
    if Path(weights).is_dir():
        return Path(weights)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(weights, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]))
    except (OSError, ValueError) as error:
        raise _plain(weights, OSError(str(error))) from None


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
    if Path(weights).is_dir() and not any((Path(weights) / file).is_file() for file in CONFIGURATIONS):
        return WeightsError(f"weights={weights} holds no model: there is no {' and no '.join(CONFIGURATIONS)} in it.")
    name = Path(weights).name
    if not Path(weights).is_dir() and isinstance(error, OSError):
        return WeightsError(
            f"weights={weights} are not on this machine and the hub cannot be reached or does not have them; where "
            f"there is a network run `hf download {weights} --local-dir models/{name}`, bring that folder here and "
            f"give weights=models/{name}."
        )
    return WeightsError(f"weights={weights} cannot be loaded ({str(error).strip().splitlines()[0][:200]}).")
