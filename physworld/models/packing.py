"""L3: many documents in one row without padding, for transformers models with attention and short convolutions.

A row is the documents one after another. Layers that look at one token at a time see N real tokens and nothing else.
The two kinds of layer that look further are told where each document begins: attention runs document by document, and
a short convolution (LFM2) leaves out the taps that would reach into the document before. So no document can see
another, whatever the length, and no time goes into padding. Position ids alone do not give that: a convolution knows
nothing of them.

Shapes: N tokens of the row, H heads, E head width, D channels, K taps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv

NAME = "physworld"  # of the attention implementation: the usual one, except where documents are packed
_packing: ContextVar[bool] = ContextVar("packing", default=False)


class Documents:
    """Where the documents of a packed row lie."""

    def __init__(self, lengths: list[int], device: torch.device | str | None = None) -> None:
        self.lengths = lengths
        self.place_N = torch.cat([torch.arange(length, device=device) for length in lengths])  # within the document

    def __len__(self) -> int:
        return len(self.lengths)


@contextmanager
def packed() -> Iterator[None]:
    """Inside, models make no attention mask of their own: N x N of it would be built for nothing."""
    token = _packing.set(True)
    try:
        yield
    finally:
        _packing.reset(token)


def _mask(*args: Any, **kwargs: Any) -> Tensor | None:
    return None if _packing.get() else sdpa_mask(*args, **kwargs)


def _attend(
    module: Any,
    query: Tensor,  # (1, H, N, E)
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    documents: Documents | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if documents is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    grouped = query.shape[1] != key.shape[1]
    out = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(*(x.split(documents.lengths, dim=2) for x in (query, key, value)), strict=True)
    ]
    return torch.cat(out, dim=2).transpose(1, 2), None  # (1, N, H, E)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)


class PackedShortConv(Lfm2ShortConv):
    """LFM2's gated convolution; in a packed row each document starts from silence."""

    def forward(self, hidden_states: Tensor, *args: Any, documents: Documents | None = None, **kwargs: Any) -> Tensor:
        if documents is None:
            out: Tensor = super().forward(hidden_states, *args, **kwargs)
            return out
        gate_ND, out_gate_ND, x_ND = self.in_proj(hidden_states[0]).chunk(3, dim=-1)
        y_ND = convolve(gate_ND * x_ND, self.conv.weight[:, 0], documents.place_N)
        if self.conv.bias is not None:
            y_ND = y_ND + self.conv.bias
        return self.out_proj(out_gate_ND * y_ND)[None]


def convolve(x_ND: Tensor, weight_DK: Tensor, place_N: Tensor) -> Tensor:
    """(N, D) causal depthwise convolution whose taps stay within the document; the last tap is the token itself."""
    taps = weight_DK.shape[1]
    y_ND = x_ND * weight_DK[:, -1]
    for back in range(1, min(taps, len(x_ND))):
        inside = (place_N[back:] >= back)[:, None]
        reach = F.pad(x_ND[:-back] * inside, (0, 0, back, 0))
        y_ND = y_ND + reach * weight_DK[:, -1 - back]
    return y_ND


def can_pack(network: Any) -> bool:
    """Every layer is full attention through transformers' interface, or a short convolution known here."""
    config = network.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    window = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    known = set(kinds) <= {"full_attention"} or (
        config.model_type == "lfm2" and set(kinds) <= {"full_attention", "conv"}
    )
    rotary = getattr(config, "rope_parameters", None) is not None
    return bool(known and rotary and not window and getattr(network, "_supports_attention_backend", False))


def prepare(network: Any) -> None:
    """Give a transformers model the attention and convolutions of this module; alone, rows behave as before."""
    for module in network.modules():
        if type(module) is Lfm2ShortConv:
            module.__class__ = PackedShortConv
    network.set_attn_implementation(NAME)
