"""One contract: the published schema, the reader, the checker and the reported column say the same of any document."""

from __future__ import annotations

import copy
import json
import math
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.metrics import score_scene
from physworld.spatial.reward import RuleReward
from physworld.spatial.scene.contract import FOLDER
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import (
    Invalid,
    as_dict,
    dumps,
    parse_json,
    payload_from,
    read_scene,
    scene_from,
    schema,
)
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource

from spatial_tools import payload, samples

JUDGE = {name: jsonschema.Draft7Validator(schema(name)) for name in ("payload", "scene")}
DOCUMENTS = {
    "payload": [json.loads(dumps(s.given.payload)) for s in samples("rule_mix", count=30)],
    "scene": [json.loads(dumps(s.target)) for s in samples(count=30)],
}
KEYS = st.sampled_from(
    ["class", "track_class", "id", "global", "overall", "width", "min", "max", "tol", "type", "stranger", "motion"]
)
NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-200, 200) | st.sampled_from([1.0, 10.0, 32.0, -0.0])
)
VALUES = (
    st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "vox", "v1\n", "kick", "anchor", "é", "x" * 17])
    | st.builds(list) | st.builds(dict) | st.builds(lambda: [None]) | st.builds(lambda: {"az_deg": None})
)  # fmt: skip


