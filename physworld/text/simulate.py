"""Scenes as files: Scene JSONL, Parquet, pictures, a gallery."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.progress import track

from physworld.drawing.gallery import card, write_gallery
from physworld.drawing.render import render
from physworld.errors import UserError, suggest
from physworld.io.images import write_gif, write_mp4, write_png
from physworld.io.placing import placing
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.settings import checks
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.shards import Dataset, Recipe

console = screen()


def simulate(cfg: DictConfig) -> None:
    """Write scenes as files, taking the scenarios in turn."""
    writers = {"gif": write_gif, "mp4": write_mp4}
    formats = ("jsonl", "parquet", "gif", "mp4", "png", "gallery")
    if cfg.format not in formats:
        hint = suggest(str(cfg.format), formats)
        raise UserError(f"format={cfg.format} is unknown.{hint} Choose one of {', '.join(formats)}.")
    if cfg.compress not in (None, "gz", "zst") or (cfg.compress and cfg.format != "jsonl"):
        raise UserError(f"compress={cfg.compress} does not go with format={cfg.format}; jsonl takes gz or zst.")
    for name, least in (("count", 1), ("frames", 2 if cfg.format == "jsonl" else 1), ("seed", 0)):
        checks.whole(name, cfg[name], least)
    checks.split(cfg.split)
    checks.ood(**cfg.ood)
    recipe = Recipe(
        names=tuple(checks.scenario_names(cfg.scenario.names)),
        difficulties=tuple(checks.difficulties(cfg.curriculum.difficulties)),
        frames=cfg.frames,
        split=cfg.split,
        seed=cfg.seed,
        **cfg.ood,
    )
    suffix = f"{cfg.format}.{cfg.compress}" if cfg.compress else cfg.format
    directory = Path(str(cfg.out)) if cfg.out is not None else runs.relative(HydraConfig.get().runtime.output_dir)
    shards = checks.shards(cfg)
    if shards is not None:
        dataset = Dataset(recipe=recipe, directory=directory, count=cfg.count, shards=shards, suffix=suffix)
        dataset.write(cfg.shard, say=lambda line: console.print(line, soft_wrap=True))
        return
    if cfg.format == "gallery":
        _gallery(recipe, directory)
        return
    places = {k: Path(recipe.name(k)) / f"scene_{k}.{suffix}" for k in range(cfg.count)}
    # What is there comes first: if it is of another command, that shows before anything is put beside it.
    for k in sorted(places, key=lambda k: not (directory / places[k]).exists()):
        trajectory = recipe.draw(k)
        with placing(directory) as work:
            path = work / places[k]
            path.parent.mkdir()
            if cfg.format == "jsonl":
                write_jsonl(path, trajectory, seed=k)
            elif cfg.format == "png":
                write_png(path, render(trajectory.window(0, 1))[0])
            else:
                writers[cfg.format](path, render(trajectory), 1 / trajectory.scene.dt)
        console.print(str(directory / places[k]), soft_wrap=True)


def _gallery(recipe: Recipe, directory: Path) -> None:
    """Every type at every difficulty once."""
    places = range(len(recipe.names) * len(recipe.difficulties))
    every = {f"seed {recipe.seed}, {recipe.split}, scene {k}": recipe.scene(k) for k in places}
    drawing = track(every.items(), "Drawing", console=console, transient=True)
    cards = [card(scene, origin, frames=recipe.frames) for origin, scene in drawing]
    with placing(directory) as work:
        written = write_gallery(work, cards)
    for path in written:
        console.print(str(directory / path.name), soft_wrap=True)
