"""Figures added up over batches and ranks, as torchmetrics' Metric: the sums of all ranks meet in `compute`.

`Means` keeps sums and counts, for losses and accuracies. `Samples` keeps every sample's figures, for what is no plain
mean: medians, intervals, ratios. What is measured is a pure function elsewhere; these only gather it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Means(Metric):
    """Means of named figures, every sample weighing the same, in whatever batch and on whatever rank it was."""

    full_state_update = False
    total: Tensor  # (K,) float64
    count: Tensor  # (K,) float64

    def __init__(self, *names: str, **options: Any) -> None:
        """options: of torchmetrics' Metric, such as `sync_on_compute=False`: each rank by itself."""
        super().__init__(**options)
        self.names = names
        for state in ("total", "count"):
            self.add_state(state, torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, rows: int = 1, **figures: Tensor) -> None:
        """Add a batch.

        Args:
            rows: how many samples a figure of shape () is the mean of.
            figures: of shape (samples,), or (); those that are not named count nothing.
        """
        unknown = sorted(set(figures) - set(self.names))
        if unknown:
            raise ValueError(f"{unknown[0]} is not among the figures {', '.join(self.names)}")
        totals, counts = [], []
        for name in self.names:
            values = figures.get(name)
            many = 0 if values is None else values.numel() if values.ndim else rows
            counts.append(many)
            if values is None:
                totals.append(self.total.new_zeros(()))
            else:
                values = values.detach()
                totals.append(values.sum().double() if values.ndim else values.double() * rows)
        self.total = self.total + torch.stack([value.to(self.total.device) for value in totals])
        self.count = self.count + torch.tensor(counts, dtype=torch.float64, device=self.count.device)

    def alone(self, rows: int = 1, *, over_ranks: bool = False, **figures: Tensor) -> dict[str, Tensor]:
        """The means of one batch and nothing before it. (`forward` says the same, but copies what nobody reads.)

        Args:
            over_ranks: of the batches of all ranks; for a metric that was made with `sync_on_compute=False`.
        """
        self.reset()
        self.update(rows, **figures)
        if over_ranks:
            self.sync()
        found: dict[str, Tensor] = self.compute()
        return found

    def compute(self) -> dict[str, Tensor]:
        """Name -> mean (); without those that nothing was added to."""
        counts = self.count.tolist()
        means = (self.total / self.count).float()
        return {name: means[place] for place, name in enumerate(self.names) if counts[place]}


def _kept(value: float | None) -> float:
    if value is None:
        return np.nan
    return np.inf if np.isnan(value) else float(value)


class Samples(Metric):
    """Figures of single samples, each under its number; a number that comes twice, also on two ranks, counts once."""

    full_state_update = False
    rows: list[Tensor]  # (n, 1 + K) float64: number, figures

    def __init__(self, *columns: str, **options: Any) -> None:
        """options: of torchmetrics' Metric, such as `sync_on_compute=False`: each rank by itself."""
        super().__init__(**options)
        self.columns = columns
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, numbers: Sequence[int], figures: Sequence[Mapping[str, float | None]]) -> None:
        """Add samples; a rank that has none still calls this, with empty lists.

        Args:
            numbers: of the samples, the same whatever the batch and the rank.
            figures: one mapping per number, with every column; None = does not apply, and NaN is kept as infinity: what
                went wrong must not pass for what does not apply.
        """
        table = [
            [float(number), *(_kept(some[name]) for name in self.columns)]
            for number, some in zip(numbers, figures, strict=True)
        ]
        width = 1 + len(self.columns)
        self.rows.append(torch.tensor(table, dtype=torch.float64, device=self.device).reshape(-1, width))

    def gathered(self) -> dict[str, np.ndarray]:
        """`number` and every column, (n,) float64 in the order of the numbers; NaN where a figure does not apply."""
        table = dim_zero_cat(self.rows).cpu().numpy()
        _, first = np.unique(table[:, 0], return_index=True)
        return {name: table[first, place] for place, name in enumerate(("number", *self.columns))}

    def compute(self) -> dict[str, np.ndarray]:
        return self.gathered()
