"""Answers of a GPT, token by token: prompts of any length side by side, each position read once.

Shape suffixes as in gpt.py.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from physworld.lm.gpt_blocks import Cache, Layout
from physworld.protocols import Guide, Noise

PADDED = 1.5  # prompts are read side by side whose lengths differ by no more


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
    """Which outputs a guide bars. Its masks are turned round and copied to the device when they change: guides of one
    codec share them, so those of the last call are kept."""

    last: tuple[np.ndarray, Tensor, Tensor] | None = None  # masks, outputs, table (C, K)

    def __init__(self, guide: Guide, outputs: Tensor) -> None:
        self.guide, self.outputs = guide, outputs

    def __call__(self, rows: list[int]) -> Tensor:
        """(b, K) bool."""
        masks, which = self.guide.allowed(rows)
        last = _Barred.last
        if last is None or masks is not last[0] or self.outputs is not last[1]:
            table = ~torch.as_tensor(masks, device=self.outputs.device)[:, self.outputs]
            last = _Barred.last = (masks, self.outputs, table)
        return last[2][torch.as_tensor(which, device=self.outputs.device)]


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

    With a guide, the best token among those that keep the answer readable is chosen; what it leaves no choice about is
    read together with the token before it, which halves the passes of the network. `noise` is added to the scores of
    each step and the highest is chosen, which makes answers draws (see `physworld.text.rollout.Sampling`); it is drawn
    for every token, so then none is taken without a choice.
    """
    device, width, count = model.words.weight.device, model.words.embedding_dim, len(prompts)
    ahead = guide if noise is None else None
    said: list[list[int]] = [[] for _ in prompts] if ahead is None else ahead.forced(range(count))
    said = [part[:most] for part, most in zip(said, max_new_tokens, strict=True)]
    texts = [[*prompt.tolist(), *part] for prompt, part in zip(prompts, said, strict=True)]
    rows = sorted(range(count), key=lambda row: len(texts[row]))  # of the cache: which answers these are
    groups = _alike([len(texts[row]) for row in rows])
    blocks = [_block([texts[row] for row in rows[begin:end]], model.pad, device) for begin, end in groups]
    room = max(int(model.places(ids)[2].max()) for ids in blocks) + max(max_new_tokens) + 1
    cache = Cache(
        len(model.blocks), count, model.heads, room, width // model.heads, model.words.weight,
        codes=model.names is not None,
    )  # fmt: skip
    read = []
    for ids, (begin, end) in zip(blocks, groups, strict=True):
        h_ND, _, place_BL = model.hidden(ids, cache.part(begin, end))
        read.append(h_ND[place_BL[range(end - begin), [len(texts[row]) - 1 for row in rows[begin:end]]]])
    cache.filled = True
    h_BD = torch.cat(read)
    table_KD = model.output_table()
    choose = model.pick if noise is None else partial(torch.argmax, dim=-1)
    barred = None if guide is None else _Barred(guide, model.outputs)
    first = [not said[row] or (said[row][-1] != end_id and len(said[row]) < max_new_tokens[row]) for row in rows]
    going = [row for row, on in zip(rows, first, strict=True) if on]
    h_BD = h_BD[torch.tensor(first, device=device)]
    since = dict.fromkeys(rows, 0)  # tokens since the last word
    while going:  # answers that are still being written; h_BD is theirs
        logits_BK = h_BD @ table_KD.T
        if noise is not None:  # drawn for all rows, so that it does not depend on which have ended
            logits_BK = logits_BK + torch.as_tensor(noise((count, len(table_KD))), device=device)[going]
        if barred is not None:
            logits_BK = logits_BK.masked_fill(barred(going), -torch.inf)
        tokens = model.outputs[choose(logits_BK)].tolist()
        if guide is not None:
            guide.advance(going, tokens)
        more = {row: [token] for row, token in zip(going, tokens, strict=True)}
        # What says `pad` stands still: it has no position, so nothing new would be read.
        going = [
            row for row in going
            if more[row][0] not in (end_id, model.pad) and len(said[row]) + 1 < max_new_tokens[row]
        ]  # fmt: skip
        if ahead is not None and going:
            for row, part in zip(going, ahead.forced(going), strict=True):
                more[row] += part[: max_new_tokens[row] - len(said[row]) - 1]
        for row, part in more.items():
            said[row] += part
        going = [row for row in going if more[row][-1] != end_id and len(said[row]) < max_new_tokens[row]]
        if not going:
            break
        if 4 * (len(rows) - len(going)) >= len(rows):  # what has ended need not be carried on
            on = set(going)
            cache.keep(torch.tensor([place for place, row in enumerate(rows) if row in on], device=device))
            rows = going
        cache.since_word = torch.tensor([since[row] for row in rows], device=device)
        for row in going:
            for token in more[row]:
                since[row] = 0 if token < model.num_words else since[row] + 1
        on = set(going)
        # finished rows read `pad`, which has no position
        new = [more[row] if row in on else [] for row in rows]
        h_ND, _, place_BL = model.hidden(_block(new, model.pad, device), cache)
        at = [place for place, part in enumerate(new) if part]
        h_BD = h_ND[place_BL[at, [len(new[place]) - 1 for place in at]]]
    return [np.array(answer, np.int64) for answer in ([t for t in one if t != model.pad] for one in said)]


def _alike(lengths: list[int]) -> list[tuple[int, int]]:
    """Ascending lengths, cut where a row would be padded to more than PADDED times its length."""
    cuts = [0]
    for place, length in enumerate(lengths):
        if length > PADDED * lengths[cuts[-1]]:
            cuts.append(place)
    return list(itertools.pairwise([*cuts, len(lengths)]))


def _block(rows: list[list[int]], pad: int, device: torch.device) -> Tensor:
    """(B, L) ids, padded behind."""
    ids = np.full((len(rows), max(map(len, rows))), pad)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return torch.as_tensor(ids, device=device)
