"""Weights of causal language models, from a folder or the hub: loaded, and made ready to be tuned.

Files are safetensors or GGUF only, and none of their own code runs. Tuning is of all weights (full), of low-rank
updates (lora, arXiv 2106.09685), or of such updates on weights in 4 bits (qlora, arXiv 2305.14314); adapters are
plain PEFT's.
"""

from __future__ import annotations

import functools
import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from physworld.errors import UserError, fetching, unwritable
from physworld.io.checksums import refuse_changed
from physworld.lm.gguf import GgufError
from physworld.lm.gguf_weights import find_gguf, home, unpacked
from physworld.types import Vocabulary

SAFE: dict[str, Any] = {"trust_remote_code": False}
CONFIGURATIONS = ("config.json", "adapter_config.json")  # one of them says what weights beside it are
TUNINGS = ("lora", "qlora", "full")
# Tokenizers that are what their tokenizer.json says. AutoTokenizer takes them for the one usual with the model's type.
GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")  # one is enough
BASE_NOTE = "adapter_base.txt"  # in a run's folder, and not sent anywhere: a path is of this machine alone
COMPILED = "_orig_mod."  # what torch.compile puts before the names of a model's weights


class WeightsError(UserError):
    """Weights that are not there, or not safe to load."""


def load_network(
    weights: str,
    base: str | None = None,
    *,
    dtype: torch.dtype | str = torch.float32,
    four_bit: bool = False,
) -> Any:
    """The network in evaluation mode; an adapter's updates go into the weights of its base.

    Args:
        weights: folder, or OWNER/NAME on the hub: whole weights or a PEFT adapter; or a GGUF file, or the name of an
            installed package that brings one.
        base: of an adapter; None = the one it names.
        four_bit: linear layers in NF4 with double quantisation, as in QLoRA.

    Raises:
        WeightsError
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # of reading and writing files; downloads keep theirs
    # Tables of missing weights, which are refused below, and lists of what tensor parallelism leaves out.
    for talker in ("modeling_utils", "distributed.tensor_parallel"):
        transformers_logging.get_logger(f"transformers.{talker}").setLevel(logging.ERROR)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, **SAFE}
    if four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        )  # fmt: skip
    try:
        for given in (weights, base):
            if given is not None:
                refuse_changed(Path(given))
        adapter = find_adapter(weights)
        whole = whole_weights(weights, base)
        load: Any = functools.partial(
            AutoModelForCausalLM.from_pretrained, whole, output_loading_info=True, ignore_mismatched_sizes=True,
            **options,
        )  # fmt: skip
        loaded = load()
        if not isinstance(loaded, tuple):  # a class of ours, which has no account of what it found
            raise WeightsError(
                f"weights={weights} holds a network of physworld's own; give run=RUN of its run instead."
            )
        network, found = loaded
        left_over = found["unexpected_keys"]
        if found["missing_keys"] and left_over and all(name.startswith(COMPILED) for name in left_over):
            network, found = load(key_mapping={rf"^{re.escape(COMPILED)}": ""})
            print(f"Note: names in {whole} begin with {COMPILED}, as torch.compile leaves them; it is left out.")
        for name, there, here in sorted(found["mismatched_keys"]):
            shapes = f"{tuple(there)} there and {tuple(here)} in its network"
            raise WeightsError(f"The weights in {whole} do not fit: {name} is {shapes}.")
        refuse_gaps(whole, found["missing_keys"], found["unexpected_keys"])
        if adapter is not None:
            if four_bit:
                raise WeightsError(
                    f"weights={weights} is an adapter, which 4-bit weights cannot take in; merge it first."
                )
            network = _with_adapter(network, weights).merge_and_unload()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise _plain(weights, error) from None
    if four_bit:
        from bitsandbytes.nn import Linear4bit

        for part in network.modules():
            if isinstance(part, Linear4bit):
                # Packed for inference by one evaluation on a CPU with AVX512-BF16, they could not be tuned on.
                part.support_avx512bf16_for_cpu = False
    return network.eval()


def _with_adapter(network: Any, weights: str) -> Any:
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys.*")  # they are refused below
        network = PeftModel.from_pretrained(network, weights, use_safetensors=True)
    found = network.load_adapter(weights, "default", use_safetensors=True)  # again, for what it reports
    refuse_gaps(weights, found.missing_keys, found.unexpected_keys)
    return network


def refuse_gaps(weights: str, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """Weights must be those of the network, all of them and no others: what is missing would be random numbers.

    Args:
        missing, unexpected: names of tensors.

    Raises:
        WeightsError: names one of them.
    """
    lacks, left_over = sorted(missing), sorted(unexpected)
    if lacks:
        more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
        beside = f" (they hold {left_over[0]}, which it does not have)" if left_over else ""
        raise WeightsError(f"The weights in {weights} lack {lacks[0]}{more}, which its network has{beside}.")
    if left_over:
        more = f" and {len(left_over) - 1} more" if len(left_over) > 1 else ""
        raise WeightsError(f"The weights in {weights} hold {left_over[0]}{more}, for which its network has no place.")


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """Name of the first tensor that holds a number that is infinite or none; None where all are finite."""
    for name, value in tensors:
        if value.is_floating_point() and not value.isfinite().all():
            return name
    return None


def refuse_damage(network: nn.Module, vocabulary: Vocabulary | None, weights: str) -> None:
    """Weights must be finite numbers, and the tables that a GPT of ours carries in its file those of its codec.

    Args:
        vocabulary: of the codec; None = the network has no such tables.

    Raises:
        WeightsError: names what is damaged.
    """
    broken = not_finite(network.state_dict().items())
    if broken is not None:
        raise WeightsError(f"The model in {weights} is damaged: numbers in its {broken} are not finite.")
    for name, value in network.state_dict().items():
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
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    try:
        home = weights if (Path(weights) / "tokenizer_config.json").is_file() else whole_weights(weights, base)
        if Path(home).is_dir() and not any((Path(home) / name).is_file() for name in TOKENIZERS):
            raise WeightsError(f"weights={weights} holds no tokenizer: none of {', '.join(TOKENIZERS)} is in it.")
        generic = get_tokenizer_config(home).get("tokenizer_class") in GENERIC
        tokenizer: Any = (PreTrainedTokenizerFast if generic else AutoTokenizer).from_pretrained(home, **SAFE)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise _plain(weights, error) from None
    if tokenizer.pad_token_id is None:  # padding is never scored, nor read by what is
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def whole_weights(weights: str, base: str | None) -> str:
    """`weights` itself, or what its adapter is put on."""
    adapter = find_adapter(weights)
    whole = weights if adapter is None else base or adapter.base_model_name_or_path or _base_beside(weights)
    if not whole:
        raise WeightsError(f"weights={weights} is an adapter that names no base model; give base=FOLDER_OR_REPO.")
    return _folder(str(whole))


def _folder(weights: str) -> str:
    """`weights` itself, or the folder that a GGUF file is unpacked into. Raises: WeightsError."""
    try:
        return unpacked(weights)
    except GgufError as error:
        raise WeightsError(str(error)) from None
    except OSError as error:
        raise WeightsError(f"weights={weights} cannot be dequantised: {unwritable(error, str(home()))}") from None


def _base_beside(adapter: str) -> str:
    """What a run's adapter was trained on, where that has no name on the hub; '' where the run does not say."""
    run = Path(adapter).parent
    if (run / "base").is_dir():
        return str(run / "base")
    return (run / BASE_NOTE).read_text(encoding="utf-8").strip() if (run / BASE_NOTE).is_file() else ""


