"""What verdicts say together: a share of few clips is not known for sure, whether or not they are all alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from physworld.judge import report
from physworld.judge.clip import Verdict
from physworld.judge.laws import LAWS
from physworld.judge.summary import paired, summarise


def test_shares_of_clips_that_are_all_alike_have_wilsons_interval() -> None:
    """Its ends are then n / (n + z²) and z² / (n + z²): Brown, Cai and DasGupta 2001, their formula (4)."""
    law = next(iter(LAWS))
    four = [Verdict(name=name, kind="bounce", laws={law: {"kept": True}}) for name in "abcd"]
    found = summarise(four)
    for share, ends in (
        (found["lawful"], (4 / (4 + 1.96**2), 1)),
        (found["laws"][law], (4 / (4 + 1.96**2), 1)),
        (found["discard_rate"], (0, 1.96**2 / (4 + 1.96**2))),
    ):
        assert (share["low"], share["high"], share["n"]) == (pytest.approx(ends[0]), pytest.approx(ends[1]), 4)
    assert report.percent(found["lawful"]) == "100 % (51–100)"


def lawful(difference: Sequence[int]) -> dict[str, float]:
    """Of pairs of clips in which ours alone keeps every law (1), theirs alone does (-1), or both or neither do (0)."""
    law = next(iter(LAWS))
    ours, theirs = (
        [Verdict(name=str(n), kind="bounce", laws={law: {"kept": d == who}}) for n, d in enumerate(difference)]
        for who in (1, -1)
    )
    found: dict[str, float] = paired(ours, theirs)["lawful"]
    return found


def test_differences_of_shares_have_a_width_where_all_pairs_are_alike() -> None:
    """Agresti and Min 2005, half a case in each of four cells: without any difference it is 1.96 / (n + 2)."""
    assert lawful([0, 0, 0, 0]) == {"mean": 0, "low": pytest.approx(-1.96 / 6), "high": pytest.approx(1.96 / 6), "n": 4}
    better, worse = lawful([1, 1, 1]), lawful([-1, -1, -1])
    assert better["mean"] == better["high"] == 1 and better["low"] == pytest.approx(0.6 - 1.96 * (4 - 9 / 5) ** 0.5 / 5)
    assert (worse["low"], worse["high"]) == (-better["high"], -better["low"])


@pytest.mark.parametrize("shares", [(0.1, 0.3), (0.02, 0.02), (0.0, 0.6)])
def test_their_interval_holds_the_truth_as_often_as_it_says(shares: tuple[float, float]) -> None:
    rng, less, more = np.random.default_rng(0), *shares
    held = 0
    for _ in range(400):
        found = lawful(rng.choice([-1, 0, 1], 25, p=[less, 1 - less - more, more]).tolist())
        held += found["low"] <= more - less <= found["high"]
    assert held > 0.93 * 400
