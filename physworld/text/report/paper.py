"""The published tables' protocol, our figures beside the published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physworld import scenarios
from physworld.metrics.errors import position_rmse
from physworld.metrics.scores import BASELINES, MODEL
from physworld.reporting.markdown import figure, span, table
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.baselines import BASELINES as EXTRAPOLATIONS
from physworld.text.evaluation.evaluation import EvalCases, EvalResult, Evaluation
from physworld.text.report import published
from physworld.text.report.sections import LABELS

Rows = Sequence[Mapping[str, Any]]


class _Anything:
    """Baselines need no text, so no type is left out."""

    context_frames = 1

    def unwritable(self, scene: Any) -> str:
        return ""


def baseline_means(
    names: Sequence[str], difficulties: Sequence[int], *, split: str, seed: int, first_index: int, scenes: int
) -> dict[int, dict[str, float]]:
    """Mean position RMSE of extrapolation by horizon over all types, px: horizon -> baseline -> mean over types."""
    horizons = list(published.BASELINES_BY_HORIZON)
    evaluation = Evaluation(
        rollouts=scenes,
        val_rollouts=1,
        frames=max(horizons),
        horizons=horizons,
        latest_start=60,
        batch_size=1,
        guided=False,
        pictures=0,
    )
    where: Any = {"split": split, "seed": seed, "first_index": first_index, "trained_on": ()}
    cases = evaluation.sample_cases(_Anything(), names, difficulties, per_scenario=scenes, **where)
    types = np.array([truth.scene.name for truth in cases.truth])
    found: dict[int, dict[str, float]] = {h: {} for h in horizons}
    for name, guess in EXTRAPOLATIONS.items():
        predicted = [guess(given, max(horizons)) for given in cases.given]
        for h in horizons:
            errors = np.array([position_rmse(t, p, h) for t, p in zip(cases.truth, predicted, strict=True)])
            found[h][name] = float(np.mean([errors[types == t].mean() for t in np.unique(types)]))
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """What the published tables need besides single steps: rollouts of four types, and baselines of all types."""

    evaluation: Evaluation  # of those rollouts
    cases: EvalCases
    means: dict[int, dict[str, float]]  # from `baseline_means`

    @classmethod
    def sample(
        cls, evaluation: Evaluation, cases: EvalCases, names: Sequence[str], difficulties: Sequence[int], **where: Any
    ) -> Published:
        """where: of `baseline_means`."""
        return cls(evaluation=evaluation, cases=cases, means=baseline_means(names, difficulties, **where))

    def tables(
        self,
        model: Any,
        codec: FrameCodec,
        trained_on: Sequence[str],
        result: EvalResult,
        store: Callable[[int], Any] | None,
    ) -> list[str]:
        """Markdown of a candidate's tables; what is in them goes into its summary too."""
        rolled = self.evaluation.evaluate(model, codec, self.cases.trained_on(trained_on), store=store)
        result.summary["rollouts_beside_published"] = rolled.summary
        result.summary["collision_decomposition"] = collision_decomposition(result.rows)
        result.summary["baselines_by_horizon"] = {str(h): dict(mean) for h, mean in self.means.items()}
        return sections(result.summary, result.rows, rolled.summary, self.means)


def collision_decomposition(rows: Rows) -> dict[str, dict[str, Any]]:
    """Single steps apart by whether any body is in contact: per method and kind the position and velocity RMSE.

    Position: mean over steps of a step's RMSE, px. Velocity: of the bodies in contact (`contact`) and of those that fly
    freely (`flight`), px/s, mean over steps that have such bodies.
    """
    found: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        hit = [row for row in mine if row["event_velocity_rmse"] is not None]
        free = [row for row in mine if row["event_velocity_rmse"] is None]
        found[method] = {
            "steps_contact": len(hit),
            "steps_flight": len(free),
            "position_contact": _mean([row["rmse@1"] for row in hit]),
            "position_flight": _mean([row["rmse@1"] for row in free]),
            "velocity_contact": _mean([row["event_velocity_rmse"] for row in hit]),
            "velocity_flight": _mean(
                [row["flight_momentum_error"] for row in mine if row["flight_momentum_error"] is not None]
            ),
        }
    return found


def _mean(values: Sequence[float]) -> float | None:
    mean = float(np.mean(values)) if values else float("inf")
    return mean if np.isfinite(mean) else None


