"""Repair: what comes out is valid, repairing twice is repairing once, and nothing valid is touched."""

from __future__ import annotations

import json

import numpy as np
import pytest

from physworld.spatial.scene.reading import as_dict, dumps
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource

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
