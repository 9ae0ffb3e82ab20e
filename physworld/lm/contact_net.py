"""Learned rivals on the contact lines of `impulse` text: an interaction network, or one function per contact.

Nodes are the bodies that something may act on (`self` lines); edges are the lines that say what acts: contacts, joints,
pulls and air, from the partner to the body. Geometry, own frames and who touches whom are in the text, found by hand;
the answer is in each body's own frame, as the text has it. With `passes=0` each line is read with its body alone and
the results are added up: a per-contact MLP.

Shape suffixes: B batch, L tokens, N bodies, Q lines that act, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.line_net import LineNet, Stated
from physworld.lm.message_passing import Decoder, MessagePassing, mlp
from physworld.lm.number_features import number_features
from physworld.lm.scene_pairs import Record, lines
from physworld.types import Vocabulary

OWN = ["nx", "ny", "hand", "vn", "vt", "vs", "gn", "gt"]  # numbers of a `self` line
FRAME = 3  # of them, the first ones, say where the frame points: the answer does not depend on it
MATERIAL = {"ball": 4, "box": 5}  # of a body's numbers, the last ones: sizes, mass, friction, restitution
ACTING = ("link", "tie", "hold", "coil", "drive", "touch", "touch2", "pull", "air")


class ContactLines(LineNet):
    """What networks share that read the contact lines of impulse text."""

    SCALES = (20.0, 20.0, 20.0, 5.0)  # px/s; gyration speed for spin
    words: nn.ParameterDict
    readers: nn.ModuleDict

    @classmethod
    def contacts_of(
        cls, vocabulary: Vocabulary, model: str, needed: Sequence[str], extra: Sequence[str] = (), median: object = True
    ) -> dict[str, Any]:
        """What a constructor takes of a vocabulary.

        Args:
            model: its option, for what is said of a codec that does not fit.
            needed, extra: words whose lines it reads, and those that it reads where the codec has them.
            median: the switch as it was given.

        Raises:
            ValueError: the switch is no truth value, or the codec has no lines of contacts.
        """
        if not isinstance(median, bool):
            raise ValueError(f"median={median} must be true or false")
        word = {name: place for place, name in enumerate(vocabulary.words)}
        if "self" not in word:
            raise ValueError(f"model={model} needs codec=impulse or codec=islands: no other text says contacts")
        names = [*needed, *(name for name in extra if name in word)]
        records = {name: [word[name], *vocabulary.records[word[name]]] for name in names}
        return {**cls.shape_of(vocabulary), "records": records}

    def make_readers(self, known: Mapping[str, int], width: int) -> None:
        """For each word its own vector of `width`, and a linear map of its lines' numbers, so many for each."""
        features = number_features(torch.zeros(1)).shape[-1]
        self.words = nn.ParameterDict({name: nn.Parameter(torch.randn(width) * 0.5) for name in known})
        self.readers = nn.ModuleDict({name: nn.Linear(features * count, width) for name, count in known.items()})

    def read(self, name: str, numbers: Tensor) -> Tensor:
        """(S, D) vectors of lines."""
        return self.words[name] + self.readers[name](number_features(numbers).to(self.words[name].dtype).flatten(1))


class ContactNet(ContactLines):
    """Reads impulse text and says what happens to each body that something may act on."""

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
        records: dict[str, list[int]],
        width: int = 64,
        hidden: int = 128,
        passes: int = 3,
        median: bool = True,
    ) -> None:
        """
        Args:
            records: word -> [its id, names and numbers that follow].
            hidden: width of the functions of nodes and edges.
            passes: how often messages are passed between bodies; 0: each line that acts is read by itself.
            median: numbers are chosen as the median of their distribution; False: the likeliest token.
        """
        super().__init__(
            num_words=num_words, num_values=num_values, num_outputs=num_outputs, ordered_from=ordered_from, pad=pad,
            prompt_end=prompt_end, names=names, special=special, median=median,
        )  # fmt: skip
        if passes < 0:
            raise ValueError(f"passes={passes} must be 0 or more")
        self.records = {
            name: Record(word, count, tuple(map(str, range(numbers))))
            for name, (word, count, numbers) in records.items()
        }
        known = {**MATERIAL, "self": len(OWN) - FRAME, **{name: records[name][2] for name in ACTING}}
        self.make_readers(known, width)
        self.of_node, self.of_edge = mlp(width, hidden, width), mlp(width, hidden, width)
        self.blocks = MessagePassing(width, hidden, passes)
        self.decode = Decoder(width, hidden, self.SCALES)

    @classmethod
    def for_vocabulary(cls, vocabulary: Vocabulary, **sizes: int | float) -> ContactNet:
        """A new network for a codec's tokens; see `contacts_of`."""
        taken = cls.contacts_of(
            vocabulary, "contacts or contact_mlp", (*MATERIAL, "self", *ACTING), median=sizes.get("median", True)
        )
        return cls(**taken, **sizes).with_values(vocabulary)  # type: ignore[arg-type]

    def stated(self, ids_BL: Tensor) -> Stated:
        inside_BL = (ids_BL == self.prompt_end).cumsum(dim=1) == 0
        values = self.values.to(self.words["self"].dtype)
        found = {
            name: lines(ids_BL, inside_BL, record, values, self.num_words) for name, record in self.records.items()
        }
        own = found["self"]
        row, at, name = own.row, own.at, own.name[:, 0]
        N = len(row)
        # which node a name is, N = none: `fixed`, or a body that nothing acts on
        index = torch.full((len(ids_BL), self.num_words), N, device=ids_BL.device)
        index[row, name] = torch.arange(N, device=ids_BL.device)
        x_ND = self.read("self", own.own[:, FRAME:])
        for kind, count in MATERIAL.items():
            some = found[kind]
            where = index[some.row, some.name[:, 0]]
            listed = where < N
            x_ND = x_ND.index_add(0, where[listed], self.read(kind, some.own[listed, -count:]))
        x_ND = x_ND + self.of_node(x_ND)
        edges, receiver, sender = [], [], []
        for kind in ACTING:
            some = found[kind]
            if len(some.row):
                edges.append(self.read(kind, some.own))
                receiver.append(index[some.row, some.name[:, 0]])
                sender.append(index[some.row, some.name[:, 1].clamp(min=0)].masked_fill(some.name[:, 1] < 0, N))
        e_QD = torch.cat([x_ND.new_zeros(0, x_ND.shape[1]), *edges])
        none = at.new_zeros(0)
        # the last node stands for what does not move
        e_QD = e_QD + self.of_edge(e_QD)
        x_ND = self.blocks(F.pad(x_ND, (0, 0, 0, 1)), e_QD, torch.cat([none, *receiver]), torch.cat([none, *sender]))
        said, judged = self.decode(x_ND[:N])
        _, _, _, vn, vt, vs, gn, gt = own.own.unbind(dim=1)
        stop = torch.stack([-vn - gn, -vt - gt, -vs, torch.zeros_like(vs)], dim=1)
        return Stated(row, name, said, judged, stop)
