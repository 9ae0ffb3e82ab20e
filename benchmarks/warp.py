"""How fast clips are made: `python benchmarks/warp.py` (see README.md here), on a CPU and on an NVIDIA GPU.

On the CPU every figure is the best of several rounds in CPU time of the one thread that works, so that other programs
disturb little; `2 processes` is wall time of two of them side by side.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# This file's own folder comes first on the path, where its name would hide the library it measures.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

import numpy as np
import pymunk
from rich.console import Console

from physworld.seeding import generator
from physworld.video.scenes import look, shot, stack, stack_looks
from physworld.video.warp.render import draw
from physworld.video.warp.simulation import roll
from physworld.video.warp.worlds import GRAVITY, Worlds, drop

ENVIRONMENTS, FRAMES, FPS = 4096, 120, 60
RESULTS = Path(__file__).parent / "results" / "warp.md"
TARGETS = {"env-steps/s": 10e6, "frames/s": 5000}


def best(work: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.thread_time) -> float:
    """Seconds of the fastest round; one before them warms up."""
    work()
    found = []
    for _ in range(rounds):
        begin = clock()
        work()
        found.append(clock() - begin)
    return min(found)


def drops(count: int) -> Worlds:
    rng = generator(0, "test")
    return drop(rng.uniform(2, 5, count), rng.uniform(0.3, 0.85, count))


def numpy_loop(worlds: Worlds) -> None:
    """Semi-implicit Euler over all environments at once, one NumPy call per operation and step."""
    y, v = worlds.position[:, 0, 1].copy(), np.zeros(len(worlds))
    e, r, dt = worlds.restitution[:, 0], worlds.size[:, 0, 0], 1 / FPS
    for _ in range(FRAMES):
        v -= GRAVITY * dt
        y += v * dt
        hit = y < r
        y[hit] = r[hit]
        v[hit] *= -e[hit]


def pymunk_loop(count: int) -> None:
    """One Chipmunk space per environment."""
    worlds = drops(count)
    for k in range(count):
        space = pymunk.Space()
        space.gravity = (0, -GRAVITY)
        body = pymunk.Body(1, 1)
        body.position = (0, float(worlds.position[k, 0, 1]))
        shape = pymunk.Circle(body, 0.35)
        floor = pymunk.Segment(space.static_body, (-5, 0), (5, 0), 0)
        shape.elasticity, floor.elasticity = float(worlds.restitution[k, 0]), 1.0
        space.add(body, shape, floor)
        for _ in range(FRAMES):
            space.step(1 / FPS)


def pictures(device: str, clips: int, samples: int) -> tuple[Callable[[], Any], int]:
    """(draw 17-frame clips of 64 × 64, frames per call)."""
    worlds = drops(clips)
    out = roll(worlds, 17, 10, device=device)
    looks = stack_looks([look(generator(0, "test", k), 1, variation=1.0, view=7.8) for k in range(clips)], 1)

    def work() -> None:
        draw(
            looks, shape=worlds.shape, body_size=worlds.size, position=out.position, angle=out.angle,
            planes=worlds.planes, size=(64, 64), samples=samples, device=device,
        )  # fmt: skip

    return work, clips * 17


def _side_by_side(kind: str, barrier: Any, results: Any) -> None:
    if kind == "simulate":
        worlds = drops(ENVIRONMENTS)
        work, amount = (lambda: roll(worlds, FRAMES + 1, FPS)), ENVIRONMENTS * FRAMES
    else:
        work, amount = pictures("cpu", 64, 1)
    work()
    barrier.wait()
    begin = time.perf_counter()
    for _ in range(5):
        work()
    results.put(5 * amount / (time.perf_counter() - begin))


def two_processes(kind: str) -> float:
    """Sum of the rates of two processes that run at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    both = [context.Process(target=_side_by_side, args=(kind, barrier, results)) for _ in range(2)]
    for process in both:
        process.start()
    rates = [results.get() for _ in both]
    for process in both:
        process.join()
    return sum(rates)


def on_cpu(rounds: int) -> list[tuple[str, str, float]]:
    worlds, steps = drops(ENVIRONMENTS), ENVIRONMENTS * FRAMES
    rows = [("simulate one ball", "Warp", steps / best(lambda: roll(worlds, FRAMES + 1, FPS), rounds))]
    rows.append(("simulate one ball", "Warp, 2 processes", two_processes("simulate")))
    rows.append(("simulate one ball", "NumPy loop", steps / best(lambda: numpy_loop(worlds), rounds)))
    rows.append(("simulate one ball", "Pymunk", 256 * FRAMES / best(lambda: pymunk_loop(256), rounds)))
    for name in ("multi_ball", "box_tumble"):
        some = stack([shot(name, generator(0, "test", k)).world for k in range(64)])
        rate = 64 * FRAMES / best(lambda some=some: roll(some, FRAMES + 1, FPS), rounds)  # type: ignore[misc]
        rows.append((f"simulate {name}, 16 steps a frame", "Warp", rate))
    for samples in (1, 2, 3):
        work, frames = pictures("cpu", 64, samples)
        rows.append((f"draw 64 × 64, {samples * samples} ray(s) a pixel", "Warp", frames / best(work, rounds)))
    rows.append(("draw 64 × 64, 1 ray(s) a pixel", "Warp, 2 processes", two_processes("draw")))
    return rows


def on_gpu(rounds: int) -> list[tuple[str, str, float]]:
    """The same on CUDA."""
    clock = time.perf_counter
    worlds = drops(ENVIRONMENTS)
    rate = ENVIRONMENTS * FRAMES / best(lambda: roll(worlds, FRAMES + 1, FPS, device="cuda"), rounds, clock)
    rows = [("simulate one ball", "Warp, GPU", rate)]
    work, frames = pictures("cuda", 64, 1)
    rows.append(("draw 64 × 64, 1 ray(s) a pixel", "Warp, GPU", frames / best(work, rounds, clock)))
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    rounds = arguments.parse_args().rounds
    import torch

    rows = on_cpu(rounds) + (on_gpu(rounds) if torch.cuda.is_available() else [])
    lines = ["| what | with | rate |", "| :-- | :-- | --: |"]
    lines += [f"| {what} | {by} | {rate:,.{0 if rate > 100 else 2}f} |" for what, by, rate in rows]
    where = (
        f"{platform.processor() or platform.machine()}, warp-lang {version('warp-lang')}, pymunk {version('pymunk')}"
    )
    text = [
        "# Warp, last run", "", "`python benchmarks/warp.py`", "", *lines, "",
        "Rates are env-steps/s (a step is one frame of 1/60 s) and frames/s unless the second column says otherwise. "
        f"{ENVIRONMENTS} environments × {FRAMES} steps; {where}.", "",
    ]  # fmt: skip
    RESULTS.write_text("\n".join(text), encoding="utf-8")
    RESULTS.with_suffix(".json").write_text(json.dumps([list(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    Console().print("\n".join(lines), highlight=False)


if __name__ == "__main__":
    main()
