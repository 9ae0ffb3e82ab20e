"""What a scene, a token and a rollout cost on one core, for docs/scale.md: `python benchmarks/scale.py`.

About a minute; writes results/scale.json. Every scenario type, difficulties 1, 3 and 5, 200 frames, seeds of the test
split. Time is CPU time of the one thread. Sizes are of the files that simulate.py writes.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402

from physworld import scenarios  # noqa: E402
from physworld.runs.checkpoints import load_model  # noqa: E402
from physworld.runs.directory import SHIPPED  # noqa: E402
from physworld.seeding import generator  # noqa: E402
from physworld.sim.pymunk_sim import simulate  # noqa: E402
from physworld.text.codecs.engine import EngineCodec  # noqa: E402
from physworld.text.codecs.impulse import ImpulseCodec  # noqa: E402
from physworld.text.codecs.scene_json import write_jsonl  # noqa: E402
from physworld.text.codecs.scene_parquet import write_parquet  # noqa: E402
from physworld.text.evaluation.evaluation import Evaluation  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "scale.json"
FRAMES = 200
SUFFIXES = ("jsonl", "jsonl.zst", "parquet")


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    begin = time.thread_time()
    result = work(*arguments)
    return time.thread_time() - begin, result


def main() -> None:
    torch.set_num_threads(1)
    codecs = {"impulse": ImpulseCodec(), "engine": EngineCodec()}
    seconds: dict[str, list[float]] = {"simulate": [], **{f"encode {name}": [] for name in codecs}}
    seconds |= {f"write {suffix}": [] for suffix in SUFFIXES}
    tokens: dict[str, list[int]] = {name: [] for name in codecs}
    sizes: dict[str, list[float]] = {suffix: [] for suffix in SUFFIXES}
    runs = []
    for warm in (True, False):
        for name in scenarios.names()[:2] if warm else scenarios.names():
            for difficulty in (1, 3, 5):
                scene = scenarios.build(name, generator(0, "test", difficulty), difficulty)
                spent, run = timed(simulate, scene, FRAMES)
                if warm:  # compiles
                    for codec in codecs.values():
                        codec.encode_frames(run)
                    continue
                seconds["simulate"].append(spent)
                for key, codec in codecs.items():
                    if codec.unwritable(scene):
                        continue
                    spent, items = timed(codec.encode_frames, run)
                    seconds[f"encode {key}"].append(spent)
                    tokens[key].append(sum(len(item.input_ids) for item in items))
                runs.append(run)
    with tempfile.TemporaryDirectory() as folder:
        for suffix, found in sizes.items():
            for part in [runs] if suffix == "parquet" else [[run] for run in runs]:  # a table holds many scenes
                path = Path(folder) / f"scene.{suffix}"
                spent, _ = (
                    timed(write_parquet, path, part) if suffix == "parquet" else timed(write_jsonl, path, part[0])
                )
                seconds[f"write {suffix}"].append(spent / len(part))
                found.append(path.stat().st_size / len(part))
    network, codec, _ = load_model(SHIPPED, torch.device("cpu"))
    settings = yaml.safe_load((ROOT / "conf" / "evaluation" / "standard.yaml").read_text())
    evaluation = Evaluation(**{key: value for key, value in settings.items() if not key.startswith("_")})
    cases = evaluation.sample_cases(
        codec, ["billiards", "pendulum", "tower"], [1], split="test", seed=0, per_scenario=2, trained_on=[]
    )
    spent, _ = timed(evaluation.roll_out, network, codec, cases)
    told = {
        "frames": FRAMES,
        "scenes": len(seconds["simulate"]),
        "seconds": {name: statistics.mean(values) for name, values in seconds.items()},
        "tokens": {name: statistics.mean(values) for name, values in tokens.items()},
        "bytes": {name: statistics.mean(values) for name, values in sizes.items()},
        "rollout": {"rollouts": len(cases.given), "frames": 30, "seconds": spent / len(cases.given)},
        "machine": {"processor": platform.processor(), "python": platform.python_version(), "torch": torch.__version__},
    }
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
