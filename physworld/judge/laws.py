"""Figures of one clip and the laws it keeps or breaks. Lengths in pixels of the file unless a scale is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from physworld.judge.arcs import Impact
from physworld.judge.motion import Motion, restitution, restitution_doubt
from physworld.judge.tracks import Track

NEAR = 1.4  # times the sum of two radii: bodies that touch, with the tracker's own doubt about sizes
SURE = 2.0  # standard errors by which a bound must be passed before a law is said to be broken
READ = 0.15  # of a blow, or of a restitution, that its standard error may be; what is less sure is not reported
AT_ONCE = 2.5  # frames between the two halves of one blow

# What a clip is called when its bodies do different things; pieces of a bounce alone may look like a throw.
FIRST = ("pendulum", "orbit", "bounce", "throw", "free_fall", "slide", "uniform", "unrecognised", "collision")

LAWS = {  # name -> what is asked; the bound is named where it is used
    "known": "the motion is one that is known",
    "permanence": "no body vanishes, appears or jumps in mid-picture",
    "size": "bodies keep their size",
    "falls": "what falls gets faster, and downwards",
    "same_g": "all flights of a clip have one acceleration",
    "gravity": "g is as it should be (--gravity) where a scale is known",
    "galileo": "from rest, four times as far in twice the time",
    "restitution": "nothing leaves a wall or a floor faster than it came",
    "momentum": "a blow changes two bodies along one line, in opposite senses",
    "energy": "two bodies do not part faster than they met",
    "swing": "a pendulum's swing does not grow",
    "areas": "an orbit sweeps equal areas in equal times",
}
BOUNDS = {
    "size": 1.6,  # largest over smallest area of whole frames, 10 % cut off at both ends
    "same_g": 0.35,  # largest difference over the mean
    "gravity": 0.15,  # relative
    "galileo": 0.6,  # from 4
    "restitution": 1.1,
    "momentum": 25.0,  # degrees
    "energy": 1.15,  # speed of parting over speed of meeting
    "swing": 0.15,  # of its amplitude that a swing may grow in one period
    "areas": 0.25,
}
PIXELS = ("gravity_px", "pendulum_length_px", "rise_px")  # figures in lengths of the picture


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What is known of lengths: at most one of these, else nothing."""

    pixels_per_metre: float | None = None  # of the judged frames
    source: str = ""  # where it is from

    def metres(self, pixels: float) -> float | None:
        return None if self.pixels_per_metre is None else pixels / self.pixels_per_metre


def judge_motions(
    tracks: Sequence[Track],
    motions: Sequence[Motion],
    times: np.ndarray,
    size: tuple[int, int],
    scale: Scale,
    *,
    gravity: float,
    side_view: bool,
    shrink: float,
    told: bool = False,
) -> tuple[str, dict[str, float | None], dict[str, dict[str, Any]], dict[str, str]]:
    """(kind of the clip, figures, laws, what could not be read and why); a law that cannot be asked is left out.

    Four bounds (g from flights, restitution, momentum, energy) give way to `SURE` standard errors of what they are held
    against, measured from the track's own scatter; the others stand as they are.

    Args:
        gravity: m/s² that is right.
        side_view: the picture's down is down; else nothing falls.
        shrink: px of the file in one of the judged frames.
        told: a caption says that something falls, so that moving down at a constant speed breaks a law.
    """
    figures: dict[str, float | None] = {}
    laws: dict[str, dict[str, Any]] = {}
    unread: dict[str, str] = {}

    def law(name: str, value: float, kept: bool, said: str) -> None:
        if name not in laws or not kept:
            laws[name] = {"kept": bool(kept), "value": round(float(value), 4), "said": said}

    hits = collisions(tracks, motions, times)
    furthest = max(track.travel for track in tracks)
    kinds = {m.kind for t, m in zip(tracks, motions, strict=True) if t.travel > 0.5 * furthest}
    kind = "collision" if hits else min(kinds, key=FIRST.index)
    recognised = [m for m in motions if m.kind != "unrecognised"]
    struck = {k for pair in hits for k in pair[:2]}
    odd = [k for k, m in enumerate(motions) if m.kind == "unrecognised" and k not in struck]
    law("known", len(odd), not odd, f"{len(recognised)} of {len(motions)} bodies move in a known way")
    for track, motion in zip(tracks, motions, strict=True):
        _body_laws(track, motion, times, size, law, side_view=side_view, shrink=shrink)
        if side_view and motion.kind == "uniform":
            rise = _steady(track, motion)
            figures["rise_px"] = max(figures.get("rise_px") or 0.0, rise)
            if rise and told:
                law("falls", 0.0, False, "its caption says that it falls, and it moves at a constant speed")
    _flight_figures(tracks, motions, times, figures, unread, law, scale, gravity, side_view)
    for motion in motions:
        for hit in motion.impacts:
            e, doubt = restitution(hit), restitution_doubt(hit)
            if np.isfinite(e) and motion.kind == "bounce":
                law("restitution", e, e <= BOUNDS["restitution"] + SURE * doubt, f"e = {e:.2f}")
    _collision_figures(hits, figures, unread, law)
    _swing_figures(motions, figures, law, scale, gravity)
    for name in PIXELS:
        if (value := figures.get(name)) is not None:
            figures[name] = value * shrink
    return kind, figures, laws, unread


