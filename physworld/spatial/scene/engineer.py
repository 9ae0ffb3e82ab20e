"""A rule-based mixing engineer: places every object by tables and a few rules of thumb. Deterministic.

It is the honest baseline, and it writes the scenes that models learn from. Features are read at the precision a brief
prints (1 dB, 0.1), so that a scene is a function of the printed brief. The tables are ours: centre for voice, kick,
snare and bass; pairs left and right; pads, strings and effects wide and far; ambience behind (cf. B. Owsinski, The
Mixing Engineer's Handbook, on panorama).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from physworld.spatial.scene.apart import cleared, pose_of, settle, strictest
from physworld.spatial.scene.brief import FREE_WIDTH, Brief, Target, inside, resolve
from physworld.spatial.scene.documents import Payload, SpatialScene, Stem
from physworld.spatial.scene.patterns import beginning, plain
from physworld.spatial.scene.rules import VERSION, applied
from physworld.spatial.scene.terms import BANDS, LOUDNESS, ROOMS, Pose, snap, turn

# class: azimuth ° off centre (0 = stays in the middle), elevation °, distance m, width, reverb, early reflections
TEMPLATE = {
    "lead_vocal": (0, 5, 1.6, 0.15, 0.175, 0.215),
    "back_vocal": (40, 10, 2.2, 0.30, 0.24, 0.24),
    "kick": (0, 0, 1.8, 0.10, 0.04, 0.08),
    "snare": (0, 0, 2.0, 0.15, 0.12, 0.16),
    "hihat": (30, 5, 2.2, 0.15, 0.08, 0.12),
    "bass": (0, -5, 1.8, 0.10, 0.03, 0.06),
    "drums_bus": (0, 0, 2.2, 0.45, 0.12, 0.18),
    "pad": (75, 20, 3.6, 0.70, 0.40, 0.30),
    "synth_lead": (25, 10, 2.0, 0.25, 0.20, 0.18),
    "guitar": (45, 0, 2.4, 0.25, 0.16, 0.20),
    "piano": (35, 0, 2.4, 0.40, 0.20, 0.22),
    "strings": (60, 15, 3.2, 0.60, 0.34, 0.32),
    "brass": (50, 10, 2.8, 0.35, 0.26, 0.28),
    "fx": (100, 30, 3.0, 0.40, 0.36, 0.20),
    "dialogue": (0, 0, 1.4, 0.10, 0.06, 0.10),
    "ambience": (135, 25, 5.0, 0.90, 0.50, 0.36),
    "other": (65, 10, 2.6, 0.30, 0.20, 0.20),
}
# style: times the azimuth, plus elevation °, distance m, width, reverb, early reflections; room
STYLE = {
    "club": (1.0, 5, 0.0, 0.00, 0.04, 0.02, "club"),
    "pop": (1.0, 0, 0.0, 0.05, 0.02, 0.00, "studio"),
    "rock": (1.1, -5, 0.2, 0.05, 0.00, 0.04, "live"),
    "hiphop": (0.8, 0, -0.2, 0.00, -0.02, -0.02, "studio"),
    "jazz": (0.9, 0, 0.3, 0.00, 0.06, 0.06, "live"),
    "orchestral": (1.2, 5, 0.8, 0.10, 0.14, 0.10, "hall"),
    "ambient": (1.3, 10, 0.6, 0.15, 0.18, 0.04, "space"),
    "cinematic": (1.2, 10, 0.4, 0.10, 0.12, 0.08, "hall"),
}
# section: plus azimuth °, elevation °, distance m, width, reverb, early reflections; sweep ° of moving classes
SECTION = {
    "intro": (0, 0, 0.4, 0.00, 0.06, 0.02, 0),
    "verse": (-5, 0, 0.0, -0.05, 0.00, 0.00, 0),
    "build": (5, 5, 0.0, 0.05, 0.04, 0.00, 30),
    "drop": (10, 0, -0.2, 0.00, -0.02, 0.00, 40),
    "chorus": (10, 5, 0.0, 0.10, 0.02, 0.02, 0),
    "bridge": (0, 5, 0.2, 0.00, 0.08, 0.02, 20),
    "breakdown": (-5, 10, 0.4, 0.00, 0.10, 0.04, 25),
    "outro": (-5, 0, 0.6, -0.05, 0.08, 0.02, 0),
}
LEAST_SWEEP = 5  # degrees below which an object stands still
MOVERS = ("pad", "synth_lead", "fx", "ambience", "other")
BACK_AND_FORTH = ("build", "drop")  # other moving sections drift one way
NEAR = 15.0  # degrees of azimuth within which two objects of one dominant band are too near


def tenths(value: float) -> float:
    return math.floor(value * 10 + 0.5) / 10


def dominant(stem: Stem) -> str:
    """The band that holds most energy, the lower one where two are equal."""
    return max(BANDS, key=lambda band: getattr(stem.band_energy, band))


def room(payload: Payload) -> str:
    """The style's room, larger where there is less energy."""
    energy = tenths(payload.overall.energy)
    size = "large" if energy < 0.3 else "medium" if energy < 0.95 else "small"
    name = f"{STYLE[payload.style][-1]}_{size}"
    assert name in ROOMS
    return name


