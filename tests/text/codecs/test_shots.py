"""Few-shot prompts: solved problems stand before every prompt, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec

from tiny_lms import bpe_tokenizer, samples


@pytest.mark.parametrize("make", [EngineCodec, CardCodec])
@pytest.mark.parametrize("tokenizer", [None, bpe_tokenizer()])
def test_solved_problems_stand_before_the_prompt(make: type[EngineCodec], tokenizer: object) -> None:
    codec = make(context_frames=2, tokenizer=tokenizer)  # type: ignore[arg-type]
    first, second, asked = samples(3)
    showing = codec.showing([first, second])
    prompt, plain = showing.prompt(asked.given), codec.prompt(asked.given)
    text = codec.tokenizer.decode(prompt, clean_up_tokenization_spaces=False)
    begin = codec.tokenizer.bos_token or ""
    solved = [codec.write_prompt(one.given) + codec.write_target(one) for one in (first, second)]
    assert text == begin + "\n\n".join([*solved, codec.write_prompt(asked.given)])
    assert np.array_equal(prompt[-len(plain) + 1 :], plain[1:])  # but for the begin token
    assert np.array_equal(codec.prompt(asked.given), plain)  # the codec itself shows nothing
    item = showing.encode(asked)
    assert np.array_equal(item.input_ids[: len(prompt)], prompt)
    assert (item.labels[: len(prompt)] == -100).all()
    answer = item.input_ids[len(prompt) :]
    state = showing.decode(answer, asked.given)
    assert state is not None
    assert np.abs(state.position - asked.target.position[0]).max() <= (0.00005 if make is EngineCodec else 0.005) + 1e-9
