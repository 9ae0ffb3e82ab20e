"""What a training stream costs beside bare `space.step`: `python benchmarks/stream.py` (see README.md here).

Every stage is timed on every scene, one after the other within a repeat, so that whatever else the machine does falls
on all stages alike. A figure is the median over repeats, then the mean over a type's scenes, then over types.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from physworld import scenarios
from physworld.codecs.card import CardCodec
from physworld.codecs.engine import EngineCodec
from physworld.codecs.impulse import ImpulseCodec
from physworld.seeding import generator
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.types import Codec, Encoded, Sample, Scene, Trajectory

COMMAND = "python benchmarks/stream.py"
RESULTS = Path(__file__).parent / "results" / "stream.json"
BARE, BUILD, SIMULATE = "bare space.step", "Scene build", "Scene → Trajectory"
TOKENS = {  # label -> stage
    "impulse": "tokens, impulse",
    "impulse, frame by frame": "tokens, impulse frame by frame",
    "engine": "tokens, engine",
    "card": "tokens, card",
}


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    """CPU time of this thread: what waits for other programs is not counted."""
    begin = time.thread_time()
    work(*arguments)
    return time.thread_time() - begin


def step_all(space: Any, dt: float, frames: int) -> None:
    for _ in range(frames - 1):
        space.step(dt)


def every_frame(codec: Codec, run: Trajectory) -> list[Encoded]:
    """One training sample for every frame that has enough frames before it."""
    given, last = codec.context_frames, len(run) - codec.target_frames
    return [
        codec.encode(Sample(seed=t, given=run.window(t - given, t), target=run.window(t, t + codec.target_frames)))
        for t in range(given, last + 1)
    ]


def stages(name: str, difficulty: int, number: int, frames: int, codecs: dict[str, Any]) -> dict[str, float]:
    """Seconds of every stage for one scene."""
    made: list[Any] = []

    def build() -> None:
        made.append(scenarios.build(name, generator(0, "test", number), difficulty))

    took = {BUILD: seconds(build)}
    scene: Scene = made[0]
    space = build_space(scene)
    took[BARE] = seconds(step_all, space, scene.dt, frames)
    took[SIMULATE] = seconds(lambda: made.append(simulate(scene, frames)))
    run: Trajectory = made[1]
    took[TOKENS["impulse"]] = seconds(lambda: codecs["impulse"].encode_frames(run))
    took[TOKENS["impulse, frame by frame"]] = seconds(every_frame, codecs["impulse"], run)
    for label in ("engine", "card"):
        if label in codecs:
            took[TOKENS[label]] = seconds(every_frame, codecs[label], run)
    return took


def measure(frames: int, repeats: int, slow: bool) -> dict[str, Any]:
    """Milliseconds per scene and ratios to bare stepping: means over types, and type by type."""
    codecs: dict[str, Any] = {"impulse": ImpulseCodec()}
    text = {"engine": EngineCodec(), "card": CardCodec()} if slow else {}
    cells = [(name, difficulty) for name in scenarios.names() for difficulty in scenarios.DIFFICULTIES]
    for name in scenarios.names():  # compile, fill caches
        stages(name, 1, 0, 4, codecs | text)
    took: dict[tuple[str, int], list[dict[str, float]]] = {cell: [] for cell in cells}
    gc.disable()
    try:
        for repeat in range(repeats):
            for number, (name, difficulty) in enumerate(track(cells, f"repeat {repeat + 1} of {repeats}")):
                # The text formats cost a hundred times the rest; once is enough to see that.
                some = codecs | text if repeat == 0 else codecs
                took[name, difficulty].append(stages(name, difficulty, number, frames, some))
            gc.collect()
    finally:
        gc.enable()
    by_type = {}
    for name in scenarios.names():
        rows = [_medians(took[name, difficulty]) for difficulty in scenarios.DIFFICULTIES]
        by_type[name] = {stage: statistics.fmean(row[stage] for row in rows) for stage in rows[0]}
    mean = {stage: statistics.fmean(row[stage] for row in by_type.values()) for stage in by_type["tower"]}
    return {"mean": _figures(mean), "types": {name: _figures(row) for name, row in by_type.items()}}


def _medians(repeats: list[dict[str, float]]) -> dict[str, float]:
    return {stage: statistics.median(row[stage] for row in repeats if stage in row) for stage in repeats[0]}


def _figures(row: dict[str, float]) -> dict[str, dict[str, float]]:
    """Stage -> milliseconds and ratio to bare stepping; then the same for whole paths."""
    whole = {
        f"whole path, {label}": row[BUILD] + row[SIMULATE] + row[stage]
        for label, stage in TOKENS.items()
        if stage in row
    }
    return {
        stage: {"ms": round(1000 * took, 3), "ratio": round(took / row[BARE], 3)}
        for stage, took in (row | whole).items()
    }


def tables(result: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """(title, rows with the head first)."""
    first = [BARE, BUILD, SIMULATE]
    order = [*first, *(stage for stage in result["mean"] if stage not in first)]
    mean = [[stage, f"{result['mean'][stage]['ms']:.2f}", f"{result['mean'][stage]['ratio']:.2f}"] for stage in order]
    types = []
    for name, row in result["types"].items():
        parts = [f"{row[stage]['ratio']:.2f}" for stage in (BUILD, SIMULATE, TOKENS["impulse"], "whole path, impulse")]
        types.append([name, f"{row[BARE]['ms']:.2f}", *parts])
    return [
        (
            f"A scene of {result['frames']} frames, mean over scenario types and difficulties 1-5",
            [["stage", "ms per scene", "× bare stepping"], *mean],
        ),
        (
            "By type: ms of bare stepping; the stages of the impulse path and their sum, × bare stepping",
            [["type", "bare", "build", "simulate", "tokens", "whole path"], *types],
        ),
    ]


def show(result: dict[str, Any], console: Console) -> None:
    for title, (head, *rows) in tables(result):
        table = Table(title=title, title_justify="left")
        for k, column in enumerate(head):
            table.add_column(column, justify="right" if k else "left")
        for row in rows:
            table.add_row(*row, style="bold" if row[0].startswith("whole") else "")
        console.print(table)


def write(result: dict[str, Any]) -> None:
    """The numbers, and the tables for people."""
    lines = [
        "# Stream benchmark",
        "",
        f"Written by `{COMMAND}`: {', '.join(map(' '.join, result['machine'].items()))}.",
    ]
    for title, (head, *rows) in tables(result):
        cells = [head, [":--"] + ["--:"] * (len(head) - 1), *rows]
        lines += ["", f"{title}:", "", *("| " + " | ".join(row) + " |" for row in cells)]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def machine() -> dict[str, str]:
    libraries = ("pymunk", "numba", "numpy", "transformers")
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200, help="frames per scene (default 200)")
    parser.add_argument("--repeats", type=int, default=7, help="times every scene is measured (default 7)")
    parser.add_argument("--fast", action="store_true", help="impulse only, and write no file")
    options = parser.parse_args()
    result = {
        "frames": options.frames,
        "repeats": options.repeats,
        "machine": machine(),
        **measure(options.frames, options.repeats, not options.fast),
    }
    show(result, Console())
    if not options.fast:  # a result without every row would take the place of one with them
        write(result)


if __name__ == "__main__":
    main()
