"""Does a scene keep to the contract, to the strict profile and to a payload's rules? Every finding has its path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from physworld.spatial.scene.brief import Brief, Conflict, anchored, is_low_end, members, pairs, resolve
from physworld.spatial.scene.documents import (
    Anchor,
    AvoidMasking,
    ElevationRange,
    KeepInBed,
    MonoLowEnd,
    MotionLimit,
    MotionPattern,
    Payload,
    SceneObject,
    SpatialScene,
    WidthTarget,
)
from physworld.spatial.scene.patterns import moves_as
from physworld.spatial.scene.reading import (
    Invalid,
    Violation,
    scene_from,
)
from physworld.spatial.scene.terms import (
    CLASSES,
    DIALS,
    POSE,
    ROOMS,
    SLACK,
    great_circle,
    great_circles,
    on_grid,
    pose_at,
    poses_at,
    turn,
)

VERSION = "1.0"
LOUDNESS_RANGE = (-36.0, -8.0)  # LUFS
MONO_WIDTH = 0.1
MANY = 16  # keyframes from which on they are looked at in one go


@dataclass(frozen=True)
class Breach:
    """One object (or pair) that does not keep to a rule."""

    path: str
    stems: frozenset[str]
    aspect: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    rule: int  # index into payload.rules
    type: str
    tag: str  # how `constraints_applied` names it
    status: str  # pass, fail, or conflict: broken only where a rule of higher precedence forces it
    reasons: tuple[Violation, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that was found. `contract` empty means that the published schema holds."""

    contract: tuple[Violation, ...]
    strict: tuple[Violation, ...]
    verdicts: tuple[Verdict, ...]
    budget: tuple[Violation, ...]
    honesty: tuple[Violation, ...]  # of constraints_applied
    missing: tuple[Violation, ...] = ()  # stems that are neither objects nor in the bed

    @property
    def violations(self) -> list[Violation]:
        """All that is wrong; what a higher rule forces is not."""
        broken = [reason for v in self.verdicts if v.status == "fail" for reason in v.reasons]
        return [*self.contract, *self.strict, *self.budget, *broken, *self.missing, *self.honesty]

    @property
    def conflicts(self) -> list[Violation]:
        return [reason for v in self.verdicts if v.status == "conflict" for reason in v.reasons]

    @property
    def obeys(self) -> bool:
        """Contract, profile, budget and every rule that can hold."""
        kept = all(v.status != "fail" for v in self.verdicts)
        return kept and not (self.contract or self.strict or self.budget)

    def passed(self, kind: str) -> bool | None:
        """All rules of a type hold; None where there is none that could be judged."""
        if self.contract:
            return False if any(v.type == kind for v in self.verdicts) else None
        seen = [v.status == "pass" for v in self.verdicts if v.type == kind and v.status != "conflict"]
        return all(seen) if seen else None


def tag(rule: Any) -> str:
    """How `constraints_applied` names a rule; anchors and low end as on the model card."""
    if isinstance(rule, Anchor):
        return f"anchor:{rule.id or rule.track_class}@{rule.az_deg:g}/{rule.el_deg:g}/{rule.dist_m:g}"
    if isinstance(rule, MonoLowEnd):
        return f"mono_low_end<{rule.hz_below:g}Hz"
    if isinstance(rule, WidthTarget):
        value = f"{rule.width:g}" if rule.width is not None else f"{rule.min:g}..{rule.max:g}"
        return f"width:{rule.track_class}={value}"
    if isinstance(rule, AvoidMasking):
        return f"avoid_masking:{rule.a}|{rule.b}>={rule.min_sep_deg:g}deg"
    if isinstance(rule, MotionLimit):
        return f"motion_limit:{rule.track_class or 'all'}<={rule.max_deg:g}deg"
    if isinstance(rule, ElevationRange):
        return f"elevation:{rule.track_class or 'all'}={rule.min_deg:g}..{rule.max_deg:g}deg"
    if isinstance(rule, MotionPattern):
        return f"motion:{rule.track_class}={rule.pattern}"
    return f"keep_in_bed:{rule.track_class}"