def _body_laws(
    track: Track, motion: Motion, times: np.ndarray, size: tuple[int, int], law: Any, *, side_view: bool, shrink: float
) -> None:
    frame = float(np.median(np.diff(times)))
    gone = _vanishes(track, times, size)
    jump = max([hit.gap for hit in motion.impacts], default=0.0)
    far = max(0.6 * track.diameter, 6 * motion.noise)
    said = (
        f"it jumps at {times[track.jumps[0]]:.2f} s" if track.jumps
        else gone or (f"it jumps by {jump * shrink:.0f} px" if jump > far else "it is there throughout")
    )  # fmt: skip
    law("permanence", jump / max(track.diameter, 1e-9), not track.jumps and not gone and jump <= far, said)
    area = track.area[track.whole]
    if len(area) >= 8:
        ratio = float(np.percentile(area, 90) / np.percentile(area, 10))
        law("size", ratio, ratio <= BOUNDS["size"], f"its area changes {ratio:.2f} times")
    if motion.upward and side_view:
        law("falls", -1, False, "it is drawn upwards")
    if side_view and motion.kind in ("uniform", "slide", "unrecognised"):
        for arc in motion.arcs:
            way = arc.at(arc.end) - arc.at(arc.begin)
            steep = abs(way[1]) > 2.5 * abs(way[0]) and abs(way[1]) > max(1.2 * track.diameter, 12 * motion.noise)
            if steep and len(arc.frames) >= 5 and arc.duration > 4 * frame:
                bend = arc.acceleration[1] * arc.duration**2 / 8 / abs(way[1])  # 1/4 when it starts at rest
                if bend < 0.06:
                    law("falls", bend, False, "it moves vertically at a constant speed")
    if side_view and motion.flights and not motion.upward:
        law("falls", 1, True, "it gets faster downwards")


def _steady(track: Track, motion: Motion) -> float:
    """px of height that a uniform motion gains or loses; 0 where it is level, or too little to tell."""
    most = max((abs(float((arc.at(arc.end) - arc.at(arc.begin))[1])) for arc in motion.arcs), default=0.0)
    return most if most > max(1.2 * track.diameter, 12 * motion.noise) else 0.0


def _vanishes(track: Track, times: np.ndarray, size: tuple[int, int]) -> str:
    """A sentence if it comes or goes in mid-picture, else nothing."""
    width, height = size
    for at, neighbour, name, missing in (
        (track.first, min(track.first + 1, len(times) - 1), "appears", track.first),
        (track.last, max(track.last - 1, 0), "vanishes", len(times) - 1 - track.last),
    ):
        if missing < 3 or track.cut[at]:
            continue
        top, left, bottom, right = track.box[at]
        other = track.box[neighbour]
        step = np.abs(track.box[at] - other).max() if track.seen[neighbour] else track.diameter / 2
        margin = 2.5 * step + 3
        if min(top, left, height - bottom, width - right) > margin:
            return f"it {name} in mid-picture at {times[at]:.2f} s"
    return ""


