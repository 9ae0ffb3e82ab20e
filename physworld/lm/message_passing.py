"""Interaction networks: vectors of nodes and edges, messages along edges, as in Battaglia et al. (arXiv 1612.00222) and
GNS (arXiv 2002.09405): encoder, message passing with residuals, decoder.

Shape suffixes: N nodes, Q edges, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.line_net import UNSURE, judged_of

FURTHEST = 8.0  # of an answer's scale, which is logarithmic out there: e^8 / 2 steps of it


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    layers = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)]
    return nn.Sequential(*layers)


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:])


class MessagePassing(nn.Module):
    """`passes` rounds in which edges read both ends, and nodes the sum of their edges.

    With none, every edge is a message to its receiver by itself: the sender is not read, and nothing travels on.
    """

    def __init__(self, width: int, hidden: int, passes: int) -> None:
        super().__init__()
        self.passes = passes
        self.edges = nn.ModuleList([mlp((3 if passes else 2) * width, hidden, width) for _ in range(max(1, passes))])
        self.nodes = nn.ModuleList([mlp(2 * width, hidden, width) for _ in range(max(1, passes))])

    def forward(self, x_ND: Tensor, e_QD: Tensor, receiver_Q: Tensor, sender_Q: Tensor) -> Tensor:
        """(N, D); `sender_Q` are numbers below N."""
        for edge, node in zip(self.edges, self.nodes, strict=True):
            y_ND = _norm(x_ND)
            ends = [y_ND[receiver_Q], y_ND[sender_Q]] if self.passes else [y_ND[receiver_Q]]
            e_QD = e_QD + edge(torch.cat([_norm(e_QD), *ends], dim=1))
            heard_ND = torch.zeros_like(x_ND).index_add(0, receiver_Q, e_QD)
            x_ND = x_ND + node(torch.cat([y_ND, heard_ND], dim=1))
        return x_ND


class Decoder(nn.Module):
    """Vectors of bodies -> numbers of their lines, and the judgement of line_net.py."""

    def __init__(self, width: int, hidden: int, scales: tuple[float, ...]) -> None:
        super().__init__()
        self.up, self.scales = mlp(width, hidden, hidden), scales
        self.last = nn.Linear(hidden, len(scales) + judged_of(len(scales)))
        with torch.no_grad():
            self.last.weight.mul_(0.1)  # at first nobody is moved much
            self.last.bias.zero_()
            self.last.bias[-2 * len(scales) :] = UNSURE

    def forward(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """(numbers (N, S), judgement (N, 2 + 3 S))."""
        out = self.last(F.relu(self.up(_norm(x_ND))))
        numbers, judged = out[:, : len(self.scales)], out[:, len(self.scales) :]
        return torch.sinh(numbers.clamp(-FURTHEST, FURTHEST)) * numbers.new_tensor(self.scales), judged
