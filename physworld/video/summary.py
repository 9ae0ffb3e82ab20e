"""What a judgement's arrays say, as JSON: means with their intervals for every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from physworld.metrics.bootstrap import bootstrap_mean
from physworld.types import Interval
from physworld.video.evaluation import BASE, ORACLE, VideoEvaluation, VideoResult
from physworld.video.metrics import likelihood, pisa

UNTUNED = (BASE, "zero", "scalar")


def _plain(interval: Interval) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {
        "mean": number(interval.mean), "low": number(interval.low), "high": number(interval.high),
        "n": interval.count,
    }  # fmt: skip


def _mean(values: Sequence[float] | np.ndarray) -> dict[str, Any] | None:
    """Mean with interval over those that could be told; None where there is none."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return _plain(bootstrap_mean(known)) if len(known) else None


def summarise(result: VideoResult, evaluation: VideoEvaluation) -> dict[str, Any]:
    """Every figure of the report, as JSON."""
    losses = result.likelihood
    rows: dict[str, Any] = {}
    for row, by_kind in losses.items():
        right = by_kind["correct"].mean(1)
        block: dict[str, Any] = {
            "v_mse": _mean(right),
            "v_mse_bins": likelihood.by_time(by_kind["correct"], min(5, evaluation.times)),
            "violations": {},
        }
        for kind in evaluation.violations:
            wrong = by_kind[kind].mean(1)
            cell = {
                "ppe": _plain(likelihood.preference_error(right, wrong)),
                "gap": _plain(likelihood.relative_gap(right, wrong)),
            }
            if row not in UNTUNED:
                base = losses[BASE]
                cell["specificity"] = _plain(
                    likelihood.specificity(base["correct"].mean(1), right, base[kind].mean(1), wrong)
                )
            block["violations"][kind] = cell
        if row not in UNTUNED:
            block["specificity"] = _plain(_overall_specificity(losses, row, evaluation.violations))
        rows[row] = block
    return {
        "likelihood": rows,
        "generated": {name: _generation(result, name) for name in result.generated},
        "card": {row: {name: _mean(v) for name, v in tests.items()} for row, tests in result.card.items()},
    }


def _overall_specificity(losses: dict[str, dict[str, np.ndarray]], row: str, kinds: Sequence[str]) -> Interval:
    """Against the mean over all violations of each clip."""
    wrong = [np.mean([losses[r][k].mean(1) for k in kinds], axis=0) for r in (BASE, row)]
    return likelihood.specificity(losses[BASE]["correct"].mean(1), losses[row]["correct"].mean(1), *wrong)


def _generation(result: VideoResult, scenario: str) -> dict[str, Any]:
    truth, rows = result.truth[scenario], {}
    masks = [t.mask for t in result.generated[scenario][ORACLE].tracks]
    for row, made in result.generated[scenario].items():
        valid = [t.valid for t in made.tracks]
        good = [p for p, ok in zip(made.physics, valid, strict=True) if ok]
        wanted = [c for c, ok in zip(truth, valid, strict=True) if ok]
        diameter = [2 * c.radius for c in truth]
        pixels = [d * c.frames.shape[1] / float(c.look.view[0]) for d, c in zip(diameter, truth, strict=True)]
        rows[row] = {
            "validity": _plain(bootstrap_mean(np.array(valid, float))),
            "gravity": _mean([p.gravity for p in good]),
            "gravity_error": _mean([abs(p.gravity / c.gravity - 1) for p, c in zip(good, wanted, strict=True)]),
            "restitution_error": _mean([abs(p.restitution - c.restitution) for p, c in zip(good, wanted, strict=True)]),
            "galileo": _mean([p.galileo for p in good]),
            "energy_error": _mean([abs(p.energy - c.restitution**2) for p, c in zip(good, wanted, strict=True)]),
            "centroid": _mean(
                [
                    pisa.centroid_error(t.center_m, c.center_m[:, 0], d)
                    for t, c, d in zip(made.tracks, truth, diameter, strict=True)
                ]
            ),
            "chamfer": _mean([pisa.chamfer(t.mask, m, p) for t, m, p in zip(made.tracks, masks, pixels, strict=True)]),
            "iou": _mean([pisa.overlap(t.mask, m) for t, m in zip(made.tracks, masks, strict=True)]),
        }
    return rows
