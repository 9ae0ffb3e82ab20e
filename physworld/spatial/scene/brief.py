"""Rules resolved onto stems: which stems become objects, in which order, and what each of them must keep to.

Precedence: budget > anchor > keep_in_bed > mono_low_end > elevation_range > motion_limit > avoid_masking >
motion_pattern > width_target > style. A rule that cannot hold for a stem because of one before it is a `Conflict`:
labelled, never hidden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from physworld.spatial.scene.documents import (
    Anchor,
    AvoidMasking,
    ElevationRange,
    KeepInBed,
    MonoLowEnd,
    MotionLimit,
    MotionPattern,
    Payload,
    Stem,
    WidthTarget,
)
from physworld.spatial.scene.packing import ROUNDED, Room, farthest, impossible, overfull, widest
from physworld.spatial.scene.patterns import hindrance
from physworld.spatial.scene.terms import CLASSES, GRID, LOW_END, SLACK, snap, turn

FREE_WIDTH = (0.0, 1.0)
FREE_ELEVATION = (-45.0, 90.0)
MONO_WIDTH = 0.1
REPEATED = 2  # how often the payloads of training say the same of two objects, at most


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one object must keep to."""

    stem: int  # index into payload.stems
    az: tuple[int, ...] | None  # allowed azimuths, best first; None = any
    el: tuple[float, float]  # degrees, both ends allowed
    dist: tuple[float, float]  # m
    width: tuple[float, float]
    reach: float  # largest great-circle excursion of a keyframe, degrees; 0 = it stands still
    still: bool  # no keyframe may differ, in distance neither
    apart: tuple[tuple[int, float], ...] = ()  # (place of another object in the output, least separation in degrees)
    wish: tuple[tuple[int, float], ...] = ()  # the same where not all can hold, with what might: nothing depends on it
    anchored: bool = False
    preferred: tuple[float, float, float] | None = None  # the anchor's own pose
    pattern: str | None = None  # how it moves, of patterns.PATTERNS; "still" is `still`, too

    @property
    def wide(self) -> float:
        """The width to take where a rule bounds it: the middle."""
        found = inside("width", *self.width)
        assert found is not None  # a brief never narrows an interval to nothing
        return found


@dataclass(frozen=True)
class Conflict:
    """A rule that cannot hold for these stems in this respect."""

    rule: int  # index into payload.rules
    stems: frozenset[str]
    aspect: str  # presence, pose, az, width, el, sep or motion
    reason: str


@dataclass(frozen=True, kw_only=True)
class Brief:
    payload: Payload
    objects: tuple[Target, ...]  # in output order
    conflicts: tuple[Conflict, ...]
    chosen: tuple[str, ...] | None = None  # ids of the objects, where a scene had settled them

    def stem(self, place: int) -> Stem:
        return self.payload.stems[self.objects[place].stem]

    def broken(self) -> set[int]:
        """Rules that do not hold in full, whatever the scene: their conflict concerns an object, or what is missing."""
        objects = {self.payload.stems[target.stem].id for target in self.objects}
        return {c.rule for c in self.conflicts if c.aspect in ("presence", "pose") or c.stems <= objects}


def members(stems: Sequence[Stem], name: str) -> list[int]:
    """Stems that `name` means: a class, else one stem's id."""
    if name in CLASSES:
        return [k for k, stem in enumerate(stems) if stem.track_class == name]
    return [k for k, stem in enumerate(stems) if stem.id == name]


def anchored(stems: Sequence[Stem], rule: Anchor) -> list[int]:
    if rule.id is not None:
        return [k for k, stem in enumerate(stems) if stem.id == rule.id]
    return [k for k, stem in enumerate(stems) if stem.track_class == rule.track_class]


def is_low_end(stem: Stem) -> bool:
    return stem.track_class in ("kick", "bass") or stem.band_energy.low >= LOW_END - SLACK


