"""Files of a release, kept so that later code still reads them: `python tests/data/make_release.py`, once a release.

Writes tests/data/VERSION.tar.xz: run/ (what a trained GPT leaves behind, checkpoint included), lora/ (adapter, base and
merged weights), data/ (shards of JSONL and Parquet); VERSION_systems.tar.xz: spatial/ (a scene model and rows), video/
(adapters on the shipped base, and a clip). In each is expected.json: what this code makes of them.
tests/test_releases.py reads each. An archive that is there is not written over: it is what that release wrote.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

import physworld  # noqa: E402
from physworld.data import collate  # noqa: E402
from physworld.lm.packed_lm import PackedLM  # noqa: E402
from physworld.lm.weights import BASE_NOTE, load_network, load_tokenizer  # noqa: E402
from physworld.run import build  # noqa: E402
from physworld.runs.checkpoints import load_model, read_checkpoint, save_model  # noqa: E402
from physworld.spatial.codecs.rows import row  # noqa: E402
from physworld.spatial.scene.reading import dumps  # noqa: E402
from physworld.spatial.sources.rows import RowsSource  # noqa: E402
from physworld.text.codecs.engine import EngineCodec  # noqa: E402
from physworld.text.shards import Dataset, Recipe  # noqa: E402
from physworld.text.sources.files import read_scene, scenes_below  # noqa: E402
from physworld.training.fit import fit  # noqa: E402
from physworld.video.evaluate import adapters_of, add_adapters, load_candidates  # noqa: E402
from physworld.video.evaluation import LORA, PLACEBO  # noqa: E402
from physworld.video.source import ClipSource  # noqa: E402

from repository import composed  # noqa: E402
from spatial_tools import samples  # noqa: E402
from tiny_gpt import batch_of, prompts  # noqa: E402
from tiny_lms import examples, save_base  # noqa: E402
from video_runs import video_run  # noqa: E402

TINY = (
    *("hardware=cpu", "hardware.num_workers=0", "evaluation.rollouts=1", "evaluation.val_rollouts=1", "global_batch=4"),
    *("evaluation.frames=2", "evaluation.horizons=[1]", "evaluation.pictures=0", "scenario.names=[projectile]"),
    *("data.stream.val_samples=4", "model.network.width=16", "model.network.depth=1", "model.network.heads=2"),
    *("data.source.frames=12", "steps=2", "validate_every=2", "checkpoint_every=2", "logger=none"),
)
SCENES = (
    *("model=tiny_gravity", "hardware=cpu", "hardware.num_workers=0", "model.network.width=32", "steps=1"),
    *("model.network.depth=1", "model.network.heads=2", "model.network.inner=32", "global_batch=2", "logger=none"),
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


def make_systems(folder: Path) -> None:
    """spatial/ and video/ below a folder; their weights are random."""
    cfg = composed("train", *SCENES)
    parts, resolved = build(cfg), OmegaConf.to_container(cfg, resolve=True)
    save_model(parts.module.eval_network(), parts.codec, folder / "spatial")  # type: ignore[attr-defined]
    OmegaConf.save(resolved, folder / "spatial" / "config.yaml")
    rows = [json.dumps(row(sample.given.payload, sample.target)) for sample in samples(count=2)]
    (folder / "spatial" / "rows.jsonl").write_text("\n".join(rows) + "\n")
    video_run(folder / "video")
    clip = ClipSource(seed=0, split="test").clips([0])[0]
    np.savez_compressed(folder / "video" / "clip.npz", frames=clip.frames)
    (folder / "video" / "caption.txt").write_text(clip.caption)


@torch.no_grad()
def made_of_systems(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    network, scenes, _ = load_model(folder / "spatial", torch.device("cpu"))
    source = RowsSource(seed=0, split="train", train_file=str(folder / "spatial" / "rows.jsonl"), valid_file=None)
    two = [source.sample(index) for index in range(2)]
    batch = collate([scenes.encode(sample) for sample in two], pad=scenes.pad_id)
    found["spatial loss"] = float(network(batch.input_ids, batch.labels))
    found["rows"] = [json.loads(dumps(sample.target)) for sample in two]
    asked = [sample.given for sample in two]
    said = network.generate(
        [scenes.prompt(one) for one in asked], [12] * 2, scenes.end_id, scenes.guide(asked, "schema")
    )
    found["scene tokens"] = [[int(token) for token in answer] for answer in said]
    _, pixels, _, video = load_candidates(folder / "video")
    add_adapters(video, adapters_of(folder / "video"))
    frames = np.load(folder / "video" / "clip.npz")["frames"]
    latents = pixels.latents(torch.from_numpy(frames[None])).float()
    prompts = pixels.prompts([(folder / "video" / "caption.txt").read_text()])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    for name in (None, LORA, PLACEBO):
        video.eval().use(name)
        found[f"video loss {name}"] = float(video.losses(latents, noise, torch.tensor([500]), prompts).mean())
    made = video.generate(prompts, noise, steps=2, guidance=1.0, empty=None)
    found["clip"] = float(made.double().square().mean())
    return found


@torch.no_grad()
def made_of(folder: Path) -> dict[str, Any]:
    """What the running code makes of the files below a folder: losses, answers, scenes."""
    if (folder / "spatial").is_dir():
        return made_of_systems(folder)
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


WRITTEN: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "": (make, [*(f"run/{part}" for part in KEPT), "lora", "weights", "data"]),
    "_systems": (make_systems, ["spatial", "video"]),
}


def main() -> None:
    there = True
    for kind, (written, parts) in WRITTEN.items():
        target = Path(__file__).parent / f"{physworld.__version__}{kind}.tar.xz"
        if target.exists():
            continue
        there = False
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            written(folder)
            (folder / "expected.json").write_text(json.dumps(made_of(folder), indent=1) + "\n")
            with tarfile.open(target, "w:xz") as archive:
                for part in (*parts, "expected.json"):
                    archive.add(
                        folder / part, part, filter=lambda entry: None if entry.name.endswith(LEFT_OUT) else entry
                    )
        print(f"{target}: {target.stat().st_size:,} bytes")
    if there:
        raise SystemExit(f"The files of {physworld.__version__} are there already; a release is written once.")


if __name__ == "__main__":
    main()
