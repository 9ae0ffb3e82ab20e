"""The blocks of `gpt.GPT`: attention over the positions of a batch, with a cache, and what bodies they are about.

Shape suffixes as in gpt.py; C numbers of a body's code.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm import gpt_kernel

CODE = 24  # numbers that stand for a body's name where attention asks for it; two names overlap by 0.2 on average
GAIN = 8.0  # of a learned relation, so that it can decide whom to attend to within some hundred steps


def name_codes(count: int) -> Tensor:
    """(count + 1, C) unit vectors in random directions; the last, of no body, is zero. They are saved with the weights:
    nothing promises that another PyTorch draws the same."""
    codes = torch.randn(count + 1, CODE, generator=torch.Generator().manual_seed(0))
    codes = codes / codes.norm(dim=1, keepdim=True)
    codes[-1] = 0.0
    return codes


class Layout(NamedTuple):
    """Where the N real positions of a padded (B, P) batch lie: linear layers see N rows, attention the padded form."""

    batch: int
    longest: int
    row_N: Tensor
    slot_N: Tensor  # row · P + position
    first_B: Tensor  # place of each row's first position among the N
    seen_BPP: Tensor | None = None  # (B, 1, P, P) bool: which positions (last) each one reads; None = those before it
    codes_N2C: Tensor | None = None  # codes of the body and the partner that each position is about

    def pad(self, x_N: Tensor) -> Tensor:
        """(N, ...) -> (B, P, ...)."""
        if len(x_N) == self.batch * self.longest:  # nothing is padded
            return x_N.view(self.batch, self.longest, *x_N.shape[1:])
        whole = x_N.new_zeros(self.batch * self.longest, *x_N.shape[1:]).index_copy(0, self.slot_N, x_N)
        return whole.view(self.batch, self.longest, *x_N.shape[1:])

    def unpad(self, x_BP: Tensor) -> Tensor:
        """(B, P, ...) -> (N, ...)."""
        x_S = x_BP.flatten(0, 1)
        return x_S if len(x_S) == len(self.slot_N) else x_S[self.slot_N]


class Cache:
    """Keys and values of every block, with each row's own length, for answers that arrive bit by bit."""

    def __init__(self, depth: int, batch: int, heads: int, room: int, width: int, like: Tensor, *, codes: bool) -> None:
        """
        Args:
            room: positions of the longest row, its answer included.
            width: of a head.
            codes: positions have codes of bodies, which all heads and blocks share.
        """
        # What is masked is multiplied by nothing, which does not help against NaN; masked keys are never looked at.
        self.keys = like.new_empty(depth, batch, heads, room, width)
        self.values = like.new_zeros(depth, batch, heads, room, width)
        self.codes = like.new_empty(batch, room, 2 * CODE if codes else 0)
        self.length = torch.zeros(batch, dtype=torch.long, device=like.device)
        self.line_B = torch.full_like(self.length, -1)  # name of the body whose line is being generated
        self.filled = False  # the prompts are in
        self.compiled = like.device.type == "cpu" and like.dtype == torch.float32  # answers go through gpt_kernel
        self.since_word: Tensor | None = None  # (B,) tokens from the last word to the last token, while answers arrive

    def part(self, begin: int, end: int) -> Cache:
        """Some of the rows; what is written there is written here."""
        some = copy.copy(self)
        some.keys, some.values = self.keys[:, begin:end], self.values[:, begin:end]
        some.codes, some.length, some.line_B = (one[begin:end] for one in (self.codes, self.length, self.line_B))
        return some

    def attend(
        self, layer: int, layout: Layout, q: Tensor, k: Tensor, v: Tensor, wanted_NHC: Tensor | None, at_N: Tensor,
        scale: float,
    ) -> Tensor:  # fmt: skip
        """(B, H, S, E): up to S more positions for some of the rows. Plain products: for so few queries they are
        faster than `scaled_dot_product_attention` with a mask."""
        keys, values = self.keys[layer], self.values[layer]
        keys[layout.row_N, :, at_N], values[layout.row_N, :, at_N] = k, v
        last = layout.pad(at_N)  # (B, S)
        end = int(last.max()) + 1
        hidden = torch.arange(end, device=q.device) > last[:, :, None]
        scores = layout.pad(q).transpose(1, 2) @ keys[:, :, :end].transpose(2, 3)
        if wanted_NHC is not None:
            wanted = layout.pad(wanted_NHC).transpose(1, 2)  # (B, H, S, C)
            scores += (wanted.flatten(1, 2) @ self.codes[:, :end].transpose(1, 2)).view(scores.shape)
        return (scores * scale).masked_fill(hidden[:, None], -torch.inf).softmax(dim=-1) @ values[:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Forget all other rows."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.codes, self.length, self.line_B = self.codes[rows], self.length[rows], self.line_B[rows]


def few(
    blocks: nn.ModuleList, x_ND: Tensor, at_N: Tensor, turn: tuple[Tensor, Tensor], layout: Layout, cache: Cache
) -> Tensor:
    """All blocks for a few new positions of a cache, compiled."""
    x, row, at = x_ND.numpy(), layout.row_N.numpy(), at_N.numpy()
    cos, sin = (one.flatten(1).numpy() for one in turn)
    near = np.zeros((len(x), 4, 0), np.float32)
    if layout.codes_N2C is not None:
        near = gpt_kernel.nearness(layout.codes_N2C.numpy(), cache.codes.numpy(), row, at)
    for layer, block in enumerate(blocks):
        assert isinstance(block, Block)
        qkv, out, up, down = (part.weight.detach().numpy() for part in (block.qkv, block.out, block.up, block.down))
        relation = np.zeros((4, block.heads), np.float32)
        if block.relation is not None:
            relation = (block.relation.detach() * GAIN).flatten(0, 1).numpy()
        keys, values = cache.keys[layer].numpy(), cache.values[layer].numpy()
        gpt_kernel.block(x, row, at, cos, sin, near, relation, qkv, out, up, down, keys, values)
    return x_ND


def turns(at_N: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine (N, 1, 1, width / 2) of the rotary angles at positions (RoFormer, arXiv 2104.09864)."""
    rate = 1000.0 ** (-torch.arange(width // 2, device=at_N.device, dtype=torch.float32) / (width // 2))
    angle = at_N[:, None, None, None] * rate
    return angle.cos(), angle.sin()


def rotate(x_N2HE: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Queries and keys, turned by the angles of their positions."""
    cos, sin = turn
    a, b = x_N2HE.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x_N2HE.dtype)


class Block(nn.Module):
    """Attention, then an MLP.

    With relations, each head learns how much a position wants to attend to those about the same body, about its
    partner, or about what touches it: a bias on the scores (as of Graphormer, arXiv 2106.05234), one for each of (body
    or partner of the query) x (body or partner of the key) being the same. It is written as a product of the names'
    codes, appended to queries and keys, so that fast attention serves and no (P, P) table is made.
    """

    def __init__(self, width: int, heads: int, dropout: float, relations: bool = False) -> None:
        super().__init__()
        self.relation = nn.Parameter(torch.zeros(2, 2, heads)) if relations else None
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(
        self, x_ND: Tensor, at_N: Tensor, turn: tuple[Tensor, Tensor], layout: Layout, layer: int, cache: Cache | None
    ) -> Tensor:
        N, D = x_ND.shape
        E = D // self.heads
        qkv = self.qkv(F.rms_norm(x_ND, (D,))).view(N, 3, self.heads, E)
        q, k = rotate(F.rms_norm(qkv[:, :2], (E,)), turn).unbind(dim=1)
        v = qkv[:, 2]
        scale, wanted = E**-0.5, None
        if self.relation is not None:
            assert layout.codes_N2C is not None
            codes = layout.codes_N2C.to(q.dtype)
            wanted = torch.einsum("nac,abh->nhbc", codes, self.relation * (GAIN / scale)).flatten(2).to(q.dtype)
        if cache is None or not cache.filled:
            if wanted is not None:
                q = torch.cat([q, wanted], dim=-1)
                k = torch.cat([k, codes.flatten(1)[:, None].expand(N, self.heads, 2 * CODE)], dim=-1)
            v = F.pad(v, (0, q.shape[-1] - E))  # fast attention wants all three of one width
            q, k, v = layout.pad(torch.stack([q, k, v], dim=1)).permute(2, 0, 3, 1, 4)
            if cache is not None:
                cache.keys[layer][:, :, : k.shape[2]], cache.values[layer][:, :, : v.shape[2]] = k[..., :E], v[..., :E]
            dropout = self.dropout if self.training else 0.0
            seen = layout.seen_BPP
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=seen, is_causal=seen is None, dropout_p=dropout, scale=scale
            )
        else:
            y = cache.attend(layer, layout, q, k, v, wanted, at_N, scale)
        x_ND = x_ND + self.out(layout.unpad(y[..., :E].transpose(1, 2)).reshape(N, D))
        return x_ND + self.down(F.relu(self.up(F.rms_norm(x_ND, (D,)))).square())