def sections(
    summary: Mapping[str, Any], rows: Rows, curves: Mapping[str, Any] | None, means: Mapping[int, Mapping[str, float]]
) -> list[str]:
    """Markdown of all the published tables.

    Args:
        summary: of the single steps.
        rows: of the single steps.
        curves: summary of the rollouts of billiards, tower, pendulum and pong, if any of them could be written.
        means: from `baseline_means`.
    """
    return [
        "## Beside the published figures",
        "",
        "*Published* is the 350 M-parameter model of PhysicsLLMEngine on that engine's own scenes "
        "(text/report/published.py), single steps from true frames. Ours are other scenes, so the columns cannot be "
        "subtracted from each other. A single step's position is no test of physics: Chipmunk moves a body with the "
        "velocity that is given, and straight lines score 0.1 px.",
        "",
        *_single_steps(summary),
        *_held_out(summary),
        *_decomposition(rows),
        *(_curves(curves) if curves else []),
        *_baselines(means),
    ]


def _single_steps(summary: Mapping[str, Any]) -> list[str]:
    methods = summary["methods"]
    rows = []
    for name, part in summary["breakdown"]["category"].items():
        theirs = published.SINGLE_STEP_BY_CATEGORY.get(name)
        cells = [span(part["rmse"].get(m)) for m in methods]
        rows.append([name, str(part["rollouts"]), *cells, "–" if theirs is None else f"{theirs}"])
    part = summary["all"]["horizons"]["1"]["rmse"]
    overall = published.SINGLE_STEP_OVERALL
    rows.append(
        [
            "overall",
            str(summary["all"]["rollouts"]),
            *(span(part.get(m)) for m in methods),
            f"{overall['model']} (copy-last {overall['copy_last']}, linear {overall['linear']:.2f})",
        ]
    )
    return [
        "Single-step position RMSE by category, px:",
        "",
        *table(["category", "steps", *(LABELS[m] for m in methods), "published"], rows),
    ]


def _held_out(summary: Mapping[str, Any]) -> list[str]:
    methods = summary["methods"]
    rows = []
    for name in scenarios.HELD_OUT:
        block = summary["scenarios"].get(name)
        theirs = f"{published.SINGLE_STEP_HELD_OUT[name]}"
        if block is None:
            rows.append([name, "0", *["–"] * len(methods), theirs])
            continue
        part = block["horizons"]["1"]["rmse"]
        rows.append([name, str(block["rollouts"]), *(span(part.get(m)) for m in methods), theirs])
    return [
        "Held-out types, single-step position RMSE, px:",
        "",
        *table(["type", "steps", *(LABELS[m] for m in methods), "published"], rows),
    ]


def _decomposition(rows: Rows) -> list[str]:
    parts = collision_decomposition(rows)
    first = parts[MODEL]

    def cell(value: float | None, count: int) -> str:
        return "–" if not count else figure(value)

    cells = [
        [
            LABELS[method],
            cell(part["position_contact"], part["steps_contact"]),
            cell(part["position_flight"], part["steps_flight"]),
            cell(part["velocity_contact"], part["steps_contact"]),
            cell(part["velocity_flight"], 1),
        ]
        for method, part in parts.items()
    ]
    return [
        f"Contact and flight apart ({first['steps_contact']} steps in which some body is in contact, "
        f"{first['steps_flight']} in which none is):",
        "",
        *table(
            [
                "",
                "position RMSE, contact steps, px",
                "position RMSE, other steps, px",
                "velocity RMSE, bodies in contact, px/s",
                "velocity RMSE, bodies in flight, px/s",
            ],
            cells,
        ),
    ]


def _curves(summary: Mapping[str, Any]) -> list[str]:
    methods = summary["methods"]
    rows = []
    for name, block in summary["scenarios"].items():
        for h, part in block["horizons"].items():
            theirs = published.ROLLOUT_30.get(name, {}) if h == "30" else {}
            shown = ", ".join(f"{LABELS[m]} {theirs[m]:g}" for m in (MODEL, *BASELINES)) if theirs else "–"
            cells = [span(part["rmse"].get(m)) for m in methods]
            rows.append([f"{name}, {h} frames", str(block["rollouts"]), *cells, shown])
    return [
        "Rollouts on its own output, position RMSE, px (published: one scene each):",
        "",
        *table(["type", "rollouts", *(LABELS[m] for m in methods), "published, its own scenes"], rows),
    ]


def _baselines(means: Mapping[int, Mapping[str, float]]) -> list[str]:
    rows = []
    for h, mine in means.items():
        theirs = published.BASELINES_BY_HORIZON[h]
        rows.append([str(h), *(f"{figure(mine[m])} · {theirs[m]:g}" for m in BASELINES)])
    return [
        "Extrapolation alone, mean position RMSE over all our types · over the 41 types of the published engine, px:",
        "",
        *table(["frames ahead", *(LABELS[m] for m in BASELINES)], rows),
    ]
