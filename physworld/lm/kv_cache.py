"""The cache of what a network has read: keys and values of attention, and inputs of short convolutions (LFM2).

Rows differ in length, so every call appends a left-padded block to one cache, and what is padding, or no longer belongs
to a row, is masked, not cut. Rotary keys carry their own place, so what lies in the cache may be moved. A convolution's
running state could not be masked; its inputs at all places are kept instead, of which a token takes those of the tokens
before it in its row. That costs as much memory as keys and values, and makes it possible to forget the end of a row.

Buffers grow: transformers' own cache copies everything for every token. A fixed cache hands out its buffers whole, the
unused places masked, so that reading one token has the same shapes every time and can be compiled.

Shapes: B rows, S places of a new block, T places so far, C places there is room for, V tokens, K taps before a token.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DummyLayer, DynamicIndexedLayer, DynamicLayer, DynamicSlidingWindowLayer

BOOLEAN_MASKS = ("sdpa", "physworld")  # attention implementations; the others take what is added to scores
Step = Callable[[Any, Any, Tensor, Any, Tensor], Tensor]


class Where:
    """Where the block goes that is read next; all layers of a cache look here."""

    def __init__(self, fixed: bool) -> None:
        self.fixed = fixed
        self.start = self.end = self.room = 0  # places; between two blocks start = end
        self.place_S: Tensor | None = None  # of a fixed cache: start .. end as a tensor, which a compiled step can take
        self.before_BSK: Tensor | None = None  # places of the tokens before each, nearest first; -1 = none


class PaddedKVLayer(DynamicLayer):
    """Tensors (B, ..., C, E) with room to grow: keys and values, or the inputs of a convolution."""

    def __init__(self, where: Where) -> None:
        super().__init__()
        self.where = where
        self.buffers: list[Tensor] = []

    def has_room(self) -> bool:
        return bool(self.buffers) and self.buffers[0].shape[-2] >= self.where.room

    def write(self, *new: Tensor) -> list[Tensor]:
        """Add a block; returns all that is kept, with it."""
        where = self.where
        if not self.has_room():
            self._grow(new)
        for buffer, one in zip(self.buffers, new, strict=True):
            if where.place_S is not None:
                buffer.index_copy_(-2, where.place_S, one)
            else:
                buffer[..., where.start : where.end, :] = one
        return self.buffers if where.fixed else [buffer[..., : where.end, :] for buffer in self.buffers]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.write(key_states, value_states)
        return keys, values

    def get_seq_length(self) -> int:
        return self.where.start

    def _grow(self, new: tuple[Tensor, ...]) -> None:
        old = self.buffers
        # Zeros: places that are masked are multiplied by nothing, which does not help against NaN.
        self.buffers = [one.new_zeros(*one.shape[:-2], self.where.room, one.shape[-1]) for one in new]
        for buffer, before in zip(self.buffers, old, strict=False):
            buffer[..., : self.where.start, :] = before[..., : self.where.start, :]
        if self.where.fixed:
            for buffer in self.buffers:
                torch._dynamo.mark_static_address(buffer)  # a CUDA graph may write to it
        self.is_initialized = True

    def pick(self, rows_B: Tensor, places_BT: Tensor) -> None:
        """Keep these rows and, of each, these places, in this order; in the same buffers, if no row leaves."""
        B, T = places_BT.shape
        for k, buffer in enumerate(self.buffers):
            kept = torch.take_along_dim(buffer[rows_B], places_BT.view(B, *[1] * (buffer.ndim - 3), T, 1), dim=-2)
            if len(buffer) == B:
                buffer[..., :T, :] = kept
            else:
                self.buffers[k] = kept


class PaddedKVCache:
    """A cache for `B` rows of one network."""

    def __init__(self, network: Any, rows: int, *, fixed: bool = False, step: Step | None = None) -> None:
        """
        Args:
            fixed: buffers are handed out whole.
            step: reads one token of each row of a fixed cache; None = `scores`, as for longer blocks.
        """
        self.network, self.step = network, step if fixed and step is not None else scores
        self.valid_BT = torch.zeros(rows, 0, dtype=torch.bool, device=next(network.parameters()).device)
        self.where = Where(fixed)
        config = network.config.get_text_config()
        self.own = can_keep(network)
        self.taps = int(config.conv_L_cache) - 1 if self.own and config.model_type == "lfm2" else 0
        self.last_BK = torch.full((rows, self.taps), -1, device=self.valid_BT.device)  # places of a row's last tokens
        self.cache: Any = None  # where the network keeps a state that we cannot mask, it makes its own
        if self.own:
            self.cache = DynamicCache()
            self.cache.layers = [PaddedKVLayer(self.where) for _ in range(config.num_hidden_layers)]
            kind = network.config._attn_implementation
            self.dtype = torch.bool if kind in BOOLEAN_MASKS else next(network.parameters()).dtype

    def read(self, ids_BS: Tensor, real_BS: Tensor) -> Tensor:
        """Read a left-padded block; (B, V) scores after each row's last place."""
        position_BS = (self.valid_BT.sum(dim=1, keepdim=True) + real_BS.cumsum(dim=1) - 1).clamp(min=0)
        self.valid_BT = torch.cat([self.valid_BT, real_BS], dim=1)
        if not self.own:
            out = self.network(
                input_ids=ids_BS, attention_mask=self.valid_BT.long(), position_ids=position_BS,
                past_key_values=self.cache, use_cache=True, logits_to_keep=_last(ids_BS),
            )  # fmt: skip
            self.cache = out.past_key_values
            last: Tensor = out.logits[:, -1].float()
            return last
        self._place(real_BS)
        see_B1ST: Any = self._seen()
        if self.taps:  # masks differ by kind of layer
            see_B1ST = {"full_attention": see_B1ST, "conv": None}
        one = ids_BS.shape[1] == 1 and all(layer.has_room() for layer in self.cache.layers)
        made = (self.step if one else scores)(self.network, self.cache, ids_BS, see_B1ST, position_BS)
        self.where.start = self.where.end
        return made

    def keep(self, rows_B: Tensor, counts_B: Tensor, pack: float = 1.0) -> None:
        """Keep these rows and, of each, so many tokens from its beginning.

        Args:
            pack: masked places go when the cache is so many times longer than its longest row; with other rows always.
        """
        same = torch.equal(rows_B, torch.arange(len(self.valid_BT), device=rows_B.device))
        valid = self.valid_BT[rows_B]
        valid &= valid.cumsum(dim=1) <= counts_B[:, None]
        longest = int(counts_B.max())
        if not self.own:
            if bool((valid != self.valid_BT[rows_B]).any()):
                raise ValueError("a network with a running state cannot forget")
            if not same:
                self.cache.batch_select_indices(rows_B)
        elif not same or valid.shape[1] > pack * longest + 64:
            # Stable sort: masked places first, a row's own after them, in their order.
            places = valid.to(torch.int8).argsort(dim=1, stable=True)[:, valid.shape[1] - longest :]
            for layer in self.cache.layers:
                layer.pick(rows_B, places)
            valid = valid.gather(1, places)
        self.valid_BT = valid
        self.where.start = self.where.end = valid.shape[1]
        place = torch.arange(valid.shape[1], device=valid.device)
        found = F.pad(torch.where(valid, place, -1), (self.taps, 0), value=-1)
        self.last_BK = found.topk(self.taps, dim=1).values.flip(1)

    def _place(self, real_BS: Tensor) -> None:
        where, device = self.where, real_BS.device
        S = real_BS.shape[1]
        where.end = self.valid_BT.shape[1]
        where.start = where.end - S
        if where.end > where.room:
            where.room = max(256, 1 << where.end.bit_length())
        here_S = torch.arange(where.start, where.end, device=device)
        if where.fixed:
            where.place_S = here_S
        K = self.taps
        if not K:
            return
        # Real tokens stand at the end of the block: those before one are its neighbours, then the row's last ones.
        count_BS = real_BS.cumsum(dim=1)
        before = []
        for back in range(1, K + 1):
            older = self.last_BK.gather(1, (K - 1 - back + count_BS).clamp(0, K - 1))
            before.append(torch.where(count_BS > back, here_S - back, older))
        where.before_BSK = torch.stack(before, dim=-1)
        new_B1, back_K = count_BS[:, -1:], torch.arange(K - 1, -1, -1, device=device)
        older = self.last_BK.gather(1, (K - 1 - back_K + new_B1).clamp(0, K - 1))
        self.last_BK = torch.where(back_K < new_B1, where.end - 1 - back_K, older)

    def _seen(self) -> Tensor:
        """(B, 1, S, T or C): which places each new one attends to; padding looks at itself, so that it stays finite."""
        where = self.where
        valid = F.pad(self.valid_BT, (0, where.room - where.end)) if where.fixed else self.valid_BT
        place_T = torch.arange(valid.shape[1], device=valid.device)
        new_S1 = place_T[where.start : where.end, None]
        see = (valid[:, None, :] & (place_T <= new_S1)) | (place_T == new_S1)
        if self.dtype == torch.bool:
            return see[:, None]
        added = torch.zeros(see.shape, dtype=self.dtype, device=see.device)
        return added.masked_fill_(~see, torch.finfo(self.dtype).min)[:, None]


