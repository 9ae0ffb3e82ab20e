"""How fast is the page without a server? `python benchmarks/page.py`

Exports the page, serves it as `python -m http.server` does, and opens it in a headless Chromium with an empty cache:

* download: bytes fetched until the first scene runs with its model, and of the whole folder;
* first paint, first scene, model ready: ms from the start of navigation;
* frames/s: scenes of about ten bodies, played as fast as the worker can (speed 4, which it cannot
  reach), from frame 0 on.

Wall clock throughout, as a person has it: run it on a quiet machine, and see `load` in the results. Beside it stands
CPU time, which other programs disturb less: of a frame in node (page.mjs), and of a frame in all of Chromium's
processes, drawing included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from physworld import scenarios
from physworld.play.export import export
from physworld.seeding import generator
from physworld.text.codecs.scene_json import scene_to_dict

RESULTS = Path(__file__).parent / "results" / "page.json"
BODIES = range(9, 12)
FRAMES = 120  # of each scene: two seconds of the world
INDICES = 40  # scenes of each type that are looked through for such a number of bodies


def ten_bodies() -> list[dict[str, Any]]:
    """One scene of each type that has one with about ten bodies, of the validation seeds."""
    found = []
    for name in scenarios.names():
        for k in range(INDICES):
            scene = scenarios.build(name, generator(0, "val", k), 1 + k % 5)
            if len(scene.bodies) in BODIES:
                found.append(scene_to_dict(scene))
                break
    return found


def in_node(site: Path, scenes: list[dict[str, Any]]) -> list[float]:
    """CPU ms of a frame of each scene."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(site / "web", Path(folder) / "web")
        (Path(folder) / "package.json").write_text('{"type": "module"}')
        (Path(folder) / "scenes.json").write_text(json.dumps(scenes))
        script = Path(__file__).with_name("page.mjs")
        command = ["node", str(script), folder, f"{folder}/scenes.json", str(FRAMES)]
        return list(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def in_browser(site: Path, scenes: list[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Times of loading, and frames/s of each scene."""
    fetched: list[int] = []

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(site))

        def copyfile(self, source: Any, outputfile: Any) -> None:
            data = source.read()
            fetched.append(len(data))
            outputfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    loads, speeds, spent = [], [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server, sync_playwright() as tools:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        browser = tools.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )

        def until(page: Any, condition: str) -> None:
            deadline = time.monotonic() + 120
            while not page.evaluate(condition):
                if time.monotonic() > deadline:
                    raise TimeoutError(condition)
                page.wait_for_timeout(4)

        for _ in range(rounds):
            fetched.clear()
            page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
            page.goto(address)
            until(page, "!!window.physworld && physworld.frames.length > 0")
            scene = page.evaluate("performance.now()")
            until(page, "!!physworld.frames[0].guess")
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            loads.append({"paint": paint, "scene": scene, "model": page.evaluate("performance.now()")})
            start = sum(fetched)
        processes = browser.new_browser_cdp_session()

        def cpu() -> dict[str, float]:
            """Seconds by kind of process."""
            found: dict[str, float] = {}
            for one in processes.send("SystemInfo.getProcessInfo")["processInfo"]:
                found[one["type"]] = found.get(one["type"], 0.0) + one["cpuTime"]
            return found

        for scene in scenes:
            page.evaluate("window.before = physworld.frames[0]")
            page.evaluate("(scene) => physworld.line.send({ do: 'begin', scene, model: 'shipped' })", scene)
            until(page, "!!physworld.frames[0]?.guess && physworld.frames[0] !== before")
            page.evaluate("physworld.line.send({ do: 'speed', value: 4 })")
            before = cpu()
            page.evaluate("window.began = performance.now(); physworld.line.send({ do: 'play' })")
            until(page, f"physworld.frames.length > {FRAMES}")
            page.evaluate("physworld.line.send({ do: 'pause' })")
            count, took = page.evaluate("[physworld.frames.length, performance.now() - began]")
            speeds.append(1000 * count / took)
            spent.append({kind: 1000 * (s - before.get(kind, 0.0)) / count for kind, s in cpu().items()})
        browser.close()
        server.shutdown()
    return {"loads": loads, "bytes_at_start": start, "frames_per_second": speeds, "cpu_ms_of_a_frame": spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="times that the page is loaded")
    parser.add_argument("--keep", action="store_true", help="write results/page.json anew")
    parser.add_argument("--scenes", type=int, metavar="N", help="the first N alone")
    parser.add_argument("--node", action="store_true", help="only the CPU time of frames, without a browser")
    options = parser.parse_args()
    scenes = ten_bodies()[: options.scenes]
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        files = export(site)
        spent = in_node(site, scenes)
        seen = None if options.node else in_browser(site, scenes, options.rounds)
    names = [scene["name"] for scene in scenes]
    result: dict[str, Any] = {
        "platform": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "scenes": [{"type": s["name"], "bodies": len(s["bodies"]), "difficulty": s["difficulty"]} for s in scenes],
        "cpu_ms_of_a_frame": dict(zip(names, spent, strict=True)),
        "bytes_of_the_folder": sum(size for _, size in files),
        "browser": seen,
    }
    rates, load = 1000 / np.array(spent), result["load"]
    lowest = f"lowest {rates.min():.0f} ({names[int(rates.argmin())]})"
    print(f"{len(scenes)} scenes of {BODIES.start} to {BODIES.stop - 1} bodies, {FRAMES} frames each; load {load:.1f}")
    print(f"node, CPU time: median scene {np.median(rates):.0f}/s, {lowest}, {np.mean(rates >= 60):.0%} at 60 or more")
    print(f"whole folder {result['bytes_of_the_folder'] / 1e6:.1f} MB")
    if seen is not None:
        wall = np.array(seen["frames_per_second"])
        fast = f"{np.mean(wall >= 60):.0%} at 60 or more"
        print(f"browser, wall clock: median scene {np.median(wall):.0f} frames/s, lowest {wall.min():.0f}, {fast}")
        kinds = sorted({kind for one in seen["cpu_ms_of_a_frame"] for kind in one})
        cost = {k: np.median([one.get(k, 0.0) for one in seen["cpu_ms_of_a_frame"]]) for k in kinds}
        print(f"browser, CPU ms of a frame: {', '.join(f'{k} {v:.1f}' for k, v in cost.items())}")
        for key in ("paint", "scene", "model"):
            print(f"{key}: median {np.median([load[key] for load in seen['loads']]):.0f} ms")
        print(f"fetched until the model runs: {seen['bytes_at_start'] / 1e6:.1f} MB")
        if options.keep:
            RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
