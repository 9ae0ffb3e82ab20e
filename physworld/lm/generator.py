"""Any causal language model of transformers as a generator of answers, many prompts at once.

What has been read is kept (see `kept`): when a row's next prompt begins as its last one did (a header, the frames so
far), only what is new goes through the network. Models that keep a running state other than LFM2's (recurrences) cannot
skip what no longer belongs to a row: they read each prompt anew, left-padded.

Shapes: B rows, S places of a new block, V tokens, H query heads, K key heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from physworld.lm.kv_cache import PaddedKVCache, can_keep, compiled_step
from physworld.lm.short_conv import tell_apart

Noise = Callable[[tuple[int, int]], np.ndarray]
GROUPED = "physworld_grouped"
PACK = 1.1  # the cache is packed when it is so many times longer than its longest row


def grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """Attention in which several query heads share a key head without copies of it: transformers' own makes copies
    wherever there is a mask, which on a CPU costs ten times the attention itself."""
    B, H, S, E = query.shape
    if S == 1:  # one token a row: the heads that share a key head are the rows of one small product
        K = key.shape[1]
        scale = more.get("scaling") or E**-0.5
        scores = torch.matmul(query.view(B, K, H // K, E) * scale, key.transpose(-1, -2))
        if attention_mask is not None:
            scores += attention_mask  # 0 or the smallest number, the same for all layers
        out = torch.matmul(scores.softmax(dim=-1), value).view(B, H, 1, E)
        return out.transpose(1, 2).contiguous(), None
    causal = attention_mask is None
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, is_causal=causal, scale=more.get("scaling"), enable_gqa=True
    )
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, eager_mask)


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
            reuse_cache: keep what has been read from call to call, where the network allows it.
            static_cache: one of fixed size, and on CUDA compiled steps; auto = on CUDA. No effect where the network
                does not allow it.

        Raises:
            ValueError: static_cache is something else.
        """
        self.network = network.eval()
        self.pad_id, self.repetition_penalty = pad_id, repetition_penalty
        own = getattr(network.config, "max_position_embeddings", None)
        self.max_length = max_length if own is None else min(max_length, own)
        self.reuse_cache = reuse_cache and can_keep(network)
        device = next(network.parameters()).device.type
        self.fixed = switched("static_cache", static_cache, auto=device == "cuda") and can_keep(network)
        if device == "cpu" and can_keep(network) and network.config._attn_implementation == "sdpa":
            network.set_attn_implementation(GROUPED)
        tell_apart(network)
        self._step = compiled_step() if self.fixed and device == "cuda" else None
        self._rows: list[int] = []
        self._read: list[np.ndarray] = []  # each row's tokens in the cache
        self._cache: PaddedKVCache | None = None

    def parameters(self) -> Any:
        return self.network.parameters()

    @torch.no_grad()  # tensors of inference_mode do not go into compiled steps
    def generate(
        self,
        prompts: list[np.ndarray],
        max_new_tokens: list[int],
        end_id: int,
        guide: Any = None,
        *,
        noise: Noise | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """Answers without the prompt, up to and including `end_id` (see `physworld.text.rollout.Generator`)."""
        fresh = self._prepare(prompts, list(range(len(prompts))) if rows is None else list(rows))
        logits = self._feed([prompt[done:] for prompt, done in zip(prompts, fresh, strict=True)])
        batch = len(prompts)
        seen = self._seen(prompts, logits.shape[1]).to(logits.device) if self.repetition_penalty != 1 else None
        limit = np.array(max_new_tokens)
        said: list[list[int]] = [[] for _ in range(batch)]
        going = np.ones(batch, dtype=bool)
        for step in range(int(limit.max())):
            token = self._choose(logits, guide, noise, seen)
            if guide is not None:
                guide.advance(token)
            for row in np.flatnonzero(going):
                said[row].append(int(token[row]))
            going &= (token != end_id) & (step + 1 < limit)
            if not going.any():
                break
            if seen is not None:
                seen[torch.arange(batch), torch.as_tensor(token, device=seen.device)] = True
            logits = self._feed([token[row : row + 1] if going[row] else token[:0] for row in range(batch)])
        return [np.array(answer, dtype=np.int64) for answer in said]

    # --- reading

    def _prepare(self, prompts: list[np.ndarray], rows: list[int]) -> list[int]:
        """Make the cache fit these rows; returns how many tokens of each prompt are in it already."""
        order = [self._rows.index(row) if row in self._rows else -1 for row in rows]
        if not self.reuse_cache or self._cache is None or -1 in order:
            self._rows, self._read = rows, [np.zeros(0, dtype=np.int64) for _ in rows]
            self._cache = PaddedKVCache(self.network, len(rows), fixed=self.fixed, step=self._step)
            return [0] * len(rows)
        # The last token is read again in any case: its scores are what is wanted.
        shared = [min(_common(self._read[k], p), len(p) - 1) for k, p in zip(order, prompts, strict=True)]
        self._read = [self._read[k][:count] for k, count in zip(order, shared, strict=True)]
        device = self._cache.valid_BT.device
        self._cache.keep(torch.as_tensor(order, device=device), torch.as_tensor(shared, device=device), PACK)
        self._rows = rows
        return shared

    def _feed(self, new: list[np.ndarray]) -> Tensor:
        """Read more tokens of each row, none where a row is done; (B, V) scores after each row's last one."""
        assert self._cache is not None
        device, batch = self._cache.valid_BT.device, len(new)
        block = max(map(len, new))
        ids = np.full((batch, block), self.pad_id, dtype=np.int64)
        real = np.zeros((batch, block), dtype=bool)
        for row, tokens in enumerate(new):
            if len(tokens):
                ids[row, -len(tokens) :], real[row, -len(tokens) :] = tokens, True
        self._read = [np.concatenate([old, tokens]) for old, tokens in zip(self._read, new, strict=True)]
        return self._cache.read(torch.as_tensor(ids, device=device), torch.as_tensor(real, device=device))

    # --- choosing

    def _choose(self, logits: Tensor, guide: Any, noise: Noise | None, seen: Tensor | None) -> np.ndarray:
        if seen is not None:
            penalised = torch.where(logits > 0, logits / self.repetition_penalty, logits * self.repetition_penalty)
            logits = torch.where(seen, penalised, logits)
        if noise is not None:
            logits = logits + torch.as_tensor(noise((len(logits), logits.shape[1])), device=logits.device)
        if guide is not None:
            allowed = torch.as_tensor(guide_mask(guide), device=logits.device)
            logits = logits[:, : allowed.shape[1]].masked_fill(~allowed[:, : logits.shape[1]], -torch.inf)
        best: np.ndarray = logits.argmax(dim=-1).cpu().numpy()
        return best

    @staticmethod
    def _seen(prompts: list[np.ndarray], size: int) -> Tensor:
        """(B, V) bool: tokens of the prompt."""
        seen = torch.zeros(len(prompts), size, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            seen[row, torch.as_tensor(prompt)] = True
        return seen


def guide_mask(guide: Any) -> np.ndarray:
    """(B, V) bool: the tokens that may come next, from either kind of guide (see `physworld.types`)."""
    if hasattr(guide, "mask"):
        mask: np.ndarray = guide.mask()
        return mask
    kind = guide.kind()
    allowed: np.ndarray = guide.kinds[np.maximum(kind, 0)]
    forced = np.flatnonzero(kind < 0)
    allowed[forced] = False
    allowed[forced, guide.only()[forced]] = True
    return allowed


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
