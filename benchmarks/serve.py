"""How fast is `physworld serve` with 1, 2, 4 and 8 clients at once, and are the answers those in process, to the token?

    python benchmarks/serve.py                    # the shipped run, 32 prompts
    python benchmarks/serve.py RUN --prompts 64 --clients 1 8 --tokens 200

The server runs in a process of its own (`physworld serve RUN --port 0`), the clients are threads of this one. Each
prompt is a scene of the validation split, answered in the run's own grammar; every answer is compared with that of the
network in this process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import torch

from physworld import scenarios
from physworld.seeding import generator
from physworld.serve.served import FrameRun, Grammar, load
from physworld.sim.pymunk_sim import simulate

RESULTS = Path(__file__).parent / "results" / "serve.json"


def prompts(codec: Any, count: int) -> list[np.ndarray]:
    """As many prompts that the codec writes, a frame's documents one by one."""
    found: list[np.ndarray] = []
    number, types = 0, scenarios.seen()
    while len(found) < count:
        scene = scenarios.build(types[number % len(types)], generator(0, "val", number), difficulty=1)
        given = simulate(scene, 30 + codec.context_frames).window(30, 30 + codec.context_frames)
        number += 1
        try:
            documents = codec.documents()
            found += [codec.prompt(given)] if documents is None else documents.prompts(given)
        except ValueError:  # more bodies than it has names for
            continue
    return found[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default="shipped")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tokens", type=int, default=200)
    options = parser.parse_args()
    served = load(options.run, None, torch.device("cpu"))
    assert isinstance(served, FrameRun), "only runs of text physics are measured"
    texts = [served.of_ids(ids).text for ids in prompts(served.codec, options.prompts)]
    alone = []
    for text in texts:
        prompt = served.prompt(text)
        guide = served.guide(prompt, Grammar(kind="own"))
        (ids,) = served.model.generate([prompt.ids], [options.tokens], served.end_id, guide)
        alone.append((served.text(prompt, ids, whole=True), len(ids)))
    command = [sys.executable, "-m", "physworld", "serve", options.run, "--port", "0", "--device", "cpu"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    rows = []
    try:
        url = server.stdout.readline().split(" at ")[1].strip()
        for clients in options.clients:
            rows.append(measure(url, options.run, texts, alone, clients, options.tokens))
            print(json.dumps(rows[-1]), flush=True)
    finally:
        server.terminate()
        server.wait()
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "torch": torch.__version__}
    RESULTS.write_text(json.dumps({"command": sys.argv[1:], "machine": machine, "rows": rows}, indent=1) + "\n")


def measure(
    url: str, name: str, texts: list[str], alone: list[tuple[str, int]], clients: int, tokens: int
) -> dict[str, Any]:
    with httpx2.Client(timeout=600) as http, ThreadPoolExecutor(clients) as pool:

        def ask(text: str) -> tuple[str, float]:
            begun = time.perf_counter()
            body = {
                "model": name, "prompt": text, "max_tokens": tokens, "temperature": 0,
                "response_format": {"type": "physworld"},
            }  # fmt: skip
            reply = http.post(f"{url}/completions", json=body)
            reply.raise_for_status()
            return reply.json()["choices"][0]["text"], time.perf_counter() - begun

        begun = time.perf_counter()
        told = list(pool.map(ask, texts))
        wall = time.perf_counter() - begun
    waits = [wait for _, wait in told]
    return {
        "clients": clients,
        "same as in process": sum(text == mine for (text, _), (mine, _) in zip(told, alone, strict=True)),
        "of": len(texts),
        "answers/s": round(len(texts) / wall, 2),
        "tokens/s": round(sum(count for _, count in alone) / wall, 1),
        "wait, s (median)": round(float(np.median(waits)), 3),
        "wait, s (95 %)": round(float(np.percentile(waits, 95)), 3),
    }


if __name__ == "__main__":
    main()
