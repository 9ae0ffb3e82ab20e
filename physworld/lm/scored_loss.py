"""Cross-entropy over a large vocabulary without ever holding all logits.

At 8,192 tokens and 65,536 words full logits are 2 GB in float32, and as much again for their gradient. Here a chunk of
scored tokens at a time is projected, its loss taken, and its gradient written down at once, so the chunk's logits can
go: memory is one chunk's, and nothing is computed twice (recomputing in the backward pass would cost one more product).

Shapes: M scored tokens, D width, V words.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ELEMENTS = 1 << 25  # logits of one chunk: 128 MB in float32


class _ScoredLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_MD: Tensor, weight_VD: Tensor, target_M: Tensor, share_M: Tensor, chunk: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden_MD) if wants_hidden else None
        grad_weight = torch.zeros_like(weight_VD, dtype=torch.float32) if wants_weight else None
        loss_M = torch.empty(len(target_M), dtype=torch.float32, device=hidden_MD.device)
        right_M = torch.empty(len(target_M), dtype=torch.bool, device=hidden_MD.device)
        weight = weight_VD.to(hidden_MD.dtype)
        for first in range(0, len(target_M), chunk):
            part = slice(first, first + chunk)
            hidden, target = hidden_MD[part], target_M[part]
            logits = (hidden @ weight.T).float()
            right_M[part] = logits.argmax(dim=-1) == target
            loss_M[part] = F.cross_entropy(logits, target, reduction="none")
            if grad_hidden is None and grad_weight is None:
                continue
            slope = torch.softmax(logits, dim=-1)
            slope[torch.arange(len(target), device=slope.device), target] -= 1
            slope = (slope * share_M[part, None]).to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = slope @ weight
            if grad_weight is not None:
                grad_weight += slope.T @ hidden
        ctx.grads = (grad_hidden, None if grad_weight is None else grad_weight.to(weight_VD.dtype))
        ctx.mark_non_differentiable(loss_M, right_M)
        return (loss_M * share_M).sum(), loss_M, right_M

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scale = grads[0]
        hidden, weight = ctx.grads
        ctx.grads = (None, None)
        scaled = [None if grad is None else grad.mul_(scale.to(grad.dtype)) for grad in (hidden, weight)]
        return *scaled, None, None, None


def scored_loss(
    hidden_MD: Tensor, weight_VD: Tensor, target_M: Tensor, share_M: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, of each token (M,), whether the likeliest word is the right one (M,) bool).

    Args:
        share_M: what each token counts in the loss; the shares of a plain mean are 1 / M.
        chunk: tokens at a time; None = as many as make 32 Mi logits.
    """
    size = max(1, ELEMENTS // weight_VD.shape[0]) if chunk is None else chunk
    if torch.is_autocast_enabled(hidden_MD.device.type):
        hidden_MD = hidden_MD.to(torch.get_autocast_dtype(hidden_MD.device.type))
    # The custom function computes its own gradient, so its one backward pass uses up what it holds.
    out: tuple[Tensor, Tensor, Tensor] = _ScoredLoss.apply(hidden_MD, weight_VD, target_M, share_M, size)
    return out
