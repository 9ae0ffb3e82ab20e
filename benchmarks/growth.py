"""How frames a second and memory grow: with bodies, scenes side by side, context, and model size.

    python benchmarks/growth.py          # some minutes of one core; --fast takes the smaller half and writes no file

simulate    scenes of 10 to 500 balls that fall on a floor: ms of CPU a frame
rollout     the shipped model on the same scenes: ms a frame
side by side  1 to 64 scenes of 10 balls, rolled out together: ms a frame of all
island      one row of touching balls, 4 to 64: they are one document, so its answer is as long as it is wide
context     one more frame of `card` text behind 500 to 8,000 tokens, read anew by a small Llama: ms
width       a training step of the default network, 64 to 512 wide, 32 windows: ms

Time is CPU time of one thread, the lowest of `--rounds`; memory is what the process's peak grew by since the smallest
size began (Linux). An exponent is the slope of log time over log size, fitted to the larger sizes, where fixed costs
weigh less: 1 is linear, 2 quadratic. `results/growth.png` draws all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from physworld.runs.checkpoints import load_model
from physworld.runs.directory import find_run
from physworld.sim.pymunk_sim import simulate
from physworld.text.rollout import rollout
from physworld.types import Body, Scene, Segment, Trajectory

RESULTS = Path(__file__).parent / "results" / "growth.json"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SIZES = {
    "simulate": [10, 20, 50, 100, 200, 500],
    "rollout": [10, 20, 50, 100, 200, 500],
    "side by side": [1, 2, 4, 8, 16, 32, 64],
    "island": [4, 8, 16, 32, 64],
    "context": [500, 1000, 2000, 4000, 8000],
    "width": [64, 128, 256, 512],
}
OF = {
    "simulate": "bodies", "rollout": "bodies", "side by side": "scenes", "island": "bodies that touch",
    "context": "tokens", "width": "width",
}  # fmt: skip


def balls(count: int, gap: float) -> Scene:
    """`count` balls over a floor, in rows of at most 50; `gap` px between two."""
    radius, wide = 8.0, min(count, 50)
    places = [(50 + (2 * radius + gap) * (k % wide), 20 + radius + 30 * (k // wide)) for k in range(count)]
    span = 100 + (2 * radius + gap) * wide
    return Scene(
        name="balls", gravity=(0.0, -981.0), canvas=(round(span), 600),
        bodies=tuple(Body.circle(radius, position=place) for place in places),
        static=(Segment(start=(0.0, 20.0), end=(span, 20.0)),),
    )  # fmt: skip


def peak(reset: bool = False) -> float:
    """MB of the largest resident memory since the last reset; NaN where the system does not tell."""
    if not STATUS.exists():
        return float("nan")
    if reset:
        CLEAR.write_text("5")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(work: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """(CPU seconds, MB of the largest resident memory). The first call, which fills caches, is not timed."""
    work()
    took = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        work()
        took = min(took, time.process_time() - begin)
    return took, peak()


def cases(network: Any, codec: Any) -> dict[str, Callable[[int], tuple[Callable[[], Any], int]]]:
    """Name -> size -> (what is timed, frames or steps in it)."""
    frames = 3

    def given(count: int, gap: float) -> Trajectory:
        return simulate(balls(count, gap), codec.context_frames)

    def rolled(scenes: int, count: int, gap: float) -> tuple[Callable[[], Any], int]:
        cases = [given(count, gap)] * scenes
        return lambda: rollout(network, codec, cases, frames), frames

    return {
        "simulate": lambda n: (lambda: simulate(balls(n, 14.0), 60), 60),
        "rollout": lambda n: rolled(1, n, 14.0),
        "side by side": lambda n: rolled(n, 10, 14.0),
        "island": lambda n: rolled(1, n, 0.0),
        "context": reading,
        "width": training,
    }


def reading(tokens: int) -> tuple[Callable[[], Any], int]:
    from rollout import network

    made = network("llama", 200, 256, 4)
    ids = torch.randint(0, 200, (1, tokens), generator=torch.Generator().manual_seed(0))

    def read() -> None:
        with torch.no_grad():
            made(ids, logits_to_keep=1)

    return read, 1


def training(width: int) -> tuple[Callable[[], Any], int]:
    from hydra import compose, initialize_config_dir
    from loader import CONF

    import physworld.settings.groups  # noqa: F401  registers the scenario group
    from physworld.run import build

    with initialize_config_dir(str(CONF), version_base="1.3"):
        some = ("hardware=cpu", "hardware.num_workers=0", "global_batch=32", f"model.network.width={width}")
        parts = build(compose("train", [*some, "scenario.names=[tower,billiards]"]))
    module, batch = parts.module.train(), next(iter(parts.data.train_dataloader()))

    def step() -> None:
        module.zero_grad()
        module._losses(batch)[0].mean().backward()

    return step, 1


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of log over log in the upper half of the sizes."""
    half = min(len(sizes) // 2, len(sizes) - 2)
    return float(np.polyfit(np.log(sizes[half:]), np.log(np.maximum(values[half:], 1e-9)), 1)[0])


def kind(power: float) -> str:
    return "quadratic or worse" if power > 1.75 else "more than linear" if power > 1.25 else "at most linear"


def draw(found: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(1, 2), (("ms", "CPU ms"), ("mb", "MB")), strict=True):
        for name, row in found.items():
            values = np.maximum(row[key], 1e-2)
            power = row["exponent" if key == "ms" else "memory_exponent"]
            axes.loglog(row["sizes"], values, "o-", label=f"{name}, {OF[name]}: size^{power:.2f}")
        axes.set_xlabel("size")
        axes.set_ylabel(label)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted(SIZES), default=sorted(SIZES))
    parser.add_argument("--fast", action="store_true", help="the smaller half of the sizes once, and write no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, codec, _ = load_model(find_run("shipped"), torch.device("cpu"))
    found: dict[str, Any] = {}
    for name, case in cases(network, codec).items():
        if name not in options.only:
            continue
        sizes = SIZES[name][: (len(SIZES[name]) + 1) // 2] if options.fast else SIZES[name]
        times, memory, before = [], [], peak(reset=True)  # what a size leaves behind serves the next, larger one
        for size in sizes:
            work, parts = case(size)
            took, more = measure(work, 1 if options.fast else options.rounds)
            times.append(1000 * took / parts)
            memory.append(more - before)
            print(f"{name}, {size} {OF[name]}: {times[-1]:.2f} ms, {memory[-1]:.0f} MB more", flush=True)
        power = exponent(sizes, times)
        found[name] = {
            "of": OF[name], "sizes": sizes, "ms": times, "mb": memory, "exponent": power,
            "memory_exponent": exponent(sizes, memory), "kind": kind(power),
        }  # fmt: skip
        print(f"{name}: time grows as {OF[name]}^{power:.2f}, {kind(power)}", flush=True)
    if not options.fast:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        draw(found, RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
