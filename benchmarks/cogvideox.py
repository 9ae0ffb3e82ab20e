"""What tuning CogVideoX-2b costs on an NVIDIA GPU: `python benchmarks/cogvideox.py`.

Random weights, 49 × 480 × 720, bf16. Two parts: the latent of one clip made by the VAE, and a LoRA step of the
transformer with gradient checkpointing at batch 1. Seconds are the fastest of some rounds after one that warms up;
memory is the highest that torch's allocator gave. `--tiny` runs the same lines on a small network, on any device.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel

from physworld.video.network import VideoNetwork, cogvideox_schedule

RESULTS = Path(__file__).parent / "results" / "cogvideox.json"
BLOCKS = 4  # of the VAE, each way
TINY_VAE = {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 2}
TINY = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "text_embed_dim": 32, "time_embed_dim": 16}


def fastest(work: Callable[[], Any], rounds: int, device: str) -> float:
    """Seconds of the fastest round; one before them warms up."""
    found = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begin)
    return min(found[1:])


def peak(device: str) -> float | None:
    """GB since the last call."""
    if device != "cuda":
        return None
    found = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return found


def latents(rounds: int, device: str, tiny: bool) -> dict[str, Any]:
    """The VAE on one clip."""
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * BLOCKS, up_block_types=("CogVideoXUpBlock3D",) * BLOCKS,
        **(TINY_VAE if tiny else {}),
    ).to(device, torch.bfloat16)  # fmt: skip
    vae.enable_tiling()
    vae.enable_slicing()
    clip = torch.rand(1, 3, *((9, 64, 96) if tiny else (49, 480, 720)), device=device, dtype=torch.bfloat16)

    def work() -> None:
        with torch.no_grad():
            vae.encode(clip).latent_dist.mode()

    return {"seconds_per_clip": fastest(work, rounds, device), "peak_gb": peak(device)}


def lora_step(rounds: int, device: str, tiny: bool) -> dict[str, Any]:
    """An optimiser step of the published LoRA on one clip's latent."""
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        transformer = CogVideoXTransformer3DModel(**(TINY if tiny else {}))
        torch.set_default_dtype(torch.float32)
    network = VideoNetwork(transformer, CogVideoXDDIMScheduler(**cogvideox_schedule())).to(device)
    network.add_lora()
    transformer.enable_gradient_checkpointing()
    network.train()
    optimizer = torch.optim.AdamW(network.trainable(), lr=1e-4)
    frames, high, wide = (3, 8, 12) if tiny else (13, 60, 90)
    latent = torch.randn(1, frames, 16, high, wide, device=device)
    prompt = torch.randn(1, 226, 32 if tiny else 4096, device=device)
    t = torch.tensor([500], device=device)

    def work() -> None:
        with torch.autocast(device, torch.bfloat16):
            loss = network.losses(latent, torch.randn_like(latent), t, prompt).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return {
        "seconds_per_step": fastest(work, rounds, device), "peak_gb": peak(device),
        "parameters": sum(p.numel() for p in network.parameters()),
        "trained": sum(p.numel() for p in network.trainable()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a small network, to try the file")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS.name} in results/ when on a GPU in full size")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        parser.error("no NVIDIA GPU here; --tiny tries the file on a CPU")
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "torch": torch.__version__,
        "lora_step": lora_step(options.rounds, device, options.tiny),
        "latents": latents(options.rounds, device, options.tiny),
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    out = options.out or (None if options.tiny else RESULTS)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
