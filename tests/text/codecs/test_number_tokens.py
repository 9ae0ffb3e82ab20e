"""Numbers as single tokens of pretrained weights' tokenizers: exact round trips, short sequences, grammar, events."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from physworld.lm.guides import guide_mask
from physworld.text.codecs._number_tokens import extended, nearest, round_numbers
from physworld.text.codecs._text import TextCodec, event_bodies
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Sample, State

from tiny_lms import bpe_tokenizer, samples

CODECS: dict[str, Any] = {"engine": EngineCodec, "card": CardCodec, "published": EngineCodec}
NUMERAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@functools.cache
def codec(name: str, by_value: bool = True) -> TextCodec:
    more = {"published_bytes": True} if name == "published" else {}
    made: TextCodec = CODECS[name](tokenizer=bpe_tokenizer(cut="smollm"), by_value=by_value, **more)
    return made


@functools.cache
def problems() -> list[Sample]:
    return samples(12, ("billiards", "tower", "pendulum", "projectile"))


def same(one: State, other: State) -> bool:
    names = ("position", "velocity", "angle", "spin")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("name", CODECS)
def test_every_number_is_one_token_and_the_tokenizer_alone_finds_it(name: str) -> None:
    own = codec(name)
    assert own.vocabulary.numbers is not None
    numbers = set(own.vocabulary.numbers.ids.tolist())
    for sample in problems():
        encoded = own.encode(sample)
        answer = own.write_target(sample)
        prompt = own.write_prompt(sample.given)
        texts = own.tokenizer(prompt)["input_ids"], own.tokenizer(answer)["input_ids"]
        ids = encoded.input_ids.tolist()
        assert ids == [*own.prompt(sample.given)[:1], *texts[0], *texts[1], own.end_id]  # the first begins a text
        others = re.sub(r"\n  obj_[0-9]+: pos=\(", " ", prompt + answer)  # the beginning of a line is one word
        assert sum(token in numbers for token in ids) == len(NUMERAL.findall(others))
        assert "".join(str(own.tokenizer.decode(text)) for text in texts) == prompt + answer
        state = own.decode(encoded.input_ids[encoded.labels != -100], sample.given)
        assert state is not None
        written = own.round_state(sample.target.frame(0), sample.given.scene)
        if name == "card":  # angles are not in its text
            assert np.array_equal(state.position, written.position)
            assert np.array_equal(state.velocity, written.velocity)
        else:
            assert same(state, written)
        assert own.inspect(encoded.input_ids[encoded.labels != -100], sample.given, state) == (0, False)


def test_numbers_are_the_nearest_of_the_list() -> None:
    assert round_numbers("(-0.0000, 12345.6789)-(7,-981.0) x=0.01667 a=3.14159") == "(0, 9999)-(7,-981) x=0.017 a=3.142"
    values = np.array([-9998.7, -123.4567, -0.00049, 0.0, 0.0016, 9.9994, 42.4242, 512.3456, 4000.2])
    step = np.array([1, 0.1, 0.001, 0.001, 0.001, 0.001, 0.01, 0.1, 1])
    assert (np.abs(nearest(values) - values) <= step / 2 + 1e-12).all()
    assert np.array_equal(nearest(nearest(values)), nearest(values))


def test_sequences_are_several_times_shorter() -> None:
    """In a tokenizer that spells numbers digit by digit, as SmolLM2's and Qwen's do."""
    for name, least in (("engine", 3.0), ("card", 2.0)):
        both = [[codec(name, way).encode(s) for s in problems()] for way in (False, True)]
        whole, answers = (
            np.sum([size(one) for one in both[0]]) / np.sum([size(one) for one in both[1]])
            for size in (lambda one: len(one.labels), lambda one: (one.labels != -100).sum())
        )
        assert whole > least and answers > least + 0.5, (name, whole, answers)


def test_a_line_of_a_body_is_nine_tokens() -> None:
    own = codec("engine")
    for line, count in (
        ("\n  obj_12: pos=(105, 395.1), vel=(-300.2, -0.016)", 9),
        ("\n  obj_500: pos=(105, 395.1), vel=(-300.2, -0.016)", 11),
        ("\n  obj_12: pos=(105, 395.1), vel=(-300.2, -0.016), a=3.142, av=0", 13),
    ):
        assert len(own.tokenizer(line)["input_ids"]) == count


@pytest.mark.parametrize("name", ["engine", "card"])
def test_events_mark_the_same_bodies(name: str) -> None:
    marked = 0
    for sample in problems():
        encoded = codec(name).encode(sample)
        events = event_bodies(sample.given.then(sample.target.window(0, 1)))[-1]
        text = str(codec(name).tokenizer.decode(encoded.input_ids[encoded.event]))
        assert [int(k) for k in re.findall(r"obj_([0-9]+)", text)] == np.flatnonzero(events).tolist()
        marked += int(events.sum())
    assert marked


@pytest.mark.parametrize("name", CODECS)
def test_true_frames_pass_the_grammar_and_what_passes_can_be_read(name: str) -> None:
    own, rng = codec(name), np.random.default_rng(0)
    for sample in problems()[:4]:
        encoded, guide = own.encode(sample), own.guide([sample.given])
        for token in encoded.input_ids[encoded.labels != -100]:
            assert guide_mask(guide, [0])[0, token]
            guide.advance([0], [token])
        guide, said = own.guide([sample.given]), []
        while own.end_id not in said:
            said.append(int(rng.choice(np.flatnonzero(guide_mask(guide, [0])[0]))))
            guide.advance([0], said[-1:])
        assert own.decode(np.array(said), sample.given) is not None
        assert len(said) <= own.max_new_tokens(sample.given.scene)


def test_a_saved_tokenizer_writes_the_same(tmp_path: Path) -> None:
    own = codec("engine")
    own.tokenizer.save_pretrained(tmp_path)
    again = EngineCodec(tokenizer=AutoTokenizer.from_pretrained(tmp_path))
    assert again.by_value and not again.loses()
    sample = problems()[0]
    assert np.array_equal(again.encode(sample).input_ids, own.encode(sample).input_ids)
    assert again.vocabulary.spelled == {} and again.vocabulary.digits == ()  # its weights know these tokens
    with pytest.raises(ValueError, match=r"number tokens already; leave model\.network.numbers=digits"):
        EngineCodec(tokenizer=again.tokenizer, by_value=True)


def test_tokens_that_weights_have_keep_their_ids() -> None:
    base = bpe_tokenizer(cut="smollm")
    size = len(base)
    tokenizer, spelled = extended(base, [", ", ")", "  obj_"])
    assert len(base) == size
    assert tokenizer.convert_tokens_to_ids([*"0123456789", ")"]) == base.convert_tokens_to_ids([*"0123456789", ")"])
    new = tokenizer.convert_tokens_to_ids([", ", "  obj_"])
    assert list(spelled) == new and min(new) >= size
    assert [base.decode(ids) for ids in spelled.values()] == [", ", "  obj_"]


def test_without_weights_there_is_nothing_to_extend() -> None:
    with pytest.raises(ValueError, match="for the tokenizer of pretrained weights"):
        EngineCodec(by_value=True)
