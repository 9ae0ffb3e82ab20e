"""What verdicts say together: a share of few clips is not known for sure, whether or not they are all alike."""

from __future__ import annotations

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
    assert paired(four, four)["lawful"] == {"mean": 0, "low": 0, "high": 0, "n": 4}  # a difference is no share
