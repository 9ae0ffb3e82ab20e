"""The tiny video model on PhyWorld's three systems: trained on pixels, four frames given, read back by a tracker.

PYTHONPATH=. python experiments/022_phyworld/tiny_video.py FOLDER --steps 400        # trains, then prints its rows
physworld leaderboard FOLDER EVALUATION_OF_SUITE_PHYWORLD                            # beside the others
Stopped, the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from physworld.io.atomic import replacing
from physworld.metrics.bootstrap import bootstrap_mean
from physworld.optim import MuonAdamW
from physworld.runs.directory import versions
from physworld.seeding import generator
from physworld.text.sources.phyworld import FRAMES, GIVEN, SIZE, SPLITS, SYSTEMS, Clip, draw, velocity_error
from physworld.video.backbones import TinyVideo
from physworld.video.codecs.pixels import PixelCodec
from physworld.video.network import VideoNetwork

SIDE = 32  # px: a ball of the training sets is 4-9 px wide, and a step takes 3 CPU seconds
HELD = 2  # latent frames that are given: the first picture alone (a copy), then four of them
BALL, GROUND = 235, 51  # grey levels: the ground is the codec's zero
LEARNING_RATE, MUON_RATE = 0.003, 0.01  # the shipped base's own (experiment=tiny_video_base)
TRUTH = "truth, same pixels and tracker"
CODEC = PixelCodec(offset=0.2, scale=2.5)


def paint(clip: Clip) -> np.ndarray:
    """uint8 (33, SIDE, SIDE): bright discs, one pixel soft; the first frame comes twice, as the codec folds time."""
    line = (np.arange(SIDE) + 0.5) * SIZE / SIDE
    frames = np.zeros((FRAMES, SIDE, SIDE), np.float32)
    for k, radius in enumerate(clip.radius):
        x, y = clip.position[:, k, 0, None, None], clip.position[:, k, 1, None, None]
        away = np.sqrt((line - x) ** 2 + (line[::-1, None] - y) ** 2)
        frames = np.maximum(frames, np.clip((radius - away) * SIDE / SIZE + 0.5, 0, 1))
    grey = (GROUND + (BALL - GROUND) * frames).round().astype(np.uint8)
    return np.concatenate([grey[:1], grey])


def track(frames: np.ndarray, clip: Clip) -> np.ndarray:
    """(32, N, 2) units of (33, SIDE, SIDE): centroids; of two balls each has its share of the light, from the left.

    Two balls on one level never share a column, so the light is cut at the column where the left one's share ends.
    """
    matte = np.clip((frames[1:].astype(np.float64) - GROUND - 12) / (BALL - GROUND - 12), 0, 1)
    line = (np.arange(SIDE) + 0.5) * SIZE / SIDE
    columns, rows = matte.sum(1), matte.sum(2)
    mass = columns.sum(1)
    found = np.full((FRAMES, len(clip.radius), 2), np.nan)
    seen = mass > 1
    found[seen, :, 1] = (rows @ line[::-1])[seen, None] / mass[seen, None]
    share = clip.radius**2 / (clip.radius**2).sum()
    low = np.concatenate([[0.0], np.cumsum(share)[:-1]])
    before = np.cumsum(columns, 1) - columns
    for t in np.flatnonzero(seen):
        for k in range(len(share)):
            a, b = low[k] * mass[t], (low[k] + share[k]) * mass[t]
            part = np.clip(np.minimum(before[t] + columns[t], b) - np.maximum(before[t], a), 0, None)
            found[t, k, 0] = part @ line / part.sum()
    return found


def error(clip: Clip, frames: np.ndarray) -> float:
    """Of velocity, units/s; a frame on which nothing is seen counts as one that stands where the last was."""
    place = track(frames, clip)
    for t in range(1, FRAMES):
        place[t] = np.where(np.isfinite(place[t]), place[t], place[t - 1])
    return velocity_error(clip, np.nan_to_num(place))


def latents(clips: list[Clip]) -> torch.Tensor:
    frames = torch.from_numpy(np.stack([paint(clip) for clip in clips]))
    return CODEC.latents(frames[..., None].expand(*frames.shape, 3))


def build(seed: int) -> VideoNetwork:
    return TinyVideo(base=None, lora=None).build(
        shape=CODEC.latent_shape(FRAMES + 1, SIDE, SIDE), frames=FRAMES + 1,
        text=(CODEC.prompt_tokens, CODEC.prompt_width), seed=seed,
    )  # fmt: skip


def loss_of(network: VideoNetwork, clean: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mean squared error of v over what is not given; what is given stays clean, as in sampling."""
    noise = torch.randn(clean.shape, generator=rng)
    times = torch.randint(0, 1000, (len(clean),), generator=rng)
    noisy = torch.cat([clean[:, :HELD], network.noised(clean, noise, times)[:, HELD:]], dim=1)
    said = network(noisy, times, torch.zeros(len(clean), CODEC.prompt_tokens, CODEC.prompt_width))
    return (said - network.target(clean, noise, times))[:, HELD:].square().mean()


