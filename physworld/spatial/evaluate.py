"""A run beside its baselines in four stages: load candidates, sample cases, score, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from physworld.errors import call
from physworld.reporting.progress import bar
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs.card import write_cards
from physworld.runs.checkpoints import load_model, save_model
from physworld.runs.pieces import ALONE, Pieces, kept_pieces
from physworld.runs.shares import Share
from physworld.settings import checks
from physworld.settings.program import typed_command
from physworld.spatial.build import SpatialParts
from physworld.spatial.card import scene_card
from physworld.spatial.codecs.scene_codec import SceneCodec
from physworld.spatial.evaluation import Cell, SpatialCases, SpatialEvaluation
from physworld.spatial.report import headline_of, print_summary, write_spatial_report
from physworld.training.hardware import placed

console = screen()
Table = dict[str, dict[str, dict[str, Cell]]]  # axis -> row -> column


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run on payloads it has never seen."""
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    share = Share.asked(shards=cfg.shards, shard=cfg.shard, cached=cfg.cache is not None)
    run = runs.find_run(cfg.run)
    network, codec, trained, untrained = load_candidates(run, share.device(placed(cfg).device()))
    evaluation: SpatialEvaluation = instantiate(cfg.evaluation)
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    if share.reports:
        runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    cases = evaluation.sample_cases(seed=cfg.seed, split=cfg.split)
    asked = (repr(evaluation), cfg.split, str(cfg.seed), json.dumps(trained["codec"], sort_keys=True))
    pieces = kept_pieces(cfg.cache, "spatial", run / "model", *asked)
    if share.of > 1 or not share.reports:
        told = evaluation.asked(network, codec, cases, untrained=untrained if evaluation.random_weights else None)
        share.answer(pieces, told, console)
    if not share.reports:
        return
    table = score(network, codec, evaluation, cases, untrained=untrained, pieces=pieces)
    report(
        table, evaluation, directory, command=typed_command("evaluate", hydra.overrides.task),
        seed=cfg.seed, split=cfg.split, cost={"parameters": sum(p.numel() for p in network.parameters())},
    )  # fmt: skip


def conclude(
    cfg: DictConfig, parts: SpatialParts, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the model, score it and write the report; a search lowers the share of raw answers that break something."""
    save_model(network, parts.codec, directory)
    untrained = untrained_like(cfg, parts.codec)
    cases = parts.evaluation.sample_cases(seed=cfg.seed, split="val")
    table = score(network, parts.codec, parts.evaluation, cases, untrained=untrained)
    headline = report(table, parts.evaluation, directory, command=command, seed=cfg.seed, split="val", cost=cost)
    write_cards(directory, lambda adapter: scene_card(directory, command, adapter=adapter))
    return headline, 1 - headline.get("raw/all_rules", 0.0)


# --- 1. load candidates


def load_candidates(run: Path, device: torch.device) -> tuple[Any, Any, dict[str, Any], Any]:
    """(network, codec, configuration, an untrained network of the same shape) of a finished run."""
    network, codec, trained = load_model(run, device)
    return network, codec, trained, untrained_like(trained, codec)


def untrained_like(config: Any, codec: SceneCodec) -> Any:
    """A network of the same shape with random weights; None where it would be a download."""
    model = config["model"]
    if "weights" in model["network"]:
        return None
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        network = call(instantiate(OmegaConf.create({"network": model["network"]}))["network"], codec.vocabulary)
    return network.eval()


# --- 2. cases are sampled by `SpatialEvaluation.sample_cases`
# --- 3. score


def score(
    network: Any,
    codec: SceneCodec,
    evaluation: SpatialEvaluation,
    cases: SpatialCases,
    *,
    untrained: Any,
    pieces: Pieces = ALONE,
) -> Table:
    """On every axis, with a progress bar."""
    untrained = untrained if evaluation.random_weights else None
    with bar("Evaluating", evaluation.answers(cases, untrained=untrained is not None), console) as advance:
        return evaluation.evaluate(
            network, codec, cases, untrained=untrained, pieces=pieces, progress=lambda axis, done: advance(done)
        )


# --- 4. report


def report(
    table: Table,
    evaluation: SpatialEvaluation,
    directory: Path,
    *,
    command: str,
    seed: int,
    split: str,
    cost: dict[str, Any],
) -> dict[str, float]:
    """Write metrics.json, report.md, report.html and pictures, print the table; returns the main numbers."""
    summary = {
        axis: {row: {column: cell.summary() for column, cell in cells.items()} for row, cells in rows.items()}
        for axis, rows in table.items()
    }
    first = next(iter(summary))
    headline = headline_of(summary)
    measured = {"command": command, "split": split, "seed": seed, "commit": runs.versions()["commit"]}
    directory.mkdir(parents=True, exist_ok=True)
    content = {"headline": headline, "axes": summary, "cost": cost, "measured": measured}
    runs.write_result(directory / "metrics.json", content)
    path = write_spatial_report(
        directory, summary, table[first], measured=measured, cost=cost, pictures=evaluation.pictures
    )
    print_summary(summary[first], console)
    console.print(f"Report:       {path}\n              {directory / 'report.html'}", soft_wrap=True)
    return headline
