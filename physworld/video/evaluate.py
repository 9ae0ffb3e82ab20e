"""A run and its controls, scored on the same clips: at the end of training, and by evaluate.py."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from physworld.errors import UserError
from physworld.runs import directory as runs
from physworld.settings import checks
from physworld.training.hardware import placed
from physworld.video.build import VideoParts, choose_evaluation, codec_and_source, make_evaluator, make_module
from physworld.video.controls import CONTROLS, train_controls
from physworld.video.evaluation import (
    BASE,
    LORA,
    PLACEBO,
    VideoEvaluation,
)
from physworld.video.network import LORA_FILE, VideoNetwork
from physworld.video.report import headline_of, print_summary, write_video_report
from physworld.video.summary import summarise

console = Console()


ADAPTER = "model/adapter"  # of a run: what diffusers loads


def conclude(
    cfg: DictConfig, parts: VideoParts, network: VideoNetwork, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the adapter, train the controls, judge all of them and write the report; the score is the mean PPE."""
    if not network.adapted:
        network.save(directory / "model")
        return _conclude_base(parts, directory, command)
    network.save(directory / ADAPTER)
    runs.write_json(directory / "model" / "config.json", {"task": "video"})  # by this file run=last finds the run
    controls = train_controls(cfg, parts, directory)
    adapters = {LORA: directory / ADAPTER, **controls}
    summary = _evaluate_and_report(
        cfg, parts.evaluation, parts.codec, parts.source, network, adapters, directory, split="val", command=command,
        cost=cost, device=parts.hardware.device(),
    )  # fmt: skip
    headline = headline_of(summary)
    return headline, headline["ppe_mean/model"]


def _conclude_base(parts: VideoParts, directory: Path, command: str) -> tuple[dict[str, float], float]:
    """A base is judged by what is tuned on it; here only that it learned to denoise."""
    loss = float(parts.module.trainer.callback_metrics.get("val/loss", float("nan")))
    headline = {"val_loss/model": loss}
    runs.write_json(directory / "metrics.json", {"headline": headline, "measured": {"command": command}})
    console.print(f"Base saved: {directory / 'model'} (validation loss {loss:.4f})", highlight=False)
    return headline, loss


def _evaluate_and_report(
    cfg: Any,
    evaluation: VideoEvaluation,
    codec: Any,
    source: Callable[..., Any],
    network: VideoNetwork,
    adapters: dict[str, Path],
    directory: Path,
    *,
    split: str,
    command: str,
    cost: dict[str, Any],
    device: torch.device,
) -> dict[str, Any]:
    """Score every adapter on the same clips; metrics.json, report.md, contact sheets."""
    for name, folder in adapters.items():
        network.load(folder, name)
    rows = [BASE, LORA, *(name for name in adapters if name == PLACEBO)]
    card_rows = [name for name in adapters if name not in rows]
    judge = replace(
        make_evaluator(cfg, evaluation, codec, source, device, split=split),
        progress=lambda what: console.print(f"Judging {what}", highlight=False),
    )
    with torch.no_grad():
        result = judge.run(network, rows, card_rows)
    summary = summarise(result, evaluation)
    summary["headline"] = headline_of(summary)
    summary["cost"] = cost
    summary["measured"] = {
        "command": command, "split": split, "seed": cfg.seed, "commit": runs.versions()["commit"],
        "times": judge.grid, "sampler_steps": evaluation.steps,
    }  # fmt: skip
    runs.write_json(directory / "metrics.json", summary)
    report = write_video_report(directory, summary, result, pictures=evaluation.pictures)
    print_summary(summary, console)
    console.print(f"Report:       {report}", highlight=False)
    return summary


def finished(run: Path) -> tuple[DictConfig, Any, Callable[..., Any], VideoNetwork]:
    """(configuration, codec, sources, base network) of a finished run.

    Raises:
        UserError: something is missing or damaged.
    """
    config = runs.read_config(run)
    try:
        cfg = OmegaConf.create(config)
        codec, source = codec_and_source(cfg)
        val = source("val")
        module = make_module(cfg, codec, val, codec.encode(val.samples([0])), target=cfg.model.target, steps=1)
    except (KeyError, AttributeError, ValueError, OSError) as error:
        raise UserError(f"The run in {run} cannot be read ({str(error).splitlines()[0]}).") from None
    return cfg, codec, source, module.network


def adapters_of(run: Path) -> dict[str, Path]:
    if not (run / ADAPTER / LORA_FILE).is_file():
        raise UserError(f"{run} holds no adapter ({ADAPTER}/{LORA_FILE}); a base run is judged by what is tuned on it.")
    kept = [name for name in CONTROLS if (run / "model" / name / LORA_FILE).is_file()]
    return {LORA: run / ADAPTER, **{name: run / "model" / name for name in kept}}


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run and its controls on other scenes."""
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    run = runs.find_run(cfg.run)
    adapters = adapters_of(run)
    device = placed(cfg).device()
    trained, codec, source, network = finished(run)
    evaluation = choose_evaluation(cfg, runs.read_config(run))
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    OmegaConf.update(trained, "seed", cfg.seed)
    _evaluate_and_report(
        trained, evaluation, codec, source, network, adapters, directory, split=cfg.split,
        command=shlex.join(["python", "evaluate.py", *hydra.overrides.task]),
        cost={"parameters": sum(p.numel() for p in network.parameters())}, device=device,
    )  # fmt: skip
