"""Run folders of video physics without a training: their adapters are random, and everything else is real."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import OmegaConf

from physworld.mains import composed
from physworld.video.build import codec_and_source, make_module


def video_run(folder: Path, *, steps: int = 3) -> Path:
    """A run of model=tiny_video with a placebo.

    Args:
        steps: of its sampler.
    """
    cfg = composed("train", ["model=tiny_video", f"evaluation.steps={steps}"])
    codec, source = codec_and_source(cfg)
    val = source("val")
    network = make_module(cfg, codec, val, codec.encode(val.samples([0])), target=cfg.model.target, steps=1).network
    for seed, name in enumerate(("adapter", "placebo")):
        some = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.trainable():  # fresh ones change nothing
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=some))
        network.save(folder / "model" / name)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
    return folder
