"""Payloads in the style of people, and briefs that say where separations put an object."""

from __future__ import annotations

import json

import numpy as np
import pytest

from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.counted import COUNTED, HELD_OUT_STYLES
from physworld.spatial.scene.documents import Keyframe
from physworld.spatial.scene.draw import HELD_OUT_COUNTS, HELD_OUT_PAIRS, HELD_OUT_RULES
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import as_dict
from physworld.spatial.scene.rules import check
from physworld.spatial.scene.terms import STYLES
from physworld.spatial.sources.drawn import SpatialSource
from physworld.types import Sample

from spatial_tools import payload, samples


def test_people_write_beyond_the_tidy_ranges_and_not_what_is_held_out() -> None:
    source = SpatialSource(seed=0, split="train", axis="people")
    drawn = [source.payload(k) for k in range(300)]
    anchors = [rule for one in drawn for rule in one.rules if rule.type == "anchor"]
    assert max(abs(rule.az_deg) for rule in anchors) > 170 and max(rule.el_deg for rule in anchors) > 70
    assert max(rule.dist_m for rule in anchors) > 12 and min(rule.dist_m for rule in anchors) < 0.7
    assert max(len(one.stems) for one in drawn) == 20
    for one in drawn:
        assert len(one.stems) not in HELD_OUT_COUNTS and (one.style, one.section) not in HELD_OUT_PAIRS
        assert not any(pair <= {rule.type for rule in one.rules} for pair in HELD_OUT_RULES)
    mixed = SpatialSource(seed=0, split="train", axis="mixed")
    assert mixed.payload(5) == source.payload(5)
    assert mixed.payload(4) == SpatialSource(seed=0, split="train").payload(4)


def test_the_engineer_obeys_what_people_write() -> None:
    source = SpatialSource(seed=0, split="val", axis="people")
    for sample in (source.sample(k) for k in range(40)):
        assert check(sample.target, sample.given.payload, sample.given).violations == []


@pytest.mark.parametrize("settled", [False, True])
def test_a_settled_brief_says_the_place_of_what_must_keep_apart(settled: bool) -> None:
    """The answer's own tokens stand in the prompt, and reading is not changed by it."""
    asked = payload(rules=[{"type": "avoid_masking", "a": "vox", "b": "pad", "min_sep_deg": 100}])
    brief = resolve(asked)
    scene = engineer(asked, brief)
    codec = SpatialCodec(settled=settled)
    text = codec.prompt_text(brief)
    pad = next(thing for thing in scene.objects if thing.id == "pad")
    assert (f',"az_deg":{pad.az_deg:g},"el_deg":{pad.el_deg:g}' in text) == settled
    item = codec.encode(Sample(seed=0, given=brief, target=scene))
    answer = item.input_ids[item.labels != -100]
    assert check(codec.decode(np.asarray(answer), brief), asked).violations == []


def test_pointers_say_rules_as_values_and_leave_out_what_follows() -> None:
    """Separation is a relation: what the search makes of both objects stands in their lines, as the answer has it."""
    rules = [
        {"type": "avoid_masking", "a": "vox", "b": "pad", "min_sep_deg": 60},
        {"type": "elevation_range", "class": "pad", "min_deg": 35, "max_deg": 50},
    ]
    asked = payload(style="club", section="drop", rules=rules)
    brief = resolve(asked)
    codec, scene = PointerCodec(), engineer(asked, brief)
    lines = codec.prompt_text(brief).split("lufs")
    for line, thing in zip(lines, scene.objects, strict=False):
        if thing.id in ("vox", "pad"):
            assert f',"az_deg":{thing.az_deg:g},"el_deg":{thing.el_deg:g}' in line
    assert '"class"' not in codec.scene_text(scene, brief)


def test_a_pointers_motion_begins_with_the_objects_own_pose() -> None:
    codec = PointerCodec()
    moving = next(s for s in samples() if any(thing.moves for thing in s.target.objects))
    written = codec.scene_text(moving.target, moving.given)
    assert written.count('"t":') == sum(max(0, len(thing.motion) - 1) for thing in moving.target.objects)
    odd = [t.model_copy(update={"az_deg": 7 if t.az_deg != 7 else 8}) for t in moving.target.objects]
    with pytest.raises(ValueError, match="does not begin"):
        codec.answer(moving.target.model_copy(update={"objects": odd}), moving.given)


def test_what_is_spelled_is_what_is_read_and_grows_only_at_its_end() -> None:
    """Which a stream of an answer needs: what has been sent is never taken back."""
    codec = PointerCodec()
    moving = [s for s in samples(axis="people") if any(thing.moves for thing in s.target.objects)][:5]
    risen = (
        moving[0]
        .target.objects[0]
        .model_copy(
            update={
                "motion": [
                    Keyframe(t=t, az_deg=0, el_deg=e, dist_m=d) for t, e, d in ((0, 0, 2), (0.5, 7, 2), (1, 0, 3))
                ]
            }
        )
    )
    start = risen.model_copy(update={"az_deg": 0, "el_deg": 0, "dist_m": 2})
    odd = moving[0].target.model_copy(update={"objects": [start, *moving[0].target.objects[1:]]})
    for given, scene in [*((s.given, s.target) for s in moving), (moving[0].given, odd)]:
        ids, _ = codec.answer(scene, given)
        whole = codec.spell(codec.text(ids), given)
        assert json.loads(whole) == codec.decode(ids, given) == as_dict(scene)
        for end in range(len(ids)):
            assert whole.startswith(codec.spell(codec.text(ids[:end]), given))


def test_training_meets_rare_rules_more_often_and_judgement_does_not() -> None:
    train = [SpatialSource(seed=0, split="train", axis="practice").payload(k) for k in range(300)]
    usual = [SpatialSource(seed=0, split="train", axis="people").payload(k) for k in range(300)]
    limited = [[any(r.type == "motion_limit" for r in one.rules) for one in drawn] for drawn in (train[2::3], usual)]
    assert sum(limited[0]) / 100 > 2 * sum(limited[1]) / 300
    for one in train:
        assert (one.style, one.section) not in HELD_OUT_PAIRS
        assert not any(both <= {rule.type for rule in one.rules} for both in HELD_OUT_RULES)
    judged, mixed = (SpatialSource(seed=0, split="val", axis=axis) for axis in ("practice", "mixed"))
    assert [judged.payload(k) for k in range(6)] == [mixed.payload(k) for k in range(6)]


def test_bands_are_as_counted_and_two_styles_are_kept_from_training() -> None:
    drawn = [SpatialSource(seed=0, split="train", axis="counted").payload(k) for k in range(300)]
    assert {one.style for one in drawn} == set(STYLES) - set(HELD_OUT_STYLES)
    rock = [one for one in drawn if one.style == "rock"]
    _, classes, lengths = COUNTED["rock"]
    stems = [stem.track_class for one in rock for stem in one.stems]
    share = classes["guitar"] / sum(classes.values())
    error = 4 * (share * (1 - share) / len(stems)) ** 0.5  # standard errors
    assert abs(stems.count("guitar") / len(stems) - share) < error
    assert {len(one.stems) for one in rock} <= set(lengths) - HELD_OUT_COUNTS
    assert {stem.track_class for one in rock for stem in one.stems} <= set(classes)
    new = SpatialSource(seed=0, split="test", axis="new_style")
    assert {new.payload(k).style for k in range(30)} == set(HELD_OUT_STYLES)
    for songs, _, counts in COUNTED.values():
        assert songs == sum(counts.values())
    sample = new.sample(0)
    assert check(sample.target, sample.given.payload, sample.given).violations == []
