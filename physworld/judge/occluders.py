"""Posts and bars in front of the bodies: what they cut in two is one body, of which a part is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from physworld.judge.bodies import Blob

SAME = 1.5  # px by which a cut side moves from frame to frame
VARIES = 3  # px by which a cut body grows or shrinks meanwhile
PASSES = 2  # frames in which one part of a body is seen, with the other at that time or soon
SOON = 4  # frames
WIDEST = 2.0  # diameters of the largest blob: broader bands hide a body whole


@dataclass(frozen=True, kw_only=True)
class Band:
    """Columns (axis 0) or rows (axis 1) `low` to `high` in which nothing is ever seen, px."""

    axis: int
    low: float
    high: float

    def cuts(self, blob: Blob) -> int:
        """-1: it ends where the band begins; 1: it begins where the band ends; 0: neither."""
        begin, end = _span(blob, self.axis)
        return -1 if abs(end - self.low) <= SAME + 0.5 else 1 if abs(begin - self.high) <= SAME + 0.5 else 0


def _span(blob: Blob, axis: int) -> tuple[int, int]:
    top, left, bottom, right = blob.box
    return (left, right) if axis == 0 else (top, bottom)


def find_bands(blobs: Sequence[Sequence[Blob]], size: tuple[int, int]) -> list[Band]:
    """Where blobs end and others begin, frame after frame, while they grow and shrink: something stands before them.

    A body that rests has sides that stay as well, but keeps its size; one that slides along a floor keeps its height.

    Args:
        blobs: of every frame.
        size: (W, H) px.
    """
    found = []
    every = [blob for frame in blobs for blob in frame]
    if not every:
        return []
    widest = WIDEST * max(blob.diameter for blob in every)
    for axis in (0, 1):
        spans = np.array([_span(blob, axis) for blob in every], float)
        ends = _stuck(spans[:, 1], spans, size[axis])
        begins = _stuck(spans[:, 0], spans, size[axis])
        for low in ends:
            behind = [high for high in begins if 3 <= high - low <= widest]
            if behind:
                high = min(behind)
                across = (spans[:, 0] < low - SAME) & (spans[:, 1] > high + SAME)  # something is seen in it
                band = Band(axis=axis, low=low, high=high)
                if not across.any() and _passes(blobs, band) >= PASSES:
                    found.append(band)
    return found


def _stuck(side: np.ndarray, spans: np.ndarray, size: int) -> list[float]:
    """px: values of `side` (K,) that blobs of different lengths share; spans are (K, 2)."""
    found: list[float] = []
    length = spans[:, 1] - spans[:, 0]
    for value in np.unique(side):
        near = np.abs(side - value) <= SAME / 2
        if not 2 < value < size - 2 or near.sum() < 2:
            continue
        if np.ptp(length[near]) >= VARIES and not (found and value - found[-1] <= SAME):
            found.append(float(np.median(side[np.abs(side - value) <= SAME])))
    return found


def _passes(blobs: Sequence[Sequence[Blob]], band: Band) -> int:
    """Frames in which a part is seen at one side of a band, and its like at the other, then or soon."""
    ends = [[[blob for blob in frame if band.cuts(blob) == side] for frame in blobs] for side in (-1, 1)]
    return sum(
        any(
            _beside(a, b, 1 - band.axis)
            for a in one
            for others in ends[1][max(0, t - SOON) : t + SOON + 1]
            for b in others
        )
        for t, one in enumerate(ends[0])
    )


def whole_again(blobs: Sequence[Sequence[Blob]], bands: Sequence[Band]) -> list[list[Blob]]:
    """The same blobs; what a band cuts in two is one, and what it cuts counts as cut off by the picture's border."""
    return [_frame(list(frame), bands) for frame in blobs]


def _frame(blobs: list[Blob], bands: Sequence[Band]) -> list[Blob]:
    for band in bands:
        side: dict[int, list[Blob]] = {-1: [], 0: [], 1: []}
        for blob in blobs:
            side[band.cuts(blob)].append(blob)
        blobs = side[0]
        for one in side[-1]:
            other = next((b for b in side[1] if _beside(one, b, 1 - band.axis)), None)
            if other is None:
                blobs.append(replace(one, edge=True))
            else:
                side[1].remove(other)
                blobs.append(_both(one, other))
        blobs += [replace(blob, edge=True) for blob in side[1]]
    return sorted(blobs, key=lambda blob: -blob.area)


def _beside(a: Blob, b: Blob, axis: int) -> bool:
    """Whether they overlap along an axis, and look alike."""
    (p, q), (r, s) = _span(a, axis), _span(b, axis)
    return min(q, s) - max(p, r) > 0.3 * min(q - p, s - r) and float(np.abs(a.colour - b.colour).mean()) < 40


def _both(a: Blob, b: Blob) -> Blob:
    boxes = np.array([a.box, b.box])
    top, left = boxes[:, :2].min(0)
    bottom, right = boxes[:, 2:].max(0)
    area = a.area + b.area
    return Blob(
        center=np.array([(left + right) / 2, (top + bottom) / 2]), area=area,
        box=(int(top), int(left), int(bottom), int(right)), colour=(a.colour * a.area + b.colour * b.area) / area,
        edge=True, shade=max(a.shade, b.shade),
    )  # fmt: skip
