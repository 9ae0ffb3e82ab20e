"""Rules and clarity of raw answers before and after GRPO with a clarity reward, and DPO from listeners' answers.

python experiments/025_preferences/study.py RUN OUT [PAYLOADS [GRPO_STEPS [DPO_STEPS]]]

Nobody listens here: the answers that DPO reads are made by the clarity figure, which chooses between two scenes that
both keep their rules, the engineer's and one whose free objects stand in an even ring. What of OUT is there already is
not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from physworld.metrics.bootstrap import bootstrap_mean  # noqa: E402
from physworld.runs.checkpoints import load_model  # noqa: E402
from physworld.spatial.evaluation import SpatialEvaluation  # noqa: E402
from physworld.spatial.reward import listened  # noqa: E402
from physworld.spatial.scene.documents import SpatialScene  # noqa: E402
from physworld.spatial.scene.reading import as_dict, scene_from  # noqa: E402
from physworld.spatial.scene.repair import repair  # noqa: E402
from physworld.spatial.scene.rules import check  # noqa: E402
from physworld.spatial.scene.terms import snap  # noqa: E402
from physworld.spatial.sound.listening import ANSWERS, KEY  # noqa: E402
from physworld.spatial.sound.made import made_powers  # noqa: E402
from physworld.spatial.sources.drawn import SpatialSource  # noqa: E402
from physworld.types import Sample  # noqa: E402

AXES = ("seen", "people")
SONGS = 100  # in the test that DPO learns from


def samples(axis: str, split: str, count: int) -> list[Sample]:
    source = SpatialSource(seed=0, split=split, axis=axis)
    return [source.sample(k) for k in range(count)]


def spread(sample: Sample) -> SpatialScene:
    """The engineer's scene with its objects in an even ring, brought back to its rules."""
    things = sample.target.objects
    ring = [
        thing.model_copy(update={"az_deg": snap("az_deg", 360 * k / len(things) - 180), "motion": []})
        for k, thing in enumerate(things)
    ]
    return repair(sample.target.model_copy(update={"objects": ring}), sample.given.payload).scene


def listening_test(folder: Path) -> list[str]:
    """key.json and answers.json as `physworld listen` and its page leave them; words of a command that reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    trials, answers, clearer = list[dict[str, Any]](), list[dict[str, Any]](), 0
    for n, sample in enumerate(samples("seen", "train", 3 * SONGS)):
        if len(trials) == SONGS:
            break
        other = spread(sample)
        if other == sample.target or check(other, sample.given.payload).violations:
            continue
        powers = made_powers(sample.given.payload)
        heard = [listened(scene, sample.given, powers) for scene in (sample.target, other)]
        sounds = {f"{n}a": "engineer", f"{n}b": "ring"}
        scenes = {"engineer": [as_dict(sample.target)], "ring": [as_dict(other)]}
        trials.append(
            {"trial": f"t{n}", "name": f"song{n}", "sounds": sounds, "payloads": [as_dict(sample.given.payload)],
             "scenes": scenes}
        )  # fmt: skip
        clearer += heard[1] > heard[0]
        answers.append({"trial": f"t{n}", "offered": list(sounds), "chosen": f"{n}{'ab'[heard[1] > heard[0]]}"})
    print(f"{len(trials)} pairs that keep their rules; the ring is the clearer one in {clearer}", flush=True)
    key = {"format": KEY, "test": "clarity", "sets": ["engineer", "ring"], "trials": trials}
    said = {"format": ANSWERS, "test": "clarity", "listener": "the clarity figure", "answers": answers}
    for name, data in (("key", key), ("answers", said)):
        (folder / f"{name}.json").write_text(json.dumps(data) + "\n", encoding="utf-8")
    return ["data=listened", f"data.key={folder / 'key.json'}", f"data.answers=[{folder / 'answers.json'}]"]


def train(out: Path, words: Sequence[str]) -> None:
    if (out / "model").is_dir():
        return
    last = ["ckpt=last"] if (out / "checkpoints" / "last.ckpt").is_file() else []
    command = [sys.executable, str(ROOT / "train.py"), *words, *last, f"hydra.run.dir={out}", "hardware=cpu",
               "hardware.num_workers=0", "evaluation=spatial_quick", "checkpoint_every=10"]  # fmt: skip
    subprocess.run(command, check=True)


def row(name: str, run: Path, cases: dict[str, list[Sample]], powers: dict[str, list[dict[str, np.ndarray]]]) -> None:
    network, codec, _ = load_model(run, torch.device("cpu"))
    judge = SpatialEvaluation(
        samples=1, samples_per_axis=1, val_samples=1, modes=["raw"], axes=["seen"], batch_size=64, random_weights=False,
        neighbours=0, repeated=0, pictures=0,
    )  # fmt: skip
    for axis, drawn in cases.items():
        said = judge.answer(network, codec, [sample.given for sample in drawn], "raw").scenes
        rules, heard, reward = [], [], []
        for data, sample, sound in zip(said, drawn, powers[axis], strict=True):
            report = None if data is None else check(data, sample.given.payload, sample.given)
            whole = report is not None and report.obeys and not report.missing
            rules.append(float(whole))
            clear = listened(scene_from(data), sample.given, sound) if whole else 0.0
            reward.append(clear)
            heard += [clear] if whole else []
        print(f"| {name} | {axis} | {shown(rules)} | {shown(heard) if heard else '-'} | {shown(reward)} |", flush=True)


def shown(values: list[float]) -> str:
    found = bootstrap_mean([100 * value for value in values])
    return f"{found.mean:.1f} ({found.low:.1f}-{found.high:.1f})"


def main(run: Path, out: Path, count: int, grpo: int, dpo: int) -> None:
    cases = {axis: samples(axis, "val", count) for axis in AXES}
    powers = {axis: [made_powers(sample.given.payload) for sample in drawn] for axis, drawn in cases.items()}
    start = [f"init_from={run}", "data.source.axis=mixed"]
    train(out / "grpo", ["model=tiny_gravity_grpo", *start, "reward.clarity=0.5", f"steps={grpo}",
                         f"validate_every={grpo}"])  # fmt: skip
    pairs = listening_test(out / "test")
    train(out / "dpo", ["model=tiny_gravity_dpo", f"init_from={run}", *pairs, "global_batch=16", f"steps={dpo}",
                        f"validate_every={dpo}"])  # fmt: skip
    print(f"| validation payloads, n = {count} | axis | keeps everything, % | heard, % of those | heard, % of all |")
    print("| :-- | :-- | --: | --: | --: |")
    for name, place in (("before", run), ("GRPO, half clarity", out / "grpo"), ("DPO", out / "dpo")):
        row(name, place, cases, powers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("count", metavar="payloads", type=int, nargs="?", default=128)
    parser.add_argument("grpo", metavar="grpo_steps", type=int, nargs="?", default=30)
    parser.add_argument("dpo", metavar="dpo_steps", type=int, nargs="?", default=40)
    main(**vars(parser.parse_args()))
