"""Scenes as files: Scene JSONL, Parquet, pictures, a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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
from physworld.sim.ood import FAMILIES
from physworld.sim.pymunk_sim import simulate as roll
from physworld.text.codecs._text import LARGEST
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.codecs.yaml_scene import is_by_hand, read_yaml
from physworld.text.shards import Dataset, Recipe
from physworld.text.sources.files import Row, is_table, read_scene
from physworld.types import Trajectory

console = screen()


def simulate(cfg: DictConfig) -> None:
    """Write scenes as files, taking the scenarios in turn."""
    formats = ("jsonl", "parquet", "gif", "mp4", "png", "gallery")
    if cfg.format not in formats:
        hint = suggest(str(cfg.format), formats)
        raise UserError(f"format={cfg.format} is unknown.{hint} Choose one of {', '.join(formats)}.")
    if cfg.compress not in (None, "gz", "zst") or (cfg.compress and cfg.format != "jsonl"):
        raise UserError(f"compress={cfg.compress} does not go with format={cfg.format}; jsonl takes gz or zst.")
    for name, least in (("count", 1), ("frames", 2 if cfg.format == "jsonl" else 1), ("seed", 0)):
        checks.whole(name, cfg[name], least)
    if cfg.input is not None:
        _of_file(Path(str(cfg.input)), cfg)
        return
    checks.split(cfg.split)
    checks.ood(**cfg.ood)
    if cfg.ood.family is None and cfg.ood.level != 1:
        families = ", ".join(FAMILIES)
        raise UserError(f"ood.level={cfg.ood.level} moves nothing without a family; choose ood= of {families}.")
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
    shards = asked_shards(cfg)
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
            write(path, trajectory, cfg.format, seed=k)
        console.print(str(directory / places[k]), soft_wrap=True)


DRAWN = ("scenario", "curriculum", "ood", "count", "split", "seed", "shards", "shard")  # what a file leaves nothing to


def asked_shards(cfg: Any) -> int | None:
    """How many shards simulate's settings ask for; None = single files, which only pictures and plain JSONL are."""
    checks.whole("shards", cfg.shards, 1, or_null=True)
    checks.whole("shard", cfg.shard, 0, or_null=True)
    if cfg.shards is None:
        if cfg.shard is not None:
            raise UserError(f"shard={cfg.shard} needs the number of them, for example shards={cfg.shard + 1}.")
        return 1 if cfg.format == "parquet" else None
    if cfg.format not in ("jsonl", "parquet"):
        raise UserError(f"format={cfg.format} has no shards; choose jsonl or parquet, or leave shards out.")
    if cfg.out is None:
        raise UserError(
            "shards need out=DIR, one folder for all of them, which stays the same when the command runs again."
        )
    if cfg.shards > cfg.count:
        raise UserError(f"shards={cfg.shards} is more than count={cfg.count}, so some would be empty.")
    if cfg.shard is not None and cfg.shard >= cfg.shards:
        raise UserError(f"shard={cfg.shard} is not there: shards={cfg.shards} are numbered 0 to {cfg.shards - 1}.")
    return int(cfg.shards)


def _of_file(path: Path, cfg: DictConfig) -> None:
    """One scene of a file, simulated from its first state."""
    for override in checks.overrides():
        key = override.partition("=")[0].partition(".")[0]
        if key in DRAWN:
            raise UserError(f"{key}= is for scenes that are drawn, and input={path} is one; leave one of the two out.")
    if cfg.format == "gallery":
        raise UserError("format=gallery shows every scenario type; of input= make gif, mp4, png, jsonl or parquet.")
    by_hand = is_by_hand(path)
    if by_hand:
        trajectory = roll(checks.read(read_yaml, path), cfg.frames)
    else:
        known = checks.read(read_scene, Row(path, 0) if is_table(path) else path)
        trajectory = roll(known.scene, cfg.frames, start=known.frame(0))  # a window begins later than its scene
    refuse_blown_up(trajectory, path)
    directory = Path(str(cfg.out)) if cfg.out is not None else runs.relative(HydraConfig.get().runtime.output_dir)
    name = f"{path.name.partition('.')[0]}.{cfg.format}{f'.{cfg.compress}' if cfg.compress else ''}"
    with placing(directory) as work:
        write(work / name, trajectory, cfg.format, seed=0)
    console.print(str(directory / name), soft_wrap=True)


def refuse_blown_up(trajectory: Trajectory, path: Path) -> None:
    """
    Raises:
        UserError: a number of a simulated scene is not finite, or too large to be read again.
    """
    arrays = (trajectory.position, trajectory.velocity, trajectory.angle, trajectory.spin)
    most = np.max([np.abs(array.reshape(len(trajectory), -1)).max(axis=1, initial=0.0) for array in arrays], axis=0)
    whole = most <= LARGEST  # not so where it is no number
    if not whole.all():
        raise UserError(
            f"input={path} blows up: from frame {int(whole.argmin())} on its numbers are above {LARGEST:g} px, px/s or "
            "rad/s, or not finite. A stiff spring or a strong field does that; make it weaker, the time step dt "
            "shorter, or frames fewer."
        )


def write(path: Path, trajectory: Trajectory, form: str, *, seed: int) -> None:
    """One scene as a file of a format other than gallery."""
    if form == "jsonl":
        write_jsonl(path, trajectory, seed=seed)
    elif form == "parquet":
        from physworld.text.codecs.scene_parquet import write_parquet

        write_parquet(path, [trajectory])
    elif form == "png":
        write_png(path, render(trajectory.window(0, 1))[0])
    else:
        {"gif": write_gif, "mp4": write_mp4}[form](path, render(trajectory), 1 / trajectory.scene.dt)


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
