"""The number grid of the impulse text."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physworld.text.codecs import numbers
from physworld.text.codecs._impulse_words import NUMBER_BASE, WORDS

from impulse_scenes import CODEC, VALUES, rounding


def test_every_number_reads_back() -> None:
    assert numbers.COUNT == 73_999 == len(numbers.number_texts()) == len(numbers.number_values())
    texts, values = numbers.number_texts(), numbers.number_values()
    assert len(set(texts)) == numbers.COUNT
    assert [float(text) for text in texts] == values.tolist()
    assert [numbers.number_index(value) for value in values.tolist()] == list(range(numbers.COUNT))
    plain = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")
    assert all(plain.fullmatch(text) for text in texts)  # shortest form: no trailing zero, no -0


def test_tokenizer_knows_every_word_and_number() -> None:
    texts = WORDS + numbers.number_texts()
    ids = CODEC.tokenizer(" ".join(texts), add_special_tokens=False)["input_ids"]
    assert ids == list(range(NUMBER_BASE + numbers.COUNT))
    assert CODEC.tokenizer.convert_ids_to_tokens(ids) == texts


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.floats(-11_000, 11_000) | st.floats(-11, 11) | st.floats())
def test_number_index_is_the_nearest(value: float) -> None:
    index = numbers.number_index(value)
    assert 0 <= index < numbers.COUNT
    if math.isnan(value):
        assert index == 0
        return
    said = VALUES[index]
    ordered = np.sort(VALUES)
    bounded = min(max(value, -numbers.LARGEST), numbers.LARGEST)
    place = min(int(np.searchsorted(ordered, bounded)), numbers.COUNT - 1)
    nearest = min(abs(ordered[k] - bounded) for k in (max(place - 1, 0), place))
    assert abs(said - bounded) <= nearest + 1e-9 * max(1, abs(bounded))


def test_number_index_is_monotone() -> None:
    rng = np.random.default_rng(0)
    edges = np.array([0.0005, 9.9995, 99.995, 999.95, 9999.5])
    points = np.concatenate([rng.uniform(-12_000, 12_000, 20_000), rng.uniform(-12, 12, 20_000)])
    points = np.concatenate([points, edges, -edges, np.nextafter(edges, 0), -np.nextafter(edges, 0), [np.inf, -np.inf]])
    said = VALUES[[numbers.number_index(p) for p in np.sort(points)]]
    assert (np.diff(said) >= 0).all()
    assert said[[0, -1]].tolist() == [-9999, 9999]


def test_output_grid_is_ordered_and_fine() -> None:
    """What a model may say: symmetric, with 0, and any speed from 0.1 to 4000 px/s within 0.3 % (or half a digit)."""
    said = VALUES[numbers.output_grid()]
    assert (np.diff(said) > 0).all()
    np.testing.assert_array_equal(said, -said[::-1])
    assert 0 in said
    wanted = np.geomspace(0.1, 4000, 20_000)
    error = np.abs(wanted[:, None] - said[np.searchsorted(said, wanted)[:, None] + [-1, 0]]).min(axis=1)
    assert (error <= rounding(wanted)).all()
    vocabulary = CODEC.vocabulary
    np.testing.assert_array_equal(VALUES[vocabulary.outputs[vocabulary.ordered_from :] - NUMBER_BASE], said)