class RowCaches:
    """A cache of its own for each row of a network with a running state: no mask keeps padding out of such a state, and
    transformers offers no way to take a row out of a batch of them."""

    def __init__(self, network: Any, rows: int) -> None:
        self.rows = [PaddedKVCache(network, 1) for _ in range(rows)]
        self.valid_BT = torch.zeros(rows, 0, dtype=torch.bool, device=next(network.parameters()).device)

    def read(self, ids_BS: Tensor, real_BS: Tensor) -> Tensor:
        """Read more tokens of each row; (B, V) scores after each row's last one."""
        self.valid_BT = torch.cat([self.valid_BT, real_BS], dim=1)
        each = [
            cache.read(ids_S[real_S][None], real_S[real_S][None])
            for cache, ids_S, real_S in zip(self.rows, ids_BS, real_BS, strict=True)
        ]
        return torch.cat(each)

    def keep(self, rows_B: Tensor, counts_B: Tensor, pack: float = 1.0) -> None:
        """Keep these rows, whole."""
        self.rows = [self.rows[row] for row in rows_B.tolist()]
        self.valid_BT = self.valid_BT[rows_B]


def _last(ids_BS: Tensor) -> int | Tensor:
    """Which places of a block a network is to score: the last one by its number. As a slice it is no matrix in memory,
    and then the output layer is read once for every row (on a CPU seven times as long for 28 rows)."""
    return 1 if ids_BS.shape[1] == 1 else torch.tensor([ids_BS.shape[1] - 1], device=ids_BS.device)


