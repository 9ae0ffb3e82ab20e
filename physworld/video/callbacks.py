"""What one sees of a video model while it trains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from physworld.io.images import gif_bytes
from physworld.training.loggers import show_picture, show_text
from physworld.video.evaluation import IN_RANGE, VideoEvaluator
from physworld.video.own_evaluation import OwnEvaluator, said

SHOWN = 15  # frames a second of clips in TensorBoard


class ClipSamples(Callback):
    """At each validation: a few generated clips to the loggers, from the same captions and noise every time."""

    def __init__(self, evaluator: VideoEvaluator, count: int) -> None:
        self.evaluator, self.count = evaluator, count

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or self.count == 0 or not trainer.is_global_zero or not trainer.loggers:
            return
        clips = self.evaluator.source(IN_RANGE).clips(range(self.count))
        network = module.eval_network()
        evaluator = replace(self.evaluator, device=module.device)
        made = evaluator.generate(network, clips, place=9)
        for k, clip in enumerate(made.clips):
            larger = max(1, 96 // clip.shape[1])
            show_picture(trainer, f"clips/{k}", gif_bytes(clip.repeat(larger, 1).repeat(larger, 2), SHOWN))


class OwnSamples(Callback):
    """At each validation: clips of held-out captions to the loggers, and what `physworld judge` says of them."""

    def __init__(self, evaluator: OwnEvaluator, count: int) -> None:
        self.evaluator, self.count = evaluator, count

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.sanity_checking or self.count == 0 or not trainer.is_global_zero or not trainer.loggers:
            return
        inner = replace(self.evaluator.inner, device=module.device)
        made = replace(self.evaluator, inner=inner).samples(module.eval_network(), self.count)
        for k, (frames, clip, verdict) in enumerate(made):
            larger = max(1, 96 // frames.shape[1])
            show_picture(trainer, f"clips/{k}", gif_bytes(frames.repeat(larger, 1).repeat(larger, 2), clip.fps))
            show_text(trainer, f"clips/{k}/judged", f"{clip.caption}: {said(verdict)}")
        verdicts = [verdict for _, _, verdict in made if verdict.judged]
        figures = {"judge/judged": len(verdicts) / len(made)}
        if verdicts:
            figures["judge/lawful"] = sum(verdict.lawful for verdict in verdicts) / len(verdicts)
        module.log_dict(figures, rank_zero_only=True)
