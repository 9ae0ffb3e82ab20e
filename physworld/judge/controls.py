"""The same clip made again, as it should be and as it must not be: rows that say what a verdict is worth.

Each body is cut out of one frame, with a soft rim, and laid over the clip's own empty scene wherever a law puts it. The
oracle follows the laws that were fitted; the placebo breaks one, of one body or of the blow between two. Both go
through the whole of the tracker and of the laws, with noise as in the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from physworld.judge.arcs import Impact
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Footage, Source
from physworld.judge.laws import collisions
from physworld.judge.motion import Motion
from physworld.judge.plate import cleared, make_plate
from physworld.judge.tracks import Track, places
from physworld.seeding import generator

ORACLE, PLACEBO = "oracle", "placebo"


def can(verdict: Verdict) -> bool:
    """The law of every body was found."""
    if not verdict.judged or not verdict.tracks:
        return False
    if verdict.kind == "collision":
        return len(verdict.tracks) == 2 and all(motion.arcs for motion in verdict.motions)
    return all(motion.kind != "unrecognised" for motion in verdict.motions)


def control(
    verdict: Verdict, footage: Footage, source: Source, settings: Settings, *, right: bool, index: int
) -> Verdict:
    """Judge the oracle's or the placebo's clip.

    Args:
        index: of the clip; with it the placebo's violation takes its turn.
    """
    tracks, motions, times = verdict.tracks, verdict.motions, footage.times
    paths = [_law(track, motion, times) for track, motion in zip(tracks, motions, strict=True)]
    if not right:
        blows = collisions(tracks, motions, times) if len(tracks) == 2 else []
        if blows and index % 3 < 2:
            paths = _blown(paths, blows[0], times, energy=index % 3 == 0)
        else:  # of the largest body
            kinds = _violations(motions[0])
            paths[0] = kinds[(index // 3 if blows else index) % len(kinds)](paths[0], times, tracks[0])
    rng = generator(0, "test", index, int(right))
    frames = _drawn(footage.frames, tracks, paths, rng)
    made = Footage(frames=frames, times=times, shrink=footage.shrink)
    return judge_footage(made, source, settings)


def _blown(
    paths: list[np.ndarray], blow: tuple[int, int, Impact, Impact], times: np.ndarray, *, energy: bool
) -> list[np.ndarray]:
    """A blow that gives energy, both parting at twice the speed at which they met; or one that strikes the second body
    at a right angle to what the first one feels."""
    _, _, *hits = blow
    changes = [hit.after - hit.before for hit in hits]
    normal = changes[0] / max(float(np.linalg.norm(changes[0])), 1e-9)
    met = abs(float((hits[1].before - hits[0].before) @ normal))
    part = abs(float((hits[1].after - hits[0].after) @ normal))
    if energy:
        sizes = [float(np.linalg.norm(change)) for change in changes]
        more = (2 * met - part) / max(sum(sizes), 1e-9)
        after = [hit.after + more * change for hit, change in zip(hits, changes, strict=True)]
    else:
        after = [hits[0].after, hits[1].before + changes[1][::-1] * (-1.0, 1.0)]
    out = []
    for which, hit, velocity in zip(blow[:2], hits, after, strict=True):
        path = paths[which].copy()
        late = times > hit.time
        path[late] = hit.place + (times[late] - hit.time)[:, None] * velocity
        out.append(path)
    return out if blow[0] < blow[1] else out[::-1]


def _law(track: Track, motion: Motion, times: np.ndarray) -> np.ndarray:
    """(T, 2) px: the fitted law, NaN before the body is first seen and after it is last."""
    path = np.full((len(times), 2), np.nan)
    if motion.swing is not None or motion.orbit is not None:  # smooth: the measured path itself, without its noise
        known = np.isfinite(track.center[:, 0])
        for axis in (0, 1):
            path[:, axis] = np.interp(times, times[known], track.center[known, axis])
        path = ndimage.gaussian_filter1d(path, 0.7, axis=0, mode="nearest")
    else:
        cuts = [arc.end for arc in motion.arcs[:-1]]
        starts = [arc.begin for arc in motion.arcs[1:]]
        hits = {round(hit.time, 9) for hit in motion.impacts}
        edges = []
        for end, start in zip(cuts, starts, strict=True):
            between = [hit for hit in hits if end - 0.1 <= hit <= start + 0.1]
            edges.append(between[0] if between else (end + start) / 2)
        for k, time in enumerate(times):
            path[k] = motion.arcs[int(np.searchsorted(edges, time))].at(time)
    path[: track.first] = np.nan
    path[track.last + 1 :] = np.nan
    return path


Violation = Callable[[np.ndarray, np.ndarray, Track], np.ndarray]


def _violations(motion: Motion) -> list[Violation]:
    """What breaks a law that the motion is held to."""
    if motion.flights:
        return [_reversed if motion.kind == "bounce" else _jump, _vanish, _straight, _jump]
    return [_jump, _vanish]


def _jump(path: np.ndarray, times: np.ndarray, track: Track) -> np.ndarray:
    """Off to the side, where there is more room, from the middle on."""
    path = path.copy()
    middle = (track.first + track.last) // 2
    room = track.box[:, 1].max() > track.box[track.seen, 1].min() + 4 * track.diameter
    path[middle:, 0 if room else 1] += (-2.5 if path[middle, 0] > 4 * track.diameter else 2.5) * track.diameter
    return path


def _vanish(path: np.ndarray, times: np.ndarray, track: Track) -> np.ndarray:
    path = path.copy()
    path[track.first + int(0.55 * (track.last - track.first)) :] = np.nan
    return path


def _straight(path: np.ndarray, times: np.ndarray, track: Track) -> np.ndarray:
    """The height changes at constant speed between its turns."""
    path = path.copy()
    known = np.isfinite(path[:, 1])
    y = path[known, 1]
    turns = np.flatnonzero(np.diff(np.sign(np.diff(y))) != 0) + 1
    knots = np.concatenate([[0], turns, [len(y) - 1]])
    path[known, 1] = np.interp(np.arange(len(y)), knots, y[knots])
    return path


def _reversed(path: np.ndarray, times: np.ndarray, track: Track) -> np.ndarray:
    return path[::-1].copy()


def _drawn(
    frames: np.ndarray, tracks: Sequence[Track], paths: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    plate = make_plate(frames)
    plate = cleared(frames, plate, *places(tracks, frames, plate)) or plate
    out = np.repeat(plate.empty[None], len(frames), 0)
    for track, path in zip(tracks, paths, strict=True):
        _lay(out, frames, plate.empty, track, path)
    noise = rng.normal(0, 0.7 * plate.noise, out.shape).astype(np.float32)
    return np.clip(out + noise, 0, 255).astype(np.uint8)


def _lay(out: np.ndarray, frames: np.ndarray, empty: np.ndarray, track: Track, path: np.ndarray) -> None:
    """Draw one body into `out` (T, H, W, 3) at `path` (T, 2) px; where that is NaN, not at all."""
    height, width = frames.shape[1:3]
    whole = np.flatnonzero(track.whole)
    best = int(whole[len(whole) // 2])
    top, left, bottom, right = track.box[best]
    top, left, bottom, right = max(0, top - 3), max(0, left - 3), min(height, bottom + 3), min(width, right + 3)
    patch = frames[best, top:bottom, left:right].astype(np.float32)
    away = np.linalg.norm(patch - empty[top:bottom, left:right], axis=-1)
    matte = ndimage.binary_fill_holes(away > 0.4 * np.percentile(away, 90)).astype(np.float32)
    matte = ndimage.gaussian_filter(matte, 0.6)
    corner = np.array([left, top]) - track.center[best]
    for t, place in enumerate(path):
        if not np.isfinite(place).all():
            continue
        at = place + corner
        whole_px = np.floor(at).astype(int)
        part = (at - whole_px)[::-1]
        soft = ndimage.shift(np.pad(matte, ((0, 1), (0, 1))), part, order=1)
        colour = ndimage.shift(
            np.pad(patch, ((0, 1), (0, 1), (0, 0)), mode="edge"), (*part, 0), order=1, mode="nearest"
        )
        r, c = whole_px[1], whole_px[0]
        rows = slice(max(0, r), min(height, r + soft.shape[0]))
        columns = slice(max(0, c), min(width, c + soft.shape[1]))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        inner = (slice(rows.start - r, rows.stop - r), slice(columns.start - c, columns.stop - c))
        m = soft[inner][..., None]
        out[t, rows, columns] = (1 - m) * out[t, rows, columns] + m * colour[inner]
