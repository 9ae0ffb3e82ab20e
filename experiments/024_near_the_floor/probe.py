"""What does a setting gain at equal compute? So many CPU seconds of one thread, then rollouts of validation scenes.

    python experiments/024_near_the_floor/probe.py NAME --seconds 150 [codec.memory=false model.network.rounds=1 ...]

The settings are those of `experiment=near_floor` with what is named changed; the rate falls to zero at the end of the
seconds. One seed; 39 seen types, one scene of each at difficulties taken in turn, 30 frames. Nothing of the test split
and of the held-out types is touched. One line is added to probes.csv.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from physworld import scenarios
from physworld.data import collate
from physworld.metrics.errors import position_rmse
from physworld.metrics.events import score_events
from physworld.optim import make_optimizer
from physworld.runs.wiring import codec_and_network
from physworld.settings import groups
from physworld.text.evaluation.baselines import linear
from physworld.text.rollout import rollout
from physworld.text.sources.physics import PhysicsSource

HERE = Path(__file__).parent
FRAMES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=float, default=150.0, help="CPU seconds of training")
    parser.add_argument("--each", type=int, default=1, help="validation scenes of a type")
    parser.add_argument("--save", type=Path, help="weights")
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    if not options.seconds > 0 or options.each < 1:
        parser.error("--seconds must be above 0, and --each 1 or more")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    groups.register()
    with initialize_config_dir(str(HERE.parents[1] / "conf"), version_base=None):
        cfg = compose("train", ["experiment=near_floor", *options.overrides])
    codec, make_network = codec_and_network(cfg)
    network = make_network(codec.vocabulary)
    if options.start:
        network.load_state_dict(torch.load(options.start, weights_only=True))
    module = instantiate(cfg.model)(network=network, total_steps=1)
    shape = {"context_frames": codec.context_frames, "target_frames": 1}
    names, difficulties = scenarios.seen(), list(cfg.curriculum.difficulties)
    train = instantiate(cfg.data.source)(seed=0, split="train", names=names, difficulties=difficulties, **shape)
    optimizer = make_optimizer(
        network, cfg.model.optimizer, lr=cfg.model.learning_rate, adam_lr=0.003,
        weight_decay=cfg.model.weight_decay,
    )  # fmt: skip
    rates = [group["lr"] for group in optimizer.param_groups]
    batch, index, step, seen = cfg.global_batch, 0, 0, []
    for warm in range(3):  # compiled code is loaded
        codec.encode(train.sample(warm))
    start = time.process_time()
    while (used := time.process_time() - start) < options.seconds:
        share = min(1.0, (step + 1) / 50, 1.67 * (1 - used / options.seconds))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * max(share, 0.0)
        items = [codec.encode(train.sample(index + k)) for k in range(batch)]
        losses, event, _ = module._losses(collate(items, pad=int(codec.tokenizer.pad_token_id)))
        optimizer.zero_grad()
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        seen.append((float(losses.detach().mean()), float(losses.detach()[event].mean())))
        index, step = index + batch, step + 1
        if step % 50 == 0:
            mean = np.nanmean(seen[-100:], axis=0)
            print(f"{step} steps, {used:.0f} s, loss {mean[0]:.3f}, on events {mean[1]:.3f}", flush=True)
    network.eval()
    if options.save:
        torch.save(network.state_dict(), options.save)
    samples = []
    for number, name in enumerate(names * options.each):
        source = PhysicsSource(
            seed=25, split="val", names=[name], difficulties=[1 + number % 5], kicked_scenes=0.0, context_frames=2,
            target_frames=FRAMES, windows_per_scene=1, event_fraction=0.0,
        )  # fmt: skip
        samples.append(source.sample(number))
    begin = time.process_time()
    said = rollout(network, codec, [s.given for s in samples], FRAMES).predicted
    took = time.process_time() - begin
    error = np.array([position_rmse(s.target, p, FRAMES) for s, p in zip(samples, said, strict=True)])
    early = np.array([position_rmse(s.target, p, 10) for s, p in zip(samples, said, strict=True)])
    base = np.array([position_rmse(s.target, linear(s.given, FRAMES), FRAMES) for s in samples])
    scores = [score_events(s.target, p, s.given.frame(-1)) for s, p in zip(samples, said, strict=True)]
    total = {k: sum(getattr(x, k) for x in scores) for k in vars(scores[0])}
    mean = np.nanmean(seen[-100:], axis=0)
    line = {
        "name": options.name, "seconds": options.seconds, "steps": step, "windows": index, "loss": round(mean[0], 3),
        "event_loss": round(mean[1], 3), "rmse10": round(early.mean(), 3), "rmse30": round(error.mean(), 2),
        "median30": round(float(np.median(error)), 2), "ratio30": round(error.mean() / base.mean(), 4),
        "recall": round(total["matched"] / total["true"], 3),
        "impulse_recall": round(total["found_impulse"] / total["true_impulse"], 3),
        "impulse_precision": round(total["right_impulse"] / total["said_impulse"], 3),
        "rollout_seconds": round(took, 1), "settings": " ".join(options.overrides),
    }  # fmt: skip
    print(line)
    types = np.array([s.given.scene.name for s in samples])
    worst = sorted(set(types), key=lambda t: -error[types == t].mean() / base[types == t].mean())
    print(", ".join(f"{t} {error[types == t].mean():.1f}/{base[types == t].mean():.0f}" for t in worst))
    table = HERE / "probes.csv"
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, line)
        if new:
            writer.writeheader()
        writer.writerow(line)


if __name__ == "__main__":
    main()
