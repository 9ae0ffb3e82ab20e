"""Raw answers at each validation, and what share of them obeys everything."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.evaluation import SpatialEvaluation


class RulesValidation(Callback):
    """At each validation: raw answers to validation payloads, and what share of them obeys everything."""

    def __init__(self, evaluation: SpatialEvaluation, codec: SceneCodec, *, seed: int) -> None:
        self.evaluation, self.codec, self.seed = evaluation, codec, seed

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        evaluation = self.evaluation
        samples = evaluation.sample_axis("seen", seed=self.seed, split="val", count=evaluation.val_samples)
        network: Any = module.eval_network()  # type: ignore[operator]
        answers = evaluation.answer(network, self.codec, [sample.given for sample in samples], "raw")
        found = score_means(answers.scenes, samples)
        module.log_dict({f"spatial/{name}": value for name, value in found.items()}, rank_zero_only=False)
        network.train()


def score_means(scenes: list[Any], samples: list[Any]) -> dict[str, float]:
    """What is logged while training: shares of answers, lower `broken` being better."""
    from physworld.spatial.evaluation import cell

    scores = cell(scenes, samples).scores
    means = {name: _mean([s[name] for s in scores]) for name in ("parse", "schema", "all_rules", "honest")}
    means |= {name: _mean([s.get(name) for s in scores]) for name in ("direction_deg", "gain_db")}
    return {**{k: v for k, v in means.items() if v is not None}, "broken": 1 - (means["all_rules"] or 0.0)}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