def engineer(payload: Payload, brief: Brief | None = None) -> SpatialScene:
    """The scene for a payload. Rules are kept as far as its search finds a place."""
    brief = brief or resolve(payload)
    placed: list[dict[str, Any]] = []
    side, seen = 1, dict[str, int]()
    for target in brief.objects:
        stem = payload.stems[target.stem]
        occurrence = seen[stem.track_class] = seen.get(stem.track_class, -1) + 1
        lateral = target.az is None and (TEMPLATE[stem.track_class][0] > 0 or occurrence > 0)
        wanted = _wanted(payload, stem, target, side if lateral else 0, occurrence)
        if lateral:
            wanted = _spread(wanted, stem, brief, placed)
            side = -side
        hoped = strictest(replace(target, apart=(*target.apart, *target.wish)))
        placed.append(_object(payload, stem, target, cleared(wanted, hoped, [pose_of(p) for p in placed])))
    settle(placed, brief.objects)
    scene = SpatialScene.model_validate(
        {
            "version": VERSION,
            "bed": {
                "layout": payload.target_format,
                "loudness_target_lufs": LOUDNESS[payload.target_format],
                "room_preset": room(payload),
            },
            "objects": placed,
            "constraints_applied": [],
        }
    )
    return scene.model_copy(update={"constraints_applied": applied(scene, payload)})


def _wanted(payload: Payload, stem: Stem, target: Target, side: int, occurrence: int) -> Pose:
    """The pose by taste, within what the target allows."""
    az0, el0, dist0, *_ = TEMPLATE[stem.track_class]
    spread, el1, dist1, *_ = STYLE[payload.style]
    az2, el2, dist2, *_ = SECTION[payload.section]
    if target.az is not None:
        az = float(target.az[0])
    elif side:
        az = 5 * math.floor(((az0 or 15) * spread + az2) / 5 + 0.5) + 15 * (occurrence // 2)
        az = float(side * min(max(az, 10), 170))
    else:
        az = 0.0
    lead, energy = tenths(stem.leadness), tenths(payload.overall.energy)
    dist = dist0 + dist1 + dist2 + 0.6 * (0.5 - energy) - 0.4 * (lead - 0.5)
    el: float = el0 + el1 + el2
    if target.preferred is not None:
        _, el, dist = target.preferred
    return az, _allowed("el_deg", target.el, el), _allowed("dist_m", target.dist, dist)


def _allowed(field: str, bounds: tuple[float, float], value: float) -> float:
    found = inside(field, *bounds, near=value)
    assert found is not None  # a brief never narrows an interval to nothing
    return found


def _spread(wanted: Pose, stem: Stem, brief: Brief, placed: list[dict[str, Any]]) -> Pose:
    """Twenty degrees further out where an object of the same dominant band already stands."""
    az, el, dist = wanted
    for place, other in enumerate(placed):
        if dominant(brief.stem(place)) == dominant(stem) and turn(az, other["az_deg"]) < NEAR:
            return math.copysign(min(abs(az) + 20, 170), az), el, dist
    return wanted


def _object(payload: Payload, stem: Stem, target: Target, pose: Pose) -> dict[str, Any]:
    _, _, _, width0, reverb0, early0 = TEMPLATE[stem.track_class]
    _, _, _, width1, reverb1, early1, _ = STYLE[payload.style]
    _, _, _, width2, reverb2, early2, sweep = SECTION[payload.section]
    lead, transient, lufs = tenths(stem.leadness), tenths(stem.transient), math.floor(stem.lufs + 0.5)
    gain = min(max(0.4 * (-17 - lufs) + 2 * (lead - 1), -12), 6)
    az, el, dist = snap("az_deg", pose[0]), snap("el_deg", pose[1]), snap("dist_m", pose[2])
    if target.pattern is not None:
        az, el, dist = beginning(target.pattern, (az, el, dist), target.el[1])
    return {
        "id": stem.id,
        "class": stem.track_class,
        "az_deg": az,
        "el_deg": el,
        "dist_m": dist,
        "width": target.wide if target.width != FREE_WIDTH else snap("width", width0 + width1 + width2),
        "gain_db": snap("gain_db", gain),
        "reverb_send": snap("reverb_send", reverb0 + reverb1 + reverb2 - 0.05 * transient),
        "early_reflections": snap("early_reflections", early0 + early1 + early2 - 0.05 * transient),
        "motion": _motion(payload, stem, target, sweep, (az, el, dist)),
    }


def _motion(payload: Payload, stem: Stem, target: Target, sweep: float, pose: Pose) -> list[dict[str, Any]]:
    """A rule's pattern; else movers sweep outwards in moving sections of some energy. What is kept apart stands."""
    az, el, dist = pose
    if target.pattern not in (None, "still"):
        return keyframes(plain(str(target.pattern), pose, reach=target.reach, highest=target.el[1]))
    sweep = math.floor(min(sweep * (1.5 if stem.track_class == "fx" else 1.0), target.reach))
    still = target.still or target.apart or target.az is not None or tenths(payload.overall.energy) < 0.5
    if still or stem.track_class not in MOVERS or sweep < LEAST_SWEEP:
        return []
    away = snap("az_deg", az + math.copysign(sweep, az))
    points = [(0.0, az), (0.5, away), (1.0, az)] if payload.section in BACK_AND_FORTH else [(0.0, az), (1.0, away)]
    return keyframes([(t, (a, el, dist)) for t, a in points])


def keyframes(path: Sequence[tuple[float, Pose]]) -> list[dict[str, Any]]:
    """As a scene has them."""
    return [{"t": t, "az_deg": az, "el_deg": el, "dist_m": dist} for t, (az, el, dist) in path]
