"""Answers of any transformers causal LM, many at once, freely or within grammars.

Each row of a batch may take several forced tokens in one pass (fast-forward), so rows advance unevenly: new tokens are
padded on the left, and the attention mask leaves the holes out. What a row says does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from physworld.lm.kv_cache import PaddedKVCache
from physworld.lm.short_conv import tell_apart


class RowGuide(Protocol):
    """The grammar of one answer."""

    def forced(self) -> list[int]:
        """Tokens that must come next (possibly none); they are consumed."""
        ...

    def allowed(self) -> np.ndarray:
        """(V,) bool: tokens that may come next; all False = the answer is complete."""
        ...

    def consume(self, token: int) -> None: ...


@torch.no_grad()
def generate(
    network: Any,
    prompts: Sequence[np.ndarray],
    limits: Sequence[int],
    *,
    end: int,
    pad: int,
    guides: Sequence[RowGuide] | None = None,
    batch_size: int = 64,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Answers without their prompts, up to and including `end`; cut off after `limits` tokens.

    Args:
        prompts: (L,) ids each.
        temperature: 0 = the best token; above, tokens are drawn.
        progress: called with the number of answers that have just been finished.
    """
    answers: list[np.ndarray] = [np.zeros(0, np.int64)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda k: len(prompts[k]))  # like lengths pad each other least
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        said = _batch(
            network,
            [prompts[k] for k in rows],
            [limits[k] for k in rows],
            [guides[k] for k in rows] if guides is not None else None,
            end=end,
            pad=pad,
            temperature=temperature,
            generator=generator,
        )
        for k, answer in zip(rows, said, strict=True):
            answers[k] = np.array(answer, np.int64)
        if progress is not None:
            progress(len(rows))
    return answers


def _batch(
    network: Any,
    prompts: list[np.ndarray],
    limits: list[int],
    guides: list[RowGuide] | None,
    *,
    end: int,
    pad: int,
    temperature: float,
    generator: torch.Generator | None,
) -> list[list[int]]:
    device = next(network.parameters()).device
    said: list[list[int]] = [[] for _ in prompts]
    going = list(range(len(prompts)))  # rows that are not finished, in the order of the cache
    fresh = [list(map(int, prompt)) for prompt in prompts]
    if guides is not None:
        for row, guide in enumerate(guides):
            forced = guide.forced()
            said[row] += forced
            fresh[row] += forced
    tell_apart(network)
    cache = PaddedKVCache(network, len(prompts))
    while going:
        ids, new = _left_padded([fresh[row] for row in going], pad, device)
        logits = cache.read(ids, new)
        if guides is not None:
            allowed = np.stack([guides[row].allowed() for row in going])
            logits[:, : allowed.shape[1]].masked_fill_(~torch.as_tensor(allowed, device=device), -torch.inf)
            logits[:, allowed.shape[1] :] = -torch.inf  # an embedding table may be longer than its vocabulary
        tokens = _pick(logits, temperature, generator).tolist()
        kept = []
        for place, (row, token) in enumerate(zip(going, tokens, strict=True)):
            token = int(token)
            if guides is not None and not allowed[place].any():
                token = end
            fresh[row] = [token]
            if guides is not None and token != end:
                guides[row].consume(token)
                fresh[row] += guides[row].forced()
            said[row] += fresh[row]
            if end not in fresh[row] and len(said[row]) < limits[row]:
                kept.append(place)
        if len(kept) < len(going):
            chosen = torch.tensor(kept, dtype=torch.long, device=device)
            going = [going[place] for place in kept]
            if going:
                cache.keep(chosen, cache.valid_BT[chosen].sum(dim=1))
    return [answer[:limit] for answer, limit in zip(said, limits, strict=True)]


def _pick(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)[:, 0]


def _left_padded(rows: list[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(ids (B, K), which of them are real (B, K) bool)."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    real = torch.zeros(len(rows), longest, dtype=torch.bool)
    for k, row in enumerate(rows):
        if row:
            ids[k, longest - len(row) :] = torch.tensor(row)
            real[k, longest - len(row) :] = True
    return ids.to(device), real.to(device)
