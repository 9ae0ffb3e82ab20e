"""Cross-entropy over a large vocabulary without ever holding all logits.

At 8,192 tokens and 65,536 words full logits are 2 GB in float32, and as much again for their gradient. Here a chunk of
scored tokens at a time is projected, its loss taken, and its gradient written down at once, so the chunk's logits can
go: memory is one chunk's, and nothing is computed twice (recomputing in the backward pass would cost one more product).

Shapes: M scored tokens, D width, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ELEMENTS = 1 << 25  # logits of one chunk: 128 MB in float32


class _ScoredLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, target_M: Tensor, share_M: Tensor, chunk: int, barred: Tensor | None, *factors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        wanted = ctx.needs_input_grad[4:]
        # The power of two of the largest share waits for the backward pass, which knows by how much the loss is
        # scaled: 1 / M times a slope is less than float16 can hold.
        ctx.unit = 2.0 ** (torch.frexp(share_M.max()).exponent - 1) if len(share_M) else share_M.new_ones(())
        unscaled_M = share_M / ctx.unit
        inputs = factors[::2]
        weights = [weight.to(x.dtype) for x, weight in zip(inputs, factors[1::2], strict=True)]
        sizes = [len(weight) for weight in weights]
        grads: list[Any] = [None] * len(factors)
        for k, (factor, want) in enumerate(zip(factors, wanted, strict=True)):
            if want:
                grads[k] = torch.empty_like(factor) if k % 2 == 0 else torch.zeros_like(factor, dtype=torch.float32)
        device = target_M.device
        loss_M = torch.empty(len(target_M), dtype=torch.float32, device=device)
        right_M = torch.empty(len(target_M), dtype=torch.bool, device=device)
        for first in range(0, len(target_M), chunk):
            part = slice(first, first + chunk)
            target = target_M[part]
            said = [(x[part] @ weight.T).float() for x, weight in zip(inputs, weights, strict=True)]
            logits = said[0] if len(said) == 1 else torch.cat(said, dim=-1)
            if barred is not None:
                logits.index_fill_(1, barred, -torch.inf)
            right_M[part] = logits.argmax(dim=-1) == target
            loss_M[part] = F.cross_entropy(logits, target, reduction="none")
            if not any(wanted):
                continue
            slope = torch.softmax(logits, dim=-1)
            slope[torch.arange(len(target), device=device), target] -= 1
            slope *= unscaled_M[part, None]
            for k, own in enumerate(slope.split(sizes, dim=-1)):
                x, weight = inputs[k][part], weights[k]
                own = own.to(x.dtype)
                if wanted[2 * k]:
                    grads[2 * k][part] = own @ weight
                if wanted[2 * k + 1]:
                    grads[2 * k + 1] += own.T @ x
        ctx.grads = [None if g is None else g.to(factor.dtype) for g, factor in zip(grads, factors, strict=True)]
        ctx.mark_non_differentiable(loss_M, right_M)
        return (loss_M * share_M).sum(), loss_M, right_M

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scale = grads[0] * ctx.unit
        own, ctx.grads = ctx.grads, None
        return None, None, None, None, *(None if grad is None else _times(grad, scale) for grad in own)


def _times(grad: Tensor, scale: Tensor) -> Tensor:
    """In float16 the scale itself may be more than it can hold, and what comes of it not."""
    if grad.dtype == torch.float16:
        return (grad.float() * scale).to(grad.dtype)
    return grad.mul_(scale.to(grad.dtype))


def scored_loss(
    products: Sequence[tuple[Tensor, Tensor]],
    target_M: Tensor,
    share_M: Tensor,
    *,
    barred: Tensor | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, of each token (M,), whether the likeliest word is the right one (M,) bool).

    Args:
        products: x (M, K) and weight (R, K) of the logits x weightᵀ; several stand side by side, V columns in all.
        target_M: the right column.
        share_M: what each token counts in the loss; the shares of a plain mean are 1 / M.
        barred: columns that cannot be said.
        chunk: tokens at a time; None = as many as make 32 Mi logits.
    """
    size = max(1, ELEMENTS // sum(len(weight) for _, weight in products)) if chunk is None else chunk
    device = target_M.device.type
    factors: list[Tensor] = []
    for x, weight in products:
        factors += [x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x, weight]
    # The custom function computes its own gradient, so its one backward pass uses up what it holds.
    out: tuple[Tensor, Tensor, Tensor] = _ScoredLoss.apply(target_M, share_M, size, barred, *factors)
    return out
