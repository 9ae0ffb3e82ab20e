"""A post in front of a body hides a part of it, and breaks no law."""

from __future__ import annotations

import numpy as np
import pytest
from disc_clips import bounce, clip, judged, line

from physworld.judge.bodies import Blob
from physworld.judge.occluders import Band, find_bands, whole_again


def behind(frames: np.ndarray, *, axis: int, at: int, width: int = 12) -> np.ndarray:
    """The same clip with columns (axis 0) or rows (axis 1) of one colour in front."""
    out = frames.copy()
    window = (slice(None), slice(None), slice(at, at + width)) if axis == 0 else (slice(None), slice(at, at + width))
    out[window] = (96, 74, 52)
    return out


@pytest.mark.parametrize(
    ("path", "axis", "at"), [(line((30, 80), (120, 0)), 0, 110), (bounce(), 1, 70)], ids=["past a post", "past a bar"]
)
def test_a_body_behind_something_narrow_keeps_its_laws(path: np.ndarray, axis: int, at: int) -> None:
    free, hidden = judged(clip(path)), judged(behind(clip(path), axis=axis, at=at))
    assert hidden.lawful and len(hidden.tracks) == 1 and hidden.kind == free.kind
    (track,) = hidden.tracks
    cut = track.cut & track.seen
    assert cut.sum() >= 3 and not (cut & track.whole).any()
    off = np.linalg.norm(track.center - free.tracks[0].center, axis=1)[track.whole & free.tracks[0].whole]
    assert np.median(off) < 0.2


def test_a_body_that_vanishes_beside_a_post_has_vanished() -> None:
    path = line((30, 80), (120, 0))
    path[35:] = np.nan  # at column 170, behind it the post
    verdict = judged(behind(clip(path), axis=0, at=110))
    assert verdict.broken() == ["permanence"]


def blob(left: int, right: int) -> Blob:
    return Blob(
        center=np.array([(left + right) / 2, 50.0]), area=float(20 * (right - left)), box=(40, left, 60, right),
        colour=np.full(3, 200.0), edge=False,
    )  # fmt: skip


def test_bands_are_where_one_part_ends_and_the_other_begins() -> None:
    """A bar 20 px long passes a post from column 50 to 60 by 4 px a frame."""
    frames = []
    for left in range(10, 90, 4):
        parts = [(left, min(left + 20, 50)), (max(left, 60), left + 20)]
        frames.append([blob(a, b) for a, b in parts if b - a >= 3])
    assert find_bands(frames, (200, 100)) == [Band(axis=0, low=50.0, high=60.0)]
    whole = whole_again(frames, find_bands(frames, (200, 100)))
    assert [len(one) for one in whole] == [1] * len(frames)
    cut = [
        len(parts) == 2 or parts[0].box[3] in (49, 50, 51, 52) or parts[0].box[1] in (58, 59, 60, 61, 62)
        for parts in frames
    ]
    assert [one[0].edge for one in whole] == cut
    still = [[blob(30, 50)] for _ in range(20)]  # its sides stay, and so does its length
    assert find_bands(still, (200, 100)) == []


def test_nothing_is_hidden_where_something_is_seen_across() -> None:
    frames = [[blob(10 + 4 * k, 30 + 4 * k)] for k in range(20)]
    assert find_bands(frames, (200, 100)) == []
