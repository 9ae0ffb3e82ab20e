"""The nearest scene that keeps to contract, profile and rules; pure, idempotent, with a log of every edit."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from physworld.spatial.scene.apart import FINE, settle
from physworld.spatial.scene.brief import Brief, Target, inside, resolve
from physworld.spatial.scene.documents import KeepInBed, Payload, SceneObject, SpatialScene
from physworld.spatial.scene.engineer import engineer, keyframes, room
from physworld.spatial.scene.patterns import beginning, moves_as, plain
from physworld.spatial.scene.reading import as_dict, scene_from
from physworld.spatial.scene.rules import LOUDNESS_RANGE, VERSION, applied, check, least_separation
from physworld.spatial.scene.terms import (
    DIALS,
    LOUDNESS,
    MOST_KEYFRAMES,
    POSE,
    ROOMS,
    Pose,
    great_circle,
    on_grid,
    snap,
    turn,
)

BOUNDS = {"el_deg": "el", "dist_m": "dist", "width": "width"}  # field -> the interval of Target that bounds it


@dataclass(frozen=True)
class Edit:
    """One change; `before` is None where something was added, `after` where something was taken away."""

    path: str
    before: Any
    after: Any
    why: str

    def __str__(self) -> str:
        if self.before is None and self.after is None:
            return f"{self.path}: {self.why}"  # of the whole scene
        return f"{self.path}: {_short(self.before)} -> {_short(self.after)} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class Repaired:
    scene: SpatialScene
    edits: tuple[Edit, ...]


def repair(scene: Any, payload: Payload) -> Repaired:
    """Mend a scene (parsed JSON of any kind, or a SpatialScene) for a payload.

    What already holds is left as it is. Where mending does not come to an end (rules that no search satisfies), the
    engineer's scene takes its place, so that repairing twice is repairing once.
    """
    report = check(scene, payload)
    if not report.violations:
        return Repaired(scene=scene if isinstance(scene, SpatialScene) else scene_from(scene), edits=())
    default = engineer(payload)
    mended, edits = _mend(scene, payload, default)
    if check(mended, payload).violations:
        final = _last_resort(payload, default)
        if as_dict(final) == (as_dict(scene) if isinstance(scene, (dict, SpatialScene)) else None):
            return Repaired(scene=final, edits=())
        why = Edit("$", None, None, "not to be mended: the engineer's scene is taken")
        return Repaired(scene=final, edits=(why, *_replaced(scene, final)))
    return Repaired(scene=mended, edits=tuple(edits))


def _last_resort(payload: Payload, default: SpatialScene) -> SpatialScene:
    scene = default
    for _ in range(3):
        if not check(scene, payload).violations:
            break
        before = scene
        scene, _ = _mend(scene, payload, default)
        if scene == before:
            break
    return scene


def _mend(scene: Any, payload: Payload, engineered: SpatialScene) -> tuple[SpatialScene, list[Edit]]:
    edits: list[Edit] = []
    default = as_dict(engineered)
    data = copy.deepcopy(as_dict(scene)) if isinstance(scene, (dict, SpatialScene)) else {}
    if not isinstance(scene, (dict, SpatialScene)):
        edits += [Edit("$", None, None, "no scene to mend: the engineer's is taken"), *_replaced({}, engineered)]
        data = copy.deepcopy(default)
    things = _objects(data, payload, default, edits)
    brief = resolve(payload, [thing["id"] for thing in things])
    things = [
        _object(thing, brief, n, {o["id"]: o for o in default["objects"]}, edits) for n, thing in enumerate(things)
    ]
    before = copy.deepcopy(things)
    for n in dict.fromkeys(settle(things, brief.objects)):
        edits.append(Edit(f"$.objects[{n}]", _pose(before[n]), _pose(things[n]), "too near to another object"))
    for n in _passing(things, brief.objects):
        edits.append(Edit(f"$.objects[{n}].motion", things[n]["motion"], [], "on its way too near to another object"))
        things[n]["motion"] = []
    whole = scene_from(
        {
            "version": _kept("$.version", data.get("version"), VERSION, edits),
            "bed": _bed(data.get("bed"), payload, edits),
            "objects": things,
            "constraints_applied": [],
        }
    )
    truth = applied(whole, payload)
    _kept("$.constraints_applied", data.get("constraints_applied"), truth, edits)
    for name in sorted(map(str, set(data) - {"version", "bed", "objects", "constraints_applied"})):
        edits.append(Edit(f"$[{name[:40]!r}]", "…", None, "not part of a scene"))
    return whole.model_copy(update={"constraints_applied": truth}), edits


def _replaced(said: Any, final: SpatialScene) -> Iterator[Edit]:
    """What differs in another scene, field by field, with objects told apart by their ids."""
    why, data = "as the engineer has it", as_dict(final)
    old = as_dict(said) if isinstance(said, (dict, SpatialScene)) else {}
    parts: list[tuple[str, Any, dict[str, Any]]] = [("$", old, data), ("$.bed", old.get("bed"), data["bed"])]
    things = old["objects"] if isinstance(old.get("objects"), list) else []
    places = {thing["id"]: n for n, thing in enumerate(things) if _named(thing)}
    for thing in data["objects"]:
        n = places.pop(thing["id"], None)
        if n is None:
            yield Edit("$.objects", None, thing["id"], why)
        else:
            parts.append((f"$.objects[{n}]", things[n], thing))
    yield from (Edit(f"$.objects[{n}]", name, None, why) for name, n in places.items())
    for path, before, after in parts:
        before = before if isinstance(before, dict) else {}
        for name, value in after.items():
            if name not in ("bed", "objects") and before.get(name) != value:
                yield Edit(f"{path}.{name}", before.get(name), value, why)


def _named(thing: Any) -> bool:
    return isinstance(thing, dict) and isinstance(thing.get("id"), str)


def _passing(things: list[dict[str, Any]], targets: Sequence[Target]) -> list[int]:
    """Objects that stand where they may, and move too near to another: as few as must stop, the later ones first."""
    objects = [SceneObject.model_validate(thing) for thing in things]
    found: list[int] = []
    for later, target in enumerate(targets):
        for earlier, least in target.apart:
            if earlier > later or least_separation(objects[later], objects[earlier]) >= least - FINE:
                continue
            for stopped in ([later], [earlier], [later, earlier]):
                trial = [*objects]
                for n in stopped:
                    trial[n] = trial[n].model_copy(update={"motion": []})
                if least_separation(trial[later], trial[earlier]) >= least - FINE:
                    objects = trial
                    found += stopped
                    break
    return list(dict.fromkeys(found))


def _kept(path: str, said: Any, wanted: Any, edits: list[Edit]) -> Any:
    """`wanted`, noted where it is something else."""
    if said != wanted or type(said) is not type(wanted):
        edits.append(Edit(path, said, wanted, "must be so"))
    return wanted


def _bed(said: Any, payload: Payload, edits: list[Edit]) -> dict[str, Any]:
    bed = said if isinstance(said, dict) else {}
    low, high = LOUDNESS_RANGE
    loudness = bed.get("loudness_target_lufs")
    good = snap("loudness_target_lufs", loudness) if _number(loudness) else LOUDNESS[payload.target_format]
    assert low <= good <= high
    preset = bed.get("room_preset")
    return {
        "layout": _kept("$.bed.layout", bed.get("layout"), payload.target_format, edits),
        "loudness_target_lufs": _number_kept("$.bed.loudness_target_lufs", loudness, good, edits),
        "room_preset": _kept("$.bed.room_preset", preset, preset if preset in ROOMS else room(payload), edits)
        if isinstance(preset, str)
        else _kept("$.bed.room_preset", preset, room(payload), edits),
    }


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _number_kept(path: str, said: Any, wanted: float, edits: list[Edit], why: str = "off the grid") -> float:
    """`wanted`, noted where it differs from what was said by more than rounding."""
    if not _number(said) or abs(said - wanted) > 1e-6:
        edits.append(Edit(path, said, wanted, why if _number(said) else "no number"))
    return wanted


def _objects(
    data: dict[str, Any], payload: Payload, default: dict[str, Any], edits: list[Edit]
) -> list[dict[str, Any]]:
    """Which objects there are: known, once each, none that belongs into the bed, and as many as the budget has."""
    stems = {stem.id: stem for stem in payload.stems}
    brief = resolve(payload)
    anchored = [payload.stems[t.stem].id for t in brief.objects if t.anchored]
    bed = {rule.track_class for rule in payload.rules if isinstance(rule, KeepInBed)}
    excused = {name for c in brief.conflicts if c.aspect == "presence" for name in c.stems}
    things: list[dict[str, Any]] = []
    said = data.get("objects")
    for n, thing in enumerate(said if isinstance(said, list) else []):
        name = thing.get("id") if isinstance(thing, dict) else None
        why = ""
        if not isinstance(name, str) or name not in stems:
            why = "no stem has this id"
        elif any(other["id"] == name for other in things):
            why = "the stem is an object already"
        elif stems[name].track_class in bed and name not in anchored and name not in excused:
            why = "it must stay in the bed"
        if why:
            edits.append(Edit(f"$.objects[{n}]", name, None, why))
        else:
            things.append(dict(thing))
    originals = {thing["id"]: thing for thing in default["objects"]}
    for name in anchored:
        if all(thing["id"] != name for thing in things):
            edits.append(Edit("$.objects", None, name, "it is anchored, so it must be an object"))
            things.append(copy.deepcopy(originals[name]))
    while len(things) > payload.max_objects:
        spare = [n for n, thing in enumerate(things) if thing["id"] not in anchored]
        last = min(spare, key=lambda n: (stems[things[n]["id"]].leadness, -n))
        edits.append(Edit(f"$.objects[{last}]", things[last]["id"], None, "over max_objects"))
        del things[last]
    for name, original in originals.items():
        if len(things) < payload.max_objects and all(thing["id"] != name for thing in things):
            edits.append(Edit("$.objects", None, name, "it would be neither an object nor in the bed"))
            things.append(copy.deepcopy(original))
    return things


def _object(
    thing: dict[str, Any], brief: Brief, n: int, originals: dict[str, dict[str, Any]], edits: list[Edit]
) -> dict[str, Any]:
    """Every field present, on the grid and within what the target allows."""
    target, stem, path = brief.objects[n], brief.stem(n), f"$.objects[{n}]"
    original = originals.get(stem.id) or next(iter(originals.values()))
    good: dict[str, Any] = {"id": stem.id, "class": _kept(f"{path}.class", thing.get("class"), stem.track_class, edits)}
    for name in (*POSE, *DIALS):
        said = thing.get(name)
        value = float(said) if _number(said) else float(original[name])
        bounded = _bounded(name, value, target)
        good[name] = _number_kept(
            f"{path}.{name}", said, bounded, edits, "a rule" if on_grid(name, value) else "off the grid"
        )
    good["motion"] = _motion(thing.get("motion"), good, target, f"{path}.motion", edits)
    if target.pattern not in (None, "still"):
        good |= _moved(good, str(target.pattern), target, path, edits)
    for name in sorted(map(str, set(thing) - set(good))):
        edits.append(Edit(f"{path}[{name[:40]!r}]", "…", None, "not part of an object"))
    return good


def _bounded(name: str, value: float, target: Target) -> float:
    """The nearest value that grid and target allow."""
    if name == "az_deg" and target.az is not None:
        return next((az for az in target.az if turn(az, value) < 0.5), target.az[0])
    if name == "az_deg" and value == -180:
        return -180  # the same direction as 180, and on the grid
    if name in BOUNDS:
        low, high = getattr(target, BOUNDS[name])
        found = inside(name, low, high, near=value)
        assert found is not None  # a brief never narrows an interval to nothing
        return found
    return snap(name, value)


def _motion(said: Any, thing: dict[str, Any], target: Target, path: str, edits: list[Edit]) -> list[dict[str, Any]]:
    """Keyframes in order from t=0 at the static pose to t=1; none where the object must stand still."""
    keys: dict[float, dict[str, Any]] = {}
    for key in said[:MOST_KEYFRAMES] if isinstance(said, list) else []:
        if isinstance(key, dict) and all(_number(key.get(name)) for name in ("t", *POSE)):
            t = snap("t", float(key["t"]))
            keys.setdefault(t, {"t": t, **{name: _bounded(name, float(key[name]), target) for name in POSE}})
    pose = {name: thing[name] for name in POSE}
    good = [keys[t] for t in sorted(keys)]
    if len(good) > 1:
        good[0] = {"t": 0.0, **pose}
        good[-1] = {**good[-1], "t": 1.0}
    moves = any(key[name] != pose[name] for key in good for name in POSE)
    here = tuple(pose.values())
    far = max((great_circle(here, (key["az_deg"], key["el_deg"])) for key in good), default=0.0)
    why = "no valid motion"
    if len(good) == 1 or (moves and (target.still or far > target.reach + 1e-6)):
        why = "it must move less" if len(good) > 1 else why
        good = []
    if said != good:
        edits.append(Edit(path, said, good, why))
    return good


def _moved(good: dict[str, Any], pattern: str, target: Target, path: str, edits: list[Edit]) -> dict[str, Any]:
    """What changes where an object does not move by its pattern: its pose, if there is no room, and its motion."""
    here: Pose = (good["az_deg"], good["el_deg"], good["dist_m"])
    if moves_as(pattern, [(key["t"], tuple(key[name] for name in POSE)) for key in good["motion"]] or [(0.0, here)]):
        return {}
    start = beginning(pattern, here, target.el[1])
    found = dict(zip(POSE, start, strict=True))
    for name, value in found.items():
        if good[name] != value:
            edits.append(Edit(f"{path}.{name}", good[name], value, f"room to {pattern}"))
    motion = keyframes(plain(pattern, start, reach=target.reach, highest=target.el[1]))
    edits.append(Edit(f"{path}.motion", good["motion"], motion, f"it must {pattern}"))
    return {**found, "motion": motion}


def _pose(thing: dict[str, Any]) -> list[float]:
    return [thing[name] for name in POSE]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def distance(edits: tuple[Edit, ...]) -> int:
    """How far a scene was from a valid one: the number of edits, those of a scene that was replaced one by one."""
    return sum(edit.before is not None or edit.after is not None for edit in edits)
