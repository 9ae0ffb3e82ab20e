"""CogVideoX's own autoencoder and T5 text encoder, with a cache of what they have encoded.

Shapes: B clips, T frames, F latent frames, L tokens, D width of a token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, T5EncoderModel

from physworld.errors import fetching, first_line
from physworld.io.atomic import replacing
from physworld.types import ClipBatch, Sample
from physworld.video.codecs.usual import Usual
from physworld.video.weights import Unfit, read, version

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PARTS = {"clip": ("vae",), "caption": ("text_encoder", "tokenizer")}  # which encode it
TILING_LEAST = 64  # px: diffusers' tiled encoding fails on smaller pictures


class VaeCodec:
    """Clips as latents of CogVideoX's autoencoder, captions as T5 embeddings padded to a fixed length.

    The autoencoder is loaded at its first use. The text encoder (9.5 GB in bfloat16) is loaded for captions that are
    not cached, and given back at once.
    """

    temporal = 4
    spatial = (8, 8)
    example = ""  # a caption that can be read
    usual = Usual(frames=49, fps=8, width=720, height=480)
    multiple = 16  # eight pixels per latent pixel, two latent pixels per patch

    def __init__(
        self,
        *,
        pretrained: str = "THUDM/CogVideoX-2b",
        dtype: str = "bfloat16",
        tokens: int = 226,
        cache: str | None = "outputs/cache/latents",
        slicing: bool = True,
        tiling: bool = True,
        device: str = "auto",
    ) -> None:
        """
        Args:
            pretrained: hub name or folder of the pipeline.
            tokens: captions are padded or cut to so many.
            cache: folder of encoded clips and captions; null = none.
            slicing, tiling: encode and decode piece by piece, for less memory.
            device: where the encoders run: cpu, cuda or auto.
        """
        if dtype not in DTYPES:
            raise ValueError(f"model.codec.dtype={dtype} is unknown; choose one of {', '.join(DTYPES)}")
        self.pretrained, self.dtype, self.tokens = pretrained, DTYPES[dtype], tokens
        self.cache = None if cache is None else Path(cache)
        self.slicing, self.tiling = slicing, tiling
        self.device = torch.device(
            "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
        )
        self._vae: Any = None
        self._captions: dict[str, Tensor] = {}
        self._versions: dict[str, list[Any]] = {}  # of the parts' files, where they are known

    # ------------------------------------------------------------------------------------------------ pictures

    @property
    def vae(self) -> Any:
        if self._vae is None:
            vae = self._read(AutoencoderKLCogVideoX, "vae", torch_dtype=self.dtype, use_safetensors=True)
            if self.slicing:
                vae.enable_slicing()
            self._vae = vae.to(self.device).eval().requires_grad_(False)
        return self._vae

    def latent_shape(self, frames: int, width: int, height: int) -> tuple[int, int, int, int]:
        """(F, C, h, w)."""
        return (frames - 1) // self.temporal + 1, self.vae.config.latent_channels, height // 8, width // 8

    @torch.no_grad()
    def latents(self, frames: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3) -> (B, F, C, h, w): the mode of the encoder's distribution, scaled."""
        vae = self._tiled(frames.shape[2], frames.shape[3])
        pixels = frames.to(self.device).permute(0, 4, 1, 2, 3).to(self.dtype) / 127.5 - 1
        mode = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
        return mode.permute(0, 2, 1, 3, 4).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """(B, F, C, h, w) -> uint8 (B, T, H, W, 3)."""
        vae = self._tiled(latents.shape[3] * 8, latents.shape[4] * 8)
        scaled = latents.to(self.device, self.dtype).permute(0, 2, 1, 3, 4) / vae.config.scaling_factor
        pixels = vae.decode(scaled).sample.float().permute(0, 2, 3, 4, 1)
        return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()

    def _tiled(self, height: int, width: int) -> Any:
        if self.tiling and min(height, width) >= TILING_LEAST:
            self.vae.enable_tiling()
        else:
            self.vae.disable_tiling()
        return self.vae

    # ------------------------------------------------------------------------------------------------ captions

    def prepare(self, captions: Sequence[str]) -> None:
        """Encode what is not known yet, in one go."""
        new = [c for c in dict.fromkeys(captions) if c not in self._captions and not self._recall(c)]
        if not new:
            return
        tokenizer = self._read(AutoTokenizer, "tokenizer")
        encoder = (
            self._read(T5EncoderModel, "text_encoder", dtype=self.dtype, use_safetensors=True).to(self.device).eval()
        )
        with torch.no_grad():
            for caption in new:
                ids = tokenizer(
                    caption, padding="max_length", max_length=self.tokens, truncation=True, return_tensors="pt"
                ).input_ids
                # Without attention mask, as the pipeline does it: the model was trained so.
                self._captions[caption] = encoder(ids.to(self.device))[0][0].float().cpu()
                self._keep(self._place("caption", caption.encode()), self._captions[caption])
        del encoder
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def refuses(self, caption: str) -> str:
        """Why a caption cannot be read: '', as T5 reads anything."""
        return ""

    def _recall(self, caption: str) -> bool:
        found = self._find(self._place("caption", caption.encode()))
        if found is not None:
            self._captions[caption] = found
        return found is not None

    def prompts(self, captions: Sequence[str]) -> Tensor:
        """(B, L, D)."""
        self.prepare(captions)
        return torch.stack([self._captions[c] for c in captions])

    # --------------------------------------------------------------------------------------------------- batches

    def encode(self, samples: Sequence[Sample]) -> ClipBatch:
        return ClipBatch(
            latents=torch.stack([self._encoded(s.target.frames) for s in samples]),
            prompt=self.prompts([s.given.caption for s in samples]),
            seed=torch.tensor([s.seed for s in samples]),
        )

    def _encoded(self, frames: np.ndarray) -> Tensor:
        """Latent of one clip, on the CPU; from the cache where it is."""
        place = self._place("clip", repr(frames.shape).encode() + np.ascontiguousarray(frames).tobytes())
        latent = self._find(place)
        if latent is None:
            latent = self.latents(torch.from_numpy(frames)[None])[0].cpu()
            self._keep(place, latent)
        return latent

    # ----------------------------------------------------------------------------------------------------- cache

    def _place(self, kind: str, content: bytes) -> Path | None:
        """File name from the content and from everything that shapes its encoding."""
        if self.cache is None:
            return None
        how: dict[str, Any] = {
            "pretrained": self.pretrained, "dtype": str(self.dtype), "tokens": self.tokens, "tiling": self.tiling
        }  # fmt: skip
        if kind == "clip":
            how["vae"] = dict(self.vae.config)
        how["files"] = [self._version(part) for part in PARTS[kind]]
        name = hashlib.sha256(json.dumps(how, sort_keys=True, default=str).encode() + content).hexdigest()[:32]
        return self.cache / kind / f"{name}.safetensors"

    def _version(self, part: str) -> list[Any]:
        """Which files a part is read from; what is not fetched yet is looked for again."""
        if not self._versions.get(part):
            self._versions[part] = version(self.pretrained, part)
        return self._versions[part]

    def _find(self, place: Path | None) -> Tensor | None:
        if place is None or not place.is_file():
            return None
        try:
            return load_file(place)["value"]
        except (SafetensorError, KeyError, OSError):
            return None  # damaged: encoded anew

    def _keep(self, place: Path | None, value: Tensor) -> None:
        if place is not None:
            with replacing(place) as temporary:  # a process that is killed here leaves nothing that looks whole
                save_file({"value": value.contiguous()}, temporary)

    def _read(self, kind: Any, part: str, **options: Any) -> Any:
        """
        Raises:
            FileNotFoundError: the part is not there and cannot be fetched.
            Unfit: it is there, and it is not whole.
        """
        self._versions.pop(part, None)  # it may be fetched now
        try:
            if kind is AutoTokenizer:
                return kind.from_pretrained(self.pretrained, subfolder=part, trust_remote_code=False)
            return read(kind, self.pretrained, part, **options)
        except Unfit:
            raise
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"the {part} of {self.pretrained} cannot be read ({first_line(error)[:120]}); for "
                f"model.codec.pretrained {fetching(self.pretrained)}"
            ) from None