def scores(network: Any, cache: Any, ids_BS: Tensor, mask: Any, position_BS: Tensor) -> Tensor:
    """(B, V) after the last place."""
    out = network(
        input_ids=ids_BS, attention_mask=mask, position_ids=position_BS, past_key_values=cache, use_cache=True,
        logits_to_keep=_last(ids_BS),
    )  # fmt: skip
    last: Tensor = out.logits[:, -1].float()
    return last


@functools.cache
def compiled_step() -> Step:
    """`scores` as one CUDA graph, for one token of each row of a fixed cache."""
    step = torch.compile(scores, mode="reduce-overhead", dynamic=False)

    def replay(*inputs: Any) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        made: Tensor = step(*inputs)
        return made.clone()  # the graph writes the next scores to the same place

    return or_plain(replay)


def or_plain(step: Step) -> Step:
    """`step` until it cannot be compiled (no C compiler, say), then `scores`: the answers are the same."""
    works = True

    def tried(*inputs: Any) -> Tensor:
        nonlocal works
        if works:
            try:
                return step(*inputs)
            except torch._dynamo.exc.TorchDynamoException as error:
                works = False
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                warnings.warn(f"Single tokens are read without compiled steps ({reason}).", stacklevel=2)
        return scores(*inputs)

    return tried


def check_cache(network: Any) -> None:
    """Answers are made with a cache of keys and values. Raises: ValueError: the network is of another kind."""
    inner = next(part for part in network.modules() if isinstance(part, PreTrainedModel))  # PEFT's may be around it
    if "past_key_values" not in inspect.signature(type(inner).forward).parameters:
        kind = inner.config.model_type
        raise ValueError(f"a {kind} model has no cache of keys and values; choose a model with attention")


def can_keep(network: Any) -> bool:
    """Every layer is full attention with rotary places, or, in LFM2, a short convolution."""
    config = network.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    rotary = hasattr(config, "rope_theta") or hasattr(config, "rope_parameters") or hasattr(config, "rope_scaling")
    known = {"full_attention", "conv"} if config.model_type == "lfm2" else {"full_attention"}
    return bool(rotary and kinds <= known and not getattr(config, "sliding_window", None))


def has_state(network: Any) -> bool:
    """Some layer keeps more of what it has read than keys and values of single tokens: a recurrence, or a convolution
    that `can_keep` does not know."""
    masked = (DynamicLayer, DynamicSlidingWindowLayer, DynamicIndexedLayer, DummyLayer)
    return not can_keep(network) and any(type(one) not in masked for one in DynamicCache(config=network.config).layers)