@dataclass
class _Draft:
    """A target while it is narrowed down."""

    az: tuple[int, ...] | None = None
    el: tuple[float, float] = FREE_ELEVATION
    dist: tuple[float, float] = (0.5, 15.0)
    width: tuple[float, float] = FREE_WIDTH
    reach: float = 180.0
    still: bool = False
    anchored: bool = False
    preferred: tuple[float, float, float] | None = None
    pattern: str | None = None
    apart: list[tuple[int, float]] = field(default_factory=list)
    wish: list[tuple[int, float]] = field(default_factory=list)

    def narrow(self, name: str, low: float, high: float) -> bool:
        """Cut an interval down; False, and nothing changes, where no grid value would be left."""
        old_low, old_high = getattr(self, name)
        low, high = max(low, old_low), min(high, old_high)
        if inside(GRID_FIELD[name], low, high) is None:
            return False
        setattr(self, name, (low, high))
        return True


GRID_FIELD = {"el": "el_deg", "dist": "dist_m", "width": "width"}


def inside(field_name: str, low: float, high: float, near: float | None = None) -> float | None:
    """The grid value in [low, high] that is nearest to `near` (by default the middle); None where there is none."""
    step = GRID[field_name][2]
    best = snap(field_name, min(max((low + high) / 2 if near is None else near, low), high))
    for value in (best, snap(field_name, best + step), snap(field_name, best - step)):
        if low - SLACK <= value <= high + SLACK:
            return value
    return None


def resolve(payload: Payload, chosen: Sequence[str] | None = None) -> Brief:
    """Choose the objects and what each must keep to.

    Args:
        chosen: ids of the stems that are objects, in output order, where that is settled already.
    """
    stems, rules = payload.stems, payload.rules
    every = range(len(stems))
    drafts = [_Draft() for _ in stems]
    conflicts: list[Conflict] = []

    def conflict(rule: int, which: Sequence[int], aspect: str, reason: str) -> None:
        conflicts.append(Conflict(rule, frozenset(stems[k].id for k in which), aspect, reason))

    _anchors(payload, drafts, conflict)
    order = _selection(payload, drafts, conflict)
    if chosen is not None:
        place = {stem.id: k for k, stem in enumerate(stems)}
        order = [place[name] for name in chosen]
    for number, rule in enumerate(rules):
        if isinstance(rule, MonoLowEnd):
            for k in every:
                if is_low_end(stems[k]):
                    _mono(drafts[k], lambda reason, k=k, number=number: conflict(number, [k], "az", reason))
    for number, rule in enumerate(rules):
        if isinstance(rule, ElevationRange):
            for k in every:
                if rule.track_class in (None, stems[k].track_class) and not drafts[k].narrow(
                    "el", rule.min_deg, rule.max_deg
                ):
                    conflict(number, [k], "el", f"{stems[k].id} is held at another elevation")
        elif isinstance(rule, MotionLimit):
            for k in every:
                if rule.track_class in (None, stems[k].track_class):
                    drafts[k].reach = min(drafts[k].reach, rule.max_deg)
    _masking(payload, drafts, order, conflict)
    _patterns(payload, drafts, conflict)
    for number, rule in enumerate(rules):
        if isinstance(rule, WidthTarget):
            for k in every:
                if rule.track_class == stems[k].track_class and not drafts[k].narrow("width", *rule.bounds):
                    conflict(number, [k], "width", f"{stems[k].id} is held at another width")
    targets = [
        Target(
            stem=k, az=d.az, el=d.el, dist=d.dist, width=d.width, reach=0.0 if d.still else d.reach, still=d.still,
            apart=tuple(d.apart), wish=tuple(d.wish), anchored=d.anchored, preferred=d.preferred,
            pattern=d.pattern,
        )
        for k, d in ((k, drafts[k]) for k in order)
    ]  # fmt: skip
    return Brief(
        payload=payload,
        objects=tuple(targets),
        conflicts=tuple(conflicts),
        chosen=None if chosen is None else tuple(chosen),
    )


