"""Scenes in which one rule is broken on purpose, for preference pairs and for testing the checker."""

from __future__ import annotations

import numpy as np

from physworld.spatial.scene.brief import Brief, anchored, is_low_end, pairs
from physworld.spatial.scene.documents import (
    Anchor,
    AvoidMasking,
    ElevationRange,
    KeepInBed,
    Keyframe,
    MonoLowEnd,
    MotionLimit,
    MotionPattern,
    SceneObject,
    SpatialScene,
    WidthTarget,
)
from physworld.spatial.scene.terms import CLASSES, FORMATS, snap


def break_rule(scene: SpatialScene, brief: Brief, number: int, rng: np.random.Generator) -> SpatialScene | None:
    """The scene with rule `number` broken and all else on the grid; None where no object of it can break that rule."""
    stems, rule = brief.payload.stems, brief.payload.rules[number]
    place = {thing.id: n for n, thing in enumerate(scene.objects)}

    def among(which: list[int]) -> int | None:
        """Place of one of these stems' objects."""
        there = [place[stems[k].id] for k in which if stems[k].id in place]
        return int(there[rng.integers(len(there))]) if there else None

    def of_class(name: str | None) -> list[int]:
        return [k for k, stem in enumerate(stems) if name in (None, stem.track_class)]

    if isinstance(rule, Anchor):
        n = among(anchored(stems, rule))
        least = max(5.0, rule.tol.az_deg + 4)  # beyond what the rule tolerates
        if n is None or least + 60 > 180:
            return None
        return _moved(scene, n, rule.az_deg + rng.choice([-1, 1]) * (least + 60 * rng.random()))
    if isinstance(rule, MonoLowEnd):
        n = among([k for k, stem in enumerate(stems) if is_low_end(stem)])
        return None if n is None else _moved(scene, n, rng.choice([-1, 1]) * (5 + 60 * rng.random()))
    if isinstance(rule, WidthTarget):
        n = among(of_class(rule.track_class))
        low, high = rule.bounds
        outside = [w for w in (low - 0.15, high + 0.15, high + 0.4) if 0 <= w <= 1]
        if n is None or not outside:
            return None
        return _changed(scene, n, width=snap("width", outside[rng.integers(len(outside))]))
    if isinstance(rule, AvoidMasking):
        both = [(i, j) for i, j in pairs(stems, rule) if stems[i].id in place and stems[j].id in place]
        if not both or rule.min_sep_deg < 2:
            return None
        i, j = both[rng.integers(len(both))]
        first = scene.objects[place[stems[i].id]]
        at = {"az_deg": first.az_deg, "el_deg": first.el_deg, "motion": []}
        return _changed(scene, place[stems[j].id], **at)
    if isinstance(rule, MotionLimit):
        n = among(of_class(rule.track_class))
        return None if n is None or rule.max_deg > 130 else _thrown(scene, n)
    if isinstance(rule, ElevationRange):
        n = among(of_class(rule.track_class))
        outside = [e for e in (rule.min_deg - 10, rule.max_deg + 10) if -45 <= e <= 90]
        if n is None or not outside:
            return None
        return _changed(scene, n, el_deg=snap("el_deg", outside[rng.integers(len(outside))]), motion=[])
    if isinstance(rule, MotionPattern):
        n = among(of_class(rule.track_class))
        return None if n is None else _thrown(scene, n) if rule.pattern == "still" else _changed(scene, n, motion=[])
    assert isinstance(rule, KeepInBed)
    return _added(scene, [k for k in of_class(rule.track_class) if stems[k].id not in place], brief)


def break_one(scene: SpatialScene, brief: Brief, rng: np.random.Generator) -> SpatialScene:
    """One rule broken among the brief's objects; where there is none to break, one object's class is wrong."""
    numbers = [n for n, rule in enumerate(brief.payload.rules) if not isinstance(rule, KeepInBed)]
    for n in rng.permutation(numbers) if numbers else []:
        broken = break_rule(scene, brief, int(n), rng)
        if broken is not None and broken != scene:
            return broken
    n = int(rng.integers(len(scene.objects)))
    others = [name for name in CLASSES if name != scene.objects[n].track_class]
    return _changed(scene, n, track_class=others[rng.integers(len(others))])


def other_layout(scene: SpatialScene, rng: np.random.Generator) -> SpatialScene:
    """The scene for another format than was asked for."""
    others = [name for name in FORMATS if name != scene.bed.layout]
    return scene.model_copy(update={"bed": scene.bed.model_copy(update={"layout": others[rng.integers(len(others))]})})


def _changed(scene: SpatialScene, n: int, **fields: object) -> SpatialScene:
    objects = [*scene.objects]
    objects[n] = objects[n].model_copy(update=fields)
    return scene.model_copy(update={"objects": objects})


def _moved(scene: SpatialScene, n: int, az: float) -> SpatialScene:
    return _changed(scene, n, az_deg=snap("az_deg", az), motion=[])


def _thrown(scene: SpatialScene, n: int) -> SpatialScene:
    """Object n flies over the listener's head: at least 130° away, whatever its elevation."""
    thing = scene.objects[n]
    opposite = -thing.el_deg if thing.el_deg <= 45 else -45.0
    start = Keyframe(t=0.0, az_deg=thing.az_deg, el_deg=thing.el_deg, dist_m=thing.dist_m)
    end = Keyframe(
        t=1.0, az_deg=snap("az_deg", thing.az_deg + 180), el_deg=snap("el_deg", opposite), dist_m=thing.dist_m
    )
    return _changed(scene, n, motion=[start, end])


def _added(scene: SpatialScene, which: list[int], brief: Brief) -> SpatialScene | None:
    if not which:
        return None
    stem = brief.payload.stems[which[0]]
    extra: SceneObject = scene.objects[0].model_copy(update={"id": stem.id, "track_class": stem.track_class})
    return scene.model_copy(update={"objects": [*scene.objects, extra]})
