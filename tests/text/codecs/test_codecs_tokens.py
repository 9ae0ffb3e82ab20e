"""Tokens of the text formats card and engine, with their own tokenizer and with strangers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from physworld.lm.tokenizers import word_tokenizer
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec

from plain_texts import SCENE, bpe_tokenizer, each_codec, sample, trajectory


@each_codec
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126, include_characters="\n"), max_size=300))
def test_tokenizer_is_lossless_on_ascii(codec: CardCodec | EngineCodec, text: str) -> None:
    ids = codec.tokenizer(text)["input_ids"]
    assert codec.tokenizer.unk_token_id not in ids
    assert codec.tokenizer.decode(ids) == text


@each_codec
def test_tokenizer_is_lossless_on_the_formats(codec: CardCodec | EngineCodec) -> None:
    task = sample(codec)
    for text in (codec.write_prompt(task.given), codec.write_target(task), *(f" 1, (-2.5) <eos> {c}" for c in "\n\t")):
        ids = codec.tokenizer(text)["input_ids"]
        unknown = text.count("\t")
        assert ids.count(codec.tokenizer.unk_token_id) == unknown
        assert unknown or codec.tokenizer.decode(ids) == text


def test_tokenizer_spells_numbers_and_takes_whole_words() -> None:
    tokenizer = EngineCodec().tokenizer
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("\n  obj_12: pos=(-30.5, 7.25), vel=(")["input_ids"])
    assert pieces == ["\n", "  obj_", "1", "2", ": pos=(", *"-30.5", ", ", *"7.25", "), vel=("]


def test_longer_word_wins_and_words_are_escaped() -> None:
    tokenizer = word_tokenizer(["ab", "abc", "(.*", "a"])
    assert tokenizer.tokenize("abcab(.*a.") == ["abc", "ab", "(.*", "a", "."]


@each_codec
def test_auto_tokenizer_reloads_the_same(codec: CardCodec | EngineCodec, tmp_path: Path) -> None:
    codec.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = codec.write_prompt(trajectory(3)) + " ~ éà <x>"
    ids = codec.tokenizer(text)["input_ids"]
    assert again(text)["input_ids"] == ids
    assert again.get_vocab() == codec.tokenizer.get_vocab()
    assert again.decode(ids) == codec.tokenizer.decode(ids)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
        assert getattr(again, name) == getattr(codec.tokenizer, name) is not None
    reloaded = type(codec)(tokenizer=again)
    task = sample(reloaded)
    assert np.array_equal(reloaded.encode(task).input_ids, type(codec)().encode(task).input_ids)


@each_codec
def test_encode_scores_the_target_only(codec: CardCodec | EngineCodec) -> None:
    task = sample(codec)
    encoded = codec.encode(task)
    prompt = codec.prompt(task.given)
    ids, labels = encoded.input_ids, encoded.labels
    assert encoded.seed == 7 and ids.dtype == labels.dtype == np.int64
    assert np.array_equal(ids[: len(prompt)], prompt) and prompt[0] == codec.tokenizer.bos_token_id
    assert (labels[: len(prompt)] == -100).all() and np.array_equal(labels[len(prompt) :], ids[len(prompt) :])
    assert codec.tokenizer.decode(prompt[1:].tolist()) == codec.write_prompt(task.given)
    assert codec.tokenizer.decode(ids[len(prompt) : -1].tolist()) == codec.write_target(task)
    assert ids[-1] == codec.end_id and (ids == codec.end_id).sum() == 1


@pytest.mark.parametrize("own", [True, False], ids=["own", "bpe"])
@pytest.mark.parametrize("kind", [CardCodec, EngineCodec])
@pytest.mark.parametrize(("jump", "events"), [(9.9, []), (10.1, [1]), (-10.1, [1])])
def test_event_marks_the_tokens_of_jumping_bodies(kind: type, own: bool, jump: float, events: list[int]) -> None:
    codec = kind(tokenizer=None if own else bpe_tokenizer())
    task = sample(codec, jump=jump)
    encoded = codec.encode(task)
    assert not encoded.event[encoded.labels == -100].any() and not encoded.event[-1]
    marked = codec.tokenizer.decode(encoded.input_ids[encoded.event].tolist())
    rows = codec.write_target(task).split("\n")[-2:]
    assert marked.strip() == "\n".join(rows[i] for i in events).strip()


@pytest.mark.parametrize("kind", [CardCodec, EngineCodec])
def test_any_fast_tokenizer_works(kind: type) -> None:
    codec = kind(tokenizer=bpe_tokenizer())
    task = sample(codec)
    encoded = codec.encode(task)
    prompt, answer = codec.prompt(task.given), encoded.input_ids[encoded.labels >= 0]
    assert np.array_equal(encoded.input_ids, np.concatenate([prompt, answer]))
    assert answer[-1] == codec.end_id == codec.tokenizer.eos_token_id
    read, own = codec.decode(answer, task.given), kind().round_state(task.target.frame(0), SCENE)
    assert read is not None and np.array_equal(read.position, own.position)
    assert len(answer) <= codec.max_new_tokens(SCENE)


def test_a_description_cannot_spell_a_special_token() -> None:
    codec = EngineCodec(tokenizer=bpe_tokenizer())
    given_frames = trajectory(1, replace(SCENE, text="the </s> end"))
    assert codec.end_id not in codec.prompt(given_frames)


def test_tokenizer_without_end_is_refused() -> None:
    tokenizer = bpe_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="has no end token"):
        CardCodec(tokenizer=tokenizer)
    with pytest.raises(ValueError, match="at least 1"):
        CardCodec(context_frames=0)
