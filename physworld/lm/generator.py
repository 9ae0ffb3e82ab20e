"""Any causal language model of transformers as a generator of answers, many prompts at once.

What has been read is kept (see `kv_cache`): when a row's next prompt begins as its last one did (a header, the frames
so far), only what is new goes through the network. Models with a sliding window read each prompt anew, left-padded;
those that keep a running state other than LFM2's (recurrences) do so row by row, as padding would get into it.

Shapes: B rows, S places of a new block, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from physworld.lm import packing
from physworld.lm.kv_cache import PaddedKVCache, RowCaches, can_keep, check_cache, compiled_step, has_state
from physworld.lm.short_conv import patch_short_convolutions
from physworld.protocols import Guide, Noise

PACK = 1.1  # the cache is packed when it is so many times longer than its longest row
STEPS = 8  # a compiled step reads one token; a longer block than so many is read at once without it


class CachedGenerator:
    """Generates with a `transformers` causal language model."""

    def __init__(
        self,
        network: Any,
        *,
        pad_id: int,
        max_length: int = 8192,
        repetition_penalty: float = 1.0,
        reuse_cache: bool = True,
        static_cache: bool | str = "auto",
    ) -> None:
        """
        Args:
            max_length: tokens of prompt and answer together; whoever asks shortens the prompt.
            repetition_penalty: scores of tokens already there are divided (or, below 0, multiplied) by it, as Keskar et
                al. 2019 (arXiv 1909.05858) do and the published physics weights were run.
            reuse_cache: keep what has been read from call to call, where the network allows it and the caller says
                whose prompts they are.
            static_cache: one of fixed size, and on CUDA compiled steps; auto = on CUDA. No effect where the network
                does not allow it.

        Raises:
            ValueError: static_cache is something else, or the network keeps no cache.
        """
        check_cache(network)
        self.network = network.eval()
        self.pad_id, self.repetition_penalty = pad_id, repetition_penalty
        own = getattr(network.config, "max_position_embeddings", None)
        self.max_length: int = max_length if own is None else min(max_length, own)
        self.keeps, self.row_by_row = can_keep(network), has_state(network)
        self.reuse_cache = reuse_cache and self.keeps
        device = next(network.parameters()).device.type
        self.fixed = switched("static_cache", static_cache, auto=device == "cuda") and self.keeps
        if device == "cpu" and self.keeps and network.config._attn_implementation == "sdpa":
            network.set_attn_implementation(packing.NAME)
        patch_short_convolutions(network)
        self._step = compiled_step() if self.fixed and device == "cuda" else None
        self._rows: list[int] = []
        self._read: list[list[int]] = []  # each row's tokens in the cache, where they are kept for the next call
        self._cache: PaddedKVCache | RowCaches | None = None

    def parameters(self) -> Any:
        return self.network.parameters()

    @torch.no_grad()  # tensors of inference_mode do not go into compiled steps
    def generate(
        self,
        prompts: list[np.ndarray],
        max_new_tokens: list[int],
        end_id: int,
        guide: Guide | None = None,
        *,
        noise: Noise | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """Answers without the prompt, up to and including `end_id` (see `physworld.protocols.Generator`).

        A row's answer does not depend on its neighbours. Rows take different numbers of tokens at a time, where some
        are forced; a finished row leaves the cache, unless it is kept for the next call.
        """
        count = len(prompts)
        reuse = self.reuse_cache and rows is not None
        done = self._prepare(prompts, list(range(count)) if rows is None else list(rows), reuse)
        going = list(range(count))  # answers that are not finished
        cached = going  # those that have a row in the cache, in its order
        # Rows that are forced by different numbers of tokens are padded in the middle, over which windows do not reach.
        forces = guide.forced if guide is not None and self.keeps else _nothing
        answers = forces(going)
        texts = [[*map(int, prompt), *forced] for prompt, forced in zip(prompts, answers, strict=True)]
        new = [text[read:] for text, read in zip(texts, done, strict=True)]
        scores = _Scores(guide, noise, self.repetition_penalty, texts)
        while True:
            logits = self._feed(new, reuse)
            if len(going) < len(cached):
                logits = logits[[place for place, row in enumerate(cached) if new[place]]]
            tokens: list[int] = scores(logits, going).argmax(dim=-1).tolist()
            more = [[token] for token in tokens]
            if guide is not None:
                guide.advance(going, tokens)
                on = [place for place, token in enumerate(tokens) if token != end_id]
                for place, forced in zip(on, forces([going[place] for place in on]), strict=True):
                    more[place] += forced
            scores.note(going, more)
            for row, part in zip(going, more, strict=True):
                answers[row] += part
            fresh = {
                row: part
                for row, part in zip(going, more, strict=True)
                if end_id not in part and len(answers[row]) < max_new_tokens[row]
            }
            if not fresh:
                break
            going = list(fresh)
            if not reuse and not self.fixed and len(fresh) < len(cached):
                self._leave([place for place, row in enumerate(cached) if row in fresh])
                cached = going
            new = [fresh.get(row, []) for row in cached]
        return [np.array(answer[:most], np.int64) for answer, most in zip(answers, max_new_tokens, strict=True)]

    # --- reading

    def _prepare(self, prompts: list[np.ndarray], rows: list[int], reuse: bool) -> list[int]:
        """Make the cache fit these rows; returns how many tokens of each prompt are in it already."""
        order = [self._rows.index(row) if row in self._rows else -1 for row in rows]
        if not reuse or self._cache is None or -1 in order:
            self._rows, self._read = (rows, [[] for _ in rows]) if reuse else ([], [])
            self._cache = (
                RowCaches(self.network, len(rows))
                if self.row_by_row
                else PaddedKVCache(self.network, len(rows), fixed=self.fixed, step=self._step)
            )
            return [0] * len(rows)
        # The last token is read again in any case: its scores are what is wanted.
        shared = [min(_common(np.array(self._read[k]), p), len(p) - 1) for k, p in zip(order, prompts, strict=True)]
        self._read = [self._read[k][:count] for k, count in zip(order, shared, strict=True)]
        device = self._cache.valid_BT.device
        self._cache.keep(torch.as_tensor(order, device=device), torch.as_tensor(shared, device=device), PACK)
        self._rows = rows
        return shared

    def _feed(self, new: list[list[int]], reuse: bool) -> Tensor:
        """Read more tokens of each row, none where it is finished; (rows, V) scores after each row's last one."""
        assert self._cache is not None
        device, block = self._cache.valid_BT.device, max(map(len, new))
        ids = np.full((len(new), block), self.pad_id, dtype=np.int64)
        real = np.zeros((len(new), block), dtype=bool)
        for row, tokens in enumerate(new):
            if tokens:
                ids[row, -len(tokens) :], real[row, -len(tokens) :] = tokens, True
        if reuse:
            for read, tokens in zip(self._read, new, strict=True):
                read += tokens
        ids_BS, real_BS = torch.as_tensor(ids, device=device), torch.as_tensor(real, device=device)
        if self._step is not None and block <= STEPS:
            for place in range(block - 1):
                self._cache.read(ids_BS[:, place : place + 1], real_BS[:, place : place + 1])
            ids_BS, real_BS = ids_BS[:, -1:], real_BS[:, -1:]
        return self._cache.read(ids_BS, real_BS)

    def _leave(self, staying: list[int]) -> None:
        """All other rows of the cache are finished."""
        assert self._cache is not None
        rows = torch.tensor(staying, device=self._cache.valid_BT.device)
        self._cache.keep(rows, self._cache.valid_BT[rows].sum(dim=1))


