"""LFM2's short convolution for rows that hold several documents, and for rows that are read piece by piece.

transformers' own takes the places before a token for the text before it. They are not, where documents stand one after
another in a packed row, nor where rows of different lengths share a left-padded cache: there it is told which they are.

Shapes: B rows, S places of a block, T places kept, N tokens of a packed row, D channels, K taps.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv

from physworld.lm.kv_cache import PaddedKVLayer


class ShortConv(Lfm2ShortConv):
    """LFM2's gated convolution; without `documents` or a cache of ours it is transformers' own."""

    def forward(
        self, hidden_states: Tensor, past_key_values: Any = None, *args: Any, documents: Any = None, **kwargs: Any
    ) -> Tensor:
        layer = None if past_key_values is None else past_key_values.layers[self.layer_idx]
        if documents is None and not isinstance(layer, PaddedKVLayer):
            out: Tensor = super().forward(hidden_states, past_key_values, *args, **kwargs)
            return out
        gate, out_gate, x = self.in_proj(hidden_states).chunk(3, dim=-1)
        weight_DK = self.conv.weight[:, 0]
        if documents is not None:
            y = convolve((gate * x)[0], weight_DK, documents.place_N)[None]
        else:
            assert layer is not None
            y = convolve_kept(gate * x, weight_DK, layer)
        if self.conv.bias is not None:
            y = y + self.conv.bias
        return self.out_proj(out_gate * y)


def convolve(x_ND: Tensor, weight_DK: Tensor, place_N: Tensor) -> Tensor:
    """(N, D) causal depthwise convolution whose taps stay within the document; the last tap is the token itself."""
    taps = weight_DK.shape[1]
    y_ND = x_ND * weight_DK[:, -1]
    for back in range(1, min(taps, len(x_ND))):
        inside = (place_N[back:] >= back)[:, None]
        reach = F.pad(x_ND[:-back] * inside, (0, 0, back, 0))
        y_ND = y_ND + reach * weight_DK[:, -1 - back]
    return y_ND


def convolve_kept(x_BSD: Tensor, weight_DK: Tensor, layer: PaddedKVLayer) -> Tensor:
    """(B, S, D) the same over a row's own tokens, wherever they lie in the cache; x is added to it."""
    before_BSK = layer.where.before_BSK
    assert before_BSK is not None
    (kept_BTD,) = layer.write(x_BSD)
    y_BSD = x_BSD * weight_DK[:, -1]
    for back in range(1, weight_DK.shape[1]):
        place_BS1 = before_BSK[..., back - 1, None]
        reach_BSD = torch.take_along_dim(kept_BTD, place_BS1.clamp(min=0), dim=1) * (place_BS1 >= 0)
        y_BSD = y_BSD + reach_BSD * weight_DK[:, -1 - back]
    return y_BSD


def patch_short_convolutions(network: Any) -> None:
    """Give a model of transformers the convolutions of this module; rows without padding behave as before."""
    for module in network.modules():
        if type(module) is Lfm2ShortConv:
            module.__class__ = ShortConv
