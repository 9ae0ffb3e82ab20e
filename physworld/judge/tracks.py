"""Blobs of single frames become paths of bodies: assignment of least cost, through short gaps and through contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from physworld.judge.bodies import Blob
from physworld.judge.occluders import find_bands, whole_again
from physworld.judge.plate import Plate

SHORTEST = 5  # frames in which a body must be seen
GAP = 8  # frames that a body may be hidden
TOUCH = 1.35  # times a body's own area: more is two bodies in one blob
PART = 0.72  # times its own area: less is partly hidden
MOST = 12  # bodies at once
SHADED = 0.3  # a small body with so much shadow around it is a part of a shadow
LOOKS_LIKE = 0.35  # of the difference between a body and the scene: what differs less shows the body
MOVES = 0.5  # of its diameter that a body must move to count


@dataclass(eq=False)
class Body:
    """One body's path while it is being followed; frames are numbers in the clip."""

    frames: list[int] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    touching: set[int] = field(default_factory=set)  # frames in which another body hid it

    @property
    def area(self) -> float:
        """px², the median"""
        return float(np.median([blob.area for blob in self.blobs[-25:]]))

    @property
    def diameter(self) -> float:
        return 2 * float(np.sqrt(self.area / np.pi))

    def velocity(self) -> np.ndarray:
        """px a frame, over its last two sightings; none while it touches another body."""
        if len(self.frames) < 2 or self.touching & {self.frames[-1] + 1, self.frames[-1] + 2}:
            return np.zeros(2)
        return (self.blobs[-1].center - self.blobs[-2].center) / (self.frames[-1] - self.frames[-2])

    def expected(self, frame: int) -> np.ndarray:
        return self.blobs[-1].center + self.velocity() * (frame - self.frames[-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """The path of one body. T frames of the clip."""

    center: np.ndarray  # (T, 2) px column, row; NaN where the body is not seen whole
    seen: np.ndarray  # (T,) bool: something of it is seen
    whole: np.ndarray  # (T,) bool
    cut: np.ndarray  # (T,) bool: the border of the picture, or what stands before it, cuts it off
    area: np.ndarray  # (T,) px², NaN where not seen
    box: np.ndarray  # (T, 4) int top, left, bottom, right; 0 where not seen
    colour: np.ndarray  # (3,)
    diameter: float  # px, the median of whole frames
    shade: float  # px² of shadow around it, over its area: the median
    jumps: tuple[int, ...]  # frames before which it vanished in one place and appeared in another

    @property
    def first(self) -> int:
        return int(np.flatnonzero(self.seen)[0])

    @property
    def last(self) -> int:
        return int(np.flatnonzero(self.seen)[-1])

    @property
    def stays(self) -> np.ndarray:
        """(T, 4) `box`; where it comes or goes in the picture, as if it had been around there before, and stayed.

        A body that rests for most of a clip is taken for a part of the scene, and vanishes piece by piece into itself.
        """
        box, shown = self.box.copy(), self.box[self.seen]
        high, wide = np.median(shown[:, 2] - shown[:, 0]), np.median(shown[:, 3] - shown[:, 1])
        around = np.array([-high, -wide, high, wide]).astype(int)
        box[: self.first] = self.box[self.first] + around
        box[self.last + 1 :] = self.box[self.last] + around
        return box

    @property
    def travel(self) -> float:
        """px between the two points of the path that are furthest apart, about"""
        path = self.center[np.isfinite(self.center[:, 0])]
        return float(np.hypot(*(path.max(0) - path.min(0)))) if len(path) else 0.0


def places(
    tracks: Sequence[Track], frames: np.ndarray, plate: Plate
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Where bodies are, for `plate.cleared`: (boxes of each body (T, 4), those in which it surely is, px² of the
    largest).

    A body that goes in mid-picture, and that the plate shows there, has not gone: it rests in that place.
    """
    largest = max((track.diameter for track in tracks), default=np.inf)
    around, sure = [], []
    for track in tracks:
        box, own = track.stays if track.diameter > 0.5 * largest else track.box.copy(), track.box.copy()
        for at, unseen in ((track.first, slice(0, track.first)), (track.last, slice(track.last + 1, None))):
            shown = _shown(track, at, frames, plate) if len(own[unseen]) else None
            if shown is not None:
                box[unseen] = own[unseen] = shown
        around.append(box)
        sure.append(own)
    return around, sure, float(np.pi * largest**2 / 4)


def _shown(track: Track, at: int, frames: np.ndarray, plate: Plate) -> np.ndarray | None:
    """(4,) the place near that of frame `at` where the plate shows the body; None where it does not."""
    whole = np.flatnonzero(track.whole)
    if not len(whole):
        return None
    top, left, bottom, right = track.box[whole[np.abs(whole - at).argmin()]]
    look = frames[whole[np.abs(whole - at).argmin()], top:bottom, left:right].astype(np.float32)
    high, wide = look.shape[:2]
    rows, columns = np.indices((high, wide))
    inner = ((2 * rows + 1 - high) / high) ** 2 + ((2 * columns + 1 - wide) / wide) ** 2 < 0.7
    contrast = np.abs(look - plate.empty[top:bottom, left:right])[inner].mean()
    height, width = frames.shape[1:3]
    last = track.box[at]
    best, found = LOOKS_LIKE * contrast, None
    for r in range(max(0, last[0] - high), min(height, last[2] + high) - high + 1):
        for c in range(max(0, last[1] - wide), min(width, last[3] + wide) - wide + 1):
            off = np.abs(plate.empty[r : r + high, c : c + wide][inner] - look[inner]).mean()
            if off < best:
                best, found = off, np.array([r, c, r + high, c + wide])
    return found


def follow(blobs: list[list[Blob]], size: tuple[int, int]) -> list[Track]:
    """Paths of the bodies that move, largest first.

    Args:
        blobs: of every frame.
        size: (W, H) px.
    """
    blobs = whole_again(blobs, find_bands(blobs, size))
    bodies: list[Body] = []
    alive: list[Body] = []
    diagonal = float(np.hypot(*size))
    for t, now in enumerate(blobs):
        now = now[: 4 * MOST]
        alive = [body for body in alive if t - body.frames[-1] <= GAP + 4 * len(body.touching & {t - 1})]
        taken = _assign(alive, now, t, diagonal)
        for body, k in taken.items():
            body.frames.append(t)
            body.blobs.append(now[k])
        _contacts(alive, taken, now, t)
        fresh = [Body(frames=[t], blobs=[now[k]]) for k in range(len(now)) if k not in taken.values()]
        alive += fresh
        bodies += fresh
    long = [body for body in bodies if len(body.frames) >= SHORTEST]
    tracks = _joined(long, len(blobs), size)
    moving = [track for track in tracks if track.travel > MOVES * track.diameter]
    largest = max((track.diameter for track in moving), default=0.0)
    moving = [track for track in moving if track.shade < SHADED or track.diameter > 0.75 * largest]
    return _without_fragments(sorted(moving, key=lambda track: -track.diameter))


def _assign(alive: list[Body], now: list[Blob], t: int, diagonal: float) -> dict[Body, int]:
    if not alive or not now:
        return {}
    cost = np.full((len(alive), len(now)), 1e6)
    for i, body in enumerate(alive):
        gap = t - body.frames[-1]
        speed = float(np.linalg.norm(body.velocity()))
        expected, diameter = body.expected(t), body.diameter
        gate = 1.2 * diameter + 2.0 * speed * min(gap, 3) + (0.06 * diagonal if len(body.frames) < 2 else 0.0)
        for k, blob in enumerate(now):
            away = float(np.linalg.norm(blob.center - expected))
            if away > gate:
                continue
            grown = abs(np.log(blob.area / body.area))
            if grown > 1.6 and not blob.edge:
                continue
            hue = float(np.abs(blob.colour - body.blobs[-1].colour).mean())
            cost[i, k] = away + 0.3 * diameter * grown + 0.02 * diameter * hue
    rows, columns = linear_sum_assignment(cost)
    return {alive[i]: int(k) for i, k in zip(rows, columns, strict=True) if cost[i, k] < 1e6}


def _contacts(alive: list[Body], taken: dict[Body, int], now: list[Blob], t: int) -> None:
    """A body without a blob whose place lies in another's large blob touches it: neither's centre is known."""
    for body in alive:
        if body in taken or not now:
            continue
        expected = body.expected(t)
        for other, k in taken.items():
            top, left, bottom, right = now[k].box
            near = 0.6 * body.diameter
            inside = left - near < expected[0] < right + near and top - near < expected[1] < bottom + near
            own = float(np.median([blob.area for blob in other.blobs[:-1][-25:]])) if len(other.blobs) > 1 else 0.0
            if inside and now[k].area > own + 0.3 * body.area:
                body.touching.add(t)
                other.touching.add(t)
                break


def _joined(bodies: list[Body], count: int, size: tuple[int, int]) -> list[Track]:
    """Where one body vanishes in mid-picture and its like appears at that moment, it has jumped."""
    bodies = sorted(bodies, key=lambda body: body.frames[0])
    chains: list[list[Body]] = []
    for body in bodies:
        like = [
            chain
            for chain in chains
            if 0 < body.frames[0] - chain[-1].frames[-1] <= 3
            and abs(np.log(body.area / chain[-1].area)) < 0.5
            and float(np.abs(body.blobs[0].colour - chain[-1].blobs[-1].colour).mean()) < 30
            and not chain[-1].blobs[-1].edge
            and not body.blobs[0].edge
        ]
        if like:
            min(like, key=lambda chain: np.linalg.norm(chain[-1].blobs[-1].center - body.blobs[0].center)).append(body)
        else:
            chains.append([body])
    return [_track(chain, count) for chain in chains]


def _track(chain: list[Body], count: int) -> Track:
    center, area = np.full((count, 2), np.nan), np.full(count, np.nan)
    box = np.zeros((count, 4), int)
    seen, whole, cut = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, bool)
    inner = [b.area for body in chain for t, b in zip(body.frames, body.blobs, strict=True)
             if not b.edge and t not in body.touching]  # fmt: skip
    own = float(np.median(inner or [b.area for body in chain for b in body.blobs]))
    for body in chain:
        for t, blob in zip(body.frames, body.blobs, strict=True):
            seen[t], area[t], box[t], cut[t] = True, blob.area, blob.box, blob.edge
            local = _local(chain, t, own)
            good = not blob.edge and t not in body.touching and PART * local < blob.area < TOUCH * local
            if good:
                whole[t], center[t] = True, blob.center
    colour = np.median([blob.colour for body in chain for blob in body.blobs], axis=0)
    return Track(
        center=center, seen=seen, whole=whole, cut=cut, area=area, box=box, colour=colour,
        diameter=2 * float(np.sqrt(own / np.pi)), jumps=tuple(body.frames[0] for body in chain[1:]),
        shade=float(np.median([blob.shade for body in chain for blob in body.blobs])),
    )  # fmt: skip


def _local(chain: list[Body], t: int, own: float) -> float:
    """px²: the usual area around frame t, so that a body that slowly grows is not taken for a hidden one."""
    near = [b.area for body in chain for u, b in zip(body.frames, body.blobs, strict=True)
            if abs(u - t) <= 6 and not b.edge and u not in body.touching]  # fmt: skip
    return float(np.median(near)) if len(near) >= 5 else own


def _without_fragments(tracks: list[Track]) -> list[Track]:
    """Smaller ones that keep close to a larger one are parts of it, or its shadow."""
    kept: list[Track] = []
    for track in tracks:
        both_of = [(other, track.seen & other.seen) for other in kept]
        part = False
        for other, both in both_of:
            path, beside = _centres(track), _centres(other)
            apart = np.linalg.norm(path - beside, axis=1)[both]
            mostly = both.sum() >= 0.8 * track.seen.sum()
            if (
                mostly
                and len(apart)
                and np.nanmedian(apart) < 0.85 * other.diameter
                and np.nanstd(apart) < 0.25 * (other.diameter)
                and track.diameter < 0.7 * other.diameter
            ):
                part = True
        if not part:
            kept.append(track)
    return kept


def _centres(track: Track) -> np.ndarray:
    """(T, 2) px of the box, which is known in every frame in which something is seen."""
    top, left, bottom, right = track.box.T
    middle = np.stack([(left + right) / 2, (top + bottom) / 2], -1)
    return np.where(track.seen[:, None], middle, np.nan)
