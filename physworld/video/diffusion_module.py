"""Diffusion training of a video network, for Lightning. Every draw is a function of a sample's own index."""

from __future__ import annotations

import math
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from physworld.accumulators import Means
from physworld.optim import MuonAdamW
from physworld.seeding import generator
from physworld.types import ClipBatch
from physworld.video.network import EPSILON, V, VideoNetwork

TARGETS = (V, EPSILON)


class VideoDiffusion(lightning.LightningModule):
    """Trains what of `network` is trainable: its adapter, or all of it where it has none."""

    def __init__(
        self,
        *,
        network: VideoNetwork,
        codec: Any,
        total_steps: int,
        seed: int,
        target: str = V,
        learning_rate: float = 1e-4,
        initial_lr: float = 1e-6,
        final_lr: float = 1e-6,
        warmup_steps: int = 10,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.01,
        muon_lr: float | None = None,
        times: tuple[int, int] = (50, 950),
    ) -> None:
        """
        Args:
            codec: what made the latents; kept for those who want pictures of them.
            seed: root of noise, timesteps and dropout.
            target: v_prediction (what CogVideoX was trained on), or card_epsilon (the published recipe's).
            learning_rate: of AdamW at the end of the warm-up, which starts from `initial_lr`; then a cosine to
                `final_lr`.
            muon_lr: Muon at this rate for the matrices inside the blocks; null = AdamW for everything.
            times: first and last timestep that may be drawn.
        """
        super().__init__()
        if target not in TARGETS:
            raise ValueError(f"target={target} is unknown; choose one of {', '.join(TARGETS)}")
        if not 0 <= times[0] <= times[1] < len(network.alphas):
            raise ValueError(f"times={list(times)} must lie within 0-{len(network.alphas) - 1}")
        self.train_figures, self.val_figures = Means("loss", sync_on_compute=False), Means("loss")
        self.ranks_meet = False
        self.network, self.total_steps, self.seed, self.kind = network, total_steps, seed, target
        self.codec = codec
        self.learning_rate, self.initial_lr, self.final_lr = learning_rate, initial_lr, final_lr
        self.warmup_steps, self.betas, self.weight_decay = warmup_steps, betas, weight_decay
        self.muon_lr, self.times = muon_lr, times

    def on_fit_start(self) -> None:  # before Lightning looks for modules in evaluation mode, and warns
        self.network.train()  # weights that were read from files come in evaluation mode: no dropout

    def eval_network(self) -> VideoNetwork:
        return self.network.eval()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Only what learns: a frozen base of billions of weights is no part of a checkpoint."""
        return {f"network.{name}": value for name, value in self.network.learned().items()}

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict(state, strict=False, assign=assign)

    def draws(self, batch: ClipBatch, split: str) -> tuple[Tensor, Tensor]:
        """(noise like the latents, timesteps (B,)): the same for the same samples, in whatever batch they come."""
        noise, times = [], []
        for index in batch.seed.tolist():
            rng = generator(self.seed, split, int(index), 7)
            times.append(int(rng.integers(self.times[0], self.times[1] + 1)))
            own = torch.Generator().manual_seed(int(rng.integers(2**62)))
            noise.append(torch.randn(batch.latents.shape[1:], generator=own))
        return torch.stack(noise).to(batch.latents.device), torch.tensor(times, device=batch.latents.device)

    def on_train_batch_start(self, batch: ClipBatch, batch_idx: int) -> None:
        # Ranks meet only where the figures are written down: a meeting at every step would cost time.
        trainer: Any = self.trainer  # its interval of logging is no declared attribute
        self.ranks_meet = (trainer.global_step + 1) % trainer.log_every_n_steps == 0

    def training_step(self, batch: ClipBatch, _index: int) -> Tensor:
        noise, times = self.draws(batch, "train")
        # Dropout follows from the batch too, so that a resumed run drops what the undisturbed one would have.
        torch.manual_seed(int(np.random.SeedSequence([self.seed, int(batch.seed[0]), 11]).generate_state(1)[0]))
        losses = self.network.losses(batch.latents, noise, times, batch.prompt, self.kind)
        found = self.train_figures.alone(over_ranks=self.ranks_meet, loss=losses)
        self.log("train/loss", found["loss"], prog_bar=True, batch_size=len(batch.seed))
        return losses.mean()

    def validation_step(self, batch: ClipBatch, _index: int) -> None:
        noise, times = self.draws(batch, "val")
        self.val_figures.update(loss=self.network.losses(batch.latents, noise, times, batch.prompt, self.kind))

    def on_validation_epoch_end(self) -> None:
        """The mean over all clips of all ranks."""
        self.log_dict({f"val/{name}": value for name, value in self.val_figures.compute().items()})
        self.val_figures.reset()

    def configure_optimizers(self) -> Any:
        named = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        optimizer: torch.optim.Optimizer
        if self.muon_lr is None:
            optimizer = torch.optim.AdamW(
                [p for _, p in named], lr=self.learning_rate, betas=self.betas, eps=1e-8, weight_decay=self.weight_decay
            )
        else:
            inside = [p for n, p in named if "transformer_blocks" in n and p.ndim == 2]
            rest = [p for n, p in named if not ("transformer_blocks" in n and p.ndim == 2)]
            optimizer = MuonAdamW(
                inside, rest, lr=self.muon_lr, adam_lr=self.learning_rate, weight_decay=self.weight_decay
            )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self._rate), "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine; as a share of the full rate."""
        low, end = self.initial_lr / self.learning_rate, self.final_lr / self.learning_rate
        if step < self.warmup_steps:
            return low + (1 - low) * step / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return end + (1 - end) * (1 + math.cos(math.pi * min(1.0, done))) / 2
