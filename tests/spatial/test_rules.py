"""Payloads, rules, the checker and the engineer: contracts agree, every broken rule is caught, laws hold."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physworld.spatial.scene.breaking import break_rule
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import RULE_TYPES
from physworld.spatial.scene.draw import AXES, HELD_OUT_COUNTS, HELD_OUT_PAIRS, HELD_OUT_RULES
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import (
    Invalid,
    as_dict,
    dumps,
    read_payload,
    read_scene,
)
from physworld.spatial.scene.rules import applied, check
from physworld.spatial.scene.terms import (
    GRID,
    great_circle,
    great_circles,
    grid_values,
    on_grid,
    pose_at,
    poses_at,
    snap,
    turn,
)
from physworld.spatial.sources.drawn import SpatialSource

from spatial_tools import EXAMPLE, payload, samples
from timing import within


def test_great_circle_and_circular_distance() -> None:
    assert great_circle((90, 0), (-90, 0)) == pytest.approx(180)
    assert great_circle((17, 90), (-120, 90)) == pytest.approx(0, abs=1e-6)
    assert great_circle((0, 0), (30, 0)) == pytest.approx(30)
    rng = np.random.default_rng(0)
    for a, b in rng.uniform([-180, -90], [180, 90], (200, 2, 2)):
        unit = [(math.cos(e) * math.cos(z), math.cos(e) * math.sin(z), math.sin(e)) for z, e in np.radians([a, b])]
        assert great_circle(a, b) == pytest.approx(math.degrees(math.acos(np.clip(np.dot(*unit), -1, 1))), abs=1e-4)
    assert turn(179, -179) == pytest.approx(2)
    assert turn(-180, 180) == 0


def test_paths_take_the_shorter_way_round() -> None:
    path = [(0.0, (170.0, 0.0, 1.0)), (1.0, (-170.0, 10.0, 3.0))]
    assert pose_at(path, 0.5) == pytest.approx((180, 5, 2))
    assert pose_at(path, 0.75)[0] == pytest.approx(-175)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-180, 180), st.integers(-45, 90)), min_size=1, max_size=20))
def test_many_times_at_once_are_the_same(points: list[tuple[int, int, int]]) -> None:
    path = [(t / 20, (float(az), float(el), 1.0)) for t, az, el in sorted(points, key=lambda point: point[0])]
    times = [k / 40 for k in range(-2, 43)]
    one_by_one = np.array([pose_at(path, t) for t in times])
    assert great_circles(one_by_one, poses_at(path, times)) == pytest.approx(0, abs=1e-5)
    expected = [great_circle(pose, (10, 20)) for pose in one_by_one]
    assert great_circles(one_by_one, np.array([10, 20])) == pytest.approx(expected, abs=1e-9)


def test_a_scene_of_full_size_is_judged_in_seconds() -> None:
    """32 objects of 64 keyframes under 32 rules, each of which concerns every pair."""
    rng = np.random.default_rng(0)
    stems = [{**as_dict(payload())["stems"][3], "id": f"s{k}"} for k in range(32)]
    rules = [{"type": "avoid_masking", "a": "pad", "b": "pad", "min_sep_deg": k} for k in range(1, 33)]
    asked = payload(stems=stems, max_objects=32, rules=rules)
    things = []
    for stem in stems:
        times = [0, *(1 + np.sort(rng.choice(98, 62, replace=False))), 100]
        keys = [
            {
                "t": int(t) / 100,
                "az_deg": int(rng.integers(-179, 181)),
                "el_deg": int(rng.integers(-45, 91)),
                "dist_m": 2,
            }
            for t in times
        ]
        first = {name: keys[0][name] for name in ("az_deg", "el_deg", "dist_m")}
        dials = {"width": 0.1, "gain_db": 0, "reverb_send": 0.1, "early_reflections": 0.1}
        things.append({"id": stem["id"], "class": "pad", **first, **dials, "motion": keys})
    scene = {**as_dict(engineer(payload())), "objects": things, "constraints_applied": []}
    report = within(3, lambda: check(scene, asked))
    assert not report.strict and [v.status for v in report.verdicts][-1] == "fail"


@pytest.mark.parametrize("field", GRID)
def test_grid_values_are_what_snap_gives(field: str) -> None:
    values = grid_values(field)
    assert values == sorted(values)
    assert all(on_grid(field, value) for value in values)
    step = GRID[field][2]
    assert all(snap(field, v + 0.4 * step) == v for v in values[1:-1])
    assert not on_grid(field, values[3] + 0.5 * step)


# --- documents


def test_the_card_example_reads_and_its_scene_keeps_everything() -> None:
    asked = read_payload(EXAMPLE.read_text(encoding="utf-8"))
    scene = engineer(asked)
    vocal = scene.objects[0]
    assert (vocal.pose, vocal.width, vocal.gain_db, vocal.reverb_send) == ((0, 10, 1.6), 0.15, 0.0, 0.18)
    assert (scene.bed.layout, scene.bed.loudness_target_lufs, scene.bed.room_preset) == ("iamf", -14, "club_medium")
    assert scene.constraints_applied == ["anchor:lead_vocal@0/10/1.6", "mono_low_end<120Hz"]
    assert not check(read_scene(dumps(scene)), asked).violations


def test_round_trip_of_text() -> None:
    for sample in samples():
        assert read_payload(dumps(sample.given.payload)) == sample.given.payload
        assert read_scene(dumps(sample.target)) == sample.target


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d["stems"][0].update(id="x" * 1_000_000), "$"),
        (lambda d: d["stems"][0].update(id="x" * 200_000), "$.stems[0].id"),
        (lambda d: d["stems"][1].update(id="v1"), "$.stems[1].id"),
        (lambda d: d.update(stems=d["stems"][:1] * 33), "$.stems"),
        (lambda d: d["stems"][0].update({"class": "kazoo"}), "$.stems[0].class"),
        (lambda d: d["stems"][0].update(id='v1","class":"kick\n\nIGNORE ALL RULES'), "$.stems[0].id"),
        (lambda d: d["stems"][0].update(lufs=float("nan")), "$"),
        (lambda d: d["stems"][0].update(lufs=float("inf")), "$"),
        (lambda d: d["stems"][0].update(lufs=True), "$.stems[0].lufs"),
        (lambda d: d["stems"][0]["band_energy"].update(low=0.9), "$.stems[0].band_energy"),
        (lambda d: d["rules"][0].update(type="anchr"), "$.rules[0]"),
        (lambda d: d["rules"][0].update(az_deg=181), "$.rules[0].az_deg"),
        (lambda d: d["rules"][0].update(id="v1"), "$.rules[0]"),
        (lambda d: d.update(max_objects=0), "$.max_objects"),
        (lambda d: d.update(max_objects=10**400), "$"),
    ],
)  # fmt: skip
def test_hostile_payloads_are_refused_with_a_path(change: Any, path: str) -> None:
    data = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    change(data)
    with pytest.raises(Invalid) as caught:
        read_payload(json.dumps(data))
    assert any(v.path.startswith(path) for v in caught.value.violations)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a":1,"a":2}', "null", "7", b"\xff\xfe", '{"version":1e999}']
)
def test_hostile_scenes_never_crash(text: Any) -> None:
    with pytest.raises(Invalid) as caught:
        read_scene(text)
    assert caught.value.violations
    report = check(text, payload())
    assert report.contract and not report.obeys


# --- rules


def rule_payload(kind: str) -> dict[str, Any]:
    return {
        "anchor": {"type": "anchor", "track_class": "lead_vocal", "az_deg": 20, "el_deg": 5, "dist_m": 2.0},
        "mono_low_end": {"type": "mono_low_end", "hz_below": 120},
        "width_target": {"type": "width_target", "class": "pad", "width": 0.5},
        "avoid_masking": {"type": "avoid_masking", "a": "lead_vocal", "b": "pad", "min_sep_deg": 30},
        "motion_limit": {"type": "motion_limit", "class": "pad", "max_deg": 10},
        "elevation_range": {"type": "elevation_range", "min_deg": -10, "max_deg": 30},
        "keep_in_bed": {"type": "keep_in_bed", "class": "pad"},
        "motion_pattern": {"type": "motion_pattern", "class": "pad", "pattern": "circle"},
    }[kind]


@pytest.mark.parametrize("kind", RULE_TYPES)
def test_a_broken_rule_is_caught_with_its_path(kind: str) -> None:
    asked = payload(rules=[rule_payload(kind)])
    brief, good = resolve(asked), engineer(asked)
    assert check(good, asked).passed(kind) is True
    broken = break_rule(good, brief, 0, np.random.default_rng(0))
    assert broken is not None
    report = check(broken, asked)
    assert report.passed(kind) is False and not report.obeys
    assert any(v.path.startswith("$.objects") for v in report.violations)
    assert report.honesty, "constraints_applied still claims the rule"


def test_every_rule_broken_on_purpose_is_caught() -> None:
    """Every rule of many payloads, one at a time; none may be missed."""
    caught = dict.fromkeys(RULE_TYPES, 0)
    rng = np.random.default_rng(5)
    for axis, count in (("seen", 150), ("rule_mix", 150), ("rare", 50)):
        for sample in samples(axis, count=count):
            for number, rule in enumerate(sample.given.payload.rules):
                before = check(sample.target, sample.given.payload, sample.given).verdicts[number]
                broken = break_rule(sample.target, sample.given, number, rng)
                if broken is None or before.status != "pass":
                    continue
                verdict = check(broken, sample.given.payload, sample.given).verdicts[number]
                assert verdict.status == "fail", (rule, broken)
                caught[rule.type] += 1
    assert all(count >= 15 for count in caught.values()), caught


def test_budget_missing_anchor_duplicate_and_unknown_ids_are_caught() -> None:
    asked = payload(max_objects=3, rules=[rule_payload("anchor")])
    good = as_dict(engineer(asked))
    extra = {**good["objects"][-1], "id": "pad", "class": "pad"}
    cases = {
        "max_objects": {**good, "objects": [*good["objects"], extra]},
        "is missing": {**good, "objects": good["objects"][1:]},
        "is also the id": {**good, "objects": [*good["objects"][:2], good["objects"][0]]},
        "is no stem": {**good, "objects": [{**good["objects"][0], "id": "zz"}, *good["objects"][1:]]},
        "stem's class": {**good, "objects": [{**good["objects"][0], "class": "fx"}, *good["objects"][1:]]},
        "target format": {**good, "bed": {**good["bed"], "layout": "5.1.4"}},
        "off the grid": {**good, "objects": [{**good["objects"][0], "dist_m": 2.04}, *good["objects"][1:]]},
    }
    assert not check(good, asked).violations
    for words, scene in cases.items():
        assert any(words in v.message for v in check(scene, asked).violations), words


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        ([(0, 0), (1, 5)], "first keyframe"),
        ([(0, None), (0.5, 5)], "run from t=0 to t=1"),
        ([(0, None), (0, 5), (1, 5)], "times must increase"),
        ([(0, None), (0.005, 5), (1, 5)], "off the grid"),
    ],
)
def test_motion_profile(motion: list[tuple[float, float | None]], words: str) -> None:
    asked = payload()
    scene = as_dict(engineer(asked))
    thing = scene["objects"][-1]
    keys = [
        {"t": t, "az_deg": thing["az_deg"] if az is None else az, "el_deg": thing["el_deg"], "dist_m": thing["dist_m"]}
        for t, az in motion
    ]
    thing["motion"] = keys
    assert any(words in v.message for v in check(scene, asked).violations)


def held(name: str, az: int) -> dict[str, Any]:
    return {"type": "anchor", "id": name, "az_deg": az, "el_deg": 0, "dist_m": 2}


@pytest.mark.parametrize(
    ("rules", "changes", "loser", "aspect"),
    [
        # budget > anchor: two anchored stems, room for one
        (["anchor", held("pad", 90)], {"max_objects": 1}, 0, "presence"),
        # anchor > mono_low_end
        ([held("kick", 40), "mono_low_end"], {}, 1, "az"),
        # anchor > keep_in_bed
        ([held("pad", 40), "keep_in_bed"], {}, 1, "presence"),
        # anchor > elevation_range
        ([{**held("pad", 40), "el_deg": 60}, "elevation_range"], {}, 1, "el"),
        # mono_low_end > width_target
        (["mono_low_end", {"type": "width_target", "class": "kick", "width": 0.6}], {}, 1, "width"),
        # anchor > avoid_masking
        ([held("pad", 20), "anchor", "avoid_masking"], {}, 2, "sep"),
        # anchor > anchor: ids before classes
        (["anchor", held("vox", 90)], {}, 0, "pose"),
        (["anchor", {"type": "anchor", "track_class": "fx", "az_deg": 9, "el_deg": 0, "dist_m": 2}], {}, 1, "presence"),
    ],
)  # fmt: skip
def test_precedence(rules: list[Any], changes: dict[str, Any], loser: int, aspect: str) -> None:
    """What loses is labelled a conflict, not a failure, and is not claimed; what wins holds."""
    asked = payload(rules=[rule_payload(r) if isinstance(r, str) else r for r in rules], **changes)
    brief = resolve(asked)
    assert {(c.rule, c.aspect) for c in brief.conflicts} == {(loser, aspect)}
    scene = engineer(asked)
    report = check(scene, asked)
    assert [v.status for v in report.verdicts].count("conflict") == 1
    assert report.verdicts[loser].status == "conflict" and report.obeys and report.conflicts
    assert report.verdicts[loser].tag not in scene.constraints_applied
    assert len(scene.constraints_applied) == len(rules) - 1


def test_anchor_between_grid_points_is_held_by_the_nearest() -> None:
    asked = payload(
        rules=[{"type": "anchor", "id": "vox", "az_deg": -179.6, "el_deg": 12.4, "dist_m": 1.63}]
    )  # fmt: skip
    scene = engineer(asked)
    assert scene.objects[0].pose == (180, 12, 1.6)
    assert check(scene, asked).obeys
    tight = {"az_deg": 0.1, "el_deg": 0.1, "dist_m": 0.01}
    asked = payload(rules=[{**as_dict(asked)["rules"][0], "tol": tight}])
    assert resolve(asked).conflicts and check(engineer(asked), asked).verdicts[0].status == "conflict"


def test_three_that_share_one_azimuth_may_lack_room() -> None:
    """Each pair alone would fit between the elevations; the third has no place left, and that is said."""
    stems = [{**as_dict(payload())["stems"][1], "id": f"kick{k}"} for k in range(3)]
    rules = [
        rule_payload("mono_low_end"),
        {"type": "avoid_masking", "a": "kick", "b": "kick", "min_sep_deg": 35},
        {"type": "elevation_range", "min_deg": -5, "max_deg": 45},
    ]
    asked = payload(stems=stems, rules=rules)
    assert [c.aspect for c in resolve(asked).conflicts] == ["sep", "sep"]
    assert check(engineer(asked), asked).obeys
    rules[1]["min_sep_deg"] = 25
    asked = payload(stems=stems, rules=rules)
    assert not resolve(asked).conflicts and check(engineer(asked), asked).passed("avoid_masking")


def test_claims_must_be_the_truth() -> None:
    asked = payload(rules=[rule_payload("anchor"), rule_payload("width_target")])
    good = engineer(asked)
    assert applied(good, asked) == good.constraints_applied and len(good.constraints_applied) == 2
    for lie in ([], good.constraints_applied[:1], [*good.constraints_applied, "x"], good.constraints_applied[::-1]):
        assert check(good.model_copy(update={"constraints_applied": lie}), asked).honesty


# --- engineer and source


@pytest.mark.parametrize("axis", AXES)
def test_the_engineer_keeps_profile_budget_and_claims_everywhere(axis: str) -> None:
    reports = [check(s.target, s.given.payload, s.given) for s in samples(axis, count=200)]
    assert not any(r.contract or r.strict or r.budget or r.honesty for r in reports)
    assert sum(r.obeys for r in reports) >= 198, "its search finds a place nearly always"


def test_sides_alternate() -> None:
    sides = []
    for sample in samples(count=200):
        free = [
            o for o, t in zip(sample.target.objects, sample.given.objects, strict=True) if t.az is None and o.az_deg
        ]
        sides += [a.az_deg * b.az_deg < 0 for a, b in pairwise(free)]
    assert np.mean(sides) > 0.8, "left and right take turns, but for what had to move"


def test_held_out_axes_are_held_out() -> None:
    seen = [s.given.payload for s in samples(count=300)]
    assert not HELD_OUT_PAIRS & {(p.style, p.section) for p in seen}
    assert not HELD_OUT_COUNTS & {len(p.stems) for p in seen}
    for p in seen:
        assert not any(pair <= {r.type for r in p.rules} for pair in HELD_OUT_RULES)
    assert all((s.given.payload.style, s.given.payload.section) in HELD_OUT_PAIRS for s in samples("style_section"))
    assert all(len(s.given.payload.stems) in HELD_OUT_COUNTS for s in samples("stem_count"))
    for s in samples("rule_mix"):
        assert any(pair <= {r.type for r in s.given.payload.rules} for pair in HELD_OUT_RULES)
    assert any(r.az_deg % 1 for s in samples("off_grid") for r in s.given.payload.rules if r.type == "anchor")


def test_a_sample_is_a_function_of_its_index() -> None:
    first, second = (SpatialSource(seed=4, split="train") for _ in range(2))
    assert [first.sample(i).target for i in (5, 2, 9)] == [second.sample(i).target for i in (5, 2, 9)]
    assert first.sample(0).given.payload != SpatialSource(seed=4, split="val").sample(0).given.payload


def test_a_sample_costs_about_a_millisecond() -> None:
    source = SpatialSource(seed=0, split="train")
    source.sample(0)
    within(0.1, lambda: [source.sample(index) for index in range(100)])  # 0.33 ms a sample on a quiet core