def train(folder: Path, steps: int, batch: int, seed: int) -> VideoNetwork:
    network = build(seed).train()
    inside = [p for n, p in network.named_parameters() if "transformer_blocks" in n and p.ndim == 2]
    rest = [p for n, p in network.named_parameters() if not ("transformer_blocks" in n and p.ndim == 2)]
    optimizer = MuonAdamW(inside, rest, lr=MUON_RATE, adam_lr=LEARNING_RATE, weight_decay=0.01)
    full = [group["lr"] for group in optimizer.param_groups]
    path, done, spent = folder / "last.pt", 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done, spent = state["done"], state["spent"]
    begun = time.process_time()
    for step in range(done, steps):
        rate = min((step + 1) / 30, 1.0) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        for group, lr in zip(optimizer.param_groups, full, strict=True):
            group["lr"] = lr * rate
        clips = [
            draw(SYSTEMS[k % 3], "in", generator(seed, "train", step * batch + k)) for k in range(batch)
        ]  # fmt: skip
        loss = loss_of(network, latents(clips), torch.Generator().manual_seed(1000 * seed + step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 25 == 0 or step + 1 == steps:
            cpu = spent + time.process_time() - begun
            print(f"step {step + 1}/{steps} · loss {loss.item():.4f} · {cpu:.0f} CPU s", flush=True)
            with replacing(path) as temporary:
                torch.save(
                    {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "done": step + 1,
                     "spent": cpu}, temporary,
                )  # fmt: skip
    return network.eval()


@torch.no_grad()
def sample(network: VideoNetwork, clean: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
    """Latents by DDIM, the given ones held clean."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    network.scheduler.set_timesteps(steps)
    x = torch.cat([clean[:, :HELD], noise[:, HELD:]], dim=1)
    prompt = torch.zeros(len(clean), CODEC.prompt_tokens, CODEC.prompt_width)
    for t in network.scheduler.timesteps:
        said = network(x, t.expand(len(x)), prompt)
        x = network.scheduler.step(said, int(t), x, return_dict=False)[0]
        x = torch.cat([clean[:, :HELD], x[:, HELD:]], dim=1)
    return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=18)
    parser.add_argument("--clips", type=int, default=8, help="of each system and split: those of suite=phyworld")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    network = train(options.folder, options.steps, options.batch, options.seed)
    rows: dict[str, list[str]] = {"tiny video": [], TRUTH: []}
    board: list[dict[str, Any]] = []
    for system in SYSTEMS:
        for split in SPLITS:
            clips = clips_of(system, split, options.clips, options.seed)
            clean = latents(clips)
            made = CODEC.decode(sample(network, clean, steps=25, seed=options.seed))[..., 0]
            still = [velocity_error(clip, np.repeat(clip.position[GIVEN - 1][None], FRAMES, 0)) for clip in clips]
            for name, films in (("tiny video", made), (TRUTH, CODEC.decode(clean)[..., 0])):
                found = [error(clip, film) for clip, film in zip(clips, films, strict=True)]
                mean = bootstrap_mean([e for e in found if np.isfinite(e)])
                rows[name].append(f"{mean.mean:.3f} ({mean.low:.3f}–{mean.high:.3f})")
                print(f"{system}, {split} · {name}: {rows[name][-1]}, n={mean.count}", flush=True)
                # The board of `suite=phyworld`: the same clips, told by what standing still makes of them.
                board.append({
                    "board": f"PhyWorld, {system} {split}: {len(clips)} clips", "model": name, "unit": "units/s",
                    "figure": "error of velocity", "mean": mean.mean, "low": mean.low, "high": mean.high,
                    "count": mean.count, "reference": name == TRUTH, "same": f"{np.nanmean(still):.6g}",
                })  # fmt: skip
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")
    command = shlex.join(["python", "experiments/022_phyworld/tiny_video.py", *sys.argv[1:]])
    measured = {"command": command, "commit": versions()["commit"], "seed": options.seed}
    with replacing(options.folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps({"measured": measured, "leaderboard": board}, indent=1) + "\n")


def clips_of(system: str, split: str, count: int, seed: int) -> list[Clip]:
    """The first clips of a kind that `suite=phyworld` draws with this seed."""
    kind = zlib.crc32(f"phyworld {system} {split}".encode())
    return [draw(system, split, generator(seed, "test", kind, number)) for number in range(count)]


if __name__ == "__main__":
    main()