def _flight_figures(
    tracks: Sequence[Track], motions: Sequence[Motion], times: np.ndarray, figures: dict[str, float | None],
    unread: dict[str, str], law: Any, scale: Scale, right: float, side_view: bool,
) -> None:  # fmt: skip
    flying = [(t, m) for t, m in zip(tracks, motions, strict=True) if m.gravity is not None]
    if not flying:
        return
    weights = np.array([1 / max(m.doubt, 1e-6) ** 2 for _, m in flying])
    all_of = np.array([float(np.linalg.norm(m.gravity)) for _, m in flying if m.gravity is not None])
    pixels = float((weights * all_of).sum() / weights.sum())
    figures["gravity_px"] = pixels
    uneven = max([m.uneven for _, m in flying])
    if len(flying) > 1:
        uneven = max(uneven, float(np.ptp(all_of) / all_of.mean()))
    law("same_g", uneven, uneven <= BOUNDS["same_g"], f"accelerations differ by {100 * uneven:.0f} %")
    metres = scale.metres(pixels)
    if metres is not None:
        figures["gravity"] = metres
        off, doubt = abs(metres / right - 1), float(1 / np.sqrt(weights.sum())) / pixels
        law("gravity", metres, off <= BOUNDS["gravity"] + SURE * doubt, f"g = {metres:.2f} m/s²")
    left = [m.arcs[k].spread / t.diameter for t, m in flying for k in m.flights if len(m.arcs[k].frames) >= 5]
    if left:
        figures["parabola_residual"] = float(np.median(left))
    ratios = [ratio for track, motion in flying if (ratio := galileo(track, motion, times)) is not None]
    if ratios and side_view:
        ratio = float(np.median(ratios))
        figures["galileo"] = ratio
        law("galileo", ratio, abs(ratio - 4) <= BOUNDS["galileo"], f"Galileo's ratio is {ratio:.2f}")
    hits = [hit for _, m in flying if m.kind == "bounce" for hit in m.impacts if restitution(hit) > 0.02]
    clear = [restitution(hit) for hit in hits if restitution_doubt(hit) <= READ]
    if clear:
        figures["restitution"] = float(np.median(clear))
    elif hits:
        best = min(map(restitution_doubt, hits))
        unread["restitution"] = f"the speeds at the floor are known to {best:.2f} of the speed of arrival only"
    falls = [fall for track, motion in flying if (fall := _first_fall(motion)) is not None]
    if len(falls) >= 2:
        (t1, h1), (t2, h2) = sorted(falls, key=lambda fall: -fall[1])[:2]
        if h2 > 0:
            figures["two_ball"] = (t1**2 / t2**2) / (h1 / h2)


def galileo(track: Track, motion: Motion, times: np.ndarray) -> float | None:
    """Distance in twice the time over distance in the time, for a fall that begins at rest; 4 is Galileo's.

    A cubic through the fall stands for the path, so that one noisy frame does not decide: it can be 2 (constant speed)
    or 8 (a speed that grows with the square of time) as well as 4.
    """
    if motion.gravity is None or motion.flights[0] > 1:
        return None
    arc = motion.arcs[motion.flights[0]]
    g = float(motion.gravity[1])
    if len(arc.frames) < 6 or abs(arc.speed(arc.begin)[1]) > 0.2 * abs(g) * arc.duration:
        return None
    release = arc.middle - float(arc.velocity[1]) / g
    if not arc.begin - 0.25 * arc.duration <= release <= arc.begin + 0.25 * arc.duration:
        return None
    when = times[arc.frames]
    y = track.center[arc.frames, 1]
    inside = np.polynomial.Polynomial.fit(when, y, 3)
    start = max(release, arc.begin)
    tau = (arc.end - release) / 2
    top = float(inside(start)) - 0.5 * g * (start - release) ** 2
    once, twice = float(inside(release + tau)) - top, float(inside(release + 2 * tau)) - top
    return twice / once if abs(once) > 4 * motion.noise else None


def _first_fall(motion: Motion) -> tuple[float, float] | None:
    """(time s, height px) of a fall from rest to the first impact."""
    if motion.kind != "bounce" or motion.gravity is None or not motion.impacts or motion.flights[0] > 1:
        return None
    arc, g = motion.arcs[motion.flights[0]], float(motion.gravity[1])
    release = arc.middle - float(arc.velocity[1]) / g
    hit = motion.impacts[0]
    if release < arc.begin - 0.1 * arc.duration:
        return None
    time = hit.time - release
    height = float(hit.place[1] - arc.at(release)[1])
    return (time, height) if time > 0 and height > 0 else None


