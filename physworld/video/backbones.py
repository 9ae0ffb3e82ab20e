"""Which video network a run starts from: the small shipped base, or CogVideoX from the hub or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXTransformer3DModel

from physworld.errors import fetching, first_line
from physworld.video.network import TARGETS, VideoNetwork, tiny
from physworld.video.weights import LOCAL, Unfit, origin, read

SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "tiny_video"
SAFE: dict[str, Any] = {"use_safetensors": True}  # weights in other files could run code when they are read
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class TinyVideo:
    """3.1 M parameters; `base` null starts from random weights, `lora` null trains them all."""

    base: str | None = "shipped"  # or a folder that a base run saved
    lora: Mapping[str, Any] | None = field(default_factory=lambda: {"rank": 16, "alpha": 32})
    heads: int = 6
    layers: int = 4

    def build(self, *, shape: tuple[int, int, int, int], frames: int, text: tuple[int, int], seed: int) -> VideoNetwork:
        """
        Args:
            shape: (F, C, h, w) of the latents.
            text: (L, D) of an embedded caption.
        """
        _, channels, height, width = shape
        network = tiny(
            heads=self.heads, layers=self.layers, channels=channels, text_tokens=text[0], text_width=text[1],
            frames=frames, height=height, width=width, seed=seed,
        )  # fmt: skip
        if self.base is not None:
            folder = SHIPPED if self.base == "shipped" else Path(self.base)
            try:
                transformer = read(CogVideoXTransformer3DModel, str(folder), torch_dtype=torch.float32, **SAFE)
            except Unfit:
                raise
            except (OSError, ValueError):
                raise FileNotFoundError(
                    f"no base in {self.base}; model.network.base is shipped, or a folder that "
                    "experiment=tiny_video_base saved"
                ) from None
            _same_shape(network.transformer, transformer, folder)
            base = "physworld/assets/tiny_video" if self.base == "shipped" else LOCAL
            network = VideoNetwork(transformer, network.scheduler, base=base)
        if self.lora is not None:
            network.add_lora(**self.lora, seed=seed)
        return network


@dataclass(frozen=True, kw_only=True)
class CogVideoX:
    """The published transformer and its own scheduler."""

    pretrained: str = "THUDM/CogVideoX-2b"
    dtype: str = "bfloat16"  # of the frozen weights
    gradient_checkpointing: bool = True
    lora: Mapping[str, Any] = field(
        default_factory=lambda: {"rank": 16, "alpha": 32, "dropout": 0.05, "targets": TARGETS}
    )

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"model.network.dtype={self.dtype} is unknown; choose one of {', '.join(DTYPES)}")

    def build(self, *, shape: tuple[int, int, int, int], frames: int, text: tuple[int, int], seed: int) -> VideoNetwork:
        transformer = _read(
            CogVideoXTransformer3DModel, self.pretrained, "transformer", torch_dtype=DTYPES[self.dtype], **SAFE
        )
        scheduler = _read(CogVideoXDDIMScheduler, self.pretrained, "scheduler")
        self.check(transformer.config, shape, text)
        network = VideoNetwork(transformer, scheduler, base=origin(self.pretrained))
        network.add_lora(**self.lora, seed=seed)
        if self.gradient_checkpointing:
            transformer.enable_gradient_checkpointing()
        return network

    def check(self, config: Any, shape: tuple[int, ...], text: tuple[int, int]) -> None:
        """
        Args:
            config: the transformer's.
            shape: (F, C, h, w) of the latents.
            text: (L, D) of an embedded caption.

        Raises:
            ValueError: the codec gives what the transformer does not read.
        """
        if config.in_channels != shape[1]:
            raise ValueError(f"{self.pretrained} reads {config.in_channels} channels, its codec {shape[1]}")
        if not config.use_rotary_positional_embeddings and config.max_text_seq_length != text[0]:
            raise ValueError(
                f"{self.pretrained} reads captions of {config.max_text_seq_length} tokens; "
                f"model.codec.tokens={text[0]} gives others"
            )


def _read(kind: Any, name: str, subfolder: str, **options: Any) -> Any:
    """A part of a published pipeline.

    Raises:
        FileNotFoundError: it is neither a folder here nor in the local cache, and cannot be fetched.
        Unfit: it is there, and it is not whole.
    """
    try:
        if kind is CogVideoXDDIMScheduler:
            return kind.from_pretrained(name, subfolder=subfolder)
        return read(kind, name, subfolder, **options)
    except Unfit:
        raise
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"the {subfolder} of {name} cannot be read ({first_line(error)[:120]}); for model.network.pretrained and "
            f"model.codec.pretrained {fetching(name)}"
        ) from None


def _same_shape(mine: torch.nn.Module, theirs: torch.nn.Module, folder: Path) -> None:
    a = {k: v.shape for k, v in mine.state_dict().items()}
    b = {k: v.shape for k, v in theirs.state_dict().items()}
    if a != b:
        raise ValueError(
            f"the base in {folder} was made for other clips or another size; give data and model as it had"
        )