def check(scene: Any, payload: Payload | None = None, brief: Brief | None = None) -> Report:
    """Judge a scene: parsed JSON or a SpatialScene.

    Args:
        payload: what was asked for; without it only the contract and the strict profile are judged.
        brief: the payload resolved, where the caller has it already.
    """
    try:
        scene = scene_from(scene)
    except Invalid as error:
        return _unusable(error, payload)
    strict = list(_profile(scene))
    if payload is None:
        return Report(contract=(), strict=tuple(strict), verdicts=(), budget=(), honesty=())
    brief = brief or resolve(payload)
    strict += _belongs(scene, payload)
    conflicts, gap = _conflicts(scene, payload, brief), _gaps(scene)
    verdicts, truth = [], []
    for number, rule in enumerate(payload.rules):
        breaches = list(_breaches(scene, payload, rule, gap))
        excused = {(c.stems, c.aspect) for c in conflicts if c.rule == number}
        open_ = [b for b in breaches if (b.stems, b.aspect) not in excused]
        status = "pass" if not breaches else "fail" if open_ else "conflict"
        if status == "pass" and tag(rule) not in truth:
            truth.append(tag(rule))
        why = {(c.stems, c.aspect): c.reason for c in conflicts if c.rule == number}
        reasons = tuple(
            Violation(b.path, f"{tag(rule)}: {b.message}" + _because(why.get((b.stems, b.aspect))))
            for b in (open_ or breaches)
        )
        verdicts.append(Verdict(rule=number, type=rule.type, tag=tag(rule), status=status, reasons=reasons))
    budget = []
    if len(scene.objects) > payload.max_objects:
        message = f"{len(scene.objects)} objects, but max_objects={payload.max_objects}"
        budget.append(Violation("$.objects", message))
    honesty = []
    if scene.constraints_applied != truth:
        honesty.append(Violation("$.constraints_applied", f"must name exactly what holds: {truth}"))
    missing = [
        Violation(
            "$.objects", f"{name} is missing: it is neither an object nor kept in the bed, and there is room for it"
        )
        for name in left_out(scene, payload, brief)
    ]
    return Report(
        contract=(), strict=tuple(strict), verdicts=tuple(verdicts), budget=tuple(budget), honesty=tuple(honesty),
        missing=tuple(missing),
    )  # fmt: skip


def _conflicts(scene: SpatialScene, payload: Payload, brief: Brief) -> list[Conflict]:
    """The brief's; of separations and motions those of the scene's own objects, where it has chosen others."""
    stems = {stem.id for stem in payload.stems}
    chosen = list(dict.fromkeys(thing.id for thing in scene.objects if thing.id in stems))
    if {brief.stem(place).id for place in range(len(brief.objects))} == set(chosen):
        return list(brief.conflicts)
    own = ("sep", "motion")  # what depends on who else is there
    kept = [c for c in brief.conflicts if c.aspect not in own]
    return [*kept, *(c for c in resolve(payload, chosen).conflicts if c.aspect in own)]


def left_out(scene: SpatialScene, payload: Payload, brief: Brief | None = None) -> list[str]:
    """Stems that are neither objects nor in the bed. In the bed are those that a rule keeps there or the budget leaves.

    Args:
        brief: the payload resolved; one that was resolved for this scene's own objects does not know what it lacks.
    """
    brief = brief if brief is not None and brief.chosen is None else resolve(payload)
    known = {stem.id for stem in payload.stems} & {thing.id for thing in scene.objects}
    wanted = [brief.stem(place).id for place in range(len(brief.objects))]
    return [name for name in wanted if name not in known][: max(0, payload.max_objects - len(known))]


def applied(scene: SpatialScene, payload: Payload) -> list[str]:
    """What `constraints_applied` must say: the rules that hold in full, in their order, each once."""
    gap = _gaps(scene)
    return list(
        dict.fromkeys(tag(r) for r in payload.rules if not any(True for _ in _breaches(scene, payload, r, gap)))
    )


def _gaps(scene: SpatialScene) -> Callable[[int, int], float]:
    """`least_separation` of two objects by their places, worked out once for all rules."""
    return functools.cache(lambda a, b: least_separation(scene.objects[a], scene.objects[b]))


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _unusable(error: Invalid, payload: Payload | None) -> Report:
    rules = payload.rules if payload is not None else []
    verdicts = [
        Verdict(rule=n, type=rule.type, tag=tag(rule), status="fail", reasons=()) for n, rule in enumerate(rules)
    ]
    return Report(contract=tuple(error.violations), strict=(), verdicts=tuple(verdicts), budget=(), honesty=())


