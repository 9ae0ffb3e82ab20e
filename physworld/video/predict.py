"""A caption, and perhaps a first picture, become a clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor

from physworld.errors import UserError, suggest
from physworld.io.images import write_gif, write_mp4
from physworld.io.pictures import FITS, Unreadable, colour, first_frame, fitted
from physworld.io.placing import placing
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.settings import checks
from physworld.training.hardware import placed
from physworld.video.build import check_guidance, evaluation_of
from physworld.video.evaluate import adapters_of, add_adapters, load_candidates
from physworld.video.evaluation import (
    LORA,
)

console = screen()


def predict(cfg: DictConfig) -> None:
    """A caption, and perhaps a first picture, become a clip: MP4 and GIF."""
    if cfg.prompt is None:
        raise UserError(
            'prompt="..." is missing; describe the clip, for example as simulate.py task=video captions it.'
        )
    checks.whole("seed", cfg.seed, 0)
    picture = opened(cfg)  # a mistake is told before anything is loaded
    run = runs.find_run(cfg.run)
    adapters = adapters_of(run)
    device = placed(cfg).device()
    trained, codec, source, network = load_candidates(run)
    evaluation = evaluation_of(trained)
    check_guidance(evaluation, codec)
    add_adapters(network, {LORA: adapters[LORA]})
    network = network.eval().to(device)
    example = source("val")
    try:
        prompt = codec.prompts([str(cfg.prompt)]).to(device)
        empty = codec.prompts([""]).to(device) if evaluation.guidance != 1 else None
    except ValueError as error:
        raise UserError(f"prompt: {error}.") from None
    shape = codec.latent_shape(example.frames, *example.size)
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(cfg.seed)).to(device)
    first: Tensor | None = None
    if picture is not None:
        first = codec.latents(torch.from_numpy(picture(example.size))[None, None].to(device))
    made = network.generate(
        prompt, noise, steps=evaluation.steps, first=first, guidance=evaluation.guidance, empty=empty
    )
    if not bool(made.isfinite().all()):
        raise UserError(f"The model of {run} gives numbers that are not finite, so there is no clip to show.")
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    with placing(directory, "hydra.run.dir") as work:
        paths = write_both(work / "clip", codec.decode(made)[0], example.fps)
    for path in paths:
        console.print(str(directory / path.name), soft_wrap=True)


def opened(cfg: DictConfig) -> Callable[[tuple[int, int]], np.ndarray] | None:
    """The picture in `image`, brought to a size (W, H) as `fit` and `background` say; None without one.

    Raises:
        UserError: it cannot be read, or one of the settings is unknown.
    """
    if cfg.fit not in FITS:
        raise UserError(f"fit={cfg.fit} is unknown.{suggest(str(cfg.fit), FITS)} Choose one of {', '.join(FITS)}.")
    background, path = colour("background", cfg.background), checks.file("image", cfg.image)
    if path is None:
        return None
    try:
        whole = first_frame(path, background)
    except Unreadable as error:
        raise UserError(f"image={path}: {error}.") from None
    return lambda size: np.array(fitted(whole, size, fit=cfg.fit, background=background))


def write_both(stem: Path, frames: np.ndarray, fps: float) -> list[Path]:
    """MP4 and GIF; what is at most 48 px high is enlarged, pixel by pixel."""
    larger = max(1, 96 // frames.shape[1])
    frames = frames.repeat(larger, 1).repeat(larger, 2)
    return [write_mp4(stem.with_suffix(".mp4"), frames, fps), write_gif(stem.with_suffix(".gif"), frames, fps)]
