"""Answers of a GPT, token by token: prompts of any length side by side, each position read once.

Shape suffixes as in gpt.py.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from physworld.lm.gpt_blocks import CODE, Cache, Layout
from physworld.protocols import Guide, Noise


class Answering(Protocol):
    """What of `gpt.GPT` is asked here."""

    words: nn.Embedding
    blocks: nn.ModuleList
    heads: int
    names: list[int] | None
    num_words: int
    outputs: Tensor  # (K,) ids
    pad: int

    def places(self, ids_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...
    def hidden(self, ids_BL: Tensor, cache: Cache | None = None) -> tuple[Tensor, Layout, Tensor]: ...
    def output_table(self) -> Tensor: ...
    def pick(self, logits_BK: Tensor) -> Tensor: ...


class _Barred:
    """Which outputs a guide bars; its masks are copied to the device when they change."""

    def __init__(self, guide: Guide, outputs: Tensor) -> None:
        self.guide, self.outputs = guide, outputs
        self.masks: np.ndarray | None = None
        self.table_CK = torch.empty(0)

    def __call__(self, rows: list[int]) -> Tensor:
        """(b, K) bool."""
        masks, which = self.guide.allowed(rows)
        if masks is not self.masks:
            self.masks = masks
            self.table_CK = ~torch.as_tensor(masks, device=self.outputs.device)[:, self.outputs]
        return self.table_CK[torch.as_tensor(which, device=self.outputs.device)]


@torch.no_grad()
def answers(
    model: Answering,
    prompts: list[np.ndarray],
    max_new_tokens: list[int],
    end_id: int,
    guide: Guide | None = None,
    *,
    noise: Noise | None = None,
) -> list[np.ndarray]:
    """Answers as `GPT.pick` chooses them (without the prompt, up to and including `end_id`).

    With a guide, the best token among those that keep the answer readable is chosen. `noise` is added to the scores
    of each step and the highest is chosen, which makes answers draws (see `physworld.text.rollout.Sampling`).
    """
    device = model.words.weight.device
    ids = torch.full((len(prompts), max(map(len, prompts))), model.pad, device=device)
    for number, prompt in enumerate(prompts):
        ids[number, : len(prompt)] = torch.as_tensor(prompt, device=device)
    _, _, real = model.places(ids)
    steps = max(max_new_tokens)
    width = model.words.embedding_dim
    cache = Cache(
        len(model.blocks), len(prompts), model.heads, int(real.max()) + steps + 1,
        width // model.heads + (0 if model.names is None else 2 * CODE), width // model.heads, model.words.weight,
    )  # fmt: skip
    h_ND, layout, _ = model.hidden(ids, cache)
    h_BD = h_ND[layout.first_B + real - 1]
    table_KD = model.output_table()
    choose = model.pick if noise is None else partial(torch.argmax, dim=-1)
    barred = None if guide is None else _Barred(guide, model.outputs)
    limit = torch.tensor(max_new_tokens, device=device)
    row = torch.arange(len(prompts), device=device)  # of each answer that is still being written
    rows = row.tolist()
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    written = torch.full((len(prompts), steps), model.pad, device=device)
    for step in range(steps):
        logits_BK = h_BD @ table_KD.T
        if noise is not None:  # drawn for all rows, so that it does not depend on which have ended
            logits_BK = logits_BK + torch.as_tensor(noise((len(prompts), len(table_KD))), device=device)[row]
        if barred is not None:
            logits_BK = logits_BK.masked_fill(barred(rows), -torch.inf)
        token = model.outputs[choose(logits_BK)]
        if guide is not None:
            guide.advance(rows, token.tolist())
        token = torch.where(done, model.pad, token)
        written[row, step] = token
        # What says `pad` stands still: it has no position, so nothing new would be read.
        done = done | (token == end_id) | (token == model.pad) | (step + 1 >= limit[row])
        if bool(done.all()):
            break
        since = 0 if cache.since_word is None else cache.since_word
        cache.since_word = torch.where(token < model.num_words, 0, since + 1)
        if 4 * int(done.sum()) >= len(done):  # what has ended need not be carried on
            on = (~done).nonzero()[:, 0]
            cache.keep(on)
            row, token, done, h_BD = row[on], token[on], done[on], h_BD[on]
            rows = row.tolist()
        h_ND, layout, _ = model.hidden(token[:, None], cache)  # finished rows read `pad`, which has no position
        h_BD = h_BD.index_copy(0, layout.row_N, h_ND)
    return [
        ids[: np.argmax(ids == end_id) + 1] if (ids == end_id).any() else ids[ids != model.pad]
        for ids in written.cpu().numpy()
    ]