def _anchors(payload: Payload, drafts: list[_Draft], conflict) -> None:  # type: ignore[no-untyped-def]
    """Anchors by id before anchors by class, else in the order given; the budget bounds how many stems they hold."""
    numbered = [(n, rule) for n, rule in enumerate(payload.rules) if isinstance(rule, Anchor)]
    for number, rule in sorted(numbered, key=lambda item: item[1].id is None):
        matched = anchored(payload.stems, rule)
        if not matched:
            conflict(number, [], "presence", f"no stem is {rule.id or rule.track_class}")
        for k in matched:
            draft = drafts[k]
            if not draft.anchored and sum(d.anchored for d in drafts) >= payload.max_objects:
                conflict(number, [k], "presence", f"max_objects={payload.max_objects} leaves no room for it")
                continue
            near = snap("az_deg", rule.az_deg)
            reach = int(rule.tol.az_deg) + 1
            around = sorted({snap("az_deg", near + d) for d in range(-reach, reach + 1)}, key=lambda a: turn(a, near))
            allowed = tuple(int(a) for a in around if turn(a, rule.az_deg) <= rule.tol.az_deg + SLACK)
            if draft.az is not None:
                allowed = tuple(a for a in draft.az if a in allowed)
            tol = rule.tol
            trial = _Draft(el=draft.el, dist=draft.dist)
            fits = bool(allowed) and trial.narrow("el", rule.el_deg - tol.el_deg, rule.el_deg + tol.el_deg)
            if not (fits and trial.narrow("dist", rule.dist_m - tol.dist_m, rule.dist_m + tol.dist_m)):
                what = "an anchor before it holds the stem elsewhere" if draft.anchored else "no grid pose is so near"
                conflict(number, [k], "pose", what)
                draft.anchored = True  # it must be an object all the same
                continue
            draft.az, draft.el, draft.dist = allowed, trial.el, trial.dist
            draft.anchored = draft.still = True
            draft.preferred = draft.preferred or (rule.az_deg, rule.el_deg, rule.dist_m)


def _selection(payload: Payload, drafts: list[_Draft], conflict) -> list[int]:  # type: ignore[no-untyped-def]
    """Stems that become objects, in output order.

    Anchored ones and then the most leading fill the budget. Written first are those whose place is fixed (anchored,
    then low end under a mono rule), so that the others can be placed around them.
    """
    stems = payload.stems
    bed: set[int] = set()
    for number, rule in enumerate(payload.rules):
        if not isinstance(rule, KeepInBed):
            continue
        for k, stem in enumerate(stems):
            if stem.track_class != rule.track_class:
                continue
            if drafts[k].anchored:
                conflict(number, [k], "presence", f"{stem.id} is anchored, so it is an object")
            elif len(bed | {k}) == len(stems):
                conflict(number, [k], "presence", f"a scene needs an object, and only {stem.id} is left")
            else:
                bed.add(k)
    free = [k for k in range(len(stems)) if k not in bed]
    free.sort(key=lambda k: (not drafts[k].anchored, -stems[k].leadness if not drafts[k].anchored else 0.0, k))
    chosen = free[: payload.max_objects]
    mono = any(isinstance(rule, MonoLowEnd) for rule in payload.rules)
    chosen.sort(key=lambda k: not (drafts[k].anchored or (mono and is_low_end(stems[k]))))
    return chosen


def _mono(draft: _Draft, conflict) -> None:  # type: ignore[no-untyped-def]
    if draft.az is None or 0 in draft.az:
        draft.az = (0,)
    else:
        conflict("its anchor holds it off the centre")
    draft.width = (0.0, min(MONO_WIDTH, draft.width[1]))
    draft.still = True


def _masking(payload: Payload, drafts: list[_Draft], order: list[int], conflict) -> None:  # type: ignore[no-untyped-def]
    place = {k: p for p, k in enumerate(order)}
    asked: list[tuple[int, int, int, float]] = []  # rule, two stems, degrees
    for number, rule in enumerate(payload.rules):
        if not isinstance(rule, AvoidMasking):
            continue
        for name in (rule.a, rule.b):
            if name not in CLASSES and not members(payload.stems, name):
                conflict(number, [], "presence", f"{name} is neither a class nor a stem")
        both = pairs(payload.stems, rule)
        crowded = _crowded(drafts, [pair for pair in both if set(pair) <= set(order)], rule.min_sep_deg)
        for i, j in both:
            if (i, j) in crowded or not _can_part(drafts[i], drafts[j], rule.min_sep_deg):
                ids = f"{payload.stems[i].id} and {payload.stems[j].id}"
                conflict(number, [i, j], "sep", f"{ids} are held closer than {rule.min_sep_deg:g}°")
                continue
            if i in place and j in place:
                asked.append((number, i, j, rule.min_sep_deg))
    excused = _impossible(drafts, asked, conflict)
    for _, i, j, degrees in asked:
        at_best = excused.get((i, j))
        for k, other in ((i, j), (j, i)):
            if at_best is None:
                drafts[k].apart.append((place[other], degrees))
            else:
                drafts[k].wish.append((place[other], min(degrees, at_best)))
    for draft in drafts:
        draft.apart = _bounded(draft.apart)


