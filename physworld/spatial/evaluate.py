"""A run beside its baselines: at the end of training, and by evaluate.py."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from physworld.errors import call
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model, save_model
from physworld.settings import checks
from physworld.spatial.build import SpatialParts, choose_evaluation
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.report import evaluate_and_report
from physworld.training.hardware import placed

console = Console()


def conclude(
    cfg: DictConfig, parts: SpatialParts, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the model, judge it and write the report; the score is the share of raw answers that break something."""
    save_model(network, parts.codec, directory)
    headline = evaluate_and_report(
        network, parts.codec, parts.evaluation, directory, untrained=untrained_like(cfg, parts.codec), command=command,
        seed=cfg.seed, split="val", cost=cost, console=console,
    )  # fmt: skip
    return headline, 1 - headline["raw/all_rules"]


def untrained_like(config: Any, codec: SceneCodec) -> Any:
    """A network of the same shape with random weights; None where it would be a download."""
    model = config["model"]
    if "weights" in model["network"]:
        return None
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        network = call(instantiate(OmegaConf.create({"network": model["network"]}))["network"], codec.vocabulary)
    return network.eval()


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run on payloads it has never seen."""
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    run = runs.find_run(cfg.run)
    hardware = placed(cfg)
    network, codec, trained = load_model(run, hardware.device())
    evaluation = choose_evaluation(cfg.evaluation, trained["evaluation"])
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    evaluate_and_report(
        network, codec, evaluation, directory, untrained=untrained_like(trained, codec),
        command=shlex.join(["python", "evaluate.py", *hydra.overrides.task]), seed=cfg.seed, split=cfg.split,
        cost={"parameters": sum(p.numel() for p in network.parameters())}, console=console,
    )  # fmt: skip
