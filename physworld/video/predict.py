"""A caption, and perhaps a first picture, become a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from PIL import Image, UnidentifiedImageError
from rich.console import Console
from torch import Tensor

from physworld.errors import UserError
from physworld.io.images import write_gif, write_mp4
from physworld.io.placing import placing
from physworld.runs import directory as runs
from physworld.settings import checks
from physworld.training.hardware import placed
from physworld.video.build import choose_evaluation
from physworld.video.evaluate import adapters_of, load_candidates
from physworld.video.evaluation import (
    LORA,
)

console = Console()


def predict(cfg: DictConfig) -> None:
    """A caption, and perhaps a first picture, become a clip: MP4 and GIF."""
    if cfg.prompt is None:
        raise UserError(
            'prompt="..." is missing; describe the clip, for example as simulate.py task=video captions it.'
        )
    checks.whole("seed", cfg.seed, 0)
    run = runs.find_run(cfg.run)
    adapters = adapters_of(run)
    device = placed(cfg).device()
    trained, codec, source, network = load_candidates(run)
    evaluation = choose_evaluation(cfg=trained)
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


def first_latent(image: str, codec: Any, size: tuple[int, int], device: torch.device) -> Tensor:
    """(1, 1, C, h, w) of a picture, brought to the clip's size.

    Raises:
        UserError: it cannot be read.
    """
    try:
        picture = Image.open(image).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise UserError(f"image={image} cannot be read as a picture ({error}).") from None
    frame = torch.from_numpy(np.array(picture))[None, None].to(device)
    latent: Tensor = codec.latents(frame)
    return latent


def write_both(stem: Path, frames: np.ndarray, fps: float) -> list[Path]:
    """MP4 and GIF; what is smaller than 96 px is enlarged, pixel by pixel."""
    larger = max(1, 96 // frames.shape[1])
    frames = frames.repeat(larger, 1).repeat(larger, 2)
    return [write_mp4(stem.with_suffix(".mp4"), frames, fps), write_gif(stem.with_suffix(".gif"), frames, fps)]
