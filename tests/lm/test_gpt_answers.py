"""Answers of a GPT: what must come is not asked for, and the compiled blocks say what PyTorch's say."""

from __future__ import annotations

import numpy as np
import pytest

from physworld.lm import gpt_answers
from physworld.text.codecs._impulse_guide import ImpulseGuide, answer_masks
from physworld.text.codecs._impulse_words import COAST, END, FIRST_BODY, NUMBER_BASE

from tiny_gpt import CODEC, network, prompts

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_is_forced_is_the_only_choice() -> None:
    masks = answer_masks(NUMBER_BASE + 5, NUMBER_BASE, FIRST_BODY, 4)
    asked, ahead = (ImpulseGuide([np.array([2, 0]), np.array([1])], masks) for _ in range(2))
    for free in ([COAST, NUMBER_BASE], [COAST, NUMBER_BASE]):
        which = asked.allowed([0, 1])[1]
        forced = ahead.forced([0, 1])
        for place, part in enumerate(forced):
            assert not part or np.flatnonzero(masks[which[place]]).tolist() == part
        asked.advance([0, 1], [part[0] if part else free[place] for place, part in enumerate(forced)])
        asked.advance([place for place in (0, 1) if forced[place]], [free[k] for k in (0, 1) if forced[k]])
        ahead.advance([0, 1], free)
    assert ahead.forced([0, 1]) == [[END], []]  # the second answer is within its numbers
    assert ahead.forced([0]) == [[END]]  # and stays at its end
    for guide in (asked, ahead):
        assert np.flatnonzero(masks[guide.allowed([0])[1][0]]).tolist() == [END]


def test_prompts_of_like_lengths_are_read_together() -> None:
    assert gpt_answers._alike([4, 5, 6, 7, 10, 11, 40]) == [(0, 3), (3, 5), (5, 6), (6, 7)]
    assert gpt_answers._alike([3]) == [(0, 1)]


@pytest.mark.parametrize("relations", [True, False])
def test_compiled_blocks_answer_as_pytorchs_do(relations: bool) -> None:
    """Weights of 64 bits go through PyTorch's own operations."""
    model = network(relations=relations)
    given, ids = prompts()
    limits = [CODEC.max_new_tokens(g.scene) for g in given]
    compiled = model.generate(ids, limits, CODEC.end_id, CODEC.guide(given))
    plain = model.double().generate(ids, limits, CODEC.end_id, CODEC.guide(given))
    assert [answer.tolist() for answer in compiled] == [answer.tolist() for answer in plain]
    assert len({len(answer) for answer in plain}) > 1
