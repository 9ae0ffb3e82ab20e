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
from physworld.seeding import generator
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.islands import IslandCodec
from physworld.types import Encoded, Sample, Scene, Trajectory

COMMAND = "python benchmarks/stream.py"
RESULTS = Path(__file__).parent / "results" / "stream.json"
BARE, BUILD, SIMULATE = "bare space.step", "Scene build", "Scene → Trajectory"
TOKENS = {  # label -> stage
    "impulse": "tokens, impulse",
    "impulse, frame by frame": "tokens, impulse frame by frame",
    "islands": "tokens, islands",
    "engine": "text, engine",
    "engine, frame by frame": "text, engine frame by frame",
    "card": "text, card",
}


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    """CPU time of this thread: what waits for other programs is not counted."""
    begin = time.thread_time()
    work(*arguments)
    return time.thread_time() - begin


def step_all(space: Any, dt: float, frames: int) -> None:
    for _ in range(frames - 1):
        space.step(dt)


def every_frame(codec: FrameCodec, run: Trajectory) -> list[Encoded]:
    """One training sample for every frame that has enough frames before it."""
    given, last = codec.context_frames, len(run) - codec.target_frames
    return [
        codec.encode(Sample(seed=t, given=run.window(t - given, t), target=run.window(t, t + codec.target_frames)))
        for t in range(given, last + 1)
    ]


def write_out(codec: FrameCodec, run: Trajectory) -> Any:
    """The ids of all frames. Islands are cut out of them when asked for, one document a frame, so all are asked for."""
    frames = codec.encode_frames(run)
    return list(frames) if isinstance(codec, IslandCodec) else frames


def stages(name: str, difficulty: int, number: int, frames: int, codecs: dict[str, Any]) -> dict[str, float]:
    """Seconds of every stage for one scene, and of whole paths in one go."""
    made: list[Any] = []

    def draw() -> Scene:
        return scenarios.build(name, generator(0, "test", number), difficulty)

    def path(codec: Any) -> None:
        write_out(codec, simulate(draw(), frames))

    took = {f"whole path, {label}": seconds(path, codec) for label, codec in codecs.items()}
    took[BUILD] = seconds(lambda: made.append(draw()))
    scene: Scene = made[0]
    space = build_space(scene)
    took[BARE] = seconds(step_all, space, scene.dt, frames)
    took[SIMULATE] = seconds(lambda: made.append(simulate(scene, frames)))
    run: Trajectory = made[1]
    for label, codec in codecs.items():
        took[TOKENS[label]] = seconds(write_out, codec, run)
        if f"{label}, frame by frame" in TOKENS:
            took[TOKENS[f"{label}, frame by frame"]] = seconds(every_frame, codec, run)
    return took


def measure(frames: int, repeats: int) -> dict[str, Any]:
    """Milliseconds per scene and ratios to bare stepping: means over types, and type by type."""
    codecs = {"impulse": ImpulseCodec(), "islands": IslandCodec(), "engine": EngineCodec(), "card": CardCodec()}
    cells = [(name, difficulty) for name in scenarios.names() for difficulty in scenarios.DIFFICULTIES]
    for name in scenarios.names():  # compile, fill caches
        stages(name, 1, 0, 8, codecs)
    took: dict[tuple[str, int], list[dict[str, float]]] = {cell: [] for cell in cells}
    gc.disable()
    try:
        for repeat in range(repeats):
            for number, (name, difficulty) in enumerate(track(cells, f"repeat {repeat + 1} of {repeats}")):
                took[name, difficulty].append(stages(name, difficulty, number, frames, codecs))
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
    return {stage: statistics.median(row[stage] for row in repeats) for stage in repeats[0]}


def _figures(row: dict[str, float]) -> dict[str, dict[str, float]]:
    """Stage -> milliseconds and ratio to bare stepping."""
    return {stage: {"ms": round(1000 * took, 3), "ratio": round(took / row[BARE], 3)} for stage, took in row.items()}


def tables(result: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """(title, rows with the head first)."""
    first = [BARE, BUILD, SIMULATE]
    rest = [stage for stage in result["mean"] if stage not in first]
    order = [*first, *sorted(rest, key=lambda stage: stage.startswith("whole path"))]
    mean = [[stage, f"{result['mean'][stage]['ms']:.2f}", f"{result['mean'][stage]['ratio']:.2f}"] for stage in order]
    types = []
    for name, row in result["types"].items():
        paths = (BUILD, SIMULATE, TOKENS["impulse"], "whole path, impulse", TOKENS["engine"], "whole path, engine")
        parts = [f"{row[stage]['ratio']:.2f}" for stage in paths]
        types.append([name, f"{row[BARE]['ms']:.2f}", *parts])
    return [
        (
            f"A scene of {result['frames']} frames, mean over scenario types and difficulties 1-5",
            [["stage", "ms per scene", "× bare stepping"], *mean],
        ),
        (
            "By type: ms of bare stepping; the stages of the impulse and engine paths and their sums, × bare stepping",
            [["type", "bare", "build", "simulate", "impulse", "whole path", "engine", "whole path"], *types],
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
    parser.add_argument("--fast", action="store_true", help="one round over all scenes, and write no file")
    options = parser.parse_args()
    repeats = 1 if options.fast else options.repeats
    result = {"frames": options.frames, "repeats": repeats, "machine": machine(), **measure(options.frames, repeats)}
    show(result, Console())
    if not options.fast:  # a rough result would take the place of a careful one
        write(result)


if __name__ == "__main__":
    main()
