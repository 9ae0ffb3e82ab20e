"""Model cards of text runs: the example in them."""

from __future__ import annotations

import numpy as np
import pytest

from physworld.lm.weights import WeightsError, load_network
from physworld.runs.directory import find_run
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.islands import IslandCodec
from physworld.text.hub import example_of

from tiny_gpt import network
from worlds import disc, world

CODEC = IslandCodec()
MODEL = network(CODEC)


FREE = simulate(world(disc(200, 300)), 3)  # nothing meets anything, so nothing is asked
MEET = simulate(world(disc(200, 300), disc(222, 300, velocity=(-60, 0))), 3)


def test_the_example_is_a_moment_in_which_something_is_asked() -> None:
    assert not CODEC.prompts(FREE.window(2, 3)) and CODEC.prompts(MEET.window(2, 3))
    example = example_of(MODEL, CODEC, [FREE, MEET])
    assert example is not None and example == example_of(MODEL, CODEC, [MEET])
    assert example.prompt == CODEC.tokenizer.decode(np.asarray(CODEC.prompts(MEET.window(2, 3))[0]))


def test_no_example_where_nothing_is_ever_asked() -> None:
    assert example_of(MODEL, CODEC, [FREE]) is None


@pytest.mark.parametrize("name", ["shipped", "solver"])
def test_weights_of_our_own_are_not_those_of_a_language_model(name: str) -> None:
    with pytest.raises(WeightsError, match="holds a network of physworld's own; give run=RUN"):
        load_network(str(find_run(name) / "model"))
