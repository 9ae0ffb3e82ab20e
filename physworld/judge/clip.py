"""One clip from file to verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from physworld.judge.bodies import find_bodies
from physworld.judge.footage import Discard, Footage, Source
from physworld.judge.laws import Scale, judge_motions
from physworld.judge.motion import Motion, read_motion
from physworld.judge.options import GRAVITY
from physworld.judge.plate import Plate, check_still, cleared, make_plate
from physworld.judge.tracks import MOST, Track, follow, places

# Words of a caption by which something falls.
FALLS = re.compile(
    r"\b(falls?|falling|fell|drops?|dropped|dropping|throws?|thrown|throwing|toss(ed|es)?)\b", re.IGNORECASE
)
LOOKS = 3  # times that the scene behind slow bodies is looked for again
SEEN = 0.6  # share of the frames between its first and last in which a body must be whole


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is asked of every clip."""

    most_frames: int = 1000
    side: int = 480  # px, the longer side of what is judged
    fps: float | None = None  # None = the file's
    pixels_per_metre: float | None = None  # of the file's pixels
    body_diameter: float | None = None  # m, of the largest moving body
    gravity: float = GRAVITY  # m/s²
    side_view: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What a clip says. Everything but the arrays goes into clips.json."""

    name: str
    caption: str = ""
    reason: str | None = None  # why it was discarded: a code of footage.REASONS
    sentence: str = ""
    frames: int = 0
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)  # px of the file
    kind: str | None = None
    figures: Mapping[str, float | None] = field(default_factory=dict)
    laws: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)  # figure -> why it is too unsure to be told
    notes: tuple[str, ...] = ()  # what a reader should know beside the laws
    bodies: tuple[Mapping[str, Any], ...] = ()  # kind, size, track and impacts of each, px of the file
    errors: Mapping[str, float] = field(default_factory=dict)  # against the truth in a sidecar
    scale: str = ""
    tracks: tuple[Track, ...] = ()
    motions: tuple[Motion, ...] = ()
    times: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) s

    @property
    def judged(self) -> bool:
        return self.reason is None

    @property
    def lawful(self) -> bool:
        """It keeps every law that can be asked of it."""
        return self.judged and all(law["kept"] for law in self.laws.values())

    def broken(self) -> list[str]:
        return [name for name, law in self.laws.items() if not law["kept"]]


def judge_footage(footage: Footage, source: Source, settings: Settings, plate: Plate | None = None) -> Verdict:
    """Judge what is in memory.

    Args:
        plate: the empty scene, where it is known.
    """
    frames, times = footage.frames, footage.times
    height, width = frames.shape[1:3]
    facts: dict[str, Any] = {
        "name": source.name, "caption": source.caption, "frames": len(frames), "times": times,
        "fps": round(float((len(times) - 1) / times[-1]), 4),
        "size": (round(width * footage.shrink), round(height * footage.shrink)),
    }  # fmt: skip
    try:
        if plate is None:
            plate = make_plate(frames)
        check_still(frames, plate)
        tracks = follow(find_bodies(frames, plate), (width, height))
        for _ in range(LOOKS):
            better = cleared(frames, plate, *places(tracks, frames, plate))
            if better is None:
                break
            plate = better
            tracks = follow(find_bodies(frames, plate), (width, height))
        tracks = _judgeable(tracks, len(frames))
    except Discard as why:
        return Verdict(reason=why.reason, sentence=str(why), notes=source.notes, **facts)
    motions = [read_motion(track, times) for track in tracks]
    scale = _scale(tracks, footage.shrink, source.known, settings, height)
    kind, figures, laws, unread = judge_motions(
        tracks, motions, times, (width, height), scale, gravity=settings.gravity, side_view=settings.side_view,
        shrink=footage.shrink, told=bool(FALLS.search(" ".join(source.captions or (source.caption,)))),
    )  # fmt: skip
    shrink = footage.shrink
    return Verdict(
        kind=kind, figures=figures, laws=laws, unread=unread, scale=scale.source, tracks=tuple(tracks),
        motions=tuple(motions), bodies=tuple(_body(t, m, shrink) for t, m in zip(tracks, motions, strict=True)),
        errors=_errors(figures, source.known), notes=(*source.notes, *_unusable(source.known)), **facts,
    )  # fmt: skip


def _body(track: Track, motion: Motion, shrink: float) -> dict[str, Any]:
    center = [np.round(c * shrink, 3).tolist() if np.isfinite(c[0]) else None for c in track.center]
    return {
        "kind": motion.kind, "diameter_px": round(track.diameter * shrink, 2), "first": track.first,
        "last": track.last, "center_px": center, "impacts": [hit.summary(shrink) for hit in motion.impacts],
    }  # fmt: skip


def _judgeable(tracks: list[Track], count: int) -> list[Track]:
    """
    Raises:
        Discard: there is nothing to judge.
    """
    if not tracks:
        raise Discard("nothing_moves", "no body moves by half its size, or it is never seen for 5 frames")
    largest = max(track.diameter for track in tracks)
    tracks = [track for track in tracks if track.diameter > 0.2 * largest]
    if len(tracks) > MOST:
        raise Discard("too_many_bodies", f"{len(tracks)} bodies move, and {MOST} can be told apart")
    good = [
        track for track in tracks
        if track.whole.sum() >= 8 and track.whole.sum() >= SEEN * (track.last - track.first + 1)
    ]  # fmt: skip
    best = max(tracks, key=lambda track: track.diameter * track.seen.sum())
    same = [best, *(track for track in tracks if _again(track, best))]  # before and behind what hid it for long
    whole = sum(int(track.whole.sum()) for track in same)
    between = max(track.last for track in same) - min(track.first for track in same) + 1
    if best not in good or whole < SEEN * between:
        raise Discard("hidden", f"the moving body is whole in {whole} of {between} frames")
    return good


def _again(track: Track, other: Track) -> bool:
    """The same body at another time, by its size and colour."""
    apart = track.last < other.first or other.last < track.first
    alike = abs(np.log(track.diameter / other.diameter)) < 0.25 and np.abs(track.colour - other.colour).mean() < 25
    return bool(apart and alike)


def _scale(tracks: list[Track], shrink: float, known: Mapping[str, Any], settings: Settings, height: int) -> Scale:
    """From the command line, else from what lies beside the clip."""
    largest = max(track.diameter for track in tracks)
    if settings.pixels_per_metre is not None:
        return Scale(pixels_per_metre=settings.pixels_per_metre / shrink, source="--pixels-per-metre")
    if settings.body_diameter is not None:
        return Scale(pixels_per_metre=largest / settings.body_diameter, source="--body-diameter")
    if (given := _positive(known, "pixels_per_metre")) is not None:
        return Scale(pixels_per_metre=given / shrink, source="pixels_per_metre beside the clip")
    camera = known.get("camera")
    if isinstance(camera, dict) and (view := _positive(camera, "view_m")) is not None:
        return Scale(pixels_per_metre=height / view, source="camera.view_m beside the clip")
    if (given := _positive(known, "body_diameter_m")) is not None:
        return Scale(pixels_per_metre=largest / given, source="body_diameter_m beside the clip")
    return Scale()


TRUTH = {"gravity_m_s2": "gravity", "restitution": "restitution", "period_s": "period"}  # sidecar -> figure
ABOVE_ZERO = ("pixels_per_metre", "body_diameter_m", "period_s")  # of what may stand beside a clip


def _number(known: Mapping[str, Any], key: str) -> float | None:
    """None where it is no finite number. A CSV has its numbers as text."""
    value = known.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def _positive(known: Mapping[str, Any], key: str) -> float | None:
    number = _number(known, key)
    return number if number is not None and number > 0 else None


def _unusable(known: Mapping[str, Any]) -> tuple[str, ...]:
    """A note for each figure beside the clip that is there and cannot be used."""
    notes = []
    for key in dict.fromkeys((*ABOVE_ZERO, *TRUTH)):
        read = _positive if key in ABOVE_ZERO else _number
        if known.get(key) not in (None, "") and read(known, key) is None:
            what = "no number above 0" if key in ABOVE_ZERO else "no finite number"
            notes.append(f"{key} beside the clip is {what}, and was not used")
    return tuple(notes)


def _errors(figures: Mapping[str, float | None], known: Mapping[str, Any]) -> dict[str, float]:
    """Relative error of g and of periods, difference of restitution, where a sidecar has the truth."""
    found = {}
    for key, name in TRUTH.items():
        value, truth = figures.get(name), _number(known, key)
        if value is None or truth is None:
            continue
        if name == "restitution":
            found[name] = value - truth
        elif truth != 0:
            found[name] = value / truth - 1
    return found