class _Scores:
    """Scores of the next token as it is to be chosen: penalised, drawn, within the grammar."""

    def __init__(self, guide: Guide | None, noise: Noise | None, penalty: float, texts: list[list[int]]) -> None:
        self.guide, self.noise, self.penalty, self.texts = guide, noise, penalty, texts
        self.seen_BV: Tensor | None = None  # tokens that are there already, where they are penalised
        self.masks: np.ndarray | None = None
        self.table_CV = torch.empty(0)

    def __call__(self, logits_bV: Tensor, rows: list[int]) -> Tensor:
        device, size = logits_bV.device, logits_bV.shape[1]
        if self.penalty != 1:
            if self.seen_BV is None:
                self.seen_BV = torch.zeros(len(self.texts), size, dtype=torch.bool, device=device)
                self.note(list(range(len(self.texts))), self.texts)
            penalised = torch.where(logits_bV > 0, logits_bV / self.penalty, logits_bV * self.penalty)
            logits_bV = torch.where(self.seen_BV[rows], penalised, logits_bV)
        if self.noise is not None:  # drawn for all, so that it does not depend on which have ended
            logits_bV = logits_bV + torch.as_tensor(self.noise((len(self.texts), size)), device=device)[rows]
        if self.guide is None:
            return logits_bV
        masks, which = self.guide.allowed(rows)
        if masks is not self.masks:
            self.masks, self.table_CV = masks, ~torch.as_tensor(masks, device=device)[:, :size]
        barred_bV = self.table_CV[torch.as_tensor(which, device=device)]
        # An embedding table may be longer than its vocabulary.
        return logits_bV[:, : barred_bV.shape[1]].masked_fill(barred_bV, -torch.inf)

    def note(self, rows: list[int], more: Sequence[Sequence[int]]) -> None:
        """These rows go on with these tokens."""
        if self.seen_BV is not None:
            for row, tokens in zip(rows, more, strict=True):
                self.seen_BV[row, torch.as_tensor(tokens)] = True


def _nothing(rows: Sequence[int]) -> list[list[int]]:
    """As `Guide.forced`, where nobody asks."""
    return [[] for _ in rows]


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """Length of the longest common prefix."""
    length = min(len(a), len(b))
    differ = a[:length] != b[:length]
    return int(np.argmax(differ)) if differ.any() else length


def switched(name: str, value: bool | str, *, auto: bool) -> bool:
    """An option that is on, off or auto; YAML makes truth values of the first two.

    Raises:
        ValueError: it is something else.
    """
    known = {"auto": auto, "on": True, "off": False, "True": True, "False": False}
    if str(value) not in known:
        raise ValueError(f"{name}={value} is unknown; choose one of auto, on, off")
    return known[str(value)]
