"""What stands still in a clip: the empty scene behind the bodies, its noise; and whether the camera stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from physworld.judge.footage import Discard

MOST = 41  # frames of which the median is taken
GLANCES = 13  # frames that are held against the median
TILE = 60  # px, about, of the camera's tiles
SHIFT = 1.0  # px that a tile must have moved
PEAK = 0.22  # of a correlation of phases; noise alone reaches 0.15 in a tile
COARSE = 0.22  # cycles a pixel: what is finer is mostly noise
MOST_NOISE = 10.0  # grey levels
WHOLE = 0.3  # share of the picture that may differ from the plate
AGREE = 0.6  # share of tiles that must move as one
LONG = 0.35  # share of the frames in which a body lies in one place: the median may show it
RIM = 2  # px around a body
FREE = 3  # frames in which a place must be seen without it
UNSEEN = 0.25  # of the largest body's area that may never be seen without a body
RING = 6  # px around such a place, from which a plain scene is known
LEVEL = 10.0  # grey levels by which a plain scene may differ from one colour, or from one slope of it
LEAST = 12  # px of a region in which a frame differs from the plate
ROUNDS = 4  # of two means
CLEAR = 0.25  # of the edges of such a part in the plate that the frame may have
SIZEABLE = 0.2  # of such a region that a part of it must be
FAINT = 9.0  # grey levels that a plate must change by to be worth another look
CUT = 22.0  # grey levels of mean change from one frame to the next
TIMES = 6.0  # ... and so many times the usual change


@dataclass(frozen=True, kw_only=True, eq=False)
class Plate:
    empty: np.ndarray  # float32 (H, W, 3): the scene without its bodies
    noise: float  # grey levels, standard deviation of a pixel that shows no body


def grey(frames: np.ndarray) -> np.ndarray:
    """float32 (..., H, W) of uint8 (..., H, W, 3)."""
    return frames @ np.array([0.299, 0.587, 0.114], np.float32)


def largest(colours: np.ndarray) -> np.ndarray:
    """(...) of (..., 3): NumPy's own maximum is slow along so short an axis."""
    return np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2])


def make_plate(frames: np.ndarray) -> Plate:
    """From uint8 (T, H, W, 3): the median, but not where a body rests, or is slow, for most of the clip.

    There the median shows the body, and frames without it differ. Such a difference has its edges in the plate and none
    in the frame; a body has them in the frame.
    """
    some = frames[np.unique(np.linspace(0, len(frames) - 1, min(MOST, len(frames))).round().astype(int))]
    median = _median(some)
    sparse = np.abs(some[:, ::2, ::2].astype(np.int16) - median[::2, ::2])
    noise = float(1.4826 * np.median(sparse))
    noise = max(0.5, min(25.0, noise if noise else 0.8 * float(sparse.mean())))
    return Plate(empty=_unghosted(some, median.astype(np.float32), noise), noise=noise)


def cleared(
    frames: np.ndarray, plate: Plate, boxes: Sequence[np.ndarray], own: Sequence[np.ndarray], area: float
) -> Plate | None:
    """The plate again, where bodies lie in the same place for long, from the frames in which none does, or from what is
    around it if that is plain; None where that changes nothing.

    Args:
        frames: uint8 (T, H, W, 3).
        boxes: of each body (T, 4) int top, left, bottom, right, 0 where it is not seen.
        own: those of `boxes` in which a body surely is.
        area: px² of the largest body.

    Raises:
        Discard: a place is never free of a body, and what is around it is not plain.
    """
    height, width = frames.shape[1:3]
    covered = np.zeros((height, width), np.int32)
    for box in boxes:
        for top, left, bottom, right in box[box[:, 2] > 0]:
            covered[max(0, top - RIM) : bottom + RIM, max(0, left - RIM) : max(0, right + RIM)] += 1
    rows, columns = np.nonzero(covered > LONG * len(frames))
    if not len(rows):
        return None
    free = np.ones((len(frames), len(rows)), bool)
    behind = np.zeros(len(rows), int)  # frames in which a body is surely there: within the ellipse of a box
    for box in boxes:
        for t in np.flatnonzero(box[:, 2] > 0):
            top, left, bottom, right = box[t]
            down, across = 2 * rows + 1 - top - bottom, 2 * columns + 1 - left - right  # twice, from the middle
            high, wide = bottom - top, right - left
            free[t] &= (abs(down) > high + 2 * RIM) | (abs(across) > wide + 2 * RIM)
    for box in own:
        for t in np.flatnonzero(box[:, 2] > 0):
            top, left, bottom, right = box[t]
            down, across = 2 * rows + 1 - top - bottom, 2 * columns + 1 - left - right
            behind += (down / (bottom - top)) ** 2 + (across / (right - left)) ** 2 < 1
    seen = free.sum(0) >= FREE
    empty = plate.empty.copy()
    if seen.any():
        at = (rows[seen], columns[seen])
        values = np.where(free[:, seen, None], frames[:, at[0], at[1]].astype(np.float32), np.nan)
        empty[at] = np.nanmedian(values, axis=0)
    behind = behind > len(frames) - FREE
    if behind.any():
        never, blocked = np.zeros((height, width), bool), np.zeros((height, width), bool)
        never[rows[~seen], columns[~seen]] = True
        blocked[rows[behind], columns[behind]] = True
        never &= ndimage.binary_dilation(blocked, np.ones((3, 3)), iterations=2 * RIM)
        filled = _filled(empty, never, max(LEVEL, 1.25 * plate.noise))  # the error of a median is less
        if filled is None and behind.sum() > UNSEEN * area:
            raise Discard("never_free", "some place is never free of a body: what is behind it is not known")
        empty = empty if filled is None else filled
    if float(np.abs(empty - plate.empty).max()) < max(FAINT, 4 * plate.noise):
        return None
    return Plate(empty=empty, noise=plate.noise)


