"""L4: text physics: language models that continue scenes written as text."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from physworld import scenarios
from physworld.data import Repeated, Staged
from physworld.drawing.gallery import card, write_gallery
from physworld.drawing.render import comparison, render
from physworld.errors import FormatError, UserError, call, suggest
from physworld.io.images import write_gif, write_mp4, write_png
from physworld.io.placing import placing
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model, save_model
from physworld.runs.wiring import codec_and_module, longest, stage_samples
from physworld.settings import checks
from physworld.text.codecs.scene_json import write_jsonl
from physworld.text.curriculum import StageTable
from physworld.text.evaluate import evaluate, evaluate_and_report
from physworld.text.evaluation.evaluation import EvalCases, Evaluation, unwritable
from physworld.text.hub import write_cards
from physworld.text.rollout import rollout
from physworld.text.shards import Dataset, Recipe
from physworld.text.sources.files import Row, read_scene
from physworld.text.validation import RolloutValidation
from physworld.training.hardware import placed
from physworld.training.mfu import MFUCallback
from physworld.training.parts import Parts
from physworld.types import Trajectory

__all__ = ["build", "conclude", "evaluate", "predict", "simulate"]  # what tasks/__init__ asks of each system

console = Console()


@dataclass(frozen=True, kw_only=True)
class TextParts(Parts):
    codec: Any
    evaluation: Evaluation
    stages: StageTable | None = None  # of a curriculum that has several


def build(cfg: DictConfig) -> TextParts:
    """Source, codec, network and evaluation of a run.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    hardware = placed(cfg)
    micro_batch, accumulate = hardware.split(cfg.global_batch)
    names = checks.scenario_names(cfg.scenario.names)
    if "network" not in instantiate(cfg.model).keywords:
        raise UserError("This model is judged by evaluate.py, not trained; choose another one.")
    codec, make_module = codec_and_module(cfg)
    for name in names:
        why = unwritable(codec, name, list(cfg.curriculum.difficulties), split="train", seed=cfg.seed, scenes=20)
        if why:
            raise UserError(f"{why[name]}, which {name} needs; leave it out of scenario.names, or use codec=engine.")
    train, val = sources(cfg, names, codec)
    try:
        encoded = codec.encode(val.sample(0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"This data and codec do not fit together: {error}.") from error
    if not (encoded.labels != -100).any():
        raise UserError(f"{type(codec).__name__} scores no token of the first sample, so nothing could be learned.")
    try:
        network = call(make_module.keywords["network"], codec.vocabulary)
        module = call(make_module, network=network, total_steps=cfg.steps)
    except (ValueError, TypeError) as error:
        raise UserError(f"The model cannot be built as configured: {error}.") from error
    whole = module.unshardable() if hardware.strategy == "fsdp" and hasattr(module, "unshardable") else ""
    if whole:
        raise UserError(f"{whole}; use hardware=ddp, or other options.")
    data = call(
        instantiate(cfg.data.stream),
        train=train,
        val=val,
        codec=codec,
        micro_batch=micro_batch,
        num_workers=hardware.workers(),
        max_length=longest(make_module.keywords["network"]),
    )
    kept = [name for name in names if name in scenarios.HELD_OUT]
    if kept:
        console.print(f"Note: {', '.join(kept)} are held-out types; trained on, they test nothing.", highlight=False)
    evaluation: Evaluation = instantiate(cfg.evaluation)
    stages = _stage_table(cfg, evaluation, codec)
    rollouts = RolloutValidation(evaluation, lambda: _cases(cfg, evaluation, codec, val_clips=True), codec)
    uses = [MFUCallback(cfg.trainer.log_every_n_steps)] if hasattr(network, "flops") else []
    return TextParts(
        hardware=hardware,
        codec=codec,
        module=module,
        data=data,
        evaluation=evaluation,
        accumulate=accumulate,
        monitor=f"rollout/ratio_best@{max(evaluation.horizons)}",
        callbacks=[rollouts, *uses, *([stages] if stages is not None else [])],
        stages=stages,
        pad_id=int(codec.tokenizer.pad_token_id),
    )


def _stage_table(cfg: DictConfig, evaluation: Evaluation, codec: Any) -> StageTable | None:
    samples = stage_samples(cfg)
    if samples is None:
        return None
    names = list(cfg.scenario.names)

    def draw(difficulty: int) -> EvalCases:
        count = evaluation.val_rollouts
        return evaluation.sample_cases(
            codec, names, [difficulty], split="val", seed=cfg.seed, per_scenario=count, trained_on=names
        )

    return StageTable(
        difficulties=list(cfg.curriculum.difficulties), steps_per_stage=samples // cfg.global_batch,
        global_batch=cfg.global_batch, evaluation=evaluation, codec=codec, draw=draw,
    )  # fmt: skip


def _cases(cfg: DictConfig, evaluation: Evaluation, codec: Any, *, val_clips: bool) -> EvalCases:
    """Rollouts of the validation split: the trained types, and at the end the held-out ones too."""
    names = list(cfg.scenario.names)
    return evaluation.sample_cases(
        codec,
        names if val_clips else list(dict.fromkeys([*names, *scenarios.heldout()])),
        list(cfg.curriculum.difficulties),
        split="val",
        seed=cfg.seed,
        per_scenario=evaluation.val_rollouts if val_clips else evaluation.rollouts,
        trained_on=names,
    )


def sources(cfg: DictConfig, names: list[str], codec: Any) -> tuple[Any, Any]:
    """The training and the validation stream; only the first knows of stages and repetition."""
    make = instantiate(cfg.data.source)
    difficulties = checks.difficulties(cfg.curriculum.difficulties)
    samples_per_stage = stage_samples(cfg)
    shape = {"context_frames": codec.context_frames, "target_frames": codec.target_frames}
    if "unwritable" in inspect.signature(make.func).parameters:  # scenes from outside, which nobody has looked at
        shape["unwritable"] = codec.unwritable

    def source(split: str, some: list[int]) -> Any:
        try:
            return call(make, seed=cfg.seed, split=split, names=names, difficulties=some, **shape)
        except ValueError as error:
            raise UserError(f"The data source cannot be made: {error}.") from error

    train = source("train", difficulties)
    if samples_per_stage is not None:
        keep = cfg.curriculum.keep_easier
        stages = [source("train", difficulties[0 if keep else k : k + 1]) for k in range(len(difficulties))]
        train = Staged(stages, samples_per_stage=samples_per_stage)
    if cfg.data.repeat is not None:
        train = Repeated(train, count=cfg.data.repeat)
    return train, source("val", difficulties)


def conclude(
    cfg: DictConfig, parts: TextParts, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the model, judge it and write the report; the score is RMSE at the last horizon over the best baseline's."""
    save_model(network, parts.codec, directory / "model")
    cases = _cases(cfg, parts.evaluation, parts.codec, val_clips=False)
    result = evaluate_and_report(
        network, parts.codec, parts.evaluation, cases, directory, command=command, split="val", cost=cost,
        extra=lambda result: [] if parts.stages is None else parts.stages.markdown(),
    )  # fmt: skip
    if parts.stages is not None:
        parts.stages.write(directory, console)
    if hasattr(network, "save_run"):
        write_cards(directory, command)
    headline: dict[str, float] = result.summary["headline"]
    return headline, headline.get(f"ratio_best@{max(parts.evaluation.horizons)}", float("inf"))


def predict(cfg: DictConfig) -> None:
    """Roll one scene forward; where the input goes on long enough, the truth is drawn beside the prediction."""
    if cfg.input is None:
        raise UserError("input=FILE is missing; give a scene as JSONL (also .gz, .zst) or Parquet.")
    checks.whole("frames", cfg.frames, 1)
    checks.whole("start", cfg.start, 0, or_null=True)
    hardware, path = placed(cfg), Path(str(cfg.input))
    checks.whole("row", cfg.row, 0)
    if cfg.row and path.suffix != ".parquet":
        raise UserError(f"row={cfg.row} is for Parquet files; {path} holds one scene, so leave it out.")
    known = None if path.suffix == ".txt" else _read_scene(path, cfg.row)
    network, codec, _ = load_model(runs.find_run(cfg.run), hardware.device())
    if known is None:
        known = _read_prompt(path, codec)
    first = cfg.start if cfg.start is not None else codec.context_frames - 1
    begin = first + 1 - codec.context_frames
    if begin < 0 or first >= len(known):
        raise UserError(
            f"start={cfg.start} does not fit {path}: it has frames 0-{len(known) - 1} and this model reads "
            f"{codec.context_frames}, so choose {codec.context_frames - 1}-{len(known) - 1}."
        )
    given = known.window(begin, first + 1)
    try:
        codec.prompt(given)
    except ValueError as error:  # more bodies than the text can name, say
        raise UserError(f"{path} cannot be written as this model's text: {error}.") from None
    said = rollout(network, codec, [given], cfg.frames)
    predicted, truth = said.predicted[0], known.window(first + 1, first + 1 + cfg.frames)
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    whole = len(truth) == len(predicted)
    pictures = comparison(truth, predicted) if whole else render(predicted)
    with placing(directory, "hydra.run.dir") as work:
        write_jsonl(work / "prediction.jsonl", given.then(predicted))
        write_gif(work / "prediction.gif", pictures, 1 / known.scene.dt)
    if said.parsed[0] < cfg.frames:
        console.print(
            f"The model's text stopped making sense after {said.parsed[0]} of {cfg.frames} frames.", highlight=False
        )
    console.print(f"{directory}/prediction.jsonl\n{directory}/prediction.gif", highlight=False)


def _read_scene(path: Path, row: int) -> Trajectory:
    try:
        return read_scene(Row(path, row) if path.suffix == ".parquet" else path)
    except FormatError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror or error}).") from None


