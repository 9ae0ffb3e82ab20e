"""The same ten losses of every kind of training, before and after a refactor."""

from __future__ import annotations

import json
import runpy

import numpy as np
import pytest

from repository import GOLDEN

KEPT = json.loads((GOLDEN / "ten_losses.json").read_text())["losses"]
MADE = runpy.run_path(str(GOLDEN / "ten_losses.py"))


def test_every_kind_is_kept() -> None:
    assert set(KEPT) == set(MADE["RUNS"])


QUICK = ("finetuning", "lora", "video")


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in sorted(KEPT)]
)
def test_ten_losses_are_the_golden_ones(kind: str) -> None:
    """See golden/ten_losses.py for the command that made them; another machine rounds sums otherwise."""
    np.testing.assert_allclose(MADE["ten_losses"](kind), KEPT[kind], rtol=2e-3)
