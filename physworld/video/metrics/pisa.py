"""How far a generated path is from the simulator's: centroid distance, Chamfer distance and overlap of masks.

The three trajectory scores of PISA (arXiv 2503.09595); lengths are in ball diameters here, so that they mean the same
at every picture size.
"""

from __future__ import annotations

import numpy as np


def centroid_error(predicted: np.ndarray, truth: np.ndarray, diameter: float) -> float:
    """Mean distance of centres (T, 2), in diameters; frames where either is NaN are left out."""
    distance = np.linalg.norm(predicted - truth, axis=-1)
    return float(np.nanmean(distance) / diameter) if np.isfinite(distance).any() else float("nan")


def overlap(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean over frames of intersection over union of masks (T, H, W) bool."""
    both, either = (predicted & truth).sum((1, 2)), (predicted | truth).sum((1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def chamfer(predicted: np.ndarray, truth: np.ndarray, diameter: float) -> float:
    """Mean over frames of the symmetric mean distance to the nearest mask pixel, in diameters.

    A frame in which only one mask is empty counts as the picture's diagonal.
    """
    scores = []
    for a, b in zip(predicted, truth, strict=True):
        p, q = np.argwhere(a), np.argwhere(b)
        if not len(p) or not len(q):
            scores.append(0.0 if len(p) == len(q) else float(np.hypot(*a.shape)))
            continue
        distance = np.linalg.norm(p[:, None] - q[None], axis=-1)
        scores.append(float(distance.min(1).mean() + distance.min(0).mean()) / 2)
    return float(np.mean(scores)) / diameter
