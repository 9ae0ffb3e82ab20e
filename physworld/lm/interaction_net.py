"""An interaction network on plain text: the graph network that simulators are learned with, on the same states.

Nodes are bodies, walls, pegs, fields, winds and joints; every body has an edge from every other body and from all
that may act on it, however far away (scene_pairs.py). Places and velocities are read along the world's axes, as offsets
and differences between the two ends, each on several scales; the decoder says the change along the world's axes. No
frame, no gap and no symmetry but that of translation and Galilei is built in: what PairNet is compared with.

Shape suffixes as in scene_pairs.py; D width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from physworld.lm.line_net import LineNet, Stated
from physworld.lm.message_passing import Decoder, MessagePassing, mlp
from physworld.lm.number_features import number_features
from physworld.lm.scene_pairs import (
    ACTING,
    BODIES,
    EVERYWHERE,
    PLACED,
    Bodies,
    Pairs,
    Record,
    by_body,
    dot,
    left,
    lines,
    pairs,
    table_of,
)
from physworld.types import Vocabulary

LENGTHS = (0.5, 3.0, 20.0, 150.0)  # px, over which a feature rises
SPEEDS = (5.0, 100.0, 500.0)  # px/s
POSE, MOVING = 9, 6  # lengths and speeds of an edge
AXES = 6  # cosines and sines of both ends' axes, relative mass, logarithm of the distance


class InteractionNet(LineNet):
    """Reads scenes as plain text and says what happens to each body, by message passing."""

    SCALES = (20.0, 20.0, 1.0, 5.0, 5.0)  # px/s, px/s, rad/s, px/s, px/s

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
        hidden: int = 128,
        passes: int = 3,
        ahead: bool = True,
        median: bool = True,
    ) -> None:
        """
        Args:
            records: word -> [its id, names that follow, what the numbers behind them are called].
            hidden: width of the functions of nodes and edges.
            passes: how often messages are passed.
            ahead: places are those where the step will put things, p + v·dt, instead of where they are.
            median: numbers are chosen as the median of their distribution; False: the likeliest token.
        """
        super().__init__(
            num_words=num_words, num_values=num_values, num_outputs=num_outputs, ordered_from=ordered_from, pad=pad,
            prompt_end=prompt_end, names=names, special=special, median=median,
        )  # fmt: skip
        if passes < 1:
            raise ValueError(f"passes={passes} must be 1 or more")
        self.ahead = ahead
        self.records = {name: Record(word, count, tuple(columns)) for name, (word, count, columns) in records.items()}
        self.kinds = [name for name in ACTING if name in records]
        numbers = number_features(torch.zeros(1)).shape[-1]
        self.words = nn.ParameterDict({name: nn.Parameter(torch.randn(width) * 0.5) for name in records})
        self.readers = nn.ModuleDict(
            {
                name: nn.Linear(numbers * count, width)
                for name, record in self.records.items()
                if (count := sum(column not in PLACED for column in record.columns))
            }
        )
        self.of_edge = mlp(POSE * len(LENGTHS) + MOVING * len(SPEEDS) + AXES, hidden, width)
        self.of_node = mlp(width + 3 * len(SPEEDS) + 2 + 2 * len(SPEEDS), hidden, width)
        self.blocks = MessagePassing(width, hidden, passes)
        self.decode = Decoder(width, hidden, self.SCALES)

    @classmethod
    def for_vocabulary(cls, vocabulary: Vocabulary, **sizes: int | float) -> InteractionNet:
        """A new network for a codec's tokens.

        Raises:
            ValueError: a switch is no truth value, or the codec does not say what its numbers are.
        """
        for name in ("ahead", "median"):
            if not isinstance(sizes.get(name, True), bool):
                raise ValueError(f"{name}={sizes[name]} must be true or false")
        if not vocabulary.columns:
            raise ValueError("model=interaction reads codec=plain alone: other texts do not say what their numbers are")
        network = cls(
            **cls.shape_of(vocabulary),
            records=cls.records_of(vocabulary),
            **sizes,  # type: ignore[arg-type]
        )
        return network.with_values(vocabulary)

    def stated(self, ids_BL: Tensor) -> Stated:
        inside_BL = (ids_BL == self.prompt_end).cumsum(dim=1) == 0
        values = self.values.to(self.words["world"].dtype)
        found = {
            name: lines(ids_BL, inside_BL, record, values, self.num_words) for name, record in self.records.items()
        }
        bodies, order = by_body(found, len(ids_BL), self.ahead)
        read = {name: self._read(name, part.own) for name, part in found.items()}
        everywhere = next(iter(read.values())).new_zeros(len(ids_BL), read["world"].shape[1])
        for name in EVERYWHERE:
            everywhere = everywhere.index_add(0, found[name].row, read[name])
        own = torch.cat([read[name] for name in BODIES])[order] + everywhere[bodies.row]
        moving = torch.cat([bodies.velocity, (bodies.spin * bodies.gyration)[:, None]], dim=1)
        state = [*(torch.tanh(moving / scale) for scale in SPEEDS), bodies.axis]
        state += [torch.tanh(bodies.pull / scale) for scale in SPEEDS]
        own = own + self.of_node(torch.cat([own, *state], dim=1))
        x_ND = torch.cat([own, *(read[kind] for kind in self.kinds)])
        some = pairs(bodies, found, self.kinds, self.num_words)
        x_ND = self.blocks(x_ND, self.of_edge(edge_features(bodies, some)), some.body, some.other)
        said, judged = self.decode(x_ND[: len(bodies.row)])
        stop = [-bodies.velocity - bodies.pull, -bodies.spin[:, None], torch.zeros_like(bodies.velocity)]
        return Stated(bodies.row, bodies.name, said, judged, torch.cat(stop, dim=1))

    def cost(self, prompt: np.ndarray) -> int:
        """Its edges."""
        words = [self.records[name].word for name in (*BODIES, *self.kinds)]
        return int(np.isin(prompt, words[: len(BODIES)]).sum()) * int(np.isin(prompt, words).sum())

    def _read(self, name: str, own: Tensor) -> Tensor:
        """(S, D) vectors of lines."""
        word = self.words[name].expand(len(own), -1)
        if name not in self.readers:
            return word
        return word + self.readers[name](number_features(own).to(word.dtype).flatten(1))


def edge_features(bodies: Bodies, some: Pairs) -> Tensor:
    """(Q, features) of each pair along the world's axes: offset, distance, sizes, arms; velocity of the one against the
    other, spins; axes and masses."""
    offset = some.pose[:, :1] * some.frame[:, 0]
    lengths = torch.cat([some.pose[:, :1], offset, some.arm, some.pose[:, 5:]], dim=1)
    v, w = table_of(bodies.velocity), table_of(bodies.spin)
    slip = v[some.body] + w[some.body, None] * left(some.arm)
    slip = slip - v[some.mover] - w[some.mover, None] * left(some.other_arm) - some.drift
    spins = torch.stack(
        [w[some.body] * bodies.gyration[some.body], (w[some.mover] + some.whirl) * some.gyration], dim=1
    )
    closing = dot(slip, some.frame[:, 0])[:, None]
    speeds = torch.cat([slip, closing, dot(slip, left(some.frame[:, 0]))[:, None], spins], dim=1)
    axes = torch.cat([some.frame[:, 1], some.frame[:, 2], some.angle[:, 4:], torch.log1p(some.pose[:, :1] / 10)], dim=1)
    return torch.cat(
        [
            *(torch.tanh(lengths / scale) for scale in LENGTHS),
            *(torch.tanh(speeds / scale) for scale in SPEEDS),
            axes,
        ],
        dim=1,
    )
