"""What networks have in common that say a line of numbers about each body, all lines side by side.

Answers are tokens. Their probabilities are those of a heavy-tailed distribution over the values of the number tokens,
about what a network arrives at; beside them stand `coast` and `rest`. What a line is of is copied from the prompt, so
every answer can be read.

Shape suffixes: B batch, L tokens, N lines of the whole batch, M scored labels, S numbers of a line, K output tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from physworld.lm import ordered_outputs as outputs
from physworld.lm.saved import Saved
from physworld.protocols import Guide, Noise
from physworld.types import Vocabulary

IGNORE = -100
SHARPEST = 0.002  # of the scale of a number: an error that does not count
WIDE = 1.0  # how much wider the second part of a distribution is, for surprises
NEVER = -1e9
UNSURE = -2.0  # what scores of zero and of surprises begin with, the last two of each number


def judged_of(numbers: int) -> int:
    """Scores of a line: `coast` and `rest`, and of each number how sharp, how likely zero, how likely a surprise.

    Each number has its own zero: a blow without friction changes one speed and leaves the other exactly as it was, and
    a score that both share would make the median of the first one zero too.
    """
    return 2 + 3 * numbers


class Stated(NamedTuple):
    """What a network says of each body, in the order of the lines."""

    row: Tensor  # (N,) of the batch
    name: Tensor  # (N,) ids
    said: Tensor  # (N, S) numbers
    judged: Tensor  # (N, 2 + 3 S), see `judged_of`
    stop: Tensor  # (N, S) numbers that `rest` stands for


class LineNet(
    nn.Module,
    Saved,
    PyTorchModelHubMixin,
    library_name="physworld",
    tags=["physics", "text-generation"],
    license="apache-2.0",
    model_card_template="---\n{{ card_data }}\n---\n\nA physworld network that says a line of numbers about each "
    "body: its class in `physworld.lm` loads it (`from_pretrained`), `AutoTokenizer` its tokenizer; the run it comes "
    "from has the measurements in report.md.\n",
):
    """A subclass says what it reads and what it states of each body.

    Saved by `save_pretrained` as safetensors + config.json, loaded by `from_pretrained(folder_or_repo)`.
    """

    max_length: int | None = None  # it reads texts of any length
    SCALES: ClassVar[tuple[float, ...]]  # of each number of a line: what one step of the scale is, near zero

    def __init__(
        self,
        *,
        num_words: int,
        num_values: int,
        num_outputs: int,
        ordered_from: int,
        pad: int,
        prompt_end: int,
        names: list[int],
        special: list[int],
        median: bool,
    ) -> None:
        """
        Args:
            names: first id and number of the words that name bodies.
            special: ids of `end`, `coast` and `rest`.
            median: numbers are chosen as the median of their distribution; False: the likeliest token.
        """
        super().__init__()
        self.num_words, self.ordered_from, self.pad, self.prompt_end = num_words, ordered_from, pad, prompt_end
        self.names, self.special, self.median = names, special, median
        self.values: Tensor
        self.outputs: Tensor
        self.register_buffer("values", torch.zeros(num_values))
        self.register_buffer("outputs", torch.zeros(num_outputs, dtype=torch.long))

    @staticmethod
    def shape_of(vocabulary: Vocabulary) -> dict[str, Any]:
        """What a constructor takes of a vocabulary."""
        word = {name: place for place, name in enumerate(vocabulary.words)}
        return {
            "num_words": vocabulary.num_words,
            "num_values": len(vocabulary.values),
            "num_outputs": len(vocabulary.outputs),
            "ordered_from": vocabulary.ordered_from,
            "pad": vocabulary.pad,
            "prompt_end": vocabulary.prompt_end,
            "names": list(vocabulary.names),
            "special": [vocabulary.end, word["coast"], word["rest"]],
        }

    @staticmethod
    def records_of(vocabulary: Vocabulary) -> dict[str, list[Any]]:
        """Word -> [its id, names that follow, what the numbers behind them are called], of texts that say so."""
        word = {name: place for place, name in enumerate(vocabulary.words)}
        return {
            name: [word[name], vocabulary.records[word[name]][0], list(columns)]
            for name, columns in vocabulary.columns.items()
        }

    def with_values(self, vocabulary: Vocabulary) -> Self:
        """Itself, with the values of number tokens and the list of output tokens, which are part of the weights."""
        self.values.copy_(torch.as_tensor(vocabulary.values))
        self.outputs.copy_(torch.as_tensor(vocabulary.outputs))
        return self

    def stated(self, ids_BL: Tensor) -> Stated:
        """What it says about every body of these prompts."""
        raise NotImplementedError

    def cost(self, prompt: np.ndarray) -> int:
        """How much memory a prompt takes, in units of which `most_at_once` are answered together."""
        return len(prompt)

    most_at_once: ClassVar[int] = 200_000

    # --- reading

    def places(self, ids_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(place of each token (B, L), which tokens are real (B, L), tokens per row (B,))."""
        real = ids_BL != self.pad
        return torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL), real, real.sum(dim=1)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """(N, S, K) logarithms of the probabilities at every place of every body's line, whoever it belongs to."""
        some = self.stated(ids_BL)
        slots = range(len(self.SCALES))
        return torch.stack([self._scores(some.said, some.judged, slot) for slot in slots], dim=1)

    # --- answering

    def _shape(self, said: Tensor, judged: Tensor, body_M: Tensor, slot_M: Tensor) -> tuple[Tensor, ...]:
        """How numbers at place `slot` of the lines of bodies are spread.

        (middle (M,), widths (M, 2), logarithms of their shares (M, 2), and of those of all but zero and of zero (M,))
        """
        scale, count = said.new_tensor(self.SCALES)[slot_M], len(self.SCALES)
        middle = torch.asinh(said[body_M, slot_M] / scale)
        narrow = SHARPEST + F.softplus(judged[body_M, 2 + slot_M] - 1.0)
        wide = judged[body_M, 2 + 2 * count + slot_M]
        shares = torch.stack([F.logsigmoid(-wide), F.logsigmoid(wide)], dim=1)
        zero = judged[body_M, 2 + count + slot_M]
        return middle, torch.stack([narrow, narrow + WIDE], dim=1), shares, F.logsigmoid(-zero), F.logsigmoid(zero)

    def _numbers(self) -> Tensor:
        """(R,) values of the number tokens that can be said, ascending."""
        return self.values[self.outputs[self.ordered_from :] - self.num_words]

    def _edges(self, slot: int) -> tuple[Tensor, Tensor]:
        """Where each number's share of the scale begins and ends (R,); the outermost go on for ever."""
        numbers = self._numbers()
        grid = torch.asinh(numbers / self.SCALES[slot])
        between = (grid[1:] + grid[:-1]) / 2
        return F.pad(between, (1, 0), value=-1e6), F.pad(between, (0, 1), value=1e6)

    def _of_numbers(self, shape: tuple[Tensor, ...], low: Tensor, high: Tensor, is_zero: Tensor) -> Tensor:
        """(M, ...) logarithm of the probability of numbers between two edges of the scale, each (M, ...)."""
        middle, widths, shares, other, zero = (part.reshape(*part.shape, *[1] * (low.ndim - 1)) for part in shape)
        parts = []
        for k in range(2):
            a, b = (low - middle) / widths[:, k], (high - middle) / widths[:, k]
            flip = a + b > 0  # of two numbers near 1 the difference would be lost
            a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)
            mass = (torch.sigmoid(b) - torch.sigmoid(a)).clamp(min=1e-9)
            parts.append(mass.log() + shares[:, k])
        return torch.where(
            is_zero, torch.logaddexp(torch.logaddexp(*parts) + other, zero), torch.logaddexp(*parts) + other
        )

    def _scores(self, said: Tensor, judged: Tensor, slot: int) -> Tensor:
        """(N, K) logarithms of the probabilities of tokens at place `slot` of every body's line."""
        which = torch.arange(len(said), device=said.device)
        low, high = (edge.to(said.dtype)[None] for edge in self._edges(slot))
        is_zero = (self._numbers() == 0)[None]
        numbers_NR = self._of_numbers(
            self._shape(said, judged, which, torch.full_like(which, slot)), low, high, is_zero
        )
        words_NW = numbers_NR.new_full((len(said), self.ordered_from), NEVER)
        if slot == 0:
            first = F.log_softmax(F.pad(judged[:, :2], (0, 1)), dim=1)
            words_NW = words_NW.index_copy(1, self.output_index()[self.special[1:]], first[:, :2])
            numbers_NR = numbers_NR + first[:, 2:]
        return torch.cat([words_NW, numbers_NR], dim=1)

    def _medians(self, said: Tensor, judged: Tensor) -> Tensor:
        """(N, S) places among the output tokens: a word, or the median of the numbers where these are likelier in sum.

        As `ordered_outputs.median` of all `_scores`, but the place where half of the probability is passed is found by
        halving, so a few places are looked at instead of thousands.
        """
        count, slots = said.shape
        body, slot = (part.flatten() for part in torch.meshgrid(
            torch.arange(count, device=said.device), torch.arange(slots, device=said.device), indexing="ij"
        ))  # fmt: skip
        middle, widths, *logarithms = self._shape(said.double(), judged.double(), body, slot)
        shares, other, zero = (part.exp() for part in logarithms)
        upper = torch.stack([self._edges(k)[1] for k in range(slots)]).double()
        nought = int((self._numbers() < 0).sum())
        first, last = torch.zeros_like(slot), torch.full_like(slot, upper.shape[1] - 1)
        for _ in range(upper.shape[1].bit_length()):
            place = (first + last) // 2
            below = torch.sigmoid((upper[slot, place] - middle)[:, None] / widths) * shares
            enough = below.sum(dim=1) * other + zero * (place >= nought) >= 0.5
            first, last = torch.where(enough, first, (place + 1).minimum(last)), torch.where(enough, place, last)
        chosen = self.ordered_from + first.view(count, slots)
        likeliest, word = judged[:, :2].max(dim=1)
        words = self.output_index()[torch.tensor(self.special[1:], device=said.device)]
        chosen[:, 0] = torch.where(likeliest > 0, words[word], chosen[:, 0])
        return chosen

    def scored(self, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logarithms of (p, 1 - p) (M, 2), p the probability of the label; 0 (M,); flat place of the label in (B, L)).

        Names and `end` follow from the prompt and are not scored. `coast` and `rest` are scored as words and, again, as
        the numbers that they stand for: no change, or what stops the body.
        """
        some = self.stated(ids_BL)
        said, judged = some.said, some.judged
        first, count = self.names
        index = torch.arange(ids_BL.shape[1], device=ids_BL.device)
        behind = (ids_BL == self.prompt_end).cumsum(dim=1) > 0
        is_name = behind & (ids_BL >= first) & (ids_BL < first + count)
        opened = torch.where(is_name, index, -1).cummax(dim=1).values
        wanted = (labels_BL != IGNORE) & ~is_name & (labels_BL != self.special[0]) & (opened >= 0)
        b, i = wanted.nonzero(as_tuple=True)
        named = torch.zeros(len(ids_BL), self.num_words, dtype=torch.long, device=ids_BL.device)
        named[some.row, some.name] = torch.arange(len(some.row), device=ids_BL.device)
        body_M = named[b, ids_BL[b, opened[b, i]]]
        slot_M = (i - opened[b, i] - 1).clamp(max=len(self.SCALES) - 1)
        label_M, place_M = labels_BL[b, i], b * labels_BL.shape[1] + i
        is_word = label_M < self.num_words
        # the choice between words and numbers
        opens = slot_M == 0
        _, coast, rest = self.special
        choice = torch.where(label_M == coast, 0, torch.where(label_M == rest, 1, 2))[opens]
        words = F.log_softmax(F.pad(judged[body_M[opens], :2], (0, 1)), dim=1).gather(1, choice[:, None])[:, 0]
        # the numbers themselves, said or meant
        said_body, said_slot = body_M[~is_word], slot_M[~is_word]
        meant_body = body_M[is_word].repeat_interleave(len(self.SCALES))
        meant_slot = torch.arange(len(self.SCALES), device=ids_BL.device).repeat(int(is_word.sum()))
        stopped = (label_M[is_word] == rest).repeat_interleave(len(self.SCALES))
        meant = torch.where(stopped, some.stop[meant_body, meant_slot], 0.0)
        exact = torch.cat([self.values[label_M[~is_word] - self.num_words].to(said.dtype), meant])
        body, slot = torch.cat([said_body, meant_body]), torch.cat([said_slot, meant_slot])
        numbers = self._of_exact(said, judged, body, slot, exact)
        place = torch.cat([place_M[opens], place_M[~is_word], place_M[is_word].repeat_interleave(len(self.SCALES))])
        log_p = torch.cat([words, numbers]).clamp(max=-1e-6)
        logits = torch.stack([log_p, torch.log(-torch.expm1(log_p))], dim=1)
        return logits, torch.zeros_like(place), place

    def _of_exact(self, said: Tensor, judged: Tensor, body: Tensor, slot: Tensor, exact: Tensor) -> Tensor:
        """(M,) logarithm of the probability of the numbers nearest to `exact`."""
        numbers = self._numbers().to(said.dtype)
        nearest = torch.searchsorted((numbers[1:] + numbers[:-1]) / 2, exact)
        edges = torch.stack([torch.stack(self._edges(k)) for k in range(len(self.SCALES))]).to(said.dtype)  # (S, 2, R)
        low, high = edges[slot, 0, nearest], edges[slot, 1, nearest]
        shape = self._shape(said, judged, body, slot)
        return self._of_numbers(shape, low, high, numbers[nearest] == 0)

    def output_index(self) -> Tensor:
        """(V,) token id -> output index (0 where the token cannot be generated)."""
        return outputs.index_of(self.outputs, self.num_words + len(self.values))

    def losses(self, logits_M2: Tensor, target_M: Tensor) -> Tensor:
        """(M,) nats."""
        return -logits_M2[:, 0]

    @torch.no_grad()
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
        """One line a body, in the order of the prompt; all are said side by side, so a guide has nothing to add."""
        answers: list[np.ndarray] = []
        for part in self._parts(prompts):
            answers += self._say([prompts[k] for k in part], end_id, noise)
        return [answer[:limit] for answer, limit in zip(answers, max_new_tokens, strict=True)]

    def _parts(self, prompts: list[np.ndarray]) -> list[range]:
        """Prompts, one after the other, that take no more memory together than there is."""
        found, first, so_far = [], 0, 0
        for k, prompt in enumerate(prompts):
            count = self.cost(prompt)
            if k > first and so_far + count > self.most_at_once:
                found.append(range(first, k))
                first, so_far = k, 0
            so_far += count
        return [*found, range(first, len(prompts))] if prompts else []

    def _say(self, prompts: list[np.ndarray], end_id: int, noise: Noise | None) -> list[np.ndarray]:
        device = self.values.device
        ids = torch.full((len(prompts), max(map(len, prompts))), self.pad, device=device)
        for number, prompt in enumerate(prompts):
            ids[number, : len(prompt)] = torch.as_tensor(prompt, device=device)
        some = self.stated(ids)
        if noise is None and self.median:
            chosen = self._medians(some.said, some.judged)
        else:
            best = []
            for slot in range(len(self.SCALES)):
                scores = self._scores(some.said, some.judged, slot)
                if noise is not None:
                    scores = scores + torch.as_tensor(noise((len(scores), scores.shape[1])), device=device)
                best.append(scores.argmax(dim=1))
            chosen = torch.stack(best, dim=1)
        answers: list[list[int]] = [[] for _ in prompts]
        said_ids = torch.cat([some.name[:, None], self.outputs[chosen]], dim=1).tolist()
        for row, line in zip(some.row.tolist(), said_ids, strict=True):
            answers[row] += line[:2] if line[1] in self.special else line
        return [np.array([*answer, end_id]) for answer in answers]