def _profile(scene: SpatialScene) -> Iterator[Violation]:
    """The strict profile, as far as it needs no payload."""
    if scene.version != VERSION:
        yield Violation("$.version", f"must be {VERSION!r}")
    low, high = LOUDNESS_RANGE
    if not low <= scene.bed.loudness_target_lufs <= high:
        yield Violation("$.bed.loudness_target_lufs", f"must lie between {low:g} and {high:g} LUFS")
    elif not on_grid("loudness_target_lufs", scene.bed.loudness_target_lufs):
        yield Violation("$.bed.loudness_target_lufs", "must be a multiple of 0.5")
    if scene.bed.room_preset not in ROOMS:
        yield Violation("$.bed.room_preset", f"must be one of {', '.join(ROOMS)}")
    first: dict[str, int] = {}
    for n, thing in enumerate(scene.objects):
        path = f"$.objects[{n}]"
        if first.setdefault(thing.id, n) != n:
            yield Violation(f"{path}.id", f"{thing.id[:40]} is also the id of objects[{first[thing.id]}]")
        for name in (*POSE, *DIALS):
            if not on_grid(name, getattr(thing, name)):
                yield Violation(f"{path}.{name}", f"{getattr(thing, name):g} is off the grid")
        yield from _motion(thing, path)


def _motion(thing: SceneObject, path: str) -> Iterator[Violation]:
    keys = thing.motion
    for k, key in enumerate(keys):
        for name in ("t", *POSE):
            if not on_grid(name, getattr(key, name)):
                yield Violation(f"{path}.motion[{k}].{name}", f"{getattr(key, name):g} is off the grid")
        if k and key.t <= keys[k - 1].t:
            yield Violation(f"{path}.motion[{k}].t", "times must increase")
    if not keys:
        return
    if keys[0].pose != thing.pose:
        yield Violation(f"{path}.motion[0]", "the first keyframe must be the static pose")
    if keys[0].t != 0 or keys[-1].t != 1:
        yield Violation(f"{path}.motion", "keyframes must run from t=0 to t=1")


def _belongs(scene: SpatialScene, payload: Payload) -> Iterator[Violation]:
    """The strict profile, as far as it depends on the payload."""
    if scene.bed.layout != payload.target_format:
        yield Violation("$.bed.layout", f"must be the target format {payload.target_format}")
    classes = {stem.id: stem.track_class for stem in payload.stems}
    for n, thing in enumerate(scene.objects):
        if thing.id not in classes:
            yield Violation(f"$.objects[{n}].id", f"{thing.id[:40]} is no stem")
        elif thing.track_class != classes[thing.id]:
            yield Violation(f"$.objects[{n}].class", f"the stem's class is {classes[thing.id]}")