def _read_prompt(path: Path, codec: Any) -> Trajectory:
    if not hasattr(codec, "read_prompt"):
        raise UserError(
            f"{type(codec).__name__} cannot read {path}: its text lacks part of the scene; give a JSONL file."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise UserError(f"input={path} cannot be read (it is not UTF-8 text).") from None
    given: Trajectory | None = codec.read_prompt(text)
    if given is None:
        raise UserError(
            f"{path} is no prompt in this run's format, which is impulse text: {codec.why_no_prompt(text)}."
        )
    return given


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
        dataset.write(cfg.shard, say=lambda line: console.print(line, highlight=False, soft_wrap=True))
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
        console.print(str(directory / places[k]), highlight=False, soft_wrap=True)


def _gallery(recipe: Recipe, directory: Path) -> None:
    """Every type at every difficulty once."""
    places = range(len(recipe.names) * len(recipe.difficulties))
    every = {f"seed {recipe.seed}, {recipe.split}, scene {k}": recipe.scene(k) for k in places}
    drawing = track(every.items(), "Drawing", console=console, transient=True)
    cards = [card(scene, origin, frames=recipe.frames) for origin, scene in drawing]
    with placing(directory) as work:
        written = write_gallery(work, cards)
    for path in written:
        console.print(str(directory / path.name), highlight=False, soft_wrap=True)
