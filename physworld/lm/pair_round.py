"""One round of `pair_net.PairNet`: every body attends to what is around it, and changes its velocity accordingly.

Shape suffixes as in scene_pairs.py; D width, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.scene_pairs import Bodies, Pairs, dot, left, table_of

FRAMES, POSE, ANGLE = 3, 9, 5
VALUES = 7  # of a frame: relative velocity now (2) and before the step (2), both spins, and a constant
LENGTHS = (0.5, 3.0, 20.0, 150.0)  # px, over which a feature of the pair rises
REACH = 200.0  # px; what is further away stands there
SPEEDS = (5.0, 100.0)  # px/s
UNIT = 10.0  # px/s, the constant
FEATURES = 64


class Speeds(NamedTuple):
    """What a round changes."""

    velocity: Tensor  # (N, 2) px/s
    spin: Tensor  # (N,) rad/s
    push: Tensor  # (N, 2) px/s


def gap_features(features: int) -> Tensor:
    """(features, POSE) weights: half of them a distance, or an offset along an axis, less some of the sizes."""
    drawn = torch.Generator().manual_seed(0)
    weights = torch.randn(features, POSE, generator=drawn) * 0.4
    half = features // 2
    weights[:half] = 0.0
    which = torch.arange(half) % 5
    weights[torch.arange(half), which] = 1.0
    weights[:half, 5:] = -(torch.rand(half, 4, generator=drawn) < 0.5).float()
    return weights


class Round(nn.Module):
    """Attention over pairs, whose scores are q·k plus a function of the pair.

    They do not compete (a sigmoid instead of a softmax, arXiv 2409.04431): what acts adds up, two floors hold twice as
    much as one. A ReLU would give exactly nothing to what does not touch, but dies: in half of the runs all of them
    ended at zero.
    """

    def __init__(self, width: int, inner: int, heads: int, *, pair_bias: bool, own_axes: bool, gap_start: bool) -> None:
        super().__init__()
        self.heads, self.pair_bias, self.own_axes = heads, pair_bias, own_axes
        self.pose = nn.Parameter(gap_features(FEATURES) if gap_start else torch.randn(FEATURES, POSE) * 0.4)
        self.at = nn.Parameter(torch.randn(FEATURES) * 3.0)
        moving = FRAMES * 4 * len(SPEEDS) + 2 * FRAMES
        seen = FEATURES * len(LENGTHS) + ANGLE + 6 + moving
        self.qk = nn.Linear(width, 2 * width, bias=False)
        self.of_body, self.of_other = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.of_pair = nn.Linear(seen, inner)
        self.deeper = nn.Linear(inner, inner)
        self.says = nn.Linear(inner, heads + width + FRAMES * (3 * VALUES + 2 * 3))
        self.up, self.down = nn.Linear(2 * width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        nn.init.zeros_(self.down.weight)
        with torch.no_grad():
            self.says.bias.zero_()
            self.says.weight[heads + width :] = 0.0  # at first nobody is moved

    def forward(
        self, x_ND: Tensor, others_OD: Tensor, bodies: Bodies, pairs: Pairs, speeds: Speeds
    ) -> tuple[Tensor, Speeds]:
        N, D = x_ND.shape
        Q = len(pairs.body)
        frame, hand, pose, angle = pairs.frame, pairs.hand, pairs.pose, pairs.angle
        if not self.own_axes:
            offset = pose[:, :1] * frame[:, 0]
            pose = torch.cat([pose[:, :1], offset, torch.zeros_like(offset), pose[:, 5:]], dim=1)
            angle = torch.cat([frame[:, 1], frame[:, 2], angle[:, 4:]], dim=1)
            frame = torch.eye(2, device=x_ND.device, dtype=x_ND.dtype)[[0, 1, 0]].expand(Q, -1, -1)
            hand = torch.ones_like(hand)
        second = left(frame) * hand[:, :, None]
        # what moves: (Q, F, VALUES)
        now = self._relative(pairs, speeds.velocity, speeds.spin)
        before = self._relative(pairs, bodies.velocity, bodies.spin)
        spin = table_of(speeds.spin)
        own_spin = spin[pairs.body] * bodies.gyration[pairs.body]
        other_spin = (spin[pairs.mover] + pairs.whirl) * pairs.gyration
        spins = torch.stack([own_spin, other_spin], dim=1)[:, None] * hand[:, :, None]
        along = [dot(v[:, None], axis) for v in (now, before) for axis in (frame, second)]
        constant = torch.full_like(hand, UNIT)
        values = torch.cat([torch.stack(along, dim=2), spins, constant[:, :, None]], dim=2)
        seen = [
            self._pose(pose) if self.pair_bias else pose.new_zeros(Q, FEATURES * len(LENGTHS) + 6),
            angle * self.pair_bias,
            *(torch.tanh(values[:, :, :4].flatten(1) / scale) * self.pair_bias for scale in SPEEDS),
            torch.tanh(spins.flatten(1) / SPEEDS[0]) * self.pair_bias,
        ]
        y_ND = F.rms_norm(torch.cat([x_ND, others_OD]), (D,))
        h = self.of_pair(torch.cat(seen, dim=1))
        h = h + self.of_body(y_ND[:N])[pairs.body] + self.of_other(y_ND)[pairs.other]
        h = F.relu(h)
        h = h + F.relu(self.deeper(h))
        said = self.says(h)
        q, k = self.qk(y_ND).view(-1, 2, self.heads, D // self.heads).unbind(dim=1)
        score = dot(q[pairs.body], k[pairs.other]) * (D // self.heads) ** -0.5
        weight = torch.sigmoid(score + said[:, : self.heads])
        message = (said[:, self.heads : self.heads + D].view(Q, self.heads, -1) * weight[:, :, None]).flatten(1)
        taken = said[:, self.heads + D :].view(Q, FRAMES, -1)
        force = (taken[:, :, : 3 * VALUES].unflatten(2, (3, VALUES)) * values[:, :, None]).sum(dim=3) * weight[
            :, :1, None
        ]
        push = (taken[:, :, 3 * VALUES :].unflatten(2, (2, 3)) * values[:, :, None, [2, 3, 6]]).sum(dim=3) * weight[
            :, 1:2, None
        ]
        axes = torch.stack([frame, second], dim=2)  # (Q, F, 2, 2)
        moved = (force[:, :, :2, None] * axes).sum(dim=(1, 2))
        pushed = (push[:, :, :, None] * axes).sum(dim=(1, 2))
        turned = (force[:, :, 2] * hand).sum(dim=1) / bodies.gyration[pairs.body]
        speeds = Speeds(
            speeds.velocity.index_add(0, pairs.body, moved),
            speeds.spin.index_add(0, pairs.body, turned),
            speeds.push.index_add(0, pairs.body, pushed),
        )
        heard = torch.zeros_like(x_ND).index_add(0, pairs.body, message)
        both = torch.cat([F.rms_norm(x_ND, (D,)), heard], dim=1)
        return x_ND + self.down(F.relu(self.up(both)).square()), speeds

    def _relative(self, pairs: Pairs, velocity: Tensor, spin: Tensor) -> Tensor:
        """(Q, 2) px/s of the body's point relative to the other's."""
        v, w = table_of(velocity), table_of(spin)
        mine = v[pairs.body] + w[pairs.body, None] * left(pairs.arm)
        return mine - v[pairs.mover] - w[pairs.mover, None] * left(pairs.other_arm) - pairs.drift

    def _pose(self, pose: Tensor) -> Tensor:
        """(Q, features) of where a pair stands: learned sums of lengths, each through ramps of several widths; and the
        logarithm of the distance, for what acts from afar."""
        sums = pose.clamp(-REACH, REACH) @ self.pose.T + self.at
        far = torch.log1p(pose[:, :1] / 10)
        waves = far * torch.tensor([1.0, 2.0], device=pose.device, dtype=pose.dtype)
        return torch.cat(
            [*(torch.tanh(sums / length) for length in LENGTHS), far, far.square() / 5, waves.sin(), waves.cos()], dim=1
        )