def _breaches(scene: SpatialScene, payload: Payload, rule: Any, gap: Callable[[int, int], float]) -> Iterator[Breach]:
    """Every object that does not keep to a rule, whatever the reason."""
    stems = payload.stems
    places: dict[str, list[int]] = {}
    for n, thing in enumerate(scene.objects):  # an id that comes twice is two objects, and both are judged
        places.setdefault(thing.id, []).append(n)

    def things(which: list[int]) -> Iterator[tuple[str, SceneObject, str]]:
        for k in which:
            for n in places.get(stems[k].id, ()):
                yield f"$.objects[{n}]", scene.objects[n], stems[k].id

    def of_class(name: str | None) -> list[int]:
        return [k for k, stem in enumerate(stems) if name in (None, stem.track_class)]

    if isinstance(rule, Anchor):
        yield from _anchor_breaches(rule, anchored(stems, rule), [s.id for s in stems], places, scene)
    elif isinstance(rule, MonoLowEnd):
        for path, thing, name in things([k for k, stem in enumerate(stems) if is_low_end(stem)]):
            if any(turn(pose[0], 0) > SLACK for pose in thing.poses):
                yield Breach(f"{path}.az_deg", frozenset([name]), "az", f"{name} must be at azimuth 0")
            if thing.width > MONO_WIDTH + SLACK:
                yield Breach(f"{path}.width", frozenset([name]), "width", f"{name} must be at most 0.1 wide")
            if thing.moves:
                yield Breach(f"{path}.motion", frozenset([name]), "motion", f"{name} must not move")
    elif isinstance(rule, WidthTarget):
        low, high = rule.bounds
        for path, thing, name in things(of_class(rule.track_class)):
            if not low - SLACK <= thing.width <= high + SLACK:
                yield Breach(
                    f"{path}.width", frozenset([name]), "width", f"{thing.width:g} is not in {low:g}..{high:g}"
                )
    elif isinstance(rule, MotionLimit):
        for path, thing, name in things(of_class(rule.track_class)):
            far = max(great_circle(pose, thing.pose) for pose in thing.poses)
            if far > rule.max_deg + 1e-6:
                yield Breach(f"{path}.motion", frozenset([name]), "motion", f"a keyframe is {far:.1f}° away")
    elif isinstance(rule, ElevationRange):
        for path, thing, name in things(of_class(rule.track_class)):
            wrong = [p[1] for p in thing.poses if not rule.min_deg - SLACK <= p[1] <= rule.max_deg + SLACK]
            if wrong:
                yield Breach(f"{path}.el_deg", frozenset([name]), "el", f"elevation {wrong[0]:g} is outside")
    elif isinstance(rule, KeepInBed):
        for path, _, name in things(of_class(rule.track_class)):
            yield Breach(path, frozenset([name]), "presence", f"{name} must stay in the bed")
    elif isinstance(rule, MotionPattern):
        for path, thing, name in things(of_class(rule.track_class)):
            if not moves_as(rule.pattern, thing.path):
                what = "must stand still" if rule.pattern == "still" else f"does not {rule.pattern}"
                yield Breach(f"{path}.motion", frozenset([name]), "motion", f"{name} {what}")
    elif isinstance(rule, AvoidMasking):
        for name in (rule.a, rule.b):
            if name not in CLASSES and not members(stems, name):
                yield Breach("$.objects", frozenset(), "presence", f"{name} is neither a class nor a stem")
        for i, j in pairs(stems, rule):
            for a, b in product(places.get(stems[i].id, ()), places.get(stems[j].id, ())):
                least = gap(min(a, b), max(a, b))
                if least < rule.min_sep_deg - 1e-6:
                    message = f"{stems[i].id} and {stems[j].id} come within {least:.1f}°"
                    yield Breach(f"$.objects[{max(a, b)}]", frozenset([stems[i].id, stems[j].id]), "sep", message)


def _anchor_breaches(
    rule: Anchor, matched: list[int], ids: list[str], places: dict[str, list[int]], scene: SpatialScene
) -> Iterator[Breach]:
    if not matched:
        yield Breach("$.objects", frozenset(), "presence", f"no stem is {rule.id or rule.track_class}")
    for k in matched:
        name = ids[k]
        if name not in places:
            yield Breach("$.objects", frozenset([name]), "presence", f"{name} is missing")
        for n in places.get(name, ()):
            for pose in scene.objects[n].poses:
                away = turn(pose[0], rule.az_deg), abs(pose[1] - rule.el_deg), abs(pose[2] - rule.dist_m)
                allowed = rule.tol.az_deg, rule.tol.el_deg, rule.tol.dist_m
                if any(a > t + SLACK for a, t in zip(away, allowed, strict=True)):
                    message = f"{name} is off by {away[0]:g}°, {away[1]:g}°, {away[2]:.2f} m"
                    yield Breach(f"$.objects[{n}]", frozenset([name]), "pose", message)
                    break


def least_separation(a: SceneObject, b: SceneObject) -> float:
    """Smallest great-circle angle between two objects at any keyframe of either, and between their static poses."""
    least = great_circle(a.pose, b.pose)
    path_a, path_b = a.path, b.path
    if len(path_a) == len(path_b) == 1:
        return least
    times = {t for t, _ in path_a} | {t for t, _ in path_b}
    if len(times) > MANY:
        return min(least, float(great_circles(poses_at(path_a, sorted(times)), poses_at(path_b, sorted(times))).min()))
    for t in times:
        least = min(least, great_circle(pose_at(path_a, t), pose_at(path_b, t)))
    return least