def places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in a document."""
    if not isinstance(node, (dict, list)):
        return []
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    return [(node, key) for key in keys] + [place for key in keys for place in places(node[key])]


@st.composite
def changed(draw: Any, name: str) -> Any:
    """A valid document with a few careless changes: values, keys added, dropped and renamed."""
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS[name])))
    for _ in range(draw(st.integers(0, 3))):
        found = places(document)
        container, key = found[draw(st.integers(0, len(found) - 1))]
        if isinstance(container, list) and key >= len(container):
            continue
        kind = draw(st.integers(0, 4))
        if kind <= 1:
            container[key] = draw(VALUES)
        elif kind == 2 and isinstance(container[key], int) and not isinstance(container[key], bool):
            container[key] = float(container[key])
        elif kind == 3 and isinstance(container, dict):
            container[draw(KEYS)] = draw(VALUES) if draw(st.booleans()) else container.pop(key)
        elif isinstance(container, dict):
            del container[key]
    return document


def beyond(document: Any) -> bool:
    """What of a payload no JSON Schema can say: relations between values."""
    ids = [stem["id"] for stem in document["stems"]]
    whole = all(abs(sum(stem["band_energy"].values()) - 1) <= 0.05 + 1e-9 for stem in document["stems"])
    limits = (("min", "max"), ("min_deg", "max_deg"))
    ordered = all(rule[a] <= rule[b] for rule in document["rules"] for a, b in limits if a in rule and b in rule)
    return len(set(ids)) == len(ids) and whole and ordered


def read(make: Any, document: Any) -> bool:
    try:
        make(document)
    except Invalid:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(changed("payload"))
def test_schema_and_reader_of_payloads_agree(document: Any) -> None:
    valid = JUDGE["payload"].is_valid(document)
    assert read(payload_from, document) == (valid and beyond(document))


@settings(max_examples=400, deadline=None)
@given(changed("scene"))
def test_schema_reader_checker_and_column_of_scenes_agree(document: Any) -> None:
    valid = JUDGE["scene"].is_valid(document)
    sample = samples(count=1)[0]
    assert read(scene_from, document) == valid
    assert (not check(document).contract) == valid
    assert score_scene(document, sample.given, sample.target)["schema"] == float(valid)


@pytest.mark.parametrize("name", ["payload", "scene"])
def test_the_files_for_other_programs_are_the_contract(name: str) -> None:
    """`python -m physworld.spatial.scene.contract` writes them."""
    JUDGE[name].check_schema(schema(name))
    assert json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8")) == schema(name)


def test_python_names_are_no_keys() -> None:
    scene = as_dict(engineer(payload()))
    thing = scene["objects"][0]
    thing["track_class"] = thing.pop("class")
    assert {v.path for v in check(scene).contract} == {"$.objects[0].class", "$.objects[0].track_class"}
    asked = as_dict(payload())
    asked["overall"] = asked.pop("global")
    with pytest.raises(Invalid, match=r"\$\.global"):
        payload_from(asked)


def test_ten_point_nought_is_an_integer_and_null_is_no_value() -> None:
    assert payload(max_objects=10.0).max_objects == 10
    for wrong in (10.5, True, None):
        with pytest.raises(Invalid, match="max_objects"):
            payload(max_objects=wrong)
    anchor = {"type": "anchor", "track_class": "pad", "az_deg": 0, "el_deg": 0, "dist_m": 1}
    with pytest.raises(Invalid, match=r"\$\.rules\[0\]\.id: must not be null"):
        payload(rules=[{**anchor, "id": None}])


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "-1e400", "9" * 400])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    scene = as_dict(engineer(payload()))
    text = dumps(scene).replace(
        f'"loudness_target_lufs":{scene["bed"]["loudness_target_lufs"]}', f'"loudness_target_lufs":{number}'
    )
    assert number in text
    with pytest.raises(Invalid):
        read_scene(text)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_scene_put_together_by_hand_is_judged_too(value: float) -> None:
    """NaN compares as false, so it would keep every bound."""
    asked = payload(rules=[{"type": "mono_low_end", "hz_below": 100}])
    scene = engineer(asked)
    broken: SpatialScene = scene.model_copy(
        update={"objects": [scene.objects[0].model_copy(update={"az_deg": value, "width": value}), *scene.objects[1:]]}
    )
    report = check(broken, asked)
    assert report.contract and not report.obeys and report.passed("mono_low_end") is False


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(Invalid, match="surrogates"):
        parse_json('{"id": "\\ud800"}')
    assert parse_json('{"id": "\\ud83d\\ude00"}') == {"id": "😀"}


def test_keyframes_at_one_time_stay_in_their_order() -> None:
    thing = engineer(payload()).objects[0]
    keys = [(0.0, 50.0), (0.5, 40.0), (0.5, -40.0), (1.0, 0.0)]
    motion = [{"t": t, "az_deg": az, "el_deg": 0, "dist_m": 2} for t, az in keys]
    moving = type(thing).model_validate({**as_dict(thing.model_dump(by_alias=True)), "motion": motion})
    assert [(t, pose[0]) for t, pose in moving.path] == keys
    assert all(a[0] <= b[0] for a, b in pairwise(moving.path))


def test_what_does_not_apply_is_no_good_figure() -> None:
    """One object alone masks nothing, but that is no achievement; a figure that is no number is refused."""
    sample = next(s for s in samples() if len(s.given.objects) > 2)
    alone = sample.target.model_copy(update={"objects": sample.target.objects[:1]})
    score = score_scene(alone, sample.given, sample.target)
    assert score["masking"] is None and score["coverage"] < 1  # type: ignore[operator]
    broken = sample.target.model_copy(
        update={"objects": [thing.model_copy(update={"gain_db": math.nan}) for thing in sample.target.objects]}
    )
    assert score_scene(broken, sample.given, sample.target)["schema"] == 0
    with pytest.raises(ValueError, match="gain_db of this scene is nan"):
        score_scene(sample.target, sample.given, broken)


def test_an_answer_that_leaves_stems_out_is_not_rewarded_in_full() -> None:
    source, codec = SpatialSource(seed=3, split="test"), SpatialCodec()
    number = next(
        n for n in range(60) if len(source.sample(n).given.objects) > 2 and not source.sample(n).given.payload.rules
    )
    sample = source.sample(number)
    few = sample.target.model_copy(update={"objects": sample.target.objects[:1]})
    whole, part = (codec.answer(scene, sample.given)[0] for scene in (sample.target, few))
    rewards = RuleReward(source, codec)([number, number], [whole, part])
    assert rewards == [1.0, 0.5]
