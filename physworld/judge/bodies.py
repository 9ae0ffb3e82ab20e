"""Where a frame differs from the empty scene: blobs with a sub-pixel centre, whatever the body's colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from physworld.judge.plate import Plate

FAINT, PLAIN = 9.0, 16.0  # grey levels: where a body may be seen, and what it must reach somewhere
LEAST = 12  # px, area of a blob
SHADE = (0.28, 0.97)  # how much of the scene's light a shadow leaves
TINT = 0.09  # by how much that may differ between red, green and blue
LEVEL = 5.0  # grey levels: or all three change by the same, as codecs leave a faint change without its colour


@dataclass(frozen=True, kw_only=True, eq=False)
class Blob:
    """One connected difference in one frame."""

    center: np.ndarray  # (2,) px: column, row; pixel centres are at half numbers
    area: float  # px²
    box: tuple[int, int, int, int]  # top, left, bottom, right
    colour: np.ndarray  # (3,) 0-255, mean
    edge: bool  # it touches the border of the picture
    shade: float = 0.0  # px² of shadow around it, over its area

    @property
    def diameter(self) -> float:
        """px, of the disc of the same area"""
        return 2 * float(np.sqrt(self.area / np.pi))


def find_bodies(frames: np.ndarray, plate: Plate) -> list[list[Blob]]:
    """Blobs of every frame of uint8 (T, H, W, 3), largest first.

    A shadow is the scene times one factor. Where most frames show something else as well, shadows are left out; where
    they do not, grey bodies are no shadows. One frame is in memory at a time.
    """
    faint, plain = max(FAINT, 2.0 * plate.noise), max(PLAIN, 3.2 * plate.noise)
    empty = np.ascontiguousarray(plate.empty.transpose(2, 0, 1))
    smooth = _smooth(empty.copy())
    found, shown, shaded = [], 0, False
    for frame in frames:
        apart = _apart(frame, empty)
        difference = _length(apart)
        shadow, light = _shadows(apart, difference, smooth, faint)
        shown += bool((difference > plain).any())
        shaded |= bool(shadow.any())
        found.append(_beside_shadows(_blobs(frame, np.where(shadow, 0.0, difference), faint, plain), shadow | light))
    if shaded and sum(map(bool, found)) < 0.6 * shown:
        return [_blobs(frame, _length(_apart(frame, empty)), faint, plain) for frame in frames]
    return found


def _beside_shadows(blobs: list[Blob], shadow: np.ndarray) -> list[Blob]:
    """With how much shadow is around each; without the slivers of a shadow that falls on an edge of what lies below."""
    kept = []
    for blob in blobs:
        top, left, bottom, right = blob.box
        around = int(shadow[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2].sum())
        blob = replace(blob, shade=around / blob.area)
        if blob.area > 0.5 * blobs[0].area or around < max(0.5 * blob.area, 6):
            kept.append(blob)
    return kept


def _apart(frame: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """float32 (3, H, W): a frame (H, W, 3) less the plate (3, H, W), after a 3 x 3 mean."""
    apart = np.empty(empty.shape, np.float32)
    np.subtract(frame.transpose(2, 0, 1), empty, out=apart)
    return _smooth(apart)


def _length(apart: np.ndarray) -> np.ndarray:
    """float32 (H, W): root mean square over the colours of (3, H, W)."""
    squares = apart[0] * apart[0]
    squares += apart[1] * apart[1]
    squares += apart[2] * apart[2]
    squares /= np.float32(3)
    return np.sqrt(squares, out=squares)


def _shadows(
    apart: np.ndarray, difference: np.ndarray, empty: np.ndarray, faint: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where (H, W) a frame looks like the plate in shadow, and where like one that left.

    Args:
        apart, empty: (3, H, W), both after the 3 x 3 mean.
    """
    shadow, light = np.zeros(difference.shape, bool), np.zeros(difference.shape, bool)
    rows, columns = np.nonzero(difference > faint)
    if len(rows):
        before, change = empty[:, rows, columns], apart[:, rows, columns]
        ratio = (before + change + 2) / (before + 2)
        most, least = ratio.max(0), ratio.min(0)
        alike = (most - least < TINT * np.maximum(most, 1)) | (change.max(0) - change.min(0) < LEVEL)
        tint = alike & (before.max(0) > 20)
        shadow[rows, columns] = tint & (most < SHADE[1]) & (least > SHADE[0])
        light[rows, columns] = tint & (least > 1 / SHADE[1]) & (most < 1 / SHADE[0])
    return shadow, light


def _smooth(p: np.ndarray) -> np.ndarray:
    """Mean over 3 x 3 pixels of (3, H, W), in place; the border repeats itself."""
    out = p * np.float32(1 / 9)
    sums = out.copy()
    sums[:, 1:] += out[:, :-1]
    sums[:, :-1] += out[:, 1:]
    sums[:, 0] += out[:, 0]
    sums[:, -1] += out[:, -1]
    np.copyto(p, sums)
    p[:, :, 1:] += sums[:, :, :-1]
    p[:, :, :-1] += sums[:, :, 1:]
    p[:, :, 0] += sums[:, :, 0]
    p[:, :, -1] += sums[:, :, -1]
    return p


def _blobs(frame: np.ndarray, difference: np.ndarray, faint: float, plain: float) -> list[Blob]:
    if not (difference > plain).any():
        return []
    mask = difference > faint
    height, width = mask.shape
    used, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = (slice(used[0], used[-1] + 1), slice(across[0], across[-1] + 1))
    labels = np.zeros(mask.shape, np.int32)
    count = ndimage.label(mask[window], structure=np.ones((3, 3)), output=labels[window])
    found = []
    for number, place in enumerate(ndimage.find_objects(labels, count), 1):
        own = labels[place] == number
        if own.sum() < LEAST or difference[place][own].max() < plain:
            continue
        top, left = max(0, place[0].start - 1), max(0, place[1].start - 1)
        bottom, right = min(height, place[0].stop + 1), min(width, place[1].stop + 1)
        box = (slice(top, bottom), slice(left, right))
        near = ndimage.binary_dilation(labels[box] == number)
        values = np.where(near, difference[box], 0.0)
        contrast = float(np.percentile(values[labels[box] == number], 75))
        # Nearly all of a body counts as body, so that light and shade do not pull its centre; a rim counts by share.
        low, high = faint * 0.7, max(plain, 0.6 * contrast)
        matte = np.clip((values - low) / (high - low), 0, 1)
        filled = ndimage.binary_fill_holes(matte > 0.5)
        matte = np.where(filled, np.maximum(matte, 0.999), matte)
        mass = float(matte.sum())
        half = np.clip(values / max(contrast, 1e-6), 0, 1) > 0.5
        area = float((ndimage.binary_fill_holes(half)).sum())
        if mass < LEAST or area < LEAST:
            continue
        rows, columns = np.arange(top, bottom) + 0.5, np.arange(left, right) + 0.5
        center = np.array([matte.sum(0) @ columns / mass, matte.sum(1) @ rows / mass])
        colour = frame[box][filled].mean(0) if filled.any() else frame[box].mean((0, 1))
        edge = top == 0 or left == 0 or bottom == height or right == width
        found.append(
            Blob(center=center, area=area, box=(top, left, bottom, right), colour=np.asarray(colour, float), edge=edge)
        )
    return sorted(found, key=lambda blob: -blob.area)
