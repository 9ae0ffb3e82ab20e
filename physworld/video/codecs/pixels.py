"""Clips <-> latents and captions <-> embeddings, for the small model.

Shapes: B clips, T frames, F latent frames, C channels, L tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from physworld.types import ClipBatch, Sample
from physworld.video.codecs.usual import Usual

READABLE = "A ball falls from 3.20 m onto the floor and bounces with restitution 0.65."
PATTERN = re.compile(r"(\d+(?:\.\d+)?) ?m\b.*?restitution (\d+(?:\.\d+)?)")
FREQUENCIES = 8
HIGHEST = 100  # m, far above every picture


class PixelCodec:
    """Lossless: grey pixels regrouped as channels, captions as the two numbers in them.

    Time is folded as CogVideoX's autoencoder folds it: the first frame alone, then four by four.
    """

    spatial = (2, 4)  # px down and across that make one latent pixel
    temporal = 4
    channels = 32
    example = READABLE
    usual = Usual(frames=17, fps=10, width=8, height=48)
    prompt_tokens, prompt_width = 2, 3 + 2 * FREQUENCIES

    def __init__(self, *, offset: float = 0.2, scale: float = 2.5, any_caption: bool = False) -> None:
        """Latent = (grey 0-1 - offset) · scale: about zero for the background, so that noise hides the ball late.

        Args:
            any_caption: true = a caption without height and restitution tells nothing; false = it is refused.
        """
        self.offset, self.scale, self.any_caption = offset, scale, any_caption

    @property
    def multiple(self) -> int:
        return 8  # two patches of two latent pixels of the narrower side

    def latent_shape(self, frames: int, width: int, height: int) -> tuple[int, int, int, int]:
        """(F, C, h, w)."""
        return (frames - 1) // self.temporal + 1, self.channels, height // self.spatial[0], width // self.spatial[1]

    def latents(self, frames: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3) -> (B, F, C, h, w)."""
        grey = (frames.float().mean(-1) / 255 - self.offset) * self.scale
        grey = torch.cat([grey[:, :1].expand(-1, self.temporal - 1, -1, -1), grey], dim=1)
        batch, time, height, width = grey.shape
        (down, across), fold = self.spatial, self.temporal
        split = grey.reshape(batch, time // fold, fold, height // down, down, width // across, across)
        return split.permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4)

    def decode(self, latents: Tensor) -> np.ndarray:
        """(B, F, C, h, w) -> uint8 (B, T, H, W, 3)."""
        batch, count, _, height, width = latents.shape
        (down, across), fold = self.spatial, self.temporal
        split = latents.float().reshape(batch, count, fold, down, across, height, width).permute(0, 1, 2, 5, 3, 6, 4)
        grey = split.reshape(batch, count * fold, height * down, width * across)
        first = grey[:, :fold].mean(1, keepdim=True)  # four copies of the first frame
        grey = torch.cat([first, grey[:, fold:]], dim=1) / self.scale + self.offset
        pixels = (grey * 255).round().clamp(0, 255).to(torch.uint8)
        return pixels[..., None].expand(*pixels.shape, 3).cpu().numpy()

    def prompts(self, captions: Sequence[str]) -> Tensor:
        """(B, 2, D): drop height and restitution as Fourier features; zeros where a caption may be without them.

        Raises:
            ValueError: a caption without those two numbers.
        """
        rows, told = [], []
        for caption in captions:
            found = PATTERN.search(caption)
            told.append(found is not None)
            if found is None and self.any_caption:
                rows.append([0.0, 0.0])
                continue
            if found is None:
                shown = caption if len(caption) <= 100 else caption[:97] + "..."
                raise ValueError(f"the small video model reads captions such as {READABLE!r}, not {shown!r}")
            height, restitution = float(found[1]), float(found[2])
            if height > HIGHEST or restitution > 1:
                raise ValueError(
                    f"a height of {height:g} m with restitution {restitution:g} is nothing that was learned; "
                    f"choose at most {HIGHEST} m and 1"
                )
            rows.append([height / 8, restitution])
        value = torch.tensor(rows)[..., None]  # (B, 2, 1)
        angle = value * torch.pi * 2.0 ** torch.arange(-1, FREQUENCIES - 1)
        which = torch.eye(2).expand(len(rows), 2, 2)
        features = torch.cat([which, value, angle.sin(), angle.cos()], dim=-1)
        return torch.where(torch.tensor(told)[:, None, None], features, 0.0)

    def refuses(self, caption: str) -> str:
        """Why a caption cannot be read, or ''."""
        try:
            self.prompts([caption])
        except ValueError as error:
            return str(error)
        return ""

    def prepare(self, captions: Sequence[str]) -> None:
        """Nothing to do ahead."""

    def encode(self, samples: Sequence[Sample]) -> ClipBatch:
        frames = torch.from_numpy(np.stack([s.target.frames for s in samples]))
        return ClipBatch(
            latents=self.latents(frames),
            prompt=self.prompts([s.given.caption for s in samples]),
            seed=torch.tensor([s.seed for s in samples]),
        )
