"""Repair: what comes out is valid, repairing twice is repairing once, and nothing valid is touched."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from physworld.spatial.evaluation import cell
from physworld.spatial.metrics import score_scene
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import RULE_TYPES, Payload
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import as_dict, dumps
from physworld.spatial.scene.repair import distance, repair
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource
from physworld.types import Interval

from spatial_tools import payload, samples, spoiled

BATCHES = 10  # of 1000 scenes


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_broken_scenes(batch: int) -> None:
    """1000 scenes broken at random: valid after repair, budget and anchors right, the second repair changes nothing."""
    source = SpatialSource(seed=batch, split="test", axis=("seen", "stem_count", "rule_mix", "off_grid")[batch % 4])
    changed = 0
    for index in range(50):
        sample = source.sample(index)
        asked, gold = sample.given.payload, as_dict(sample.target)
        feasible = not check(sample.target, asked, sample.given).violations
        for twist in range(20):
            rng = np.random.default_rng([batch, index, twist])
            broken = spoiled(gold, [stem.id for stem in asked.stems], rng)
            before = json.dumps(broken)
            mended = repair(broken, asked)
            assert json.dumps(broken) == before, "its input stays as it is"
            report = check(mended.scene, asked, sample.given)
            assert not (report.contract or report.strict or report.budget or report.honesty)
            assert report.passed("anchor") in (True, None)
            assert report.obeys or not feasible
            again = repair(as_dict(mended.scene), asked)
            assert again.scene == mended.scene and not again.edits
            changed += bool(mended.edits)
    assert changed > 800


def test_a_valid_scene_is_left_alone() -> None:
    for sample in samples(count=100):
        if check(sample.target, sample.given.payload).obeys:
            mended = repair(sample.target, sample.given.payload)
            assert mended.scene is sample.target and not mended.edits


@pytest.mark.parametrize("junk", [None, 7, [], "scene", {}, {"objects": [None, {"id": []}]}, {"objects": {}}])
def test_junk_becomes_a_scene(junk: object) -> None:
    asked = payload(rules=[{"type": "mono_low_end", "hz_below": 100}])
    mended = repair(junk, asked)
    assert mended.edits and not check(mended.scene, asked).violations


def test_edits_say_what_changed() -> None:
    asked = payload(rules=[{"type": "anchor", "id": "vox", "az_deg": 20, "el_deg": 5, "dist_m": 2}])
    good = json.loads(dumps(repair(None, asked).scene))
    good["objects"][0]["az_deg"] = 60
    good["objects"][1]["width"] = 0.333
    edits = {edit.path: (edit.before, edit.after) for edit in repair(good, asked).edits}
    assert edits == {"$.objects[0].az_deg": (60, 20), "$.objects[1].width": (0.333, 0.35)}


def orchestra(count: int, budget: int, *rules: dict[str, Any]) -> Payload:
    stems = [
        {**as_dict(payload())["stems"][0], "id": f"s{k}", "class": kind, "leadness": round(k / count, 2)}
        for k, kind in zip(range(count), itertools.cycle(["strings", "brass", "other", "kick", "bass"]), strict=False)
    ]
    return payload(stems=stems, max_objects=budget, rules=list(rules))


@pytest.mark.parametrize("given", [{}, None, "few", "one"])
@pytest.mark.parametrize(("count", "budget", "objects"), [(20, 32, 20), (20, 12, 12), (1, 1, 1), (32, 32, 32)])
def test_every_stem_is_an_object_or_in_the_bed(given: Any, count: int, budget: int, objects: int) -> None:
    """Repair adds what is missing, up to the budget; before, the checker says what that is."""
    asked = orchestra(count, budget)
    whole = as_dict(engineer(asked))
    broken = {**whole, "objects": whole["objects"][: {"few": 14, "one": 1}[given]]} if isinstance(given, str) else given
    lacking = objects - len(broken["objects"]) if isinstance(given, str) else None
    if lacking is not None:
        report, score = check(broken, asked), score_scene(broken, resolve(asked), engineer(asked))
        assert len(report.missing) == max(0, lacking) and score["coverage"] == pytest.approx(
            1 - max(0, lacking) / count
        )
    mended = repair(broken, asked)
    report = check(mended.scene, asked)
    assert not report.violations and len(mended.scene.objects) == objects
    assert score_scene(mended.scene, resolve(asked), engineer(asked))["coverage"] == 1
    assert not repair(mended.scene, asked).edits


def test_what_a_rule_keeps_in_the_bed_is_not_missing() -> None:
    asked = orchestra(10, 32, {"type": "keep_in_bed", "class": "brass"})
    mended = repair({}, asked)
    assert len(mended.scene.objects) == 8 and not check(mended.scene, asked).missing
    other = orchestra(10, 3)
    scene = as_dict(engineer(other))
    for thing, name, kind in zip(scene["objects"], ("s0", "s1", "s2"), ("strings", "brass", "other"), strict=True):
        thing.update({"id": name, "class": kind})
    assert not check(scene, other).missing, "which three of ten stand in the room is the scene's own choice"


@pytest.mark.parametrize("kind", [kind for kind in RULE_TYPES if kind != "keep_in_bed"])
def test_both_objects_of_one_id_are_judged(kind: str) -> None:
    rules = {
        "anchor": {"type": "anchor", "id": "kick", "az_deg": 0, "el_deg": 0, "dist_m": 2},
        "mono_low_end": {"type": "mono_low_end", "hz_below": 100},
        "width_target": {"type": "width_target", "class": "kick", "width": 0.1},
        "motion_limit": {"type": "motion_limit", "class": "kick", "max_deg": 10},
        "elevation_range": {"type": "elevation_range", "class": "kick", "min_deg": -5, "max_deg": 5},
        "motion_pattern": {"type": "motion_pattern", "class": "kick", "pattern": "circle"},
        "avoid_masking": {"type": "avoid_masking", "a": "kick", "b": "vox", "min_sep_deg": 20},
    }
    asked = payload(rules=[rules[kind], {"type": "anchor", "id": "vox", "az_deg": 90, "el_deg": 0, "dist_m": 2}])
    scene = as_dict(engineer(asked))
    assert check(scene, asked).passed(kind) is True
    kick = next(thing for thing in scene["objects"] if thing["id"] == "kick")
    wrong = {**kick, "az_deg": 88, "el_deg": 15, "width": 0.6}
    wrong["motion"] = [{"t": t, "az_deg": az, "el_deg": 15, "dist_m": kick["dist_m"]} for t, az in ((0, 88), (1, 40))]
    for objects in ([*scene["objects"], wrong], [wrong, *scene["objects"]]):
        report = check({**scene, "objects": objects}, asked)
        assert report.passed(kind) is False and not report.contract
        mended = repair({**scene, "objects": objects}, asked).scene
        assert [thing.id for thing in mended.objects].count("kick") == 1 and not check(mended, asked).violations


def test_a_rule_that_every_scene_keeps_has_an_interval_with_a_width() -> None:
    some = samples(count=12)
    found = cell([s.target for s in some], some).summary()
    sure = Interval.of_share(1.0, 12)
    assert found["schema"] == {"mean": 1.0, "low": sure.low, "high": 1.0, "n": 12} and sure.low < 0.8
    assert found["coverage"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 12}  # a part of each scene, no share


def passing_by() -> tuple[dict[str, Any], Payload]:
    """The second object moves past the first one on its way, and all else is as somebody wants it."""
    asked = orchestra(4, 4)
    names = [thing.id for thing in engineer(asked).objects]
    apart = {"type": "avoid_masking", "a": names[0], "b": names[1], "min_sep_deg": 30}
    asked = asked.model_copy(update={"rules": payload(rules=[apart]).rules})
    scene = as_dict(engineer(asked))
    for n, thing in enumerate(scene["objects"]):
        thing.update({"az_deg": 50 * n, "el_deg": 0, "dist_m": 5.5, "gain_db": -3, "reverb_send": 0.77, "motion": []})
    key = {"el_deg": 0, "dist_m": 5.5}
    scene["objects"][1]["motion"] = [{"t": 0, "az_deg": 50, **key}, {"t": 1, "az_deg": 10, **key}]
    return scene, asked


def test_a_motion_that_passes_too_near_is_dropped_and_no_more() -> None:
    scene, asked = passing_by()
    assert any("come within 10.0" in v.message for v in check(scene, asked).violations)
    mended = repair(scene, asked)
    assert [edit.path for edit in mended.edits] == ["$.objects[1].motion"]
    scene["objects"][1]["motion"] = []
    assert as_dict(mended.scene)["objects"] == scene["objects"] and not check(mended.scene, asked).violations


def test_a_scene_that_is_replaced_counts_as_the_fields_that_changed() -> None:
    scene, asked = passing_by()
    nothing, empty = (distance(repair(said, asked).edits) for said in (None, {}))
    assert nothing == empty == 1 + 3 + 4 + 1, "version, bed, objects, claims"
    stems = [{**as_dict(payload())["stems"][3], "id": f"s{k}"} for k in range(13)]
    apart = {"type": "avoid_masking", "a": "pad", "b": "pad", "min_sep_deg": 57}
    crowded = payload(stems=stems, max_objects=13, rules=[apart])
    scene = as_dict(engineer(crowded))
    for thing in scene["objects"]:
        thing.update({"dist_m": 9.5, "gain_db": -31, "reverb_send": 0.99})
    mended = repair(scene, crowded)
    assert mended.edits[0].path == "$" and distance(mended.edits) == 3 * 13, "no search finds 13 places 57° apart"
