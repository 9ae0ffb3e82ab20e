"""A run and its controls on the same clips in four stages: load candidates, sample cases, score, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from physworld.errors import UserError
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs.pieces import ALONE, Pieces, kept_pieces
from physworld.runs.shares import Share
from physworld.settings import checks
from physworld.settings.program import typed_command
from physworld.training.hardware import placed
from physworld.types import Sample
from physworld.video import own_evaluation, own_report
from physworld.video.build import (
    VideoParts,
    check_guidance,
    codec_and_source,
    make_evaluator,
    make_module,
    own_clips,
    plain_evaluator,
)
from physworld.video.clip_files import ClipFiles, Still
from physworld.video.controls import CONTROLS, train_controls
from physworld.video.evaluation import BASE, LORA, PLACEBO, VideoCases, VideoEvaluation, VideoEvaluator, VideoResult
from physworld.video.network import LORA_FILE, VideoNetwork
from physworld.video.own_evaluation import OwnCases, OwnEvaluator
from physworld.video.own_report import write_own_report
from physworld.video.report import headline_of, print_summary, write_video_report
from physworld.video.source import Brief
from physworld.video.summary import summarise
from physworld.video.weights import Unfit

console = screen()


ADAPTER = "model/adapter"  # of a run: what diffusers loads


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run and its controls on other scenes."""
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    share = Share.asked(shards=cfg.shards, shard=cfg.shard, cached=cfg.cache is not None)
    run = runs.find_run(cfg.run)
    evaluation: VideoEvaluation = instantiate(cfg.evaluation)
    adapters = adapters_of(run, evaluation.controls)
    device = share.device(placed(cfg).device())
    trained, codec, source, network = load_candidates(run)
    check_guidance(evaluation, codec)
    size = sum(p.numel() for p in network.parameters())  # one adapter's, of which there are several from here on
    add_adapters(network, adapters)
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    if share.reports:
        runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    about = json.dumps(runs.read_config(run), sort_keys=True)  # its base, its clips
    asked = (repr(evaluation), cfg.split, str(cfg.seed), about)
    OmegaConf.update(trained, "seed", cfg.seed)
    many = share if share.of > 1 or not share.reports else None
    told: Any = {
        "command": typed_command("evaluate", HydraConfig.get().overrides.task), "cost": {"parameters": size}
    }  # fmt: skip
    if own_clips(trained):
        evaluator = plain_evaluator(trained, evaluation, codec, device)
        own = OwnEvaluator(inner=replace(evaluator, progress=_say), source=held_out(source, cfg.split))
        own_cases = own.cases()
        pieces = kept_pieces(cfg.cache, "video", run / "model", *asked, own_cases.digest)
        if many is not None:
            many.answer(pieces, own.asked(network, own_cases, [BASE, *adapters]), console)
        if share.reports:
            told |= {"path": str(trained.data.path), "pieces": pieces}
            evaluate_own(network, own, own_cases, adapters, directory, **told)
        return
    evaluator = make_evaluator(trained, evaluation, codec, source, device, split=cfg.split)
    cases = evaluator.sample_cases()
    pieces = kept_pieces(cfg.cache, "video", run / "model", *asked)  # its clips are the code's
    if many is not None:
        many.answer(pieces, evaluator.asked(network, cases, *rows_of(adapters)), console)
    if share.reports:
        result = score(network, evaluator, cases, adapters, pieces=pieces)
        report(result, evaluator, directory, split=cfg.split, seed=cfg.seed, **told)


def _say(what: str) -> None:
    console.print(f"Scoring {what}")


