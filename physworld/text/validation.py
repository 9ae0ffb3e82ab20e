"""Rollouts at each validation of a text model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from physworld.accumulators import Samples
from physworld.metrics.scores import METHODS, described, measured_columns
from physworld.metrics.summary import scalars, summarise
from physworld.reporting.progress import Lines
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import FRAMES_PER_SECOND, EvalCases, Evaluation, side_by_side
from physworld.training.ranks import share
from physworld.training.tensorboard import add_gif


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
        figures = {last: float("inf"), **scalars(summary), **summary["headline"]}
        module.log_dict({f"rollout/{key}": value for key, value in figures.items()}, rank_zero_only=False)
        logger = trainer.logger
        if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
            shown = trainer.global_step % len(predicted)
            frames = side_by_side(mine.truth[shown], predicted[shown])
            add_gif(logger, "rollout/truth_prediction_overlay", frames, trainer.global_step, fps=FRAMES_PER_SECOND)