def _patterns(payload: Payload, drafts: list[_Draft], conflict) -> None:  # type: ignore[no-untyped-def]
    """The first pattern that an object can have; others are in conflict with it."""
    for number, rule in enumerate(payload.rules):
        if not isinstance(rule, MotionPattern):
            continue
        for k, (stem, draft) in enumerate(zip(payload.stems, drafts, strict=True)):
            if stem.track_class != rule.track_class or draft.pattern == rule.pattern:
                continue
            apart = bool(draft.apart)
            why = hindrance(rule.pattern, still=draft.still, apart=apart, reach=draft.reach, el=draft.el)
            why = f"another rule lets it {draft.pattern}" if draft.pattern not in (None, "still") else why
            if why:
                conflict(number, [k], "motion", f"{stem.id}: {why}")
                continue
            draft.pattern = rule.pattern
            draft.still |= rule.pattern == "still"


def _bounded(apart: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """A partner that more than REPEATED rules name is there once, as the strictest of them has it.

    32 rules that concern all of 32 objects would make 31,744 lines of a prompt, and no memory holds those.
    """
    counts, most = Counter(place for place, _ in apart), dict[int, float]()
    for place, degrees in apart:
        most[place] = max(degrees, most.get(place, 0.0))
    return list(
        dict.fromkeys((place, degrees if counts[place] <= REPEATED else most[place]) for place, degrees in apart)
        if any(count > REPEATED for count in counts.values())
        else apart
    )


def _impossible(  # type: ignore[no-untyped-def]
    drafts: list[_Draft], asked: list[tuple[int, int, int, float]], conflict
) -> dict[tuple[int, int], float]:
    """Pairs that belong to a group for which there is no room -> degrees that such a group may keep all the same."""
    least: dict[tuple[int, int], float] = {}
    for _, i, j, degrees in asked:
        least[i, j] = max(degrees, least.get((i, j), 0.0))
    if len({k for pair in least for k in pair}) < 3:
        return {}
    excused: dict[tuple[int, int], float] = {}
    for group, reason in impossible([Room(d.az, *d.el) for d in drafts], least):
        pairs_of = {(i, j) for i in group for j in group if i < j}
        for number, i, j, _ in asked:
            if (i, j) in pairs_of:
                conflict(number, [i, j], "sep", reason)
        excused |= dict.fromkeys(pairs_of, 0.75 * widest(len(group))[0])
    return excused


def pairs(stems: Sequence[Stem], rule: AvoidMasking) -> list[tuple[int, int]]:
    """Different stems, one meant by a and the other by b; each pair once."""
    found = {(min(i, j), max(i, j)) for i in members(stems, rule.a) for j in members(stems, rule.b) if i != j}
    return sorted(found)


def _crowded(drafts: list[_Draft], both: list[tuple[int, int]], least: float) -> set[tuple[int, int]]:
    """Pairs without room because more objects than these two are held at one azimuth, where only elevations differ."""
    found: set[tuple[int, int]] = set()
    for az in {drafts[i].az for i, _ in both if drafts[i].az is not None}:
        here = {i for pair in both for i in pair if drafts[i].az == az and len(az or ()) == 1}
        if len(here) < 3 or any((min(i, j), max(i, j)) not in both for i in here for j in here if i != j):
            continue
        kept: list[int] = []
        for k in sorted(here, key=lambda k: drafts[k].el[1]):  # the lowest ceiling first
            window = overfull([drafts[i].el for i in (*kept, k)], least)
            if window is None:
                kept.append(k)
                continue
            low, high = window
            inside = {i for i in here if low <= drafts[i].el[0] and drafts[i].el[1] <= high}
            found |= {pair for pair in both if k in pair and set(pair) <= inside}
    return found


def _can_part(a: _Draft, b: _Draft, least: float) -> bool:
    """Whether two objects alone can be so far apart on the grid."""
    return least <= farthest(Room(a.az, *a.el), Room(b.az, *b.el)) + ROUNDED
