"""What an evaluation's arrays say, as JSON: means with their intervals for every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physworld.accumulators import Samples
from physworld.metrics.bootstrap import bootstrap_mean, share
from physworld.types import Interval
from physworld.video.clips import Clip
from physworld.video.evaluation import BASE, ORACLE, VideoEvaluation, VideoResult
from physworld.video.metrics import likelihood, pisa
from physworld.video.metrics.tracker import Physics, Track


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A generated clip beside the true one of the same caption."""

    truth: Clip
    track: Track  # of the ball in the generated clip
    physics: Physics  # read off that track
    mask: np.ndarray  # (T, H, W) bool: the ball in the true clip

    @property
    def diameter(self) -> float:
        """m"""
        return 2 * self.truth.radius


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure of a generated clip. An entry of GENERATED is all that a new one needs."""

    label: str  # in the report
    function: Callable[[Pair], float]  # NaN where it cannot be told
    valid_only: bool = True  # only of clips in which one ball is seen throughout
    yes_or_no: bool = False  # its mean is a share


GENERATED: dict[str, Measure] = {  # in the order of the report
    "validity": Measure(
        label="one ball in ≥ 90 % of frames", function=lambda p: float(p.track.valid), valid_only=False, yes_or_no=True
    ),
    "gravity": Measure(label="g, m/s²", function=lambda p: p.physics.gravity),
    "gravity_error": Measure(
        label="relative error of g", function=lambda p: abs(p.physics.gravity / p.truth.gravity - 1)
    ),
    "restitution_error": Measure(
        label="error of e", function=lambda p: abs(p.physics.restitution - p.truth.restitution)
    ),
    "galileo": Measure(label="Galileo ratio (4)", function=lambda p: p.physics.galileo),
    "energy_error": Measure(label="error of h₁/h₀", function=lambda p: abs(p.physics.energy - p.truth.restitution**2)),
    "centroid": Measure(
        label="centroid, diameters",
        function=lambda p: pisa.centroid_error(p.track.center_m, p.truth.center_m[:, 0], p.diameter),
        valid_only=False,
    ),
    "chamfer": Measure(
        label="Chamfer, diameters",
        function=lambda p: pisa.chamfer(
            p.track.mask, p.mask, p.diameter * p.truth.frames.shape[1] / float(p.truth.look.view[0])
        ),
        valid_only=False,
    ),
    "iou": Measure(label="IoU", function=lambda p: pisa.overlap(p.track.mask, p.mask), valid_only=False),
}
UNTUNED = (BASE, "zero", "scalar")


def _mean(values: Sequence[float] | np.ndarray, *, yes_or_no: bool) -> dict[str, Any] | None:
    """Mean with interval over those that could be told; None where there is none."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    return (share(known) if yes_or_no else bootstrap_mean(known)).to_dict(count="n")


class PreferenceError(Samples):
    """PPE of pairs of clips over batches and ranks."""

    def __init__(self, **options: Any) -> None:
        super().__init__("right", "wrong", **options)

    def add(self, numbers: Sequence[int], right: np.ndarray, wrong: np.ndarray) -> None:
        """Losses (n,) of the right and the wrong version of the clips with these numbers."""
        self.update(numbers, [{"right": a, "wrong": b} for a, b in zip(right, wrong, strict=True)])

    def compute(self) -> dict[str, Any]:
        """As JSON, with an interval over pairs."""
        found = self.gathered()
        return likelihood.preference_error(found["right"], found["wrong"]).to_dict(count="n")


def summarise(result: VideoResult, evaluation: VideoEvaluation) -> dict[str, Any]:
    """Every figure of the report, as JSON."""
    return {
        "likelihood": likelihood_rows(result.likelihood, evaluation.violations, evaluation.times),
        "generated": {name: _generation(result, name) for name in result.generated},
        "card": {
            row: {name: likelihood.mean(values).to_dict(count="n") for name, values in tests.items()}
            for row, tests in result.card.items()
        },
    }


def likelihood_rows(
    losses: dict[str, dict[str, np.ndarray]], kinds: Sequence[str], times: int
) -> dict[str, dict[str, Any]]:
    """Row -> its losses on right clips and, for each kind of wrong ones, how it tells them apart, as JSON.

    Args:
        losses: row -> kind -> (n, t); `correct` is a kind, too.
    """
    rows: dict[str, Any] = {}
    for row, by_kind in losses.items():
        right = by_kind["correct"].mean(1)
        block: dict[str, Any] = {
            "v_mse": likelihood.mean(right).to_dict(count="n"),
            "v_mse_bins": [
                value if np.isfinite(value) else None for value in likelihood.by_time(by_kind["correct"], min(5, times))
            ],
            "not_finite": sum(int((~np.isfinite(losses)).sum()) for losses in by_kind.values()),
            "violations": {},
        }
        for kind in kinds:
            wrong = by_kind[kind].mean(1)
            ppe = PreferenceError(sync_on_compute=False)  # an evaluation is one process's own
            ppe.add(range(len(right)), right, wrong)
            cell = {
                "ppe": ppe.compute(),
                "gap": likelihood.relative_gap(right, wrong).to_dict(count="n"),
            }
            if row not in UNTUNED:
                base = losses[BASE]
                found = likelihood.specificity(base["correct"].mean(1), right, base[kind].mean(1), wrong)
                cell["specificity"] = found.to_dict(count="n")
            block["violations"][kind] = cell
        if row not in UNTUNED:
            block["specificity"] = _overall_specificity(losses, row, kinds).to_dict(count="n")
        rows[row] = block
    return rows


def _overall_specificity(losses: dict[str, dict[str, np.ndarray]], row: str, kinds: Sequence[str]) -> Interval:
    """Against the mean over all violations of each clip."""
    wrong = [np.mean([losses[r][k].mean(1) for k in kinds], axis=0) for r in (BASE, row)]
    return likelihood.specificity(losses[BASE]["correct"].mean(1), losses[row]["correct"].mean(1), *wrong)


def _generation(result: VideoResult, scenario: str) -> dict[str, Any]:
    truth, rows = result.truth[scenario], {}
    masks = [t.mask for t in result.generated[scenario][ORACLE].tracks]
    for row, made in result.generated[scenario].items():
        pairs = [
            Pair(truth=clip, track=track, physics=physics, mask=mask)
            for clip, track, physics, mask in zip(truth, made.tracks, made.physics, masks, strict=True)
        ]
        rows[row] = {
            name: _mean(
                [measure.function(p) for p in pairs if p.track.valid or not measure.valid_only],
                yes_or_no=measure.yes_or_no,
            )
            for name, measure in GENERATED.items()
        }
    return rows
