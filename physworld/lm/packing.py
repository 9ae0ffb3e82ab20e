"""Many documents in one row without padding, for transformers models with attention and short convolutions.

A row is the documents one after another. Layers that look at one token at a time see N real tokens and nothing else.
The two kinds of layer that look further are told where each document begins: attention runs document by document, and
a short convolution (LFM2) leaves out the taps that would reach into the document before. So no document can see
another, whatever the length, and no time goes into padding. Position ids alone do not give that: a convolution knows
nothing of them.

Shapes: N tokens of the row, H heads, E head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from physworld.lm.short_conv import patch_short_convolutions

NAME = "physworld"  # of the attention implementation: the usual one, except where documents are packed
HALF = (torch.float16, torch.bfloat16)
_packing: ContextVar[bool] = ContextVar("packing", default=False)


class Documents:
    """Where the documents of a packed row lie.

    Args:
        fused: attention of all of them in one kernel, where there is one (see `_attend_fused`); else one by one.
    """

    def __init__(self, lengths: list[int], device: torch.device | str | None = None, *, fused: bool = False) -> None:
        self.lengths, self.fused = lengths, fused
        self.place_N = torch.cat([torch.arange(length, device=device) for length in lengths])  # within the document
        if fused:  # once for all layers; a bound in powers of two, so that compiled layers meet few of them
            self.starts = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32).to(self.place_N.device)
            self.longest = 1 << (max(lengths) - 1).bit_length()

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
    query: Tensor,  # (1, H, N, E), or (B, H, S, E) where nothing is packed
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    documents: Documents | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if documents is None and query.device.type != "cpu":
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    grouped = query.shape[1] != key.shape[1]
    if documents is None:  # with a mask transformers' own copies shared key heads, which takes up to nine times as long
        alone = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=grouped,
            is_causal=attention_mask is None and query.shape[2] > 1,
        )  # fmt: skip
        return alone.transpose(1, 2).contiguous(), None
    half = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else value.dtype
    if documents.fused and query.is_cuda and half in HALF and dropout == 0:
        return _attend_fused(query.to(half), key.to(half), value.to(half), documents, scaling, grouped), None
    out = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(*(x.split(documents.lengths, dim=2) for x in (query, key, value)), strict=True)
    ]
    return torch.cat(out, dim=2).transpose(1, 2), None  # (1, N, H, E)


def _attend_fused(
    query: Tensor, key: Tensor, value: Tensor, documents: Documents, scaling: float | None, grouped: bool
) -> Tensor:
    """(1, N, H, E): torch's FlashAttention for rows of several lengths, one launch instead of one per document."""
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))  # (N, H, E)
    starts, longest = documents.starts, documents.longest
    out: Any = varlen_attn(
        query, key, value, starts, starts, longest, longest, window_size=(-1, 0), scale=scaling, enable_gqa=grouped
    )
    heads_last: Tensor = out[None]
    return heads_last


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)


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
    patch_short_convolutions(network)
    network.set_attn_implementation(NAME)


def read_packed(body: Any, ids_N: Tensor, documents: Documents) -> Tensor:
    """(N, D) hidden states of documents that stand one after another; `body` is what is below the output layer."""
    with packed():
        out = body(input_ids=ids_N[None], position_ids=documents.place_N[None], use_cache=False, documents=documents)
    hidden: Tensor = out.last_hidden_state[0]
    return hidden