def note_base(run: Path, base: str) -> str:
    """The name of a base that others know, for an adapter's settings; '' where it is a folder or a file, which the run
    notes; so it does with a package that brings a file, which PEFT knows nothing of."""
    if find_gguf(base) is not None:
        place = str(Path(base).resolve()) if Path(base).exists() else base
        (run / BASE_NOTE).write_text(place + "\n", encoding="utf-8")
        return ""
    if not Path(base).is_dir():
        return base
    if Path(base) != run / "base":
        (run / BASE_NOTE).write_text(str(Path(base).resolve()) + "\n", encoding="utf-8")
    return ""


def local_folder(weights: str) -> Path:
    """Where the files of a folder or repository lie on this machine; what is missing is fetched from the hub.

    Raises:
        WeightsError
    """
    weights = _folder(weights)
    if Path(weights).is_dir():
        return Path(weights)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(weights, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]))
    except (OSError, ValueError) as error:
        raise _plain(weights, OSError(str(error))) from None


def find_adapter(weights: str) -> Any:
    """The PEFT configuration of a folder or repository that is an adapter, else None. Raises: WeightsError."""
    from peft import PeftConfig

    folder = Path(_folder(weights))
    if folder.is_dir():
        if not any((folder / name).is_file() for name in CONFIGURATIONS):
            lacks = " and no ".join(CONFIGURATIONS)
            raise WeightsError(f"weights={weights} holds no model: there is no {lacks} in it.")
        if not (folder / "adapter_config.json").is_file():
            return None
        if not (folder / "adapter_model.safetensors").is_file():
            raise WeightsError(f"weights={weights} holds no adapter_model.safetensors; other formats may run code.")
        return PeftConfig.from_pretrained(str(folder))
    if folder.is_absolute() or weights.startswith("."):
        raise WeightsError(f"weights={weights} is no folder; give a folder, or a repository as OWNER/NAME.")
    try:
        return PeftConfig.from_pretrained(weights)
    except (OSError, ValueError):
        return None  # no adapter there: whether there is a model, transformers will say


def _plain(weights: str, error: Exception) -> WeightsError:
    if not Path(weights).is_dir() and isinstance(error, OSError):
        return WeightsError(
            f"weights={weights} is no folder here, and the hub cannot be reached or has no such repository; "
            f"{fetching(weights)}."
        )
    return WeightsError(f"weights={weights} cannot be loaded ({str(error).strip().splitlines()[0][:200]}).")
