"""What a step of Muon costs on this CPU, in float32 as `physworld.optim.Muon` takes it and in bfloat16 as PyTorch does.

    python benchmarks/muon.py        # about three minutes of one core; --fast leaves the largest model out

The matrices are those inside the blocks of models of `conf/model`, gradients are drawn. Both take their steps in turn.
A figure is the lowest CPU time of three (of one, for the largest); `differ` is how far apart the weights then are, over
how far they moved.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from torch import nn

from physworld.optim import Muon

RESULTS = Path(__file__).parent / "results" / "muon.json"
SIZES = {"gpt": (128, 4), "gpt_mini": (256, 6), "gpt_small": (384, 8)}  # width, depth


def matrices(width: int, depth: int) -> list[nn.Parameter]:
    drawn = torch.Generator().manual_seed(0)
    made = []
    for _ in range(depth):
        for shape in ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width)):
            weight = nn.Parameter(torch.randn(shape, generator=drawn))
            weight.grad = torch.randn(shape, generator=drawn)
            made.append(weight)
    return made


def measure(width: int, depth: int, rounds: int) -> dict[str, float]:
    start = matrices(width, depth)
    weights = {name: matrices(width, depth) for name in ("bfloat16", "float32")}
    optimizers = {name: Muon(ones, lr=0.02, weight_decay=0.01, momentum=0.95) for name, ones in weights.items()}
    took = dict.fromkeys(weights, float("inf"))
    for _ in range(rounds):
        for name, optimizer in optimizers.items():
            optimizer.param_groups[0]["precision"] = name
            begin = time.process_time()
            optimizer.step()
            took[name] = min(took[name], time.process_time() - begin)
    pairs = list(zip(weights["bfloat16"], weights["float32"], start, strict=True))
    with torch.no_grad():
        apart = sum(float((a - b).norm()) for a, b, _ in pairs) / sum(float((a - s).norm()) for a, _, s in pairs)
    return {**took, "ratio": took["bfloat16"] / took["float32"], "differ": apart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="two sizes only, and no file is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, object] = {"capability": torch.backends.cpu.get_cpu_capability(), "machine": platform.machine()}
    for name, (width, depth) in SIZES.items():
        if options.fast and name == "gpt_small":
            continue
        row = measure(width, depth, 1 if name == "gpt_small" else 3)
        found[name] = row
        print(
            f"{name}: {row['bfloat16']:.3f} s of CPU in bfloat16, {row['float32']:.3f} s in float32: "
            f"{row['ratio']:.1f} x; weights differ by {100 * row['differ']:.1f} % of their way",
            flush=True,
        )
    if not options.fast:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