def conclude(
    cfg: DictConfig, parts: VideoParts, network: VideoNetwork, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the adapter, train the controls, score all of them and write the report; a search lowers the mean PPE."""
    if not network.adapted:
        network.save(directory / "model")
        return _conclude_base(parts, directory, command)
    network.save(directory / ADAPTER)
    runs.write_json(directory / "model" / "config.json", {"task": "video"})  # by this file run=last finds the run
    adapters = {LORA: directory / ADAPTER, **train_controls(cfg, parts, directory)}
    add_adapters(network, adapters)
    device = parts.hardware.device()
    if own_clips(cfg):
        evaluator = replace(plain_evaluator(cfg, parts.evaluation, parts.codec, device), progress=_say)
        own = OwnEvaluator(inner=evaluator, source=parts.source("val"))
        found = evaluate_own(
            network, own, own.cases(), adapters, directory, path=str(cfg.data.path), command=command, cost=cost
        )
        return found, found["loss/model"]
    evaluator = make_evaluator(cfg, parts.evaluation, parts.codec, parts.source, device, split="val")
    cases = evaluator.sample_cases()
    result = score(network, evaluator, cases, adapters)
    summary = report(result, evaluator, directory, split="val", seed=cfg.seed, command=command, cost=cost)
    headline: dict[str, float] = summary["headline"]
    return headline, headline["ppe_mean/model"]


def _conclude_base(parts: VideoParts, directory: Path, command: str) -> tuple[dict[str, float], float]:
    """A base is scored by what is tuned on it; here only that it learned to denoise."""
    loss = float(parts.module.trainer.callback_metrics.get("val/loss", float("nan")))
    headline = {"val_loss/model": loss}
    runs.write_result(directory / "metrics.json", {"headline": headline, "measured": {"command": command}})
    console.print(f"Base saved: {directory / 'model'} (validation loss {loss:.4f})", soft_wrap=True)
    return headline, loss


def evaluate_own(
    network: VideoNetwork,
    own: OwnEvaluator,
    cases: OwnCases,
    adapters: Mapping[str, Path],
    directory: Path,
    *,
    path: str,
    command: str,
    cost: dict[str, Any],
    pieces: Pieces = ALONE,
) -> dict[str, float]:
    """Score a run on clips that were held out, write the report, print the table; return the main figures."""
    evaluator, source = own.inner, own.source
    sizes = evaluator.evaluation
    result = own.score(network, cases, [BASE, *adapters], pieces=pieces)
    summary = own_evaluation.summarise(result, sizes.times)
    summary["headline"] = own_evaluation.headline_of(summary, {LORA: "model", BASE: BASE, PLACEBO: PLACEBO})
    summary["cost"] = cost
    summary["measured"] = {
        "command": command, "split": source.split, "seed": source.seed, "commit": runs.versions()["commit"],
        "path": path, "times": evaluator.grid, "sampler_steps": sizes.steps, "skipped": list(source.skipped.values()),
    }  # fmt: skip
    runs.write_result(directory / "metrics.json", summary)
    written = write_own_report(directory, summary, result, pictures=sizes.pictures)
    own_report.print_summary(summary, console)
    console.print(f"Report:       {written}\n              {directory / 'report.html'}", soft_wrap=True)
    headline: dict[str, float] = summary["headline"]
    return headline


def held_out(source: Callable[..., Any], split: str) -> ClipFiles:
    """The clips of a split.

    Raises:
        UserError: they are not there any more.
    """
    try:
        found: ClipFiles = source(split)
        next(found.each(1))  # one can be read
    except ValueError as error:
        raise UserError(f"The clips of this run cannot be read: {error}.") from None
    return found


# --- 1. load candidates


def add_adapters(network: VideoNetwork, adapters: Mapping[str, Path]) -> None:
    """
    Raises:
        UserError: one is not whole, or of another base.
    """
    for name, folder in adapters.items():
        try:
            network.load(folder, name)
        except Unfit as error:
            raise UserError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None


def load_candidates(run: Path) -> tuple[DictConfig, Any, Callable[..., Any], VideoNetwork]:
    """(configuration, codec, sources, base network) of a finished run.

    Raises:
        UserError: something is missing or damaged.
    """
    config = runs.read_config(run)
    try:
        cfg = OmegaConf.create(config)
        codec, source = codec_and_source(cfg)
        val = source("val")
        # Somebody's clips need not be here to predict: an empty one has the shape of theirs.
        samples = [_empty(val, codec)] if own_clips(cfg) else val.samples([0])
        module = make_module(cfg, codec, val, codec.encode(samples), target=cfg.model.target, steps=1)
    except (KeyError, AttributeError, ValueError, OSError) as error:
        raise UserError(f"The run in {run} cannot be read ({str(error).splitlines()[0]}).") from None
    return cfg, codec, source, module.network


def _empty(source: ClipFiles, codec: Any) -> Sample:
    frames = np.zeros((source.frames, source.size[1], source.size[0], 3), np.uint8)
    given = Brief(caption=codec.example, first=frames[0])
    return Sample(seed=0, given=given, target=Still(frames=frames, caption=codec.example))


def adapters_of(run: Path, controls: Collection[str] = tuple(CONTROLS)) -> dict[str, Path]:
    """
    Args:
        controls: those that are asked for; of them, the run has what it trained.

    Raises:
        UserError: the run has no adapter of its own.
    """
    if not (run / ADAPTER / LORA_FILE).is_file():
        raise UserError(f"{run} holds no adapter ({ADAPTER}/{LORA_FILE}); a base run is scored by what is tuned on it.")
    kept = [name for name in CONTROLS if name in controls and (run / "model" / name / LORA_FILE).is_file()]
    return {LORA: run / ADAPTER, **{name: run / "model" / name for name in kept}}


# --- 2. cases are sampled by `VideoEvaluator.sample_cases`
# --- 3. score


def rows_of(adapters: Mapping[str, Path]) -> tuple[list[str], list[str]]:
    """(adapters that are scored on everything, those of the published recipe, by the published metric alone)."""
    rows = [BASE, LORA, *(name for name in adapters if name == PLACEBO)]
    return rows, [name for name in adapters if name not in rows]


def score(
    network: VideoNetwork,
    evaluator: VideoEvaluator,
    cases: VideoCases,
    adapters: Mapping[str, Path],
    *,
    pieces: Pieces = ALONE,
) -> VideoResult:
    """Every adapter on the same clips."""
    told = replace(evaluator, progress=_say)
    with torch.no_grad():
        return told.score(network, cases, *rows_of(adapters), pieces=pieces)


# --- 4. report


def report(
    result: VideoResult,
    evaluator: VideoEvaluator,
    directory: Path,
    *,
    split: str,
    seed: int,
    command: str,
    cost: dict[str, Any],
) -> dict[str, Any]:
    """Write metrics.json, report.md, report.html and contact sheets, print the table; returns the summary."""
    evaluation = evaluator.evaluation
    summary = summarise(result, evaluation)
    summary["headline"] = headline_of(summary)
    summary["cost"] = cost
    summary["measured"] = {
        "command": command, "split": split, "seed": seed, "commit": runs.versions()["commit"],
        "times": evaluator.grid, "sampler_steps": evaluation.steps,
    }  # fmt: skip
    runs.write_result(directory / "metrics.json", summary)
    path = write_video_report(directory, summary, result, pictures=evaluation.pictures)
    print_summary(summary, console)
    console.print(f"Report:       {path}\n              {directory / 'report.html'}", soft_wrap=True)
    return summary
