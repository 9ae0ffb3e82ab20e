"""Files of a release, kept so that later code still reads them: `python tests/data/make_release.py`, once a release.

Writes tests/data/VERSION.tar.xz: run/ (what a trained GPT leaves behind, checkpoint included), lora/ (adapter, base and
merged weights), data/ (shards of JSONL and Parquet), and expected.json: what this code makes of them.
tests/test_releases.py reads each. An archive that is there is not written over: it is what that release wrote.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import torch  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

import physworld  # noqa: E402
from physworld.lm.packed_lm import PackedLM  # noqa: E402
from physworld.lm.weights import BASE_NOTE, load_network, load_tokenizer  # noqa: E402
from physworld.run import build  # noqa: E402
from physworld.runs.checkpoints import load_model, read_checkpoint, save_model  # noqa: E402
from physworld.text.codecs.engine import EngineCodec  # noqa: E402
from physworld.text.shards import Dataset, Recipe  # noqa: E402
from physworld.text.sources.files import read_scene, scenes_below  # noqa: E402
from physworld.training.fit import fit  # noqa: E402

from repository import composed  # noqa: E402
from tiny_gpt import batch_of, prompts  # noqa: E402
from tiny_lms import examples, save_base  # noqa: E402

TINY = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation.rollouts=1", "evaluation.val_rollouts=1", "global_batch=4"),
    *("evaluation.frames=2", "evaluation.horizons=[1]", "evaluation.pictures=0", "scenario.names=[projectile]"),
    *("data.stream.val_samples=4", "model.network.width=16", "model.network.depth=1", "model.network.heads=2"),
    *("data.source.frames=12", "steps=2", "validate_every=2", "checkpoint_every=2", "logger=none"),
)
LEFT_OUT = (BASE_NOTE, "adapter/README.md", ".lock")  # they name a folder of this machine, or are empty
KEPT = ("config.yaml", "versions.json", "model", "checkpoints/last.ckpt")


def make(folder: Path) -> None:
    """run/, lora/ and data/ below a folder."""
    cfg = composed("train", *TINY)
    parts, resolved = build(cfg), OmegaConf.to_container(cfg, resolve=True)
    fit(cfg, resolved, parts, folder / "run", None, 0)  # type: ignore[arg-type]
    save_model(parts.module.eval_network(), parts.codec, folder / "run")  # type: ignore[attr-defined]
    base = save_base(folder / "weights", "llama", num_hidden_layers=1)
    codec = EngineCodec(tokenizer=load_tokenizer(str(base)))
    torch.manual_seed(0)
    lora = PackedLM.for_vocabulary(codec.vocabulary, weights=str(base), tuning="lora", rank=2, alpha=4)
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    (folder / "lora").mkdir()
    lora.eval().save_run(folder / "lora", codec.tokenizer, codec.end_id)
    recipe = Recipe(names=("billiards", "pendulum"), difficulties=(1,), frames=8, split="train", seed=0)
    for suffix in ("jsonl", "parquet"):
        data = Dataset(recipe=recipe, directory=folder / "data" / suffix, count=4, shards=2, suffix=suffix)
        data.write(say=lambda line: None)


@torch.no_grad()
def made_of(folder: Path) -> dict[str, Any]:
    """What the running code makes of the files below a folder: losses, answers, scenes."""
    found: dict[str, Any] = {}
    network, codec, _ = load_model(folder / "run", torch.device("cpu"))
    batch = batch_of(codec)
    logits, target, _ = network.scored(batch.input_ids, batch.labels)
    found["loss"] = float(network.losses(logits, target).mean())
    answers = network.generate(prompts()[1], [12] * 5, codec.end_id)
    found["answers"] = [[int(token) for token in answer] for answer in answers]
    saved = read_checkpoint(folder / "run" / "checkpoints" / "last.ckpt")
    found["step"] = int(saved["global_step"])
    network.load_state_dict(
        {name.removeprefix("network."): v for name, v in saved["state_dict"].items() if name.startswith("network.")}
    )
    logits, target, _ = network.scored(batch.input_ids, batch.labels)
    found["loss of the checkpoint"] = float(network.losses(logits, target).mean())
    ids, _ = examples([9, 12])
    for place in ("model", "adapter"):
        lm = load_network(str(folder / "lora" / place), str(folder / "weights"))
        found[f"lora {place}"] = float(lm(ids).logits.double().square().mean())
    for suffix in ("jsonl", "parquet"):
        runs = [read_scene(scene) for scene, _ in sorted(scenes_below(folder / "data" / suffix), key=str)]
        found[suffix] = [[run.scene.name, *run.position[-1].ravel().tolist()] for run in runs]
    return found


def main() -> None:
    target = Path(__file__).parent / f"{physworld.__version__}.tar.xz"
    if target.exists():
        raise SystemExit(f"{target} is there already; a release is written once.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        (folder / "expected.json").write_text(json.dumps(made_of(folder), indent=1) + "\n")
        parts = [*(f"run/{part}" for part in KEPT), "lora", "weights", "data", "expected.json"]
        with tarfile.open(target, "w:xz") as archive:
            for part in parts:
                archive.add(folder / part, part, filter=lambda entry: None if entry.name.endswith(LEFT_OUT) else entry)
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
