"""L4: video physics: a LoRA on a video diffusion model, tuned on simulated clips and judged beside a placebo."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from physworld.errors import UserError, call
from physworld.io.placing import placing
from physworld.runs import directory as runs
from physworld.settings import checks
from physworld.settings.messages import CONFIG_DIR
from physworld.training.hardware import placed
from physworld.training.parts import Parts
from physworld.video.callbacks import ClipSamples
from physworld.video.evaluation import (
    BASE,
    CARD,
    CARD_PLACEBO,
    IN_RANGE,
    LORA,
    PLACEBO,
    VideoEvaluation,
    VideoEvaluator,
)
from physworld.video.network import EPSILON, LORA_FILE, VideoNetwork
from physworld.video.report import headline_of, print_summary, write_video_report
from physworld.video.stream import ClipData
from physworld.video.summary import summarise

console = Console()
CAPTIONS = 40  # encoded ahead
ADAPTER = "model/adapter"  # of a run: what diffusers loads


@dataclass(frozen=True, kw_only=True)
class VideoParts(Parts):
    codec: Any
    evaluation: VideoEvaluation
    source: Callable[..., Any]


def build(cfg: DictConfig) -> VideoParts:
    """Source, codec, network and evaluation of a run.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    if cfg.init_from is not None:
        raise UserError("init_from is for text runs; to go on from other video weights, give model.network.base=DIR.")
    hardware = placed(cfg)
    micro_batch, accumulate = hardware.split(cfg.global_batch)
    evaluation = _evaluation(cfg)
    codec, source = _codec_and_source(cfg)
    try:
        train, val = source("train"), source("val")
        # Before the network is there: a text encoder of 9.5 GB and the network need not be in memory together.
        shown = source("val", scenarios=[IN_RANGE], repeat=None).captions(range(evaluation.val_clips))
        some = [*train.captions(range(train.repeat or CAPTIONS)), *val.captions(range(CAPTIONS)), *shown]
        codec.prepare(some if evaluation.guidance == 1 else [*some, ""])
        first = codec.encode(val.samples([0]))
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"This data cannot be made: {error}.") from error
    module = _module(cfg, codec, val, first, target=cfg.model.target, steps=cfg.steps)
    data = call(instantiate(cfg.data.stream), train=train, val=val, codec=codec, micro_batch=micro_batch, num_workers=0)
    judge = _judge(cfg, evaluation, codec, source, hardware.device(), split="val")
    return VideoParts(
        hardware=hardware,
        module=module,
        data=data,
        accumulate=accumulate,
        monitor="val/loss",
        callbacks=[ClipSamples(judge, evaluation.val_clips)],
        codec=codec,
        evaluation=evaluation,
        source=source,
    )


def _codec_and_source(cfg: DictConfig) -> tuple[Any, Callable[..., Any]]:
    """The codec, and (split, overrides) -> source."""
    codec = instantiate(cfg.model.codec)
    make = instantiate(cfg.data.source)

    def source(split: str, **changes: Any) -> Any:
        return call(make, seed=cfg.seed, split=split, **{"multiple": codec.multiple, **changes})

    return codec, source


def _module(cfg: DictConfig, codec: Any, source: Any, first: Any, *, target: str, steps: int) -> Any:
    """The Lightning module around a fresh network."""
    settings = instantiate(cfg.model)
    shape = tuple(first.latents.shape[1:])
    try:
        network = settings.keywords["network"].build(
            shape=shape, frames=source.frames, text=tuple(first.prompt.shape[1:]), seed=cfg.seed
        )
        return call(settings, network=network, total_steps=steps, seed=cfg.seed, target=target)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"The model cannot be built as configured: {error}.") from error


def _evaluation(cfg: DictConfig, trained: dict[str, Any] | None = None) -> VideoEvaluation:
    """As configured; where the choice is one for text, the run's own, small if the choice is a glance."""
    chosen = instantiate(cfg.evaluation)
    if isinstance(chosen, VideoEvaluation):
        return chosen
    if trained is not None:
        return instantiate(OmegaConf.create(trained["evaluation"]))
    usual = OmegaConf.load(CONFIG_DIR / "evaluation" / "video.yaml")
    return instantiate(usual).quick()


def _judge(
    cfg: DictConfig, evaluation: VideoEvaluation, codec: Any, source: Callable[..., Any], device: Any, *, split: str
) -> VideoEvaluator:
    seed = cfg.seed

    def scenes(scenario: str) -> Any:
        return source(split, scenarios=[scenario], physics="correct", repeat=None)

    return VideoEvaluator(evaluation=evaluation, codec=codec, source=scenes, device=device, seed=seed)


# ------------------------------------------------------------------------------------------------- after training


