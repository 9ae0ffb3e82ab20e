"""Losses and choices over outputs of which the last are numbers in ascending order.

Shape suffixes: M scored labels, K output tokens, V tokens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def index_of(outputs: Tensor, size: int) -> Tensor:
    """(V,) token id -> output index (0 where the token cannot be generated)."""
    table = torch.zeros(size, dtype=torch.long, device=outputs.device)
    table[outputs] = torch.arange(len(outputs), device=outputs.device)
    return table


def losses(logits_MK: Tensor, target_M: Tensor, ordered_from: int, smoothing: float) -> Tensor:
    """(M,) cross-entropy in nats, number targets spread over their neighbours on the grid.

    Args:
        smoothing: standard deviation of that, in grid steps; 0 = one-hot.
    """
    logp = F.log_softmax(logits_MK.float(), dim=-1)
    if smoothing == 0:
        return F.nll_loss(logp, target_M, reduction="none")
    reach = math.ceil(2.5 * smoothing)
    offset = torch.arange(-reach, reach + 1, device=logp.device)
    weight = torch.exp(-0.5 * (offset / smoothing) ** 2)
    near = target_M[:, None] + offset
    allowed = (near >= ordered_from) & (near < logp.shape[1])
    weight_MR = torch.where(target_M[:, None] >= ordered_from, weight * allowed, (offset == 0).float())
    weight_MR = weight_MR / weight_MR.sum(dim=1, keepdim=True)
    return -(weight_MR * logp.gather(1, near.clamp(0, logp.shape[1] - 1))).sum(dim=1)


def median(logits_MK: Tensor, ordered_from: int) -> Tensor:
    """(M,) a word, or the median of the numbers where these are likelier in sum.

    The likeliest single token would not do: a number in doubt spreads over many steps of the grid, each of which
    is less likely than a word that hardly any of the sum stands for.
    """
    words_MK, numbers_MK = logits_MK[:, :ordered_from].float(), logits_MK[:, ordered_from:].float()
    word_M, place_M = words_MK.max(dim=-1)
    middle_M = (numbers_MK.softmax(dim=-1).cumsum(dim=-1) < 0.5).sum(dim=-1).clamp(max=numbers_MK.shape[1] - 1)
    return torch.where(word_M > numbers_MK.logsumexp(dim=-1), place_M, ordered_from + middle_M)
