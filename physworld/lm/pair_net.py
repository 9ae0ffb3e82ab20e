"""A network that finds contacts by itself in plain text: attention between lines, biased by what it learns of pairs.

* A line (`ball o3 ...`) is read as one position, and its numbers by their values. Every body attends to every other
  body, wall, peg, field, wind and joint of its scene; nothing is sorted out beforehand.
* How much it attends, and what it takes over, is a learned function of the pair: where the one stands relative to the
  other, along the line between the two and along the axes of each, their sizes, angle, masses and relative velocity (as
  edges of a graph network, arXiv 1806.01261, or AlphaFold's pair bias). What is taken over are changes of velocity:
  linear in the relative velocities, with learned coefficients, along these axes. So a turned scene is answered by the
  turned answer, whatever was learned.
* Several rounds: each begins from the velocities that the one before arrived at, as the iterations of a solver do.
* Answers are said as in line_net.py, about what the rounds arrived at.

Shape suffixes as in scene_pairs.py; D width, H heads, M scored labels, K output tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.line_net import UNSURE, LineNet, Stated, judged_of
from physworld.lm.number_features import number_features
from physworld.lm.pair_round import Round, Speeds
from physworld.lm.scene_pairs import ACTING, BODIES, EVERYWHERE, PLACED, Bodies, Record, by_body, lines, pairs
from physworld.types import Vocabulary

PAIRS_AT_ONCE = 200_000  # that answers are worked out for together: about 1 GB


class PairNet(LineNet):
    """Reads scenes as plain text and says what happens to each body."""

    SCALES = (20.0, 20.0, 1.0, 5.0, 5.0)  # px/s, px/s, rad/s, px/s, px/s
    most_at_once = PAIRS_AT_ONCE

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
        super().__init__(
            num_words=num_words, num_values=num_values, num_outputs=num_outputs, ordered_from=ordered_from, pad=pad,
            prompt_end=prompt_end, names=names, special=special, median=median,
        )  # fmt: skip
        if width % heads:
            raise ValueError(f"model width {width} must be a multiple of the number of heads ({heads})")
        if rounds < 1:
            raise ValueError(f"rounds={rounds} must be 1 or more")
        self.ahead, self.rounds = ahead, rounds
        self.records = {name: Record(word, count, tuple(columns)) for name, (word, count, columns) in records.items()}
        self.kinds = [name for name in ACTING if name in records]
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
        self.judge_up, self.judge_down = nn.Linear(width + 20, 64), nn.Linear(64, judged_of(len(self.SCALES)))
        nn.init.zeros_(self.judge_down.weight)
        with torch.no_grad():
            self.judge_down.bias[-2 * len(self.SCALES) :] = UNSURE

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
        network = cls(
            **cls.shape_of(vocabulary),
            records=cls.records_of(vocabulary),
            **sizes,  # type: ignore[arg-type]
        )
        return network.with_values(vocabulary)

    # --- reading

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

    def stated(self, ids_BL: Tensor) -> Stated:
        bodies, said, judged = self.arrived(ids_BL)
        stop = [-bodies.velocity - bodies.pull, -bodies.spin[:, None], torch.zeros_like(bodies.velocity)]
        return Stated(bodies.row, bodies.name, said, judged, torch.cat(stop, dim=1))

    def cost(self, prompt: np.ndarray) -> int:
        """Its pairs."""
        words = [self.records[name].word for name in (*BODIES, *self.kinds)]
        return int(np.isin(prompt, words[: len(BODIES)]).sum()) * int(np.isin(prompt, words).sum())
