"""L3: low-rank adapters (LoRA, arXiv 2106.09685) on any transformers model, kept in plain PEFT's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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
