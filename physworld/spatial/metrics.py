"""How good one spatial scene is: what holds, how far it is from the engineer's, how it would mix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from physworld.spatial.scene.brief import Brief
from physworld.spatial.scene.documents import (
    RULE_TYPES,
    Payload,
    SceneObject,
    SpatialScene,
    Stem,
)
from physworld.spatial.scene.reading import scene_from
from physworld.spatial.scene.rules import check, least_separation
from physworld.spatial.scene.terms import great_circle

Score = dict[str, float | None]  # None = does not apply to this payload, or cannot be read off this scene

CLOSE = 30.0  # degrees within which two objects of like spectrum mask each other
# What `score_scene` says of an answer: name -> meaning, in the order of the tables. A new figure is an entry here and a
# value there. RATES are shares, better when larger; ERRORS are better when smaller.
RATES = {
    "parse": "is JSON",
    "schema": "keeps the published schema",
    "strict": "strict profile: grids, ids, motion",
    "budget": "at most max_objects objects",
    "anchor": "all anchors held",
    **dict.fromkeys(RULE_TYPES[1:], ""),
    "all_rules": "profile, budget and every rule that can hold",
    "coverage": "share of the stems that are an object or in the bed",
    "unique": "no id twice",
    "honest": "constraints_applied is exactly what holds",
}
PARTIAL = ("coverage",)  # of RATES: a part of each scene; the others hold or do not, so their means are shares
ERRORS = {
    "direction_deg": "angle to the engineer's direction, °",
    "gain_db": "gain against the engineer's, dB",
    "distance_m": "distance against the engineer's, m",
    "masking": "masking overlap, 0-1",
    "level_db": "level against the engineer's mix, dB",
    "balance_db": "left/right imbalance, dB",
    "edits": "edits of repair",
}


def score_scene(data: Any, brief: Brief, gold: SpatialScene) -> Score:
    """Every figure of one answer.

    Args:
        data: parsed JSON; None = it could not be read.
        gold: the engineer's scene for the same payload.

    Raises:
        ValueError: a figure is no finite number: it would vanish from a mean, as if it did not apply.
    """
    payload = brief.payload
    if data is None:
        rules = {kind: 0.0 if any(r.type == kind for r in payload.rules) else None for kind in RULE_TYPES}
        failed: Score = dict.fromkeys((name for name in RATES if name not in RULE_TYPES), 0.0)
        return {**dict.fromkeys(ERRORS), **failed, **rules}
    report = check(data, payload, brief)
    score: Score = {
        "parse": 1.0,
        "schema": float(not report.contract),
        "strict": float(not report.contract and not report.strict),
        "budget": float(not report.contract and not report.budget),
        **{kind: _rate(report.passed(kind)) for kind in RULE_TYPES},
        "all_rules": float(report.obeys),
        "honest": float(not report.contract and not report.honesty),
        "coverage": 0.0,
        "unique": 0.0,
        **dict.fromkeys(ERRORS),
    }
    if report.contract:
        return score
    scene = data if isinstance(data, SpatialScene) else scene_from(data)
    ids = [thing.id for thing in scene.objects]
    score["coverage"] = 1 - len(report.missing) / len(payload.stems)
    score["unique"] = float(len(set(ids)) == len(ids))
    score |= {**pose_errors(scene, gold), **mix(scene, payload, gold)}
    odd = [name for name, value in score.items() if value is not None and not math.isfinite(value)]
    if odd:
        raise ValueError(f"{odd[0]} of this scene is {score[odd[0]]}")
    return score


def _rate(passed: bool | None) -> float | None:
    return None if passed is None else float(passed)


def pose_errors(scene: SpatialScene, gold: SpatialScene) -> Score:
    """Means over the objects of both scenes: great-circle angle °, gain dB, distance m."""
    true = {thing.id: thing for thing in gold.objects}
    pairs = [(thing, true[thing.id]) for thing in scene.objects if thing.id in true]
    if not pairs:
        return {"direction_deg": None, "gain_db": None, "distance_m": None}
    return {
        "direction_deg": sum(great_circle(a.pose, b.pose) for a, b in pairs) / len(pairs),
        "gain_db": sum(abs(a.gain_db - b.gain_db) for a, b in pairs) / len(pairs),
        "distance_m": sum(abs(a.dist_m - b.dist_m) for a, b in pairs) / len(pairs),
    }


def mix(scene: SpatialScene, payload: Payload, gold: SpatialScene) -> Score:
    """Masking overlap (0 none, 1 total), level against the engineer's mix (dB), left/right imbalance (dB)."""
    stems = {stem.id: stem for stem in payload.stems}
    things = [(thing, stems[thing.id]) for thing in scene.objects if thing.id in stems]
    if not things:
        return {"masking": None, "level_db": None, "balance_db": None}
    true = [(thing, stems[thing.id]) for thing in gold.objects]
    return {
        "masking": masking_overlap(things),
        "level_db": abs(10 * math.log10(_energy(things) / _energy(true))),
        "balance_db": abs(left_right(things)),
    }


Placed = Sequence[tuple[SceneObject, Stem]]


def masking_overlap(things: Placed) -> float | None:
    """Mean over pairs of (cosine of the band energies) × (1 at the same direction .. 0 from CLOSE degrees on).

    None: there are no two objects.
    """
    pairs = list(combinations(things, 2))
    if not pairs:
        return None
    total = 0.0
    for (a, stem_a), (b, stem_b) in pairs:
        near = max(0.0, 1 - least_separation(a, b) / CLOSE)
        total += near * _likeness(stem_a, stem_b) if near else 0.0
    return total / len(pairs)


def _likeness(a: Stem, b: Stem) -> float:
    x, y = ((s.band_energy.low, s.band_energy.mid, s.band_energy.high) for s in (a, b))
    return sum(p * q for p, q in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))


def _power(thing: SceneObject, stem: Stem) -> float:
    return float(10 ** ((stem.lufs + thing.gain_db) / 10))


def _energy(things: Placed) -> float:
    return sum(_power(thing, stem) for thing, stem in things)


def left_right(things: Placed) -> float:
    """Level of the left against the right half, dB, each object split by the sine of its lateral angle."""
    left = right = 1e-12
    for thing, stem in things:
        lateral = math.sin(math.radians(thing.az_deg)) * math.cos(math.radians(thing.el_deg))
        left += _power(thing, stem) * (1 + lateral) / 2
        right += _power(thing, stem) * (1 - lateral) / 2
    return 10 * math.log10(left / right)


def diversity(scenes: Sequence[SpatialScene]) -> float:
    """Different poses per object over many scenes: near 0 where every scene is the same one."""
    poses = [thing.pose for scene in scenes for thing in scene.objects]
    return len(set(poses)) / len(poses) if poses else 0.0
