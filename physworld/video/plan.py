"""A training run of video physics without weights: its network without content, and a batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld.errors import UserError
from physworld.training.plan import Planned, Stage
from physworld.types import ClipBatch
from physworld.video.backbones import DTYPES, CogVideoX, TinyVideo
from physworld.video.build import module_around
from physworld.video.clips import check_shape
from physworld.video.codecs.vae import VaeCodec
from physworld.video.network import VideoNetwork

# What differs from CogVideoX-2b, whose sizes are diffusers' defaults, in the config.json of each repository.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "THUDM/CogVideoX-2b": {},
    "THUDM/CogVideoX-5b": {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True},
}
CHANNELS, TEXT_WIDTH = 16, 4096  # of CogVideoX's latents and of T5-XXL's tokens


def plan(cfg: DictConfig, precision: str, micro_batch: int) -> Planned:
    """Network of a configuration, and latents of its clips' size; nothing is drawn.

    Raises:
        UserError: an architecture is not known here, or clips cannot have this size.
    """
    codec = instantiate(cfg.model.codec)
    asked = cfg.data.source
    frames, width, height = codec.usual.shape(asked.frames, asked.width, asked.height)  # null in data=clips
    try:
        check_shape(frames, width, height, multiple=codec.multiple)
    except ValueError as error:
        raise UserError(f"This data cannot be read: {error}.") from None
    if isinstance(codec, VaeCodec):
        latent = (frames - 1) // codec.temporal + 1, CHANNELS, height // 8, width // 8
        text = codec.tokens, TEXT_WIDTH
    else:
        latent = codec.latent_shape(frames, width, height)
        text = codec.prompt_tokens, codec.prompt_width
    chosen = instantiate(cfg.model.network)
    try:
        if isinstance(chosen, TinyVideo):
            network = dataclasses.replace(chosen, base=None).build(
                shape=latent, frames=frames, text=text, seed=cfg.seed
            )
        else:
            network = _published(chosen, latent, text, cfg.seed)
        module = module_around(network, cfg, target=cfg.model.target, steps=cfg.steps)
    except (ValueError, TypeError) as error:
        raise UserError(f"The model cannot be built as configured: {str(error).rstrip('.')}.") from error
    batch = ClipBatch(
        latents=torch.zeros(micro_batch, *latent), prompt=torch.zeros(micro_batch, *text),
        seed=torch.arange(micro_batch),
    )  # fmt: skip
    stage = Stage(name="all", steps=cfg.steps, batch=batch, tokens=None)
    transformer = network.transformer

    def toggle(on: bool) -> None:
        if on:
            transformer.enable_gradient_checkpointing()
        else:
            transformer.disable_gradient_checkpointing()

    on = isinstance(chosen, CogVideoX) and chosen.gradient_checkpointing
    notes = (
        ("The text encoder and the autoencoder, which go before the network, are not in this.",)
        if isinstance(codec, VaeCodec)
        else ()
    )
    return Planned(module=module, stages=[stage], checkpointing=toggle, checkpointed=on, notes=notes)


def _published(chosen: CogVideoX, latent: tuple[int, ...], text: tuple[int, int], seed: int) -> VideoNetwork:
    if chosen.pretrained in ARCHITECTURES:
        settings: Any = ARCHITECTURES[chosen.pretrained]
    elif (Path(chosen.pretrained) / "transformer" / "config.json").is_file():
        settings = CogVideoXTransformer3DModel.load_config(chosen.pretrained, subfolder="transformer")
    else:
        raise UserError(
            f"model.network.pretrained={chosen.pretrained} is no folder with transformer/config.json and no "
            f"architecture that plan knows by name; give a folder, or one of {', '.join(ARCHITECTURES)}."
        )
    transformer = CogVideoXTransformer3DModel.from_config(settings).to(DTYPES[chosen.dtype])
    chosen.check(transformer.config, latent, text)
    network = VideoNetwork(transformer, CogVideoXDDIMScheduler(), base=None)
    network.add_lora(**chosen.lora, seed=seed)
    return network
