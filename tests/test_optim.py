"""Muon: the precision that suits the machine, and PyTorch's own steps but for its rounding."""

from __future__ import annotations

import copy

import torch

from physworld.optim import Muon, MuonAdamW, orthogonal
from physworld.training.resuming import moved


def test_muon_in_float32_is_pytorchs_but_for_rounding() -> None:
    """Its steps are the same with bfloat16, to bits; in float32 they differ by what bfloat16 rounds."""
    drawn = torch.Generator().manual_seed(0)
    shapes = [(12, 4), (4, 12), (8, 8)]
    start, grads = ([torch.randn(shape, generator=drawn) for shape in shapes] for _ in range(2))
    found = {}
    for name in ("theirs", "bfloat16", "float32"):
        weights = [torch.nn.Parameter(weight.clone()) for weight in start]
        kind = torch.optim.Muon if name == "theirs" else Muon
        optimizer = kind(weights, lr=0.1, weight_decay=0.1, momentum=0.9)
        if name != "theirs":
            assert optimizer.param_groups[0]["precision"] == "float32"  # of a CPU
            optimizer.param_groups[0]["precision"] = name
        for _ in range(3):
            for weight, grad in zip(weights, grads, strict=True):
                weight.grad = grad
            optimizer.step()
        found[name] = weights
    assert all(torch.equal(a, b) for a, b in zip(found["theirs"], found["bfloat16"], strict=True))
    for a, b, first in zip(found["theirs"], found["float32"], start, strict=True):
        assert 0 < (a - b).norm() < 0.05 * (a - first).norm()


def test_orthogonal_keeps_singular_vectors() -> None:
    matrix = torch.randn(6, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonal(matrix, (3.4445, -4.7750, 2.0315), 5) @ vh.T
    torch.testing.assert_close(found, torch.diag(found.diag()), rtol=0, atol=1e-12)
    assert bool(((found.diag() > 0.6) & (found.diag() < 1.3)).all())


def test_a_state_of_an_earlier_version_goes_on_in_bfloat16_and_says_so() -> None:
    weights = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    optimizer, resumed = (MuonAdamW(weights[:1], weights[1:], lr=0.1, adam_lr=0.1, weight_decay=0.0) for _ in range(2))
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    del state["param_groups"][0]["precision"]
    resumed.load_state_dict(state)
    was, now = resumed.param_groups, optimizer.param_groups
    assert was[0]["precision"] == "bfloat16"
    assert "Muon orthogonalised in bfloat16 until this checkpoint and does so in float32" in moved(was, now)
    assert moved(now, now) == ""
    resumed.step()
