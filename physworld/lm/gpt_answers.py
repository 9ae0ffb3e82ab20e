"""Answers of a GPT, token by token: prompts of any length side by side, each position read once.

Shape suffixes as in gpt.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from physworld.lm.gpt_blocks import CODE, Cache


@torch.no_grad()
def answers(
    model: Any,  # a GPT
    prompts: list[np.ndarray],
    max_new_tokens: list[int],
    end_id: int,
    guide: Any | None = None,
    *,
    noise: Callable[[tuple[int, int]], np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Answers as `GPT.pick` says them (without the prompt, up to and including `end_id`).

    With a guide, the best token among those that keep the answer readable is said. `noise` is added to the scores
    of each step and the highest is said, which makes answers draws (see `physworld.text.rollout.Sampling`).
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
    h_ND, layout, _ = model._hidden(ids, cache)
    h_BD = h_ND[layout.first_B + real - 1]
    table_KD = model.output_table()
    choose = model.pick if noise is None else partial(torch.argmax, dim=-1)
    allowed_CK = None if guide is None else torch.as_tensor(guide.kinds, device=device)[:, model.outputs]
    limit = torch.tensor(max_new_tokens, device=device)
    row = torch.arange(len(prompts), device=device)  # of each answer that is still being written
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    said = torch.full((len(prompts), steps), model.pad, device=device)
    for step in range(steps):
        logits_BK = h_BD @ table_KD.T
        if noise is not None:  # drawn for all rows, so that it does not depend on which have ended
            logits_BK = logits_BK + torch.as_tensor(noise((len(prompts), len(table_KD))), device=device)[row]
        if guide is None or allowed_CK is None:
            token = model.outputs[choose(logits_BK)]
        else:
            kind = torch.as_tensor(guide.kind(), device=device)[row]
            best = choose(logits_BK.masked_fill(~allowed_CK[kind.clamp(min=0)], -torch.inf))
            token = torch.where(kind < 0, torch.as_tensor(guide.only(), device=device)[row], model.outputs[best])
            everywhere = torch.full((len(prompts),), end_id, device=device).index_copy(0, row, token)
            guide.advance(everywhere.cpu().numpy())
        token = torch.where(done, model.pad, token)
        said[row, step] = token
        done = done | (token == end_id) | (step + 1 >= limit[row])
        if bool(done.all()):
            break
        since = 0 if cache.since_word is None else cache.since_word
        cache.since_word = torch.where(token < model.num_words, 0, since + 1)
        if 4 * int(done.sum()) >= len(done):  # what has ended need not be carried on
            on = (~done).nonzero()[:, 0]
            cache.keep(on)
            row, token, done, h_BD = row[on], token[on], done[on], h_BD[on]
        h_ND, layout, _ = model._hidden(token[:, None], cache)  # finished rows say `pad`, which has no position
        h_BD = h_BD.index_copy(0, layout.row_N, h_ND)
    return [
        ids[: np.argmax(ids == end_id) + 1] if (ids == end_id).any() else ids[ids != model.pad]
        for ids in said.cpu().numpy()
    ]