def conclude(
    cfg: DictConfig, parts: VideoParts, network: VideoNetwork, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the adapter, train the controls, judge all of them and write the report; the score is the mean PPE."""
    if not network.adapted:
        network.save(directory / "model")
        return _conclude_base(parts, directory, command)
    network.save(directory / ADAPTER)
    runs.write_json(directory / "model" / "config.json", {"task": "video"})  # by this file run=last finds the run
    controls = _train_controls(cfg, parts, directory)
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


CONTROLS = {PLACEBO: ("placebo", None), CARD: ("correct", EPSILON), CARD_PLACEBO: ("placebo", EPSILON)}


def _train_controls(cfg: DictConfig, parts: VideoParts, directory: Path) -> dict[str, Path]:
    """The same base, settings and clips' scenes; only physics or target differ. Finished ones are not made again."""
    found = {}
    for name in parts.evaluation.controls:
        folder = directory / "model" / name
        found[name] = folder
        if (folder / LORA_FILE).is_file():
            continue
        physics, target = CONTROLS[name]
        usual, short = parts.evaluation.control_steps or cfg.steps, parts.evaluation.card_steps
        steps = usual if name == PLACEBO else short
        console.print(f"Control {name}: {steps} steps on {physics} clips", highlight=False)
        pl.seed_everything(cfg.seed, verbose=False)
        train = parts.source("train", physics=physics)
        first = parts.codec.encode(train.samples([0]))
        module = _module(cfg, parts.codec, train, first, target=target or cfg.model.target, steps=steps)
        data = ClipData(train=train, val=train, codec=parts.codec, micro_batch=parts.data.micro_batch)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning's own, against torch 2.13
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            trainer = pl.Trainer(
                max_steps=steps, accumulate_grad_batches=parts.accumulate, logger=False, enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
                use_distributed_sampler=False, gradient_clip_val=cfg.trainer.gradient_clip_val,
                **parts.hardware.trainer_arguments(),
            )  # fmt: skip
            trainer.fit(module, datamodule=data)
        module.network.save(folder)
    return found


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
        _judge(cfg, evaluation, codec, source, device, split=split),
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


# --------------------------------------------------------------------------------------------- the other commands


def _finished(run: Path) -> tuple[DictConfig, Any, Callable[..., Any], VideoNetwork]:
    """(configuration, codec, sources, base network) of a finished run.

    Raises:
        UserError: something is missing or damaged.
    """
    config = runs.read_config(run)
    try:
        cfg = OmegaConf.create(config)
        codec, source = _codec_and_source(cfg)
        val = source("val")
        module = _module(cfg, codec, val, codec.encode(val.samples([0])), target=cfg.model.target, steps=1)
    except (KeyError, AttributeError, ValueError, OSError) as error:
        raise UserError(f"The run in {run} cannot be read ({str(error).splitlines()[0]}).") from None
    return cfg, codec, source, module.network


def _adapters(run: Path) -> dict[str, Path]:
    if not (run / ADAPTER / LORA_FILE).is_file():
        raise UserError(f"{run} holds no adapter ({ADAPTER}/{LORA_FILE}); a base run is judged by what is tuned on it.")
    kept = [name for name in CONTROLS if (run / "model" / name / LORA_FILE).is_file()]
    return {LORA: run / ADAPTER, **{name: run / "model" / name for name in kept}}


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run and its controls on other scenes."""
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    run = runs.find_run(cfg.run)
    adapters = _adapters(run)
    device = placed(cfg).device()
    trained, codec, source, network = _finished(run)
    evaluation = _evaluation(cfg, runs.read_config(run))
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    OmegaConf.update(trained, "seed", cfg.seed)
    _evaluate_and_report(
        trained, evaluation, codec, source, network, adapters, directory, split=cfg.split,
        command=shlex.join(["python", "evaluate.py", *hydra.overrides.task]),
        cost={"parameters": sum(p.numel() for p in network.parameters())}, device=device,
    )  # fmt: skip


def predict(cfg: DictConfig) -> None:
    """A caption, and perhaps a first picture, become a clip: MP4 and GIF."""
    from physworld.video.simulate import first_latent, write_both

    if cfg.prompt is None:
        raise UserError(
            'prompt="..." is missing; describe the clip, for example as simulate.py task=video captions it.'
        )
    checks.whole("seed", cfg.seed, 0)
    run = runs.find_run(cfg.run)
    adapters = _adapters(run)
    device = placed(cfg).device()
    trained, codec, source, network = _finished(run)
    evaluation = _evaluation(cfg=trained)
    network.load(adapters[LORA], LORA)
    network = network.eval().to(device)
    example = source("val")
    try:
        prompt = codec.prompts([str(cfg.prompt)]).to(device)
        empty = codec.prompts([""]).to(device) if evaluation.guidance != 1 else None
    except ValueError as error:
        raise UserError(f"prompt: {error}.") from None
    shape = codec.latent_shape(example.frames, *example.size)
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(cfg.seed)).to(device)
    first = first_latent(cfg.image, codec, example.size, device) if cfg.image is not None else None
    made = network.generate(
        prompt, noise, steps=evaluation.steps, first=first, guidance=evaluation.guidance, empty=empty
    )
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    with placing(directory, "hydra.run.dir") as work:
        paths = write_both(work / "clip", codec.decode(made)[0], example.fps)
    for path in paths:
        console.print(str(directory / path.name), highlight=False, soft_wrap=True)


def simulate(cfg: DictConfig) -> None:
    """Write clips with their truth, from Warp's scenarios or from any two-dimensional one."""
    from physworld.video.simulate import simulate_clips

    simulate_clips(cfg, console)