def _filled(empty: np.ndarray, never: np.ndarray, bound: float) -> np.ndarray | None:
    """`empty` (H, W, 3) with the slope of colour around each region of `never` (H, W) carried on through it; None where
    what is around one is further than `bound` from such a slope."""
    empty = empty.copy()
    labels, count = ndimage.label(never, structure=np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(labels, count), 1):
        box = tuple(slice(max(0, s.start - RING), s.stop + RING) for s in place)
        inside = labels[box] == number
        ring = ndimage.binary_dilation(inside, iterations=RING) & ~never[box]
        rows, columns = np.indices(inside.shape)
        basis = np.stack([np.ones_like(rows), rows, columns], -1).astype(np.float32)
        slope, *_ = np.linalg.lstsq(basis[ring], empty[box][ring], rcond=None)
        if not ring.any() or np.percentile(np.abs(empty[box][ring] - basis[ring] @ slope), 90) > bound:
            return None
        empty[box][inside] = basis[inside] @ slope
    return empty


def _median(some: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of (S, H, W, 3); where nothing ever changes, the first frame stands for all."""
    reach = some.max(0) - some.min(0)
    rows, columns = np.nonzero(largest(reach) > 6)
    median = some[len(some) // 2].copy()
    if len(rows):
        median[rows, columns] = np.partition(some[:, rows, columns], len(some) // 2, axis=0)[len(some) // 2]
    return median


def _unghosted(some: np.ndarray, empty: np.ndarray, noise: float) -> np.ndarray:
    empty = empty.copy()
    bound = max(14.0, 5 * noise)
    for _ in range(2):
        changed = False
        for frame in some[:: max(1, len(some) // GLANCES)]:
            away = ndimage.uniform_filter(largest(np.abs(frame - empty)), 3)
            labels, count = ndimage.label(away > bound, structure=np.ones((3, 3)))
            for number, place in enumerate(ndimage.find_objects(labels, count), 1):
                box = tuple(slice(max(0, s.start - 3), s.stop + 3) for s in place)
                region = labels[box] == number
                if region.sum() < LEAST or region.mean() * region.size > 0.25 * away.size:
                    continue
                new, old = frame[box].astype(np.float32), empty[box]
                for inside, most in ((region, 0.6), *((part, CLEAR) for part in _parts(new - old, region))):
                    if _edges(new, inside, region) < most * _edges(old, inside, region):
                        rim = ndimage.binary_dilation(inside, iterations=2) & (inside | ~region)
                        empty[box] = np.where(rim[..., None], new, old)
                        changed = True
                        break
        if not changed:
            break
    return empty


def _parts(apart: np.ndarray, region: np.ndarray) -> list[np.ndarray]:
    """Masks (H, W) of the two most unlike parts of a region, by `apart` (H, W, 3), frame less plate.

    A body that came to rest beside a place that another left would else lend its edges to that place.
    """
    apart = ndimage.uniform_filter(apart, (3, 3, 0))
    values = apart[region]
    first = values[np.abs(values).sum(-1).argmax()]
    second = values[np.abs(values - first).sum(-1).argmax()]
    for _ in range(ROUNDS):
        near = np.abs(values - first).sum(-1) < np.abs(values - second).sum(-1)
        if near.all() or not near.any():
            return []
        first, second = values[near].mean(0), values[~near].mean(0)
    nearer = np.abs(apart - first).sum(-1) < np.abs(apart - second).sum(-1)
    found = []
    for part in (region & nearer, region & ~nearer):
        labels, count = ndimage.label(ndimage.binary_opening(part, iterations=2))
        if count:
            sizes = np.bincount(labels.ravel())[1:]
            core = ndimage.binary_dilation(labels == 1 + sizes.argmax(), iterations=2) & part
            if core.sum() > SIZEABLE * region.sum():
                found.append(core)
    return found


def _edges(picture: np.ndarray, inside: np.ndarray, region: np.ndarray) -> float:
    """Mean step across the border of a part of a region with what is outside the region, over three pixels, because
    borders are soft."""
    total, count = 0.0, 0
    for axis in (0, 1):
        p, m, r = (np.moveaxis(each, axis, 0) for each in (picture, inside, region))
        border = (m[2:-1] & ~r[1:-2]) | (~r[2:-1] & m[1:-2])
        steps = np.abs(p[3:] - p[:-3]).sum(-1)[border]
        total, count = total + float(steps.sum()), count + len(steps)
    return total / count if count else 0.0


def check_still(frames: np.ndarray, plate: Plate) -> None:
    """
    Raises:
        Discard: a cut, or a moving camera.
    """
    small = grey(frames[:, ::4, ::4])
    change = np.abs(np.diff(small, axis=0)).mean((1, 2))
    usual = float(np.median(change))
    worst = int(change.argmax())
    if change[worst] > max(CUT, TIMES * usual):
        raise Discard("cut", f"the whole picture changes at once at frame {worst + 1}")
    noise = min(plate.noise, MOST_NOISE)  # under a moving camera the scene itself looks like noise
    away = largest(np.abs(frames[:, ::4, ::4] - plate.empty[::4, ::4])) > max(20.0, 5 * noise)
    share = float(np.median(away.mean((1, 2))))
    if share > WHOLE:
        raise Discard("camera_moves", f"the camera moves, or all of the picture: {100 * share:.0f} % of it changes")
    first = grey(frames[0])
    # Soon after, while little of the scene has left its place; later, for what is slow.
    for k in sorted({k for k in (2, 4, 8, 16, len(frames) // 2, len(frames) - 1) if k < len(frames)}):
        moved = _moved(first, grey(frames[k]), noise)
        if moved is not None:
            raise Discard("camera_moves", f"the camera moves: the background is {moved:.1f} px off at frame {k}")


def _moved(first: np.ndarray, now: np.ndarray, noise: float) -> float | None:
    """How far (px, the median tile) the background moved as one; None where it stands or shows nothing."""
    height, width = first.shape
    rows, columns = max(2, height // TILE), max(2, width // TILE)
    window = np.outer(np.hanning(height // rows), np.hanning(width // columns)).astype(np.float32)
    places, shifts = [], []
    textured = 0
    for r in range(rows):
        for c in range(columns):
            at = (r * (height // rows), c * (width // columns))
            box = (slice(at[0], at[0] + window.shape[0]), slice(at[1], at[1] + window.shape[1]))
            a, b = first[box], now[box]
            a, b = a - a.mean(), b - b.mean()
            if min(a.std(), b.std()) < max(4.0, 2.0 * noise):
                continue
            textured += 1
            found = _shift(a * window, b * window)
            if found is not None:
                places.append(at)
                shifts.append(found)
    if len(shifts) < 4:
        return None
    p, s = np.array(places, float), np.array(shifts)
    p -= p.mean(0)
    agree = np.linalg.norm(s - np.median(s, axis=0), axis=1) < 2.0 + 0.02 * np.linalg.norm(p, axis=1)
    far = np.linalg.norm(s, axis=1) > SHIFT
    together = int((agree & far).sum())
    if together < max(4, AGREE * textured):
        return None
    reach = np.ptp(p[agree & far], axis=0) / np.array([height // rows, width // columns])
    if reach.max() < 2:  # four tiles in a square: one body on a plain scene, where the corners meet
        return None
    return float(np.median(np.linalg.norm(s[agree & far], axis=1)))


def _shift(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(rows, columns) px by which b is a moved, from the phases of their spectra; None where no peak stands out."""
    cross = np.fft.rfft2(b) * np.conj(np.fft.rfft2(a))
    rate = np.hypot(np.fft.fftfreq(a.shape[0])[:, None], np.fft.rfftfreq(a.shape[1])[None])
    kept = (rate < COARSE) & (rate > 0)
    peak = np.fft.irfft2(kept * cross / np.maximum(np.abs(cross), 1e-6), s=a.shape)
    peak *= a.size / max(2 * kept.sum(), 1)
    row, column = np.unravel_index(int(peak.argmax()), peak.shape)
    if peak[row, column] < PEAK:
        return None
    found = []
    for axis, at in ((0, row), (1, column)):
        size = peak.shape[axis]
        line = peak[:, column] if axis == 0 else peak[row]
        left, middle, right = line[(at - 1) % size], line[at], line[(at + 1) % size]
        curve = left - 2 * middle + right
        offset = 0.5 * (left - right) / curve if curve < 0 else 0.0
        found.append((at + size // 2) % size - size // 2 + offset)
    return np.array(found)
