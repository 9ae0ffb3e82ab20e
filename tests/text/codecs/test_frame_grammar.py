"""Frame grammars: true frames pass, whatever passes can be read, with our tokenizers and one that cuts anywhere."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from physworld import scenarios
from physworld.lm.guides import MatcherGuide, guide_mask
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs._frame_grammar import expression
from physworld.text.codecs._frame_guide import WordGuide
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Sample, Trajectory


@functools.cache
def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE trained here on a few frames: its tokens span digits, blanks and line breaks."""
    text = [EngineCodec().write_prompt(moment(name)[0]) for name in ("billiards", "tower", "pendulum")]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<pad>", "<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")


def moment(name: str, frames: int = 4) -> tuple[Trajectory, Trajectory]:
    run = simulate(scenarios.build(name, generator(0, "test", 1), 2), 31 + frames)
    return run.window(30, 30 + frames), run.window(30 + frames, 31 + frames)


def codecs() -> list[Any]:
    return [
        CardCodec(),
        EngineCodec(),
        EngineCodec(published_bytes=True),
        CardCodec(tokenizer=byte_level_tokenizer()),
        EngineCodec(tokenizer=byte_level_tokenizer()),
    ]


@pytest.mark.parametrize("place", range(5))
def test_every_true_frame_passes(place: int) -> None:
    codec = codecs()[place]
    names = scenarios.names() if place < 3 else ("billiards", "tower", "bowling")
    for name in names:
        given, target = moment(name, codec.context_frames)
        sample = Sample(seed=0, given=given, target=target)
        assert re.fullmatch(expression(codec.grammar(given)), codec.write_target(sample)), name
        encoded = codec.encode(sample)
        guide = codec.guide([given])
        assert isinstance(guide, WordGuide if place < 3 else MatcherGuide)
        if isinstance(guide, MatcherGuide):  # for engines that have grammars of their own
            assert guide.expressions == [expression(codec.grammar(given))]
        for token in encoded.input_ids[encoded.labels != -100]:
            assert guide_mask(guide, [0])[0, token], name
            guide.advance([0], [token])


@pytest.mark.parametrize("codec", [CardCodec(), EngineCodec(), EngineCodec(published_bytes=True)])
def test_what_must_come_needs_no_asking(codec: Any) -> None:
    """A true frame: what is forced is what stands there, and where nothing is, there is a choice."""
    for name in ("billiards", "pendulum", "tower"):
        given, target = moment(name, codec.context_frames)
        encoded = codec.encode(Sample(seed=0, given=given, target=target))
        answer = encoded.input_ids[encoded.labels != -100].tolist()
        guide, said, asked = codec.guide([given]), [], 0
        while True:
            (tokens,) = guide.forced([0])
            said += tokens
            if len(said) >= len(answer):
                break
            assert guide_mask(guide, [0]).sum() > 1
            said.append(answer[len(said)])
            guide.advance([0], said[-1:])
            asked += 1
        assert said == answer
        assert asked < 0.95 * len(answer)
        assert guide_mask(guide, [0])[0].nonzero()[0].tolist() == [codec.end_id]


@pytest.mark.parametrize("place", range(5))
def test_whatever_passes_can_be_read(place: int) -> None:
    """Random walks through the grammar, as an untrained model takes them."""
    codec, rng = codecs()[place], np.random.default_rng(place)
    given = [moment(name, codec.context_frames)[0] for name in ("billiards", "pendulum", "projectile")]
    for _ in range(5 if place < 3 else 2):
        guide = codec.guide(given)
        said: list[list[int]] = [[] for _ in given]
        for _ in range(max(codec.max_new_tokens(g.scene) for g in given) + 1):
            mask = guide_mask(guide, range(len(given)))
            assert mask.any(axis=1).all()
            tokens = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
            for answer, token in zip(said, tokens, strict=True):
                if codec.end_id not in answer:
                    answer.append(int(token))
            guide.advance(range(len(given)), tokens)
            if all(codec.end_id in answer for answer in said):
                break
        for answer, context in zip(said, given, strict=True):
            state = codec.decode(np.array(answer), context)
            assert state is not None, codec.answer_text(np.array(answer))
            assert len(answer) <= codec.max_new_tokens(context.scene)


def test_a_wrong_frame_does_not_pass() -> None:
    codec = EngineCodec()
    given, target = moment("billiards")
    right = codec.write_target(Sample(seed=0, given=given, target=target))
    pattern = expression(codec.grammar(given))
    assert re.fullmatch(pattern, right)
    for wrong in (
        right.replace("obj_1:", "obj_2:", 1),
        right.rpartition("\n")[0],  # a body less
        right + right.rpartition("\n  ")[2],
        right.replace(".", ".0", 1),
        right.replace("pos=(", "pos=(0", 1),
        right + " ",
    ):
        assert not re.fullmatch(pattern, wrong)


def test_inspection_counts_missing_bodies_and_other_hands() -> None:
    codec = EngineCodec()
    given, target = moment("billiards")
    right = codec.write_target(Sample(seed=0, given=given, target=target))
    state = codec.parse(right, given)
    assert codec.inspect_text(right, given, state) == (0, False)
    spaced = right.replace("\n  obj_", "\n    obj_")
    assert codec.parse(spaced, given) is not None
    assert codec.inspect_text(spaced, given, codec.parse(spaced, given)) == (0, True)
    short = "\n".join(right.split("\n")[:-2])
    assert codec.parse(short, given) is None
    assert codec.inspect_text(short, given, None) == (2, False)
    assert codec.inspect_text("nonsense", given, None) == (len(given.scene.bodies), False)
