"""A network that finds contacts by itself in plain text: attention between lines, biased by what it learns of pairs.

* A line (`ball o3 ...`) is read as one position, and its numbers by their values. Every body attends to every other
  body, wall, peg, field, wind and joint of its scene; nothing is sorted out beforehand.
* How much it attends, and what it takes over, is a learned function of the pair: where the one stands relative to the
  other, along the line between the two and along the axes of each, their sizes, angle, masses and relative velocity (as
  edges of a graph network, arXiv 1806.01261, or AlphaFold's pair bias). What is taken over are changes of velocity:
  linear in the relative velocities, with learned coefficients, along these axes. So a turned scene is answered by the
  turned answer, whatever was learned.
* Several rounds: each begins from the velocities that the one before arrived at, as the iterations of a solver do.
* Answers are tokens. Their probabilities are those of a heavy-tailed distribution over the values of the number tokens,
  about what the rounds arrived at; beside them stand `coast` and `rest`. All lines are said side by side, and what they
  are of is copied from the prompt, so every answer can be read.

Shape suffixes as in scene_pairs.py; D width, H heads, M scored labels, K output tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from safetensors.torch import load_model
from torch import Tensor, nn

from physworld.lm import ordered_outputs as outputs
from physworld.lm.folder import save_folder
from physworld.lm.number_features import number_features
from physworld.lm.pair_round import Round, Speeds
from physworld.lm.scene_pairs import ACTING, BODIES, EVERYWHERE, PLACED, Bodies, Record, by_body, lines, pairs
from physworld.lm.weights import refuse_gaps
from physworld.protocols import Guide, Noise
from physworld.types import Vocabulary

IGNORE = -100
SAID = 5  # numbers of an answer's line
SCALES = (20.0, 20.0, 1.0, 5.0, 5.0)  # of each: px/s, px/s, rad/s, px/s, px/s that one step of the scale is, near zero
SHARPEST = 0.002  # of that scale: an error that does not count
WIDE = 1.0  # how much wider the second part of a distribution is, for surprises
KINDS = (0, 0, 1, 2, 2)  # velocity, spin, push
NEVER = -1e9
PAIRS_AT_ONCE = 200_000  # that answers are worked out for together: about 1 GB


class PairNet(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="physworld",
    tags=["physics", "text-generation"],
    license="apache-2.0",
    model_card_template="---\n{{ card_data }}\n---\n\nA physworld PairNet: `PairNet.from_pretrained` loads it, "
    "`AutoTokenizer` its tokenizer; the run it comes from has the measurements in report.md.\n",
):
    """Reads scenes as plain text and says what happens to each body.

    Saved by `save_pretrained` as safetensors + config.json, loaded by `PairNet.from_pretrained(folder_or_repo)`.
    """

    max_length: int | None = None  # it reads texts of any length

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
        records: dict[str, list[Any]],
        width: int = 64,
        inner: int = 128,
        heads: int = 4,
        rounds: int = 3,
        shared_rounds: bool = False,
        pair_bias: bool = True,
        ahead: bool = True,
        own_axes: bool = True,
        gap_start: bool = True,
        median: bool = True,
    ) -> None:
        """
        Args:
            names: first id and number of the words that name bodies.
            special: ids of `end`, `coast` and `rest`.
            records: word -> [its id, names that follow, what the numbers behind them are called].
            rounds: how often bodies attend to what is around them before they answer.
            shared_rounds: all rounds have the same weights.
            pair_bias: what a body attends to, and takes over, depends on where things stand; False: on what they are
                alone.
            ahead: pairs stand where the step will put them, p + v·dt, instead of where they are.
            own_axes: pairs are described along the axes of the two and the line between them; False: along the world's.
            gap_start: half of the features of a pair begin as differences of distances and sizes, not at random.
            median: numbers are chosen as the median of their distribution; False: the likeliest token.
        """
        super().__init__()
        if width % heads:
            raise ValueError(f"model width {width} must be a multiple of the number of heads ({heads})")
        if rounds < 1:
            raise ValueError(f"rounds={rounds} must be 1 or more")
        self.num_words, self.ordered_from, self.pad, self.prompt_end = num_words, ordered_from, pad, prompt_end
        self.names, self.special, self.median = names, special, median
        self.ahead, self.rounds = ahead, rounds
        self.records = {name: Record(word, count, tuple(columns)) for name, (word, count, columns) in records.items()}
        self.kinds = [name for name in ACTING if name in records]
        self.values: Tensor
        self.outputs: Tensor
        self.register_buffer("values", torch.zeros(num_values))
        self.register_buffer("outputs", torch.zeros(num_outputs, dtype=torch.long))
        numbers = number_features(torch.zeros(1)).shape[-1]
        self.words = nn.ParameterDict({name: nn.Parameter(torch.randn(width) * 0.5) for name in records})
        self.readers = nn.ModuleDict(
            {
                name: nn.Linear(numbers * sum(column not in PLACED for column in record.columns), width)
                for name, record in self.records.items()
                if any(column not in PLACED for column in record.columns)
            }
        )
        self.mix_up, self.mix_down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        nn.init.zeros_(self.mix_down.weight)
        settings: dict[str, Any] = {"pair_bias": pair_bias, "own_axes": own_axes, "gap_start": gap_start}
        self.blocks = nn.ModuleList(
            [Round(width, inner, heads, **settings) for _ in range(1 if shared_rounds else rounds)]
        )
        self.judge_up, self.judge_down = nn.Linear(width + 20, 64), nn.Linear(64, 11)
        nn.init.zeros_(self.judge_down.weight)
        with torch.no_grad():
            self.judge_down.bias[5:] = -2.0

    @classmethod
    def for_vocabulary(cls, vocabulary: Vocabulary, **sizes: int | float) -> PairNet:
        """A new network for a codec's tokens.

        Raises:
            ValueError: a switch is no truth value, or the codec does not say what its numbers are.
        """
        for name in ("shared_rounds", "pair_bias", "ahead", "own_axes", "gap_start", "median"):
            if not isinstance(sizes.get(name, True), bool):
                raise ValueError(f"{name}={sizes[name]} must be true or false")
        if not vocabulary.columns:
            raise ValueError("model=plain reads codec=plain alone: other texts do not say what their numbers are")
        word = {name: place for place, name in enumerate(vocabulary.words)}
        network = cls(
            num_words=vocabulary.num_words,
            num_values=len(vocabulary.values),
            num_outputs=len(vocabulary.outputs),
            ordered_from=vocabulary.ordered_from,
            pad=vocabulary.pad,
            prompt_end=vocabulary.prompt_end,
            names=list(vocabulary.names),
            special=[vocabulary.end, word["coast"], word["rest"]],
            records={
                name: [word[name], vocabulary.records[word[name]][0], list(columns)]
                for name, columns in vocabulary.columns.items()
            },
            **sizes,  # type: ignore[arg-type]
        )
        network.values.copy_(torch.as_tensor(vocabulary.values))
        network.outputs.copy_(torch.as_tensor(vocabulary.outputs))
        return network

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        """As the mixin does, but what is missing is refused instead of left random. Raises: WeightsError."""
        missing, unexpected = load_model(model, model_file, strict=False, device=map_location)
        refuse_gaps(str(Path(model_file).parent), missing, unexpected)
        return model

    def flops(self, tokens: int, attended: int, scored: int) -> float | None:
        """Not counted."""
        return None

    def save_run(self, run: Path, tokenizer: Any, end_id: int) -> None:
        """model/: weights, configuration and tokenizer."""
        save_folder(self, run / "model", tokenizer, end_id)

    def unsharded(self) -> PairNet:
        """An empty network of the same shape, whole on one device."""
        config: Any = self._hub_mixin_config
        return PairNet(**config)

    # --- reading

    def places(self, ids_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(place of each token (B, L), which tokens are real (B, L), tokens per row (B,))."""
        real = ids_BL != self.pad
        return torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL), real, real.sum(dim=1)

    def arrived(self, ids_BL: Tensor) -> tuple[Bodies, Tensor, Tensor]:
        """(bodies, numbers (N, 5) of their answers as the rounds arrive at them, judgement (N, 11)).

        A judgement is the scores of `coast` and `rest` beside all numbers, then how sharp the numbers of three kinds
        are, how likely zero itself is, and how likely surprises are.
        """
        inside_BL = (ids_BL == self.prompt_end).cumsum(dim=1) == 0
        values = self.values.to(self.mix_up.weight.dtype)
        found = {
            name: lines(ids_BL, inside_BL, record, values, self.num_words) for name, record in self.records.items()
        }
        bodies, order = by_body(found, len(ids_BL), self.ahead)
        read = {name: self._read(name, part.own) for name, part in found.items()}
        everywhere = values.new_zeros(len(ids_BL), self.mix_up.in_features)
        for name in EVERYWHERE:
            everywhere = everywhere.index_add(0, found[name].row, read[name])
        own = torch.cat([read[name] for name in BODIES])[order] + everywhere[bodies.row]
        x_ND = torch.cat([own, *(read[kind] for kind in self.kinds)])
        x_ND = x_ND + self.mix_down(F.relu(self.mix_up(F.rms_norm(x_ND, x_ND.shape[-1:]))).square())
        N = len(bodies.row)
        some = pairs(bodies, found, self.kinds, self.num_words)
        start = Speeds(bodies.velocity + bodies.pull, bodies.spin, torch.zeros_like(bodies.velocity))
        speeds = start
        x_ND, others = x_ND[:N], x_ND[N:]
        for number in range(self.rounds):
            x_ND, speeds = self.blocks[number % len(self.blocks)](x_ND, others, bodies, some, speeds)
        change, turn = speeds.velocity - start.velocity, speeds.spin - start.spin
        said = torch.cat([change, turn[:, None], speeds.push], dim=1)
        size = [change.norm(dim=1), turn.abs() * bodies.gyration, speeds.push.norm(dim=1)]
        size += [speeds.velocity.norm(dim=1), speeds.spin.abs() * bodies.gyration]
        size_N5 = torch.stack(size, dim=1)
        seen = [torch.log1p(size_N5 / 0.05) / 5, *(torch.tanh(size_N5 / scale) for scale in (0.05, 0.5, 5.0))]
        h = F.relu(self.judge_up(torch.cat([F.rms_norm(x_ND, x_ND.shape[-1:]), *seen], dim=1)))
        return bodies, said, self.judge_down(h)

    def _read(self, name: str, own: Tensor) -> Tensor:
        """(S, D) vectors of lines."""
        word = self.words[name].expand(len(own), -1)
        if name not in self.readers:
            return word
        return word + self.readers[name](number_features(own).to(word.dtype).flatten(1))

    def forward(self, ids_BL: Tensor) -> Tensor:
        """(N, 5, K) logarithms of the probabilities at every place of every body's line, whoever it belongs to."""
        _, said, judged = self.arrived(ids_BL)
        return torch.stack([self._scores(said, judged, slot) for slot in range(SAID)], dim=1)

    # --- answering

    def _shape(self, said: Tensor, judged: Tensor, body_M: Tensor, slot_M: Tensor) -> tuple[Tensor, ...]:
        """How numbers at place `slot` of the lines of bodies are spread.

        (middle (M,), widths (M, 2), logarithms of their shares (M, 2), and of those of all but zero and of zero (M,))
        """
        scale = said.new_tensor(SCALES)[slot_M]
        kind = torch.tensor(KINDS, device=said.device)[slot_M]
        middle = torch.asinh(said[body_M, slot_M] / scale)
        narrow = SHARPEST + F.softplus(judged[body_M, 2 + kind] - 1.0)
        wide = judged[body_M, 8 + kind]
        shares = torch.stack([F.logsigmoid(-wide), F.logsigmoid(wide)], dim=1)
        zero = judged[body_M, 5 + kind]
        return middle, torch.stack([narrow, narrow + WIDE], dim=1), shares, F.logsigmoid(-zero), F.logsigmoid(zero)

    def _edges(self, kind: int) -> tuple[Tensor, Tensor]:
        """Where each number's share of the scale begins and ends (R,); the outermost go on for ever."""
        numbers = self.values[self.outputs[self.ordered_from :] - self.num_words]
        grid = torch.asinh(numbers / SCALES[KINDS.index(kind)])
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
        low, high = (edge.to(said.dtype)[None] for edge in self._edges(KINDS[slot]))
        is_zero = (self.values[self.outputs[self.ordered_from :] - self.num_words] == 0)[None]
        numbers_NR = self._of_numbers(
            self._shape(said, judged, which, torch.full_like(which, slot)), low, high, is_zero
        )
        words_NW = numbers_NR.new_full((len(said), self.ordered_from), NEVER)
        if slot == 0:
            first = F.log_softmax(F.pad(judged[:, :2], (0, 1)), dim=1)
            words_NW = words_NW.index_copy(1, self.output_index()[self.special[1:]], first[:, :2])
            numbers_NR = numbers_NR + first[:, 2:]
        return torch.cat([words_NW, numbers_NR], dim=1)

    def scored(self, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logarithms of (p, 1 - p) (M, 2), p the probability of the label; 0 (M,); flat place of the label in (B, L)).

        Names and `end` follow from the prompt and are not scored. `coast` and `rest` are scored as words and, again, as
        the numbers that they stand for: no change, or what stops the body.
        """
        bodies, said, judged = self.arrived(ids_BL)
        first, count = self.names
        index = torch.arange(ids_BL.shape[1], device=ids_BL.device)
        behind = (ids_BL == self.prompt_end).cumsum(dim=1) > 0
        is_name = behind & (ids_BL >= first) & (ids_BL < first + count)
        opened = torch.where(is_name, index, -1).cummax(dim=1).values
        wanted = (labels_BL != IGNORE) & ~is_name & (labels_BL != self.special[0]) & (opened >= 0)
        b, i = wanted.nonzero(as_tuple=True)
        named = torch.zeros(len(ids_BL), self.num_words, dtype=torch.long, device=ids_BL.device)
        named[bodies.row, bodies.name] = torch.arange(len(bodies.row), device=ids_BL.device)
        body_M = named[b, ids_BL[b, opened[b, i]]]
        slot_M = (i - opened[b, i] - 1).clamp(max=SAID - 1)
        label_M, place_M = labels_BL[b, i], b * labels_BL.shape[1] + i
        is_word = label_M < self.num_words
        # the choice between words and numbers
        opens = slot_M == 0
        _, coast, rest = self.special
        choice = torch.where(label_M == coast, 0, torch.where(label_M == rest, 1, 2))[opens]
        words = F.log_softmax(F.pad(judged[body_M[opens], :2], (0, 1)), dim=1).gather(1, choice[:, None])[:, 0]
        # the numbers themselves, said or meant
        said_body, said_slot = body_M[~is_word], slot_M[~is_word]
        meant_body = body_M[is_word].repeat_interleave(SAID)
        meant_slot = torch.arange(SAID, device=ids_BL.device).repeat(int(is_word.sum()))
        stop = torch.cat([-bodies.velocity - bodies.pull, -bodies.spin[:, None], torch.zeros_like(bodies.velocity)], 1)
        stopped = (label_M[is_word] == rest).repeat_interleave(SAID)
        meant = torch.where(stopped, stop[meant_body, meant_slot], 0.0)
        exact = torch.cat([self.values[label_M[~is_word] - self.num_words].to(said.dtype), meant])
        body, slot = torch.cat([said_body, meant_body]), torch.cat([said_slot, meant_slot])
        numbers = self._of_exact(said, judged, body, slot, exact)
        place = torch.cat([place_M[opens], place_M[~is_word], place_M[is_word].repeat_interleave(SAID)])
        log_p = torch.cat([words, numbers]).clamp(max=-1e-6)
        logits = torch.stack([log_p, torch.log(-torch.expm1(log_p))], dim=1)
        return logits, torch.zeros_like(place), place

    def _of_exact(self, said: Tensor, judged: Tensor, body: Tensor, slot: Tensor, exact: Tensor) -> Tensor:
        """(M,) logarithm of the probability of the numbers nearest to `exact`."""
        kind = torch.tensor(KINDS, device=said.device)[slot]
        numbers = self.values[self.outputs[self.ordered_from :] - self.num_words].to(said.dtype)
        nearest = torch.searchsorted((numbers[1:] + numbers[:-1]) / 2, exact)
        edges = torch.stack([torch.stack(self._edges(k)) for k in range(3)]).to(said.dtype)  # (3, 2, R)
        low, high = edges[kind, 0, nearest], edges[kind, 1, nearest]
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
        """Prompts, one after the other, that hold no more pairs together than memory does."""
        words = [self.records[name].word for name in (*BODIES, *self.kinds)]
        found, first, pairs_so_far = [], 0, 0
        for k, prompt in enumerate(prompts):
            count = int(np.isin(prompt, words[: len(BODIES)]).sum()) * int(np.isin(prompt, words).sum())
            if k > first and pairs_so_far + count > PAIRS_AT_ONCE:
                found.append(range(first, k))
                first, pairs_so_far = k, 0
            pairs_so_far += count
        return [*found, range(first, len(prompts))] if prompts else []

    def _say(self, prompts: list[np.ndarray], end_id: int, noise: Noise | None) -> list[np.ndarray]:
        device = self.values.device
        ids = torch.full((len(prompts), max(map(len, prompts))), self.pad, device=device)
        for number, prompt in enumerate(prompts):
            ids[number, : len(prompt)] = torch.as_tensor(prompt, device=device)
        bodies, said, judged = self.arrived(ids)
        chosen = []
        for slot in range(SAID):
            scores = self._scores(said, judged, slot)
            if noise is not None:
                scores = scores + torch.as_tensor(noise((len(scores), scores.shape[1])), device=device)
            drawn = noise is not None or not self.median
            best = scores.argmax(dim=1) if drawn else outputs.median(scores, self.ordered_from)
            chosen.append(self.outputs[best])
        answers: list[list[int]] = [[] for _ in prompts]
        said_ids = torch.stack([bodies.name, *chosen], dim=1).tolist()
        for row, line in zip(bodies.row.tolist(), said_ids, strict=True):
            answers[row] += line[:2] if line[1] in self.special else line
        return [np.array([*answer, end_id]) for answer in answers]
