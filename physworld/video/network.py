"""A CogVideoX transformer with its scheduler and, beside its frozen weights, a LoRA adapter.

Shapes: B clips, F latent frames, C channels, h and w latent pixels, L prompt tokens, D their width.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from diffusers.utils import logging
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from physworld.errors import FormatError
from physworld.io.atomic import replacing_within
from physworld.io.checksums import refuse_changed, write_sums
from physworld.video.weights import Unfit, read_adapter

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
LORA_FILE = "pytorch_lora_weights.safetensors"  # the name under which diffusers looks for it
V, EPSILON = "v_prediction", "card_epsilon"


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, ...) beside `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


class VideoNetwork(nn.Module):
    """What is trained and sampled. With an adapter only the adapter learns; without one, everything does."""

    def __init__(
        self, transformer: CogVideoXTransformer3DModel, scheduler: CogVideoXDDIMScheduler, *, base: str | None = None
    ) -> None:
        """
        Args:
            base: whose weights these are, as it is written beside an adapter.
        """
        super().__init__()
        self.base = base
        self.transformer, self.scheduler = transformer, scheduler
        self.alphas: Tensor  # (1000,) products of 1 - beta
        self.register_buffer("alphas", scheduler.alphas_cumprod.float().clone(), persistent=False)

    # ---------------------------------------------------------------------------------------------- adapters

    def add_lora(
        self,
        *,
        rank: int = 16,
        alpha: float = 32,
        dropout: float = 0.05,
        targets: Sequence[str] = TARGETS,
        seed: int = 0,
    ) -> None:
        """Freeze the base and add an adapter that changes nothing yet; its weights stay float32."""
        if rank < 1:
            raise ValueError(f"rank={rank} must be a whole number from 1 on")
        self.transformer.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.transformer.add_adapter(config)
        for parameter in self.trainable():
            parameter.data = parameter.data.float()

    def trainable(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad]

    def learned(self) -> dict[str, Tensor]:
        """Name -> weight of everything that training changes."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def save(self, folder: Path) -> None:
        """The adapter as diffusers reads it, its alpha included; or, without an adapter, the whole transformer in half
        precision.

        It is written for those who use it: without dropout, which belongs to training (config.yaml has it) and which a
        plain pipeline would leave on.
        """
        with replacing_within(folder.parent) as new:
            (new / folder.name).mkdir()
            self._save(new / folder.name)
            write_sums(new / folder.name)

    def _save(self, folder: Path) -> None:
        if not self.adapted:
            for part in (copy.deepcopy(self.transformer).half(), self.scheduler):
                part.register_to_config(_name_or_path=self.base)  # not a path of this machine
                part.save_pretrained(folder)
            return
        settings = self.transformer.peft_config["default"].to_dict()
        settings |= {"lora_dropout": 0.0, "base_model_name_or_path": self.base}
        CogVideoXPipeline.save_lora_weights(
            folder,
            transformer_lora_layers=get_peft_model_state_dict(self.transformer),
            # Without these, alpha is lost. Sets have no order: sorted, the same run writes the same.
            transformer_lora_adapter_metadata={k: sorted(v) if isinstance(v, set) else v for k, v in settings.items()},
        )

    def load(self, folder: Path, name: str) -> None:
        """Read an adapter that `save` wrote and switch to it.

        Raises:
            Unfit: it is not whole, or of another base.
        """
        try:
            refuse_changed(folder)
        except FormatError as error:
            raise Unfit(str(error)) from None
        read_adapter(folder / LORA_FILE, self._adapter_shapes())
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # it names every weight of the other adapters as missing
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*Already found a `peft_config`.*")  # several adapters are meant
                self.transformer.load_lora_adapter(
                    folder, weight_name=LORA_FILE, prefix="transformer", adapter_name=name, use_safetensors=True
                )
        finally:
            logging.set_verbosity(verbosity)
        self.use(name)

    def _adapter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors of an adapter's file: all adapters of a network are of one kind."""
        first = next(iter(self.transformer.peft_config))
        tensors = get_peft_model_state_dict(self.transformer, adapter_name=first)
        return {f"transformer.{name}": tuple(value.shape) for name, value in tensors.items()}

    @property
    def adapted(self) -> bool:
        return bool(getattr(self.transformer, "peft_config", None))

    def use(self, name: str | None) -> None:
        """Switch to one adapter, or to the base alone."""
        if not self.adapted:
            return
        if name is None:
            self.transformer.disable_adapters()
        else:
            self.transformer.enable_adapters()
            self.transformer.set_adapter(name)

    # --------------------------------------------------------------------------------------------- diffusion

    def forward(self, noisy: Tensor, t: Tensor, prompt: Tensor) -> Tensor:
        """The transformer's raw output, (B, F, C, h, w)."""
        dtype = next(self.transformer.parameters()).dtype
        rotary = self._rotary(noisy) if self.transformer.config.use_rotary_positional_embeddings else None
        said = self.transformer(
            hidden_states=noisy.to(dtype),
            encoder_hidden_states=prompt.to(dtype),
            timestep=t,
            image_rotary_emb=rotary,
            return_dict=False,
        )[0]
        return said.float()

    def _rotary(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the 5b model, as its pipeline makes them."""
        from diffusers.models.embeddings import get_3d_rotary_pos_embed
        from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

        config = self.transformer.config
        count, height, width = noisy.shape[1], noisy.shape[3] // config.patch_size, noisy.shape[4] // config.patch_size
        full = (config.sample_height // config.patch_size, config.sample_width // config.patch_size)
        crops = get_resize_crop_region_for_grid((height, width), full[1], full[0])
        return get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            crops_coords=crops,
            grid_size=(height, width),
            temporal_size=count,
            device=noisy.device,
        )

    def noised(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        a = per_sample(self.alphas[t], clean)
        return a.sqrt() * clean + (1 - a).sqrt() * noise

    def target(self, clean: Tensor, noise: Tensor, t: Tensor, kind: str = V) -> Tensor:
        """What the output is compared with: velocity, or the noise itself as in the published recipe."""
        if kind == EPSILON:
            return noise
        a = per_sample(self.alphas[t], clean)
        return a.sqrt() * noise - (1 - a).sqrt() * clean

    def losses(self, clean: Tensor, noise: Tensor, t: Tensor, prompt: Tensor, kind: str = V) -> Tensor:
        """(B,) mean squared errors."""
        said = self(self.noised(clean, noise, t), t, prompt)
        return (said - self.target(clean, noise, t, kind)).square().flatten(1).mean(1)

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        noise: Tensor,
        *,
        steps: int,
        first: Tensor | None = None,
        guidance: float = 1.0,
        empty: Tensor | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Latents (B, F, C, h, w) by deterministic DDIM from `noise`, with the model's own scheduler.

        Args:
            first: (B, 1, C, h, w) latent of a picture to begin with: held, with the right noise, at every step.
            guidance: 1 is none; more needs `empty`, the embedding of no caption.
        """
        self.scheduler.set_timesteps(steps, device=noise.device)
        x = noise
        for count, t in enumerate(self.scheduler.timesteps):
            times = t.expand(len(x))
            if first is not None:
                x = torch.cat([self.noised(first, noise[:, :1], times), x[:, 1:]], dim=1)
            said = self(x, times, prompt)
            if guidance != 1 and empty is not None:
                without = self(x, times, empty)
                said = without + guidance * (said - without)
            x = self.scheduler.step(said, int(t), x, return_dict=False)[0]
            if progress is not None:
                progress(count + 1)
        return x if first is None else torch.cat([first, x[:, 1:]], dim=1)


def tiny(
    *,
    heads: int = 6,
    head_width: int = 32,
    layers: int = 4,
    channels: int = 32,
    text_width: int = 19,
    text_tokens: int = 2,
    frames: int = 17,
    height: int = 24,
    width: int = 2,
    seed: int = 0,
) -> VideoNetwork:
    """The same classes as CogVideoX-2b at a size for a CPU, random weights.

    A token brings `channels` x 4 numbers, and where there is little noise all of them must reach the output: as wide as
    that and no wider, the network has no room left to compute in, and its pictures keep their grain.

    The noise schedule is not shifted: shifted by 3 as in the 2b model, so small a picture is noise for most steps.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformer = CogVideoXTransformer3DModel(
            num_attention_heads=heads, attention_head_dim=head_width, in_channels=channels, out_channels=channels,
            time_embed_dim=128, text_embed_dim=text_width, num_layers=layers, sample_width=width, sample_height=height,
            sample_frames=frames, patch_size=2, max_text_seq_length=text_tokens, spatial_interpolation_scale=1.0,
        )  # fmt: skip
    return VideoNetwork(transformer, CogVideoXDDIMScheduler(**cogvideox_schedule(shift=1.0)))


def cogvideox_schedule(*, shift: float = 3.0) -> dict[str, Any]:
    """CogVideoX-2b's own noise schedule."""
    return {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": V,
        "rescale_betas_zero_snr": True,
        "snr_shift_scale": shift,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    }
