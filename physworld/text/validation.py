"""Rollouts at each validation of a text model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from physworld.metrics.summary import scalars
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import FRAMES_PER_SECOND, EvalCases, Evaluation, result_frames
from physworld.training.tensorboard import add_gif


class RolloutValidation(Callback):
    """At each validation: roll out, log errors against the baselines, and draw one rollout."""

    def __init__(self, evaluation: Evaluation, draw: Callable[[], EvalCases], codec: FrameCodec) -> None:
        self.evaluation, self.draw, self.codec = evaluation, draw, codec
        self.cases: EvalCases | None = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking:
            return
        self.cases = self.cases or self.draw()
        # Every rank rolls out all of them: a sharded model needs all ranks in each forward pass.
        result = self.evaluation.evaluate(module.eval_network(), self.codec, self.cases)
        # The monitored figure is always there, even where a baseline makes no error and there is no ratio to it.
        figures = {
            f"ratio_best@{max(self.evaluation.horizons)}": float("inf"),
            **scalars(result.summary),
            **result.summary["headline"],
        }
        module.log_dict({f"rollout/{key}": value for key, value in figures.items()}, rank_zero_only=False)
        logger = trainer.logger
        if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
            shown = trainer.global_step % len(result.predicted)
            frames = result_frames(result, shown)
            add_gif(logger, "rollout/truth_prediction_overlay", frames, trainer.global_step, fps=FRAMES_PER_SECOND)
