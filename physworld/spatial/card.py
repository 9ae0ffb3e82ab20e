"""The model card of a run of spatial scenes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physworld.runs.card import base_of, card, headline, loading, tuning
from physworld.runs.directory import read_config, read_metrics

ABOUT = (
    "Writes Spatial9Scene JSON: where every object of an immersive mix stands, how loud, how wide and how it moves. It "
    "is asked with a payload of stems, a style, an object budget and rules. Trained with physworld on {scenes}."
)
RESULTS = (
    "Shares of validation payloads (1 = all). *raw* is the model alone; *schema*, *pinned* and *repaired* keep rules "
    "whatever a model says. `coverage` is the share of the stems that are an object or in the bed."
)
SIZES = ("width", "depth", "heads", "inner", "copying_layers")
TRAINING = ("optimizer", "learning_rate", "adam_learning_rate", "warmup_fraction", "weight_decay")


def learned_from(source: Mapping[str, Any]) -> str:
    """The scenes of a run, in words."""
    if source.get("train_file"):
        return f"the rows of {Path(source['train_file']).name}"
    if source.get("answers"):
        return "pairs of scenes, one of which listeners preferred in a blind test"
    return "scenes that a rule-based engineer wrote for payloads drawn while training went on"


def scene_card(run: Path, command: str, *, adapter: bool) -> str:
    """What this run did and measured, and how to use it."""
    config, metrics = read_config(run), read_metrics(run)
    network, module = config["model"]["network"], config["model"]
    known, named = base_of(config)
    pretrained = "tuning" in network
    recipe = {
        "base": named or "random weights",
        **(
            tuning(config)
            if pretrained
            else {
                **{key: network[key] for key in SIZES if key in network},
                **{key: module[key] for key in TRAINING if key in module},
                "payloads per step": config["global_batch"], "steps": config["steps"], "seed": config["seed"],
            }
        ),
        **metrics.get("cost", {}),
    }  # fmt: skip
    scenes = learned_from(config["data"]["source"])
    codec = config["codec"]["_target_"].rpartition(".")[2]
    usage = [
        "```", "python predict.py run=THE_RUN input=payload.json mode=pinned", "```", "",
        "The prompt is the published row text (`physworld/spatial/codecs/rows.py`) and the answer the scene's JSON."
        if codec == "SceneTextCodec"
        else "Prompt and answer are chunk tokens of physworld (`physworld/spatial/codecs/chunks.py`).",
        "", *loading(known, adapter),
    ]  # fmt: skip
    return card(
        run, command=command, base=known, library="peft" if adapter else "transformers",
        tags=["spatial-audio", "audio", "physworld", *(["lora"] if adapter else [])],
        about=ABOUT.format(scenes=scenes), recipe=recipe, usage=usage, results=headline(metrics, RESULTS),
    )  # fmt: skip
