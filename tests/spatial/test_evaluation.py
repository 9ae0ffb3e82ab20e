"""Every figure of an evaluation counts what it is of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from physworld.lm.tiny_lm import TinyLM
from physworld.metrics.bootstrap import share
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.evaluation import SpatialEvaluation, repaired
from physworld.spatial.scene.breaking import break_one

from spatial_tools import samples


def test_rules_of_feasible_payloads_are_a_share_of_those() -> None:
    """Of eight payloads three have no scene that is known to obey."""
    rng = np.random.default_rng(0)
    some = [
        replace(sample, target=break_one(sample.target, sample.given, rng)) if k < 3 else sample
        for k, sample in enumerate(samples(count=8))
    ]
    found = repaired([sample.target for sample in some], some).summary()
    assert found["all_rules_of_feasible"] == share([1.0] * 5).to_dict(count="n")


class ShortCodec(PointerCodec):
    """Answers that end soon: those of an untrained network do not by themselves."""

    def max_new_tokens(self, given: Any) -> int:
        return 8


def test_answers_that_are_alike_alone_are_a_share_of_those_that_were_asked_twice() -> None:
    codec = ShortCodec()
    network = TinyLM.for_vocabulary(codec.vocabulary, width=16, depth=1, heads=2, inner=16).eval()
    evaluation = SpatialEvaluation(
        samples=1, samples_per_axis=1, val_samples=1, modes=["raw"], axes=["seen"], batch_size=5,
        random_weights=False, neighbours=0, repeated=2, pictures=0,
    )  # fmt: skip
    found = evaluation.evaluate_network(network, codec, samples(count=5))["raw"].summary()
    assert found["deterministic"] == share([1.0] * 2).to_dict(count="n")
    assert found["parse"]["n"] == 5
