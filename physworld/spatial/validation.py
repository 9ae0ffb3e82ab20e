"""Raw answers at each validation, and what share of them obeys everything."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from physworld.reporting.progress import Lines
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.evaluation import SceneScores, SpatialEvaluation
from physworld.spatial.metrics import score_scene
from physworld.spatial.sources.drawn import SpatialSource
from physworld.training.ranks import share

LOGGED = ("parse", "schema", "coverage", "anchor", "all_rules", "honest", "direction_deg", "gain_db")


class RuleRates(SceneScores):
    """What is logged while training: shares of answers and mean errors, lower `broken` being better."""

    def compute(self) -> dict[str, float]:  # type: ignore[override]
        known = super().compute()
        means = {name: sum(known[name]) / len(known[name]) for name in LOGGED if name in known}
        return {**means, "broken": 1 - means.get("all_rules", 0.0)}


class RulesValidation(Callback):
    """At each validation: raw answers to validation payloads, and what share of them obeys everything."""

    def __init__(self, evaluation: SpatialEvaluation, codec: SceneCodec, source: SpatialSource) -> None:
        """source: whose first payloads choose the checkpoint; what a run holds out is not among them."""
        self.evaluation, self.codec, self.source = evaluation, codec, source

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        evaluation = self.evaluation
        samples = [self.source.sample(index) for index in range(evaluation.val_samples)]
        numbers = share(trainer, len(samples))
        mine = [samples[n] for n in numbers]
        network: Any = module.eval_network()  # type: ignore[operator]
        # Lines, because the training's own bar is on the screen.
        shown = Lines("Validating", len(mine)) if trainer.is_global_zero else lambda _: None
        briefs = [s.given for s in mine]
        scenes = evaluation.answer(network, self.codec, briefs, "raw", progress=shown).scenes if mine else []
        rates = RuleRates().to(module.device)
        scores = [score_scene(scene, s.given, s.target) for scene, s in zip(scenes, mine, strict=True)]
        rates.update(numbers, [{**dict.fromkeys(rates.columns), **score} for score in scores])
        module.log_dict({f"spatial/{name}": v for name, v in rates.compute().items()}, rank_zero_only=False)
        network.train()
