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
    they do not, grey bodies are no shadows.
    """
    difference, shadow, light = _difference(frames, plate)
    faint, plain = max(FAINT, 2.0 * plate.noise), max(PLAIN, 3.2 * plate.noise)
    lit = np.where(shadow, 0.0, difference)
    found = [_beside_shadows(_blobs(frames[t], lit[t], faint, plain), shadow[t] | light[t]) for t in range(len(frames))]
    shown = sum(bool((difference[t] > plain).any()) for t in range(len(frames)))
    if shadow.any() and sum(map(bool, found)) < 0.6 * shown:
        return [_blobs(frames[t], difference[t], faint, plain) for t in range(len(frames))]
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


def _difference(frames: np.ndarray, plate: Plate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance (T, H, W) from the plate after a 3 x 3 mean, where it looks like a shadow, and where like one that left."""
    out = np.zeros(frames.shape[:3], np.float32)
    shadow, light = np.zeros(frames.shape[:3], bool), np.zeros(frames.shape[:3], bool)
    floor = max(FAINT, 2.0 * plate.noise)
    empty = _smooth(plate.empty)
    apart = np.empty(frames.shape[1:], np.float32)
    for t, frame in enumerate(frames):
        np.subtract(frame, plate.empty, out=apart)
        apart = _smooth(apart)
        distance = np.sqrt(np.einsum("hwc,hwc->hw", apart, apart) / 3)
        out[t] = distance
        rows, columns = np.nonzero(distance > floor)
        if len(rows):
            before = empty[rows, columns]
            ratio = (before + apart[rows, columns] + 2) / (before + 2)
            most, least = ratio.max(-1), ratio.min(-1)
            bright = before.max(-1) > 20
            tint = (most - least < TINT * np.maximum(most, 1)) & bright
            shadow[t, rows, columns] = tint & (most < SHADE[1]) & (least > SHADE[0])
            light[t, rows, columns] = tint & (least > 1 / SHADE[1]) & (most < 1 / SHADE[0])
    return out, shadow, light


def _smooth(picture: np.ndarray) -> np.ndarray:
    """Mean over 3 x 3 pixels of (H, W, 3); the border repeats itself."""
    p = np.pad(picture, ((1, 1), (0, 0), (0, 0)), mode="edge")
    p = p[:-2] + p[1:-1] + p[2:]
    p = np.pad(p, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return (p[:, :-2] + p[:, 1:-1] + p[:, 2:]) / np.float32(9)


def _blobs(frame: np.ndarray, difference: np.ndarray, faint: float, plain: float) -> list[Blob]:
    mask = difference > faint
    if not (difference > plain).any():
        return []
    height, width = mask.shape
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
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
        # Nearly all of a body counts as body, so that light and shade do not pull its centre; a rim counts by its share.
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
