"""What had another name in an earlier version: classes, settings, choices. One table, read wherever old names may come:
configurations of old runs, saved networks, typed commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLASSES = {  # below physworld, as `_target_` names them
    "clip_data.ClipData": "video.stream.ClipData",
    "codecs.card.CardCodec": "text.codecs.card.CardCodec",
    "codecs.engine.EngineCodec": "text.codecs.engine.EngineCodec",
    "codecs.impulse.ImpulseCodec": "text.codecs.impulse.ImpulseCodec",
    "codecs.islands.IslandCodec": "text.codecs.islands.IslandCodec",
    "codecs.scene_text.SceneTextCodec": "spatial.codecs.scene_text.SceneTextCodec",
    "codecs.spatial.SpatialCodec": "spatial.codecs.chunks.SpatialCodec",
    "codecs.vae.VaeCodec": "video.codecs.vae.VaeCodec",
    "codecs.video.PixelCodec": "video.codecs.pixels.PixelCodec",
    "evaluation.Evaluation": "text.evaluation.evaluation.Evaluation",
    "hardware.Hardware": "training.hardware.Hardware",
    "models.causal_lm.CausalLM": "lm.next_token.NextTokenModule",
    "models.finetuning.FineTuning": "lm.finetune.FinetuneModule",
    "models.gpt.GPT": "lm.gpt.GPT",
    "models.preference.PreferenceLM": "lm.preference.DPOModule",
    "models.preference.RewardLM": "lm.preference.GRPOModule",
    "models.pretrained.Pretrained": "lm.packed_lm.PackedLM",
    "models.pretrained_lm.PretrainedLM": "lm.packed_lm.PackedLM",
    "models.sequence_lm.SequenceLM": "lm.sequence.SequenceModule",
    "models.tiny_lm.TinyLM": "lm.tiny_lm.TinyLM",
    "models.video_diffusion.VideoDiffusion": "video.diffusion_module.VideoDiffusion",
    "models.video_recipes.CogVideoX": "video.backbones.CogVideoX",
    "models.video_recipes.TinyVideo": "video.backbones.TinyVideo",
    "own_states.OwnStates": "text.sources.on_policy.OnPolicySource",
    "sources.files.FilesSource": "text.sources.files.FilesSource",
    "sources.physics.PhysicsSource": "text.sources.physics.PhysicsSource",
    "sources.spatial.SpatialSource": "spatial.sources.drawn.SpatialSource",
    "sources.spatial_rows.RowsSource": "spatial.sources.rows.RowsSource",
    "sources.video.ClipSource": "video.source.ClipSource",
    "spatial_evaluation.SpatialEvaluation": "spatial.evaluation.SpatialEvaluation",
    "suites.Suite": "text.evaluation.suites.Suite",
    "video_judge.VideoEvaluation": "video.evaluation.VideoEvaluation",
}
SETTINGS = {
    "codec.name": "weights",  # of scene_text: the tokenizer is that of the model's weights
    "codec.struck": "codec.collision_sampling",
    "data.source.resting": "data.source.include_resting",
    "evaluation.rollouts_while_training": "evaluation.val_rollouts",
    "evaluation.samples_while_training": "evaluation.val_samples",
    "evaluation.while_training": "evaluation.val_clips",
    "model.final_rate": "model.final_lr",
    "model.most_drop": "model.max_drop",
    "model.most_kl": "model.max_kl",
    "model.muon_rate": "model.muon_lr",
    "model.network.absolute": "model.network.learned_positions",
    "model.network.by_value": "model.network.numeric_embedding",
    "model.network.fused": "model.network.fused_attention",
    "model.network.name": "model.network.weights",
    "model.network.keep": "model.network.reuse_cache",
    "model.network.static": "model.network.static_cache",
    "model.start_rate": "model.initial_lr",
}
CHOICES = {"data=own_states": "data=on_policy"}
NETWORK = {  # of a saved network's own config.json
    old.removeprefix("model.network."): new.removeprefix("model.network.")
    for old, new in SETTINGS.items()
    if old.startswith("model.network.")
}


def in_config(tree: Any, at: str = "") -> Any:
    """A configuration with today's names."""
    if isinstance(tree, list):
        return [in_config(item, at) for item in tree]
    if not isinstance(tree, Mapping):
        return tree
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{at}{key}"
        new = SETTINGS.get(path, path)
        if not new.startswith(at):
            continue  # a group that says it today says it by itself
        name = new[len(at) :]
        found[name] = _class(value) if key == "_target_" else in_config(value, f"{path}.")
    return found


def _class(target: Any) -> Any:
    """`physworld.models.gpt.GPT.for_vocabulary` -> where it lives today; anything else stays."""
    name = str(target).removeprefix("physworld.")
    for end in ("", ".for_vocabulary"):
        if name.endswith(end) and name.removesuffix(end) in CLASSES:
            return f"physworld.{CLASSES[name.removesuffix(end)]}{end}"
    return target


def in_override(override: str) -> str:
    """`model.network.keep=false` -> `model.network.reuse_cache=false`; today's names stay."""
    if override in CHOICES:
        return CHOICES[override]
    key, given, value = override.partition("=")
    bare = key.lstrip("+~")
    return f"{key[: len(key) - len(bare)]}{SETTINGS.get(bare, bare)}{given}{value}"
