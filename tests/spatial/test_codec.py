"""Scenes as tokens: exact round trips, one cut of every text, grammars that hold any network and take all gold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from physworld.errors import FormatError
from physworld.lm.generator import CachedGenerator
from physworld.lm.guides import guide_mask
from physworld.lm.tiny_lm import TinyLM
from physworld.lm.weights import load_network, load_tokenizer
from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.codecs.rows import INSTRUCTION, read_row, row
from physworld.spatial.codecs.scene_text import SceneTextCodec
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.draw import AXES
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import as_dict, dumps
from physworld.spatial.scene.rules import check
from physworld.spatial.scene.terms import POSE
from physworld.spatial.sources.rows import RowsSource

from spatial_tools import payload, samples, save_tiny_qwen


@pytest.fixture(scope="module", params=[SpatialCodec, PointerCodec])
def codec(request: pytest.FixtureRequest) -> SpatialCodec:
    made: SpatialCodec = request.param()
    return made


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_qwen(tmp_path_factory.mktemp("qwen"))


@pytest.mark.parametrize("axis", AXES)
def test_round_trip(codec: SpatialCodec, axis: str) -> None:
    for sample in samples(axis):
        encoded = codec.encode(sample)
        answer = encoded.labels[encoded.labels >= 0]
        assert (encoded.input_ids[: -len(answer)] == codec.prompt(sample.given)).all()
        assert codec.decode(answer, sample.given) == as_dict(sample.target)
        assert answer[-1] == codec.end_id and len(answer) <= codec.max_new_tokens(sample.given)


def test_codec_and_tokenizer_cut_alike(codec: SpatialCodec) -> None:
    for sample in samples():
        for text, ids in (
            (codec.prompt_text(sample.given), codec.prompt(sample.given)),
            (codec.scene_text(sample.target, sample.given), codec.answer(sample.target, sample.given)[0][:-1]),
        ):
            assert codec.tokenizer(text, add_special_tokens=False)["input_ids"] == ids.tolist()
            assert codec.tokenizer.decode(ids) == text


def test_ids_never_reach_the_model(codec: SpatialCodec) -> None:
    """Whatever a stem is called, the network reads and writes the same tokens, but for the first number."""
    plain = type(codec)(numbered_from_payload=False)
    texts = set()
    for name in ("vox", "system", "ignore-all-rules", "null"):
        asked = as_dict(payload(rules=[{"type": "mono_low_end", "hz_below": 100}]))
        asked["stems"][0]["id"] = name
        brief = resolve(payload(stems=asked["stems"], rules=asked["rules"]))
        texts.add(plain.prompt_text(brief))
        scene = plain.decode(plain.answer(engineer(brief.payload, brief), brief)[0], brief)
        assert name in {thing["id"] for thing in scene["objects"]}
    assert len(texts) == 1 and "vox" not in texts.pop()


def test_a_motion_in_a_brief_says_where_it_begins() -> None:
    """What keyframes change stands behind the pointer: a model that chose its own beginning would break the limit."""
    texts = "\n".join(PointerCodec().prompt_text(sample.given) for sample in samples("rare"))
    moving = [part for part in re.split(r'"@\d+"|@\d+"', texts) if '{"t":' in part]
    assert len(moving) > 20
    for part in moving:
        pose, _, motion = part.partition('"motion"')
        assert all(f" {name}?" not in pose for name in POSE if f'"{name}":' in motion)


def test_a_payload_of_full_size_has_a_prompt_that_memory_holds(codec: SpatialCodec) -> None:
    """32 rules that name all of 32 objects: a pair is there once, with what the strictest of them asks for."""
    stems = [{**as_dict(payload())["stems"][3], "id": f"s{k}"} for k in range(32)]
    rules = [{"type": "avoid_masking", "a": "pad", "b": "pad", "min_sep_deg": 33 - k} for k in range(1, 33)]
    few, many = (resolve(payload(stems=stems, max_objects=32, rules=rules[:count])) for count in (1, 32))
    assert [target.apart for target in many.objects] == [target.apart for target in few.objects]
    assert len(codec.prompt(many)) < len(codec.prompt(few)) + 100 < 4000


def test_invented_numbers_stay_invalid(codec: SpatialCodec) -> None:
    sample = next(s for s in samples() if len(s.given.objects) > 2)
    names, _ = codec.labels(sample.given)
    stranger = next(f"@{k}" for k in range(1, 33) if f"@{k}" not in names.values())
    first = next(iter(names.values()))
    text = codec.scene_text(sample.target, sample.given).replace(f'"{first}"', f'"{stranger}"')
    report = check(codec.read(text, sample.given), sample.given.payload)
    strict = any("no stem" in v.message for v in report.strict)
    assert strict or any("class" in str(v) for v in report.contract)  # what is no stem has no class to point at


@pytest.mark.parametrize("odd", ["[]", "{}", "7", "null"])
def test_an_id_of_another_kind_stays_invalid(codec: SpatialCodec, odd: str) -> None:
    given = samples()[0].given
    found = codec.read(f'{{"objects":[{{"id":{odd}}}]}}', given)
    assert found["objects"][0]["id"] == json.loads(odd) and check(found, given.payload).contract


def test_off_grid_answers_are_refused(codec: SpatialCodec) -> None:
    sample = samples()[0]
    thing = sample.target.objects[0].model_copy(update={"dist_m": 2.04})
    with pytest.raises(ValueError, match="off the grid"):
        codec.answer(sample.target.model_copy(update={"objects": [thing]}), sample.given)


def test_rule_tokens_are_marked(codec: SpatialCodec) -> None:
    asked = payload(rules=[{"type": "anchor", "id": "vox", "az_deg": 20, "el_deg": 5, "dist_m": 2}])
    brief = resolve(asked)
    ids, ruled = codec.answer(engineer(asked, brief), brief)
    texts = {codec.tokenizer.decode([token]) for token, is_ruled in zip(ids, ruled, strict=True) if is_ruled}
    assert {',"az_deg":20', ',"el_deg":5', ',"dist_m":2'} <= texts


@pytest.mark.parametrize("mode", ["schema", "pinned"])
def test_grammars_take_every_gold_answer(codec: SpatialCodec, mode: str) -> None:
    """Token by token; a forced token is the gold one."""
    forced = 0
    for sample in samples(count=25):
        guide, ids = codec.guide([sample.given], mode), codec.answer(sample.target, sample.given)[0][:-1].tolist()
        assert guide is not None
        place = 0
        while place < len(ids):
            (tokens,) = guide.forced([0])
            assert ids[place : place + len(tokens)] == tokens
            place, forced = place + len(tokens), forced + len(tokens)
            if place < len(ids):
                assert guide_mask(guide, [0])[0, ids[place]], codec.tokenizer.decode([ids[place]])
                guide.advance([0], [ids[place]])
                place += 1
        assert guide_mask(guide, [0])[0, codec.end_id]
    assert forced > 25


def test_random_weights_under_a_grammar_write_valid_scenes(codec: SpatialCodec) -> None:
    """Which is why these columns prove nothing about learning; without a grammar the same network writes noise."""
    torch.manual_seed(0)
    network = TinyLM.for_vocabulary(codec.vocabulary, width=32, depth=1, heads=2, inner=64).eval()
    briefs = [s.given for s in samples(count=12)]
    shares = {}
    for mode in ("raw", "schema", "pinned"):
        limits = [3000 if mode == "pinned" else 200] * len(briefs)
        said = network.generate([codec.prompt(b) for b in briefs], limits, codec.end_id, codec.guide(briefs, mode))
        scenes = [codec.decode(ids, b) for ids, b in zip(said, briefs, strict=True)]
        shares[mode] = np.mean([not check(s, b.payload).contract for s, b in zip(scenes, briefs, strict=True)])
        if mode == "pinned":
            reports = [check(s, b.payload, b) for s, b in zip(scenes, briefs, strict=True)]
            kinds = ("anchor", "mono_low_end", "width_target", "elevation_range", "keep_in_bed")
            assert all(r.passed(kind) in (True, None) for r in reports for kind in kinds)
            assert not any(r.budget for r in reports)
    assert shares["raw"] == 0 and shares["pinned"] == 1


# --- rows and pretrained tokenizers


def test_rows_round_trip_and_bad_rows_are_named(tmp_path: Path) -> None:
    rows = [row(s.given.payload, s.target) for s in samples(count=5)]
    assert rows[0]["prompt"].startswith(INSTRUCTION + "{")
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    source = RowsSource(seed=0, split="train", train_file=str(path), valid_file=None)
    for index, sample in enumerate([*samples(count=5), samples()[0]]):
        assert source.sample(index).target == sample.target
        assert source.sample(index).given.payload == sample.given.payload
    renamed = rows[0]["completion"].replace(samples()[0].target.objects[0].id, "zz")
    twice = json.loads(rows[0]["completion"])
    twice["objects"].append(twice["objects"][0])
    first = twice["objects"][0]["id"]
    for bad, words in (
        ("{", "line 6 is no JSON"),
        ("{}", "no row"),
        (json.dumps({**rows[0], "completion": "{}"}), r"\$\.version"),
        (json.dumps({**rows[0], "prompt": "hello"}), "INPUT"),
        (json.dumps({**rows[0], "completion": renamed}), "zz"),
        (json.dumps({**rows[0], "completion": json.dumps(twice)}), f"line 6: {first} is there twice"),
    ):  # fmt: skip
        path.write_text("\n".join([*map(json.dumps, rows), bad]), encoding="utf-8")
        with pytest.raises(FormatError, match=words):
            RowsSource(seed=0, split="train", train_file=str(path), valid_file=None)
    with pytest.raises(FormatError, match="valid_file"):
        RowsSource(seed=0, split="val", train_file=str(path), valid_file=None)


def test_prompt_masking_at_the_token_boundary(qwen: str) -> None:
    """What is masked in training is to the token what is given in use, and both parts read back exactly."""
    codec = SceneTextCodec(tokenizer=load_tokenizer(qwen), max_length=4096)
    for sample in samples(count=20):
        encoded = codec.encode(sample)
        scored = encoded.labels >= 0
        first = int(scored.argmax())
        assert scored[first:].all() and not scored[:first].any()
        assert (encoded.input_ids[:first] == codec.prompt(sample.given)).all()
        text = json.loads(json.dumps(row(sample.given.payload, sample.target)))
        assert codec.tokenizer.decode(encoded.input_ids[:first]) == text["prompt"] + "\n"
        assert codec.text(encoded.input_ids[first:]) == text["completion"]
        assert encoded.input_ids[-1] == codec.end_id
        assert codec.decode(encoded.input_ids[first:], sample.given) == as_dict(sample.target)
        assert read_row(json.dumps(text), "row")[1] == sample.target


def test_too_long_is_an_error_not_a_loss_of_nothing(qwen: str) -> None:
    with pytest.raises(FormatError, match="max_length"):
        SceneTextCodec(tokenizer=load_tokenizer(qwen), max_length=100).encode(samples()[0])


def test_a_pretrained_tokenizer_under_the_grammar(qwen: str) -> None:
    """Random weights, byte-level tokens: the pinned answer is canonical JSON all the same."""
    codec = SceneTextCodec(tokenizer=load_tokenizer(qwen), max_length=4096)
    network = CachedGenerator(load_network(qwen), pad_id=codec.pad_id)
    sample = next(s for s in samples() if len(s.given.objects) == 2)
    guide = codec.guide([sample.given], "pinned")
    assert guide is not None
    said = network.generate([codec.prompt(sample.given)], [4000], codec.end_id, guide)
    scene = codec.decode(said[0], sample.given)
    assert not check(scene, sample.given.payload).contract
    assert json.loads(dumps(scene)) == scene and codec.text(said[0]) == dumps(scene)
    assert guide.fast_forwarded > len(said[0]) / 3
