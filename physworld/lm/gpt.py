"""A GPT from scratch that reads numbers by value and whole records at once.

* Numbers are embedded from features of their value (bounded ramps, and sines of the logarithm), so 16.4 and 16.5 are
  neighbours before training starts (xVal, arXiv 2310.02989, with several scales instead of one).
* A record (`touch o3 fixed 0.25 ...`) has a fixed layout, so its tokens are embedded together into ONE position, as
  byte-patch models do (MegaByte, arXiv 2305.07185). A scene of ten bodies takes about 50 positions, not 400.
* Answers are generated token by token. Number outputs are scored against features of their value too, and the target
  is spread over the nearest grid steps, so that a near miss costs less than a far one. Where a number is in doubt, the
  median is chosen.
* Attention knows which positions are about the same body, or about what touches it (see gpt_blocks.Block).
* Blocks: RMSNorm, rotary positions, normalised queries and keys, squared-ReLU MLP (arXiv 2109.08668).

Shape suffixes: B batch, L tokens, P positions after merging records, N of
them in the whole batch, D width, H heads, E head width, M scored labels,
K output tokens, F number features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from physworld import renamed
from physworld.lm import ordered_outputs
from physworld.lm.gpt_answers import answers
from physworld.lm.gpt_blocks import Block, Cache, Layout, few, name_codes, turns
from physworld.lm.number_features import grid_features, number_features
from physworld.lm.saved import Saved
from physworld.protocols import Guide, Noise
from physworld.types import Vocabulary

IGNORE = -100


class GPT(
    nn.Module,
    Saved,
    PyTorchModelHubMixin,
    library_name="physworld",
    tags=["physics", "text-generation"],
    license="apache-2.0",
    model_card_template="---\n{{ card_data }}\n---\n\nA physworld GPT: `GPT.from_pretrained` loads it, `AutoTokenizer` "
    "its tokenizer; the run it comes from has the measurements in report.md.\n",
):
    """Decoder-only transformer over a codec's tokens.

    Saved by `save_pretrained` as safetensors + config.json, loaded by `GPT.from_pretrained(folder_or_repo)`: the
    value of every number token and the list of output tokens are part of the weights file.
    """

    max_length: int | None = None  # it reads texts of any length
    BEGIN_AS_NONE = ("relation", "codes")  # without effect at first

    def __init__(
        self,
        *,
        num_words: int,
        num_values: int,
        num_outputs: int,
        ordered_from: int,
        pad: int,
        records: list[list[int]],
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        smoothing: float = 1.5,
        numeric_embedding: bool = True,
        learned_positions: int = 0,
        prompt_end: int = -1,
        median: bool = True,
        names: list[int] | None = None,
    ) -> None:
        """
        Args:
            records: [word id, words that follow, numbers that follow] of each record that is read as one position.
            ordered_from: output index from which outputs are numbers in ascending order.
            smoothing: standard deviation, in grid steps, over which a number target is spread; 0 = one-hot.
            numeric_embedding: False: every number token is a word like any other; neighbours have nothing in common.
            learned_positions: 0 = rotary positions; N: learned vectors for the first N positions instead, as in GPT-2.
            prompt_end: id of the word that ends a prompt, whose positions then all read each other, as in a prefix
                LM (T5, arXiv 1910.10683); -1: every position reads only what stands before it.
            median: numbers are chosen as the median of their distribution; False: the likeliest token, word or number.
            names: first id and number of the words that name bodies: attention then knows which positions are about
                the same body or about what touches it (see gpt_blocks.Block); None: it has to learn that.
        """
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"model width {width} must be a multiple of twice the number of heads ({heads})")
        self.num_words, self.ordered_from, self.pad, self.smoothing = num_words, ordered_from, pad, smoothing
        self.heads, self.records, self.prompt_end = heads, records, prompt_end
        self._grid: tuple[Tensor, tuple[int, int], Tensor] | None = None  # values, as of when, and features of outputs
        self.median = median and ordered_from < num_outputs
        self.names = names
        self.values: Tensor
        self.outputs: Tensor
        self.register_buffer("values", torch.zeros(num_values))
        self.register_buffer("outputs", torch.zeros(num_outputs, dtype=torch.long))
        numbers = number_features(torch.zeros(1)).shape[-1]
        self.opaque = None if numeric_embedding else nn.Embedding(max(1, num_values), numbers)
        self.places_N = nn.Embedding(learned_positions, width) if learned_positions else None
        self.words = nn.Embedding(num_words, width)
        self.partner = nn.Linear(width, width, bias=False)
        self.alone = nn.Linear(numbers, width)
        self.slot = nn.Embedding(8, width)
        self.readers = nn.ModuleList([nn.Linear(max(1, n) * numbers, width) for _, _, n in records])
        self.mix_up = nn.Linear(width, 4 * width, bias=False)
        self.mix_down = nn.Linear(4 * width, width, bias=False)
        self.blocks = nn.ModuleList([Block(width, heads, dropout, names is not None) for _ in range(depth)])
        ordered = num_outputs - ordered_from
        self.say_words = nn.Parameter(torch.zeros(ordered_from, width))
        self.say_numbers = nn.Linear(numbers + 24, width, bias=False) if ordered and numeric_embedding else None
        self.say_each = nn.Parameter(torch.zeros(ordered, width)) if ordered else None
        nn.init.normal_(self.words.weight, std=0.5)
        nn.init.normal_(self.slot.weight, std=0.1)
        nn.init.zeros_(self.mix_down.weight)
        length, named = torch.ones(num_words, dtype=torch.long), torch.zeros(num_words, dtype=torch.long)
        for word, words, count in records:
            length[word], named[word] = 1 + words + count, words
        self.record_length: Tensor
        self.record_names: Tensor
        self.codes: Tensor
        self.register_buffer("record_length", length, persistent=False)
        self.register_buffer("record_names", named, persistent=False)
        self.register_buffer("codes", name_codes(names[1] if names else 0), persistent=names is not None)

    @classmethod
    def for_vocabulary(
        cls, vocabulary: Vocabulary, *, prefix: bool = False, relations: bool = False, **sizes: int | float
    ) -> GPT:
        """A new model for a codec's tokens.

        Args:
            prefix: the positions of a prompt read each other, not only what stands before them.
            relations: attention knows which positions are about the same body or about what touches it, where the
                codec has words that name bodies.

        Raises:
            ValueError: a switch is no truth value, or prefix and the codec's prompts end with no word of their own.
        """
        for name, value in (("prefix", prefix), ("relations", relations), ("median", sizes.get("median", True))):
            if not isinstance(value, bool):
                raise ValueError(f"{name}={value} must be true or false")
        if prefix and vocabulary.prompt_end < 0:
            raise ValueError("prefix=true needs a text whose prompts end with a word of their own: impulse or islands")
        model = cls(
            num_words=vocabulary.num_words,
            num_values=len(vocabulary.values),
            num_outputs=len(vocabulary.outputs),
            ordered_from=vocabulary.ordered_from,
            pad=vocabulary.pad,
            records=[[int(w), *map(int, n)] for w, n in vocabulary.records.items()],
            prompt_end=vocabulary.prompt_end if prefix else -1,
            names=list(vocabulary.names) if relations and vocabulary.names[1] else None,
            **sizes,  # type: ignore[arg-type]
        )
        model.values.copy_(torch.as_tensor(vocabulary.values))
        model.outputs.copy_(torch.as_tensor(vocabulary.outputs))
        return model

    @classmethod
    def _from_pretrained(cls, *, config: dict[str, Any] | None = None, **options: Any) -> GPT:
        """As the mixin does, for configurations of earlier versions too."""
        renamed_here = {new: config[old] for old, new in renamed.NETWORK.items() if config and old in config}
        network: GPT = super()._from_pretrained(**{**options, **renamed_here})
        return network

    # --- reading

    def places(self, ids_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(position of each token (B, L), which tokens open a position (B, L), positions per row (B,))."""
        index = torch.arange(ids_BL.shape[1], device=ids_BL.device)
        length = self.record_length[ids_BL.clamp(max=self.num_words - 1)].masked_fill(ids_BL >= self.num_words, 1)
        ends = torch.where(length > 1, index + length, 0).cummax(dim=1).values
        opens = ((length > 1) | (index >= ends)) & (ids_BL != self.pad)
        place = (opens.cumsum(dim=1) - 1).clamp(min=0)
        return place, opens, opens.sum(dim=1)

    def about(self, ids_BL: Tensor, opens_BL: Tensor, line_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(names (N, 2) of the body and the partner that each position is about, counted from the first, their number
        for none; id (B,) of the body whose line goes on, -1 for none).

        Args:
            line_B: that id so far, where answers arrive one by one.
        """
        first, count = self.names or (0, 0)
        index = torch.arange(ids_BL.shape[1], device=ids_BL.device)
        says_name = opens_BL & (ids_BL >= first) & (ids_BL < first + count)  # a line of an answer begins
        last_BL = torch.where(says_name, index, -1).cummax(dim=1).values
        before = -1 if line_B is None else line_B[:, None]
        line_BL = torch.where(last_BL >= 0, ids_BL.gather(1, last_BL.clamp(min=0)), before)
        named = self.record_names[ids_BL.clamp(max=self.num_words - 1)].masked_fill(ids_BL >= self.num_words, 0)
        next_BL = F.pad(ids_BL, (0, 2), value=self.pad)
        own_BL = torch.where(named >= 1, next_BL[:, 1:-1], line_BL)
        partner_BL = torch.where(named >= 2, next_BL[:, 2:], -1)
        names = torch.stack([own_BL[opens_BL], partner_BL[opens_BL]], dim=1) - first
        return torch.where((names >= 0) & (names < count), names, count), line_BL[:, -1]

    def _numbers(self, ids: Tensor) -> Tensor:
        """Features of number tokens; word tokens in a number's place count as zero."""
        index = (ids - self.num_words).clamp(min=0)
        if self.opaque is not None:
            return self.opaque(index)
        return number_features(self.values[index]).to(self.words.weight.dtype)

    def embed(self, ids_BL: Tensor, position_BL: Tensor, opens_BL: Tensor, since_B: Tensor | None = None) -> Tensor:
        """(N, D) one vector per position; `position_BL` is each token's place among the N.

        Args:
            since_B: how many tokens behind the last word the token before these is, where answers arrive bit by bit.
        """
        L = ids_BL.shape[1]
        index = torch.arange(L, device=ids_BL.device)
        is_number = ids_BL >= self.num_words
        last = torch.where(opens_BL & ~is_number, index, -1).cummax(dim=1).values
        since = index - last
        if since_B is not None:
            since = torch.where(last >= 0, since, since_B[:, None] + 1 + index)
        lone = opens_BL & (self.record_length[ids_BL.clamp(max=self.num_words - 1)].masked_fill(is_number, 1) == 1)
        number_at, word_at = (lone & is_number).nonzero(as_tuple=True), (lone & ~is_number).nonzero(as_tuple=True)
        where = [position_BL[number_at], position_BL[word_at]]
        vectors = [
            self.alone(self._numbers(ids_BL[number_at])) + self.slot(since[number_at].clamp(0, 7)),
            self.words(ids_BL[word_at]),
        ]
        there = set(ids_BL[opens_BL & ~lone].unique().tolist())
        for (word, words, count), reader in zip(self.records, self.readers, strict=True):
            if word not in there:
                continue
            b, i = (ids_BL == word).nonzero(as_tuple=True)
            tokens = ids_BL[
                b[:, None], (i[:, None] + torch.arange(1 + words + count, device=i.device)).clamp(max=L - 1)
            ]
            vector = self.words.weight[word] + reader(self._numbers(tokens[:, 1 + words :]).flatten(1))
            names = self.words(tokens[:, 1 : 1 + words].clamp(max=self.num_words - 1))
            if words >= 1:
                vector = vector + names[:, 0]
            if words >= 2:
                vector = vector + self.partner(names[:, 1])
            where.append(position_BL[b, i])
            vectors.append(vector)
        # every position has exactly one opening token, so sorting by place puts the vectors in order
        x_ND = torch.cat(vectors)[torch.cat(where).argsort()]
        return x_ND + self.mix_down(F.relu(self.mix_up(F.rms_norm(x_ND, x_ND.shape[-1:]))).square())

    def hidden(self, ids_BL: Tensor, cache: Cache | None = None) -> tuple[Tensor, Layout, Tensor]:
        """(hidden (N, D), layout, place of each token among the N (B, L))."""
        place_BL, opens_BL, real_B = self.places(ids_BL)
        rows = torch.arange(len(ids_BL), device=ids_BL.device)
        first_B = real_B.cumsum(dim=0) - real_B
        row_N = rows.repeat_interleave(real_B)
        at_N = torch.arange(len(row_N), device=ids_BL.device) - first_B[row_N]
        longest = int(real_B.max())
        seen_BPP = None
        if self.prompt_end >= 0 and (cache is None or not cache.filled):
            ends_B = torch.where(ids_BL == self.prompt_end, place_BL + 1, 0).amax(dim=1)  # positions of each prompt
            place = torch.arange(longest, device=ids_BL.device)
            seen_BPP = ((place <= place[:, None]) | (place < ends_B[:, None, None]))[:, None]
        codes_N2C = None
        if self.names is not None:
            names_N2, line_B = self.about(ids_BL, opens_BL, None if cache is None else cache.line_B)
            codes_N2C = self.codes[names_N2]
            if cache is not None:
                cache.line_B.copy_(line_B)
                cache.codes[row_N, at_N + cache.length[row_N]] = codes_N2C.flatten(1).to(cache.codes.dtype)
        layout = Layout(len(ids_BL), longest, row_N, row_N * longest + at_N, first_B, seen_BPP, codes_N2C)
        position_BL = first_B[:, None] + place_BL
        x_ND = self.embed(ids_BL, position_BL, opens_BL, None if cache is None else cache.since_word)
        if cache is not None:
            at_N = at_N + cache.length[row_N]
            cache.length += real_B
        turned_N = at_N
        if self.places_N is not None:
            x_ND = x_ND + self.places_N(at_N.clamp(max=self.places_N.num_embeddings - 1))
            turned_N = torch.zeros_like(at_N)  # at place 0 nothing is turned
        turn = turns(turned_N, x_ND.shape[1] // self.heads)
        if cache is not None and cache.filled and cache.compiled:
            x_ND = few(self.blocks, x_ND, at_N, turn, layout, cache)
        else:
            for layer, block in enumerate(self.blocks):
                x_ND = block(x_ND, at_N, turn, layout, layer, cache)
        if cache is not None:
            cache.filled = True
        return F.rms_norm(x_ND, x_ND.shape[-1:]), layout, position_BL

    def forward(self, ids_BL: Tensor) -> Tensor:
        """(B, P, D) normalised hidden states of every position, zero where a row is shorter."""
        h_ND, layout, _ = self.hidden(ids_BL)
        return layout.pad(h_ND)

    # --- answering

    def output_table(self) -> Tensor:
        """(K, D) vectors of the output tokens."""
        if self.say_numbers is None:
            return self.say_words if self.say_each is None else torch.cat([self.say_words, self.say_each])
        now = (self.values._version, self.outputs._version)
        if self._grid is None or self._grid[0] is not self.values or self._grid[1] != now:
            with torch.inference_mode(False):  # a validation's; training goes on with them
                values = self.values[self.outputs[self.ordered_from :] - self.num_words]
                features = torch.cat([number_features(values), grid_features(len(values), values.device)], dim=-1)
            self._grid = (self.values, now, features)
        features = self._grid[2].to(self.say_words.dtype)
        return torch.cat([self.say_words, self.say_numbers(features) + self.say_each])

    def scored(self, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits (M, K), target output index (M,), flat place of each label in (B, L)) of every scored label."""
        h_ND, _, position_BL = self.hidden(ids_BL)
        b, i = (labels_BL != IGNORE).nonzero(as_tuple=True)
        logits_MK = h_ND[position_BL[b, i] - 1] @ self.output_table().T
        return logits_MK, self.output_index()[labels_BL[b, i]], b * labels_BL.shape[1] + i

    def output_index(self) -> Tensor:
        """(V,) token id -> output index (0 where the token cannot be generated)."""
        return ordered_outputs.index_of(self.outputs, self.num_words + len(self.values))

    def losses(self, logits_MK: Tensor, target_M: Tensor) -> Tensor:
        """(M,) cross-entropy in nats, number targets spread over their neighbours on the grid."""
        return ordered_outputs.losses(logits_MK, target_M, self.ordered_from, self.smoothing)

    def pick(self, logits_BK: Tensor) -> Tensor:
        """(B,) output index of the answer without drawing (see `ordered_outputs.median`)."""
        if not self.median:
            return logits_BK.argmax(dim=-1)
        return ordered_outputs.median(logits_BK, self.ordered_from)

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
        """Answers as `pick` chooses them (see `gpt_answers.answers`); every prompt is read anew, whosever it is."""
        return answers(self, prompts, max_new_tokens, end_id, guide, noise=noise)