def collisions(
    tracks: Sequence[Track], motions: Sequence[Motion], times: np.ndarray
) -> list[tuple[int, int, Impact, Impact]]:
    """Pairs of bodies whose velocities jump at one moment, side by side: (i, j, impact of i, impact of j)."""
    found = []
    frame = float(np.median(np.diff(times)))
    for i, j in combinations(range(len(tracks)), 2):
        radii = (tracks[i].diameter + tracks[j].diameter) / 2
        for one in motions[i].impacts:
            for two in motions[j].impacts:
                hidden = _hidden(tracks[i], times, one.time) + _hidden(tracks[j], times, two.time)
                if abs(one.time - two.time) > AT_ONCE * frame + hidden:
                    continue
                if np.linalg.norm(one.place - two.place) <= NEAR * radii:
                    found.append((i, j, one, two))
    return found


def _hidden(track: Track, times: np.ndarray, when: float) -> float:
    """s of the gap in a track around a moment."""
    known = times[np.isfinite(track.center[:, 0])]
    before, after = known[known <= when], known[known > when]
    return float(after[0] - before[-1]) / 2 if len(before) and len(after) else 0.0


def _collision_figures(
    hits: Sequence[tuple[int, int, Impact, Impact]], figures: dict[str, float | None], unread: dict[str, str],
    law: Any,
) -> None:  # fmt: skip
    for _, _, one, two in hits[:1]:
        a, b = one.after - one.before, two.after - two.before
        sizes = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        if min(sizes) == 0:
            continue
        doubts = one.doubt / sizes[0], two.doubt / sizes[1]
        if max(doubts) > READ:
            weak = f"the weaker blow is known to {100 * max(doubts):.0f} % of itself only"
            unread.update(dict.fromkeys(("mass_ratio", "momentum_angle", "collision_restitution"), weak))
            continue
        cosine = float(np.clip(-(a @ b) / (sizes[0] * sizes[1]), -1, 1))
        degrees, doubt = float(np.degrees(np.arccos(cosine))), float(np.degrees(np.hypot(*doubts)))
        figures["momentum_angle"] = degrees
        figures["mass_ratio"] = sizes[1] / sizes[0]
        law("momentum", degrees, degrees <= BOUNDS["momentum"] + SURE * doubt,
            f"the two blows are {degrees:.0f}° from opposite")  # fmt: skip
        normal = (a / sizes[0] - b / sizes[1]) / 2
        normal /= max(float(np.linalg.norm(normal)), 1e-9)
        met, part = float((two.before - one.before) @ normal), float((two.after - one.after) @ normal)
        if met <= 0:
            continue
        ratio = -part / met
        doubt = float(np.hypot(np.hypot(one.doubts[1], two.doubts[1]), ratio * np.hypot(one.doubts[0], two.doubts[0])))
        doubt /= met
        if doubt > READ:
            unread["collision_restitution"] = f"it is known to {doubt:.2f} only"
            continue
        figures["collision_restitution"] = ratio
        law("energy", ratio, ratio <= BOUNDS["energy"] + SURE * doubt,
            f"they part at {ratio:.2f} times the speed at which they met")  # fmt: skip


def _swing_figures(
    motions: Sequence[Motion], figures: dict[str, float | None], law: Any, scale: Scale, right: float
) -> None:
    swings = [m.swing for m in motions if m.swing is not None]
    if swings:
        one = swings[0]
        figures["period"] = one.period
        figures["pendulum_length_px"] = one.length
        grows = float(np.exp(-one.decay * one.period)) - 1
        law("swing", grows, grows <= BOUNDS["swing"], f"its swing changes by {100 * grows:+.0f} % a period")
        pixels = one.length * (2 * np.pi / one.period) ** 2
        figures["gravity_px"] = pixels
        metres = scale.metres(pixels)
        if metres is not None:
            figures["gravity"] = metres
            law("gravity", metres, abs(metres / right - 1) <= BOUNDS["gravity"], f"g = {metres:.2f} m/s²")
    if len(swings) >= 2:
        a, b = sorted(swings, key=lambda swing: swing.length)[:: max(1, len(swings) - 1)][:2]
        figures["two_pendulum"] = (a.period**2 / b.period**2) / (a.length / b.length)
    orbits = [m.orbit for m in motions if m.orbit is not None]
    if orbits:
        around = orbits[0]
        figures["period"] = around.period
        figures["areas"] = around.areas
        law("areas", around.areas, around.areas <= BOUNDS["areas"], f"areas differ by {100 * around.areas:.0f} %")
