"""One token per number. Four significant digits, at most three decimals, up to ±9999: 73,999 numbers.

A number's place in the vocabulary follows from its value by arithmetic, so writing ids needs no table, and the text
of a number is its shortest decimal form ('16.4', not '16.40').

magnitude index    0 ..  9999   0.000 .. 9.999   step 0.001
               10000 .. 18999   10.00 .. 99.99   step 0.01
               19000 .. 27999   100.0 .. 999.9   step 0.1
               28000 .. 36999   1000 .. 9999     step 1
Negative numbers follow in the same order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

MAGNITUDES = 37_000
COUNT = 2 * MAGNITUDES - 1
LARGEST = 9999.0


@njit(cache=True)
def number_index(value: float) -> int:
    """Index of the nearest number; beyond ±9999 (and for infinities) the largest, for NaN zero."""
    if math.isnan(value):
        return 0
    size = min(abs(value), LARGEST)
    # The range first, then one multiplication and one rounding: compiled code does several numbers at once.
    scale, first = 1000.0, 0
    if size >= 9.9995:
        scale, first = 100.0, 9000
    if size >= 99.995:
        scale, first = 10.0, 18000
    if size >= 999.95:
        scale, first = 1.0, 27000
    index = first + round(size * scale)
    if value < 0 and index > 0:
        return index + MAGNITUDES - 1
    return index


@njit(cache=True)
def number_indices(values: np.ndarray) -> np.ndarray:
    """(M,) int64: `number_index` of each of (M,) values."""
    indices = np.empty(len(values), np.int64)
    for k in range(len(values)):
        indices[k] = number_index(values[k])
    return indices


def _magnitudes() -> list[str]:
    texts = [f"{i / 1000:.3f}" for i in range(10_000)]
    texts += [f"{i / 100:.2f}" for i in range(1000, 10_000)]
    texts += [f"{i / 10:.1f}" for i in range(1000, 10_000)]
    texts = [t.rstrip("0").rstrip(".") for t in texts]
    return texts + [str(i) for i in range(1000, 10_000)]


def number_texts() -> list[str]:
    """All numbers as text, by index."""
    sizes = _magnitudes()
    return sizes + ["-" + t for t in sizes[1:]]


def number_values() -> np.ndarray:
    """(73999,) float64: the value of each index."""
    sizes = np.concatenate(
        [
            np.arange(10_000) / 1000,
            np.arange(1000, 10_000) / 100,
            np.arange(1000, 10_000) / 10,
            np.arange(1000.0, 10_000),
        ]
    )
    return np.concatenate([sizes, -sizes[1:]])


def output_grid(smallest: float = 0.05, largest: float = 4000.0, per_decade: int = 384) -> np.ndarray:
    """Indices of the numbers a model may say: 0 and ± a geometric series, ascending by value.

    384 steps a decade (0.6 % apart, rounding error <= 0.3 %) keep the rounding of one impulse below what the rounded
    start state costs a simulator; the same idea as the E-series of preferred numbers (IEC 60063), finer.
    """
    steps = math.ceil(math.log10(largest / smallest) * per_decade)
    series = smallest * (largest / smallest) ** (np.arange(steps + 1) / steps)
    positive = np.unique([number_index(v) for v in series])
    return np.concatenate([positive[::-1] + MAGNITUDES - 1, [0], positive])
