"""Rollouts at each validation of a text model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback

from physworld.accumulators import Samples
from physworld.io.images import gif_bytes
from physworld.metrics.scores import METHODS, described, measured_columns
from physworld.metrics.summary import scalars, summarise
from physworld.reporting.progress import Lines
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import FRAMES_PER_SECOND, EvalCases, Evaluation, side_by_side
from physworld.training.loggers import show_picture
from physworld.training.ranks import share
from physworld.types import Trajectory


class RolloutErrors(Samples):
    """Rows of `score_rollouts` over batches and ranks -> the summary of all of them."""

    def __init__(self, cases: EvalCases, horizons: Sequence[int]) -> None:
        super().__init__(*measured_columns(horizons))
        self.cases = cases

    def add(self, numbers: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
        """rows: of the cases with these numbers, all methods of one case after another."""
        many = len(rows) // max(1, len(numbers))
        cases = [number for number in numbers for _ in range(many)]
        keys = [number * len(METHODS) + METHODS.index(row["method"]) for number, row in zip(cases, rows, strict=True)]
        self.update(keys, rows)

    def compute(self) -> dict[str, Any]:
        """As `metrics.summary.summarise`."""
        found = self.gathered()
        rows = []
        for place, key in enumerate(found["number"].astype(int).tolist()):
            case, method = divmod(key, len(METHODS))
            figures = {name: _or_none(float(found[name][place])) for name in self.columns}
            about = described(self.cases.truth[case], self.cases.meta[case], METHODS[method])
            rows.append({**about, **figures, "parsed": bool(figures["parsed"])})
        return summarise(rows)


def _or_none(figure: float) -> float | None:
    """As in rows: what does not apply is None."""
    return None if np.isnan(figure) else figure


class RolloutValidation(Callback):
    """At each validation: roll out, log errors against the baselines, and draw one rollout."""

    def __init__(self, evaluation: Evaluation, draw: Callable[[], EvalCases], codec: FrameCodec) -> None:
        self.evaluation, self.draw, self.codec = evaluation, draw, codec
        self.cases: EvalCases | None = None
        self.shown = 0  # rollouts that were drawn

    def state_dict(self) -> dict[str, Any]:
        return {"shown": self.shown}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.shown = state["shown"]

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking:
            return
        self.cases = self.cases or self.draw()
        network = module.eval_network()  # on every rank: sharded weights are gathered
        numbers = share(trainer, len(self.cases.given))
        mine, errors = self.cases.subset(numbers), RolloutErrors(self.cases, self.evaluation.horizons)
        # Lines, because the training's own bar is on the screen.
        far = Lines("Validating", len(numbers) * self.evaluation.frames) if trainer.is_global_zero else None
        rows, predicted, _ = self.evaluation.roll_out(network, self.codec, mine, far) if numbers else ([], [], {})
        errors.to(module.device).add(numbers, rows)
        summary = errors.compute()
        # The monitored figure is always there, even where a baseline makes no error and there is no ratio to it.
        last = f"ratio_best@{max(self.evaluation.horizons)}"
        figures = {last: float("inf"), **summary["headline"]}
        figures = {f"rollout/{key}": value for key, value in figures.items()}
        figures |= {f"rollout_details/{key}": value for key, value in scalars(summary).items()}
        module.log_dict(figures, rank_zero_only=False)
        if trainer.is_global_zero and trainer.loggers and predicted:
            self._show(trainer, mine, predicted)

    def _show(self, trainer: pl.Trainer, cases: EvalCases, predicted: Sequence[Trajectory]) -> None:
        """One rollout, of each scenario type in its turn; a type shows the same scene each time."""
        first = {truth.scene.name: n for n, truth in reversed(list(enumerate(cases.truth)))}
        name = sorted(first)[self.shown % len(first)]
        self.shown += 1
        frames = side_by_side(cases.truth[first[name]], predicted[first[name]])
        show_picture(trainer, f"rollout/{name}", gif_bytes(frames, FRAMES_PER_SECOND))
