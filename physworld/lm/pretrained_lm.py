"""A pretrained causal LM for spatial scenes: transformers' or PEFT's own model, as `SequenceModule` trains it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from physworld.lm.weights import check_tuning, load_network, tunable


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
            tuning, rank, alpha, dropout, targets, gradient_checkpointing: see weights.tunable.

        Raises:
            ValueError: unknown tuning, weights that are not there, or the table is too short.
        """
        check_tuning(tuning)
        network = load_network(name, dtype=_dtype(), four_bit=tuning == "qlora", option="model.network.name")
        if network.get_input_embeddings().num_embeddings < vocabulary.size:
            raise ValueError(f"{name} has fewer embeddings than the codec has tokens ({vocabulary.size})")
        return tunable(
            network, tuning=tuning, rank=rank, alpha=alpha, dropout=dropout, targets=targets,
            gradient_checkpointing=gradient_checkpointing,
        )  # fmt: skip

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Any:
        """A tuned network as `save_pretrained` left it: whole, or an adapter beside the base it names."""
        return load_network(str(folder), dtype=_dtype(), merge=False)


def _dtype() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32
