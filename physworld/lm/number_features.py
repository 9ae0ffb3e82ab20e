"""Features of a number's value, so that 16.4 and 16.5 are neighbours before training starts."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def number_features(values: Tensor) -> Tensor:
    """(..., F) features of numbers: clipped ramps at eleven scales, the value itself, sines of the signed logarithm."""
    v = values.double()
    scales = torch.tensor([0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000], dtype=torch.float64, device=v.device)
    ramps = torch.tanh(v[..., None] / scales)
    log = torch.sign(v) * torch.log1p(v.abs() / 0.01) / math.log1p(1e6)  # 0.01 .. 9999 -> about -1 .. 1
    waves = log[..., None] * math.pi * 2.0 ** torch.arange(8, dtype=torch.float64, device=v.device)
    plain = torch.stack([v.clamp(-2, 2), v / 300, v == 0, v > 0, log], dim=-1)
    return torch.cat([ramps, plain, waves.sin(), waves.cos()], dim=-1).float()


def grid_features(count: int, device: torch.device | None = None) -> Tensor:
    """(count, 24) sines of the place in an ordered output grid, fine enough to tell neighbours apart."""
    place = torch.linspace(-1, 1, count, dtype=torch.float64, device=device) if count > 1 else torch.zeros(count)
    waves = place[:, None] * math.pi * 2.0 ** torch.arange(12, dtype=torch.float64, device=device)
    return torch.cat([waves.sin(), waves.cos()], dim=-1).float()
