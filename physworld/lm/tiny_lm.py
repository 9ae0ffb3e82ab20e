"""A small causal LM for a codec's own tokens, from scratch: a standard one to every tool that knows Seed-OSS.

Seed-OSS is Qwen2 by another name, to the bit. Under the name qwen2, AutoTokenizer would take every tokenizer for
Qwen2's own, and lose the words of ours.

Tokens that carry a number start from features of it, so that neighbours on the grid are neighbours before training
(cf. xVal, arXiv 2310.02989); from there the embeddings learn freely.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import SeedOssConfig, SeedOssForCausalLM

from physworld.lm.packed_lm import PackedLM
from physworld.types import Vocabulary

FAINT = 0.15  # start of the last norm's gain: logits of a fresh network are about 1 apart, not 8


class TinyLM:
    """Makes the network; what it returns is a `PackedLM` around transformers' own Seed-OSS."""

    @classmethod
    def for_vocabulary(
        cls,
        vocabulary: Vocabulary,
        *,
        width: int,
        depth: int,
        heads: int,
        inner: int,
        positions: int = 2048,
        rope_theta: float = 10_000.0,
        copying_layers: int = 0,
    ) -> PackedLM:
        """A new network for a codec's tokens.

        Args:
            width: of the hidden states.
            inner: width inside the gated MLP.
            positions: longest sequence.
            copying_layers: last layers whose attention passes on from the start what it attends to: with tied
                embeddings that repeats the token, whatever it is, and only where to look is left to learn.

        Raises:
            ValueError: the heads do not share the width evenly.
        """
        if width % (2 * heads):
            raise ValueError(f"model width {width} must be a multiple of twice the number of heads ({heads})")
        lm = SeedOssForCausalLM(
            SeedOssConfig(
                vocab_size=vocabulary.size,
                hidden_size=width,
                intermediate_size=inner,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                num_key_value_heads=heads,
                head_dim=width // heads,
                attention_bias=True,
                attention_out_bias=False,
                attention_dropout=0.0,
                residual_dropout=0.0,
                max_position_embeddings=positions,
                rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
                tie_word_embeddings=True,
                pad_token_id=vocabulary.pad,
                bos_token_id=None,
                eos_token_id=vocabulary.end,
            )
        )
        _start(lm, vocabulary, copying_layers)
        network = PackedLM(lm, pad_id=vocabulary.pad)
        network.checked()  # before its weights are split over devices
        return network

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> PackedLM:
        """As a run leaves it in model/."""
        return PackedLM.from_pretrained(folder)


@torch.no_grad()
def _start(lm: Any, vocabulary: Vocabulary, copying_layers: int) -> None:
    layers = lm.model.layers
    for layer in layers:  # blocks start as the identity ...
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    for layer in layers[len(layers) - copying_layers :]:
        torch.nn.init.eye_(layer.self_attn.v_proj.weight)
        torch.nn.init.eye_(layer.self_attn.o_proj.weight).mul_(0.5)
    # ... and outputs are tied to inputs: a value that training met once can be copied all the same.
    lm.model.norm.weight.fill_(FAINT)
    table: Tensor = lm.get_input_embeddings().weight
    table.normal_(std=0.3)
    waves = 16
    project = torch.randn(waves, table.shape[1]) * 0.15  # the same for all families: a degree is a degree
    for family in vocabulary.families:
        values = torch.as_tensor(family.values).double()
        features = _features(values, waves)
        table[torch.as_tensor(family.ids)] = (
            torch.randn(table.shape[1]) * 0.3 + features @ project + torch.randn(len(values), table.shape[1]) * 0.25
        )


def _features(values: Tensor, waves: int) -> Tensor:
    """(n, waves) sines and cosines of the place within the family's range."""
    span = float(values.max() - values.min()) or 1.0
    place = (values - (values.max() + values.min()) / 2) / span  # -1/2 .. 1/2
    angle = place[:, None] * math.pi * 2.0 ** torch.arange(waves // 2, dtype=torch.float64)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).float()
