"""L3: a pretrained causal LM from the hub or a folder, to be tuned with adapters, 4-bit adapters, or whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from physworld.models.lora import attach_lora

TUNINGS = ("lora", "qlora", "full")


class PretrainedLM:
    """Makes and loads the network; what it returns is the model of transformers or PEFT itself."""

    @classmethod
    def for_vocabulary(
        cls,
        vocabulary: Any,
        *,
        name: str,
        tuning: str,
        rank: int,
        alpha: int,
        dropout: float,
        targets: Sequence[str],
        gradient_checkpointing: bool = False,
    ) -> Any:
        """The network of `name`, ready to be tuned.

        Args:
            vocabulary: of the codec; the network's embedding table must be at least as long.
            name: on the hub, or a folder.
            tuning: lora; qlora = the same on a frozen base in 4-bit NF4, scales quantised too (arXiv 2305.14314); full.
            rank, alpha, dropout, targets: see attach_lora; full ignores them.

        Raises:
            ValueError: unknown tuning, or the table is too short.
        """
        if tuning not in TUNINGS:
            raise ValueError(f"tuning {tuning!r} is unknown; choose one of {', '.join(TUNINGS)}")
        network = load_base(name, four_bit=tuning == "qlora")
        if network.get_input_embeddings().num_embeddings < vocabulary.size:
            raise ValueError(f"{name} has fewer embeddings than the codec has tokens ({vocabulary.size})")
        if tuning == "qlora":
            from peft import prepare_model_for_kbit_training

            network = prepare_model_for_kbit_training(network, use_gradient_checkpointing=gradient_checkpointing)
        elif gradient_checkpointing:
            network.gradient_checkpointing_enable()
            network.enable_input_require_grads()
        if tuning != "full":
            network = attach_lora(network, rank=rank, alpha=alpha, dropout=dropout, targets=targets)
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()  # small updates vanish in half precision
        return network.train()  # it was loaded for use, with dropout off

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Any:
        """A tuned network as `save_pretrained` left it: whole, or an adapter that names its base."""
        if not (Path(folder) / "adapter_config.json").is_file():
            return load_base(str(folder))
        from peft import PeftConfig, PeftModel

        base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
        return PeftModel.from_pretrained(load_base(str(base)), str(folder))


def load_base(name: str, *, four_bit: bool = False) -> Any:
    """Weights from safetensors only; no code of the repository runs."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    options: dict[str, Any] = {}
    if four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    return AutoModelForCausalLM.from_pretrained(
        name, dtype=dtype, use_safetensors=True, trust_remote_code=False, **options
    )
