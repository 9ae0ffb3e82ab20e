"""What others get of a run of a pretrained model: its card, ONNX graphs, GGUF, and a repository on the hub.

model/    whole weights, safetensors         adapter/  PEFT adapter, where one was trained
onnx/     prefill and decode graphs          gguf/     for llama.cpp
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from physworld.errors import UserError
from physworld.lm.gguf import write_gguf
from physworld.lm.packed_lm import PackedLM
from physworld.lm.weights import load_network, load_tokenizer
from physworld.runs import card as cards
from physworld.runs.directory import EXPORTS, read_config, read_metrics
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.types import Trajectory


def write_cards(run: Path, command: str, example: cards.Example | None) -> None:
    """README.md beside the weights, in the words of the hub."""
    cards.write_cards(run, lambda adapter: card(run, command, adapter=adapter, example=example))


def example_of(network: Any, codec: FrameCodec, given: Sequence[Trajectory]) -> cards.Example | None:
    """The smallest of these moments as a prompt, and what the model says to it; nothing keeps it within a grammar.

    None, where a codec of many documents has nothing to ask of any of these moments: nothing meets anything.
    """
    moments = sorted(given, key=lambda one: len(one.scene.bodies))
    moments = [one.window(len(one) - codec.context_frames, len(one)) for one in moments]
    documents = codec.documents()
    if documents is None:
        moment = moments[0]
        prompt, most, text = codec.prompt(moment), codec.max_new_tokens(moment.scene), codec.write_prompt(moment)
    else:
        asked = next(filter(None, map(documents.prompts, moments)), None)
        if asked is None:
            return None
        prompt = asked[0]
        most, text = documents.most_new_tokens(prompt), codec.tokenizer.decode(prompt)
    said = network.generate([prompt], [most], codec.end_id)[0]
    penalty = network.repetition_penalty if isinstance(network, PackedLM) else 1.0
    answer = codec.tokenizer.decode(said, skip_special_tokens=True)
    return cards.Example(prompt=text, answer=answer, longest=most, repetition_penalty=penalty)


def card(run: Path, command: str, *, adapter: bool, example: cards.Example | None = None) -> str:
    """A model card of what this run did and measured."""
    config, metrics = read_config(run), read_metrics(run)
    network = config["model"]["network"]
    own = "tuning" not in network  # a network of physworld's own, which transformers knows through it
    known, named = (None, None) if own else cards.base_of(config)
    kind = str(network["_target_"]).split(".")[-2]
    recipe = {
        "base": named or f"random weights, {kind if own else network.get('architecture', {}).get('model_type')}",
        **({"examples per step": config["global_batch"], "steps": config["steps"]} if own else cards.tuning(config)),
        **metrics.get("cost", {}),
    }
    folder = '"THIS_FOLDER_OR_REPO"'
    loaded = [
        "import physworld  # pip install physworld; tells transformers of its networks",
        "from transformers import AutoModelForCausalLM, AutoTokenizer", "",
        f"model = AutoModelForCausalLM.from_pretrained({folder})",
        f"tokenizer = AutoTokenizer.from_pretrained({folder})",
    ]  # fmt: skip
    usage = cards.using(loaded, example) if own else cards.loading(known, adapter, cards.gguf_of(config), example)
    text = config["codec"]["_target_"].rpartition(".")[2].removesuffix("Codec").lower()
    about = (
        f"Continues scenes of 2-D rigid bodies, written as `{text}` text, frame by frame. Trained with physworld on "
        f"scenes that were simulated (Pymunk) while training went on: types {', '.join(config['scenario']['names'])}; "
        f"difficulties {', '.join(map(str, config['curriculum']['difficulties']))}."
    )
    measured = "Free rollouts on validation scenes, model and baselines on the same ones."
    return cards.card(
        run, command=command, base=known, library="peft" if adapter else "physworld" if own else "transformers",
        tags=["physics", "simulation", "physworld", *(["lora"] if adapter else [])],
        about=about, recipe=recipe, usage=usage,
        results=[*cards.headline(metrics, measured), *_stages(run)],
    )  # fmt: skip


def _stages(run: Path) -> list[str]:
    path = run / "stages.json"
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        f"| {r['stage']} | {r['difficulty']} | {r['objects']} | {r['examples']:,} | {r['loss']:.4g} |" for r in rows
    ]
    return [
        "## Stages",
        "",
        "| stage | difficulty | objects | examples | loss |",
        "| --: | --: | --: | --: | --: |",
        *lines,
    ]


# --- other formats

OF_TRANSFORMERS = ("physworld.lm.packed_lm.", "physworld.lm.tiny_lm.")  # networks that any program can load


def export(run: Path, kind: str) -> Path:
    """Write the whole weights of a run in another format; returns the folder.

    Raises:
        UserError: the format does not take this model, or a library is missing.
    """
    if kind not in EXPORTS:
        raise UserError(f"format {kind} is unknown; choose one of {', '.join(EXPORTS)}.")
    config = read_config(run)
    target = ((config.get("model") or {}).get("network") or {}).get("_target_")
    if target is not None and not str(target).startswith(OF_TRANSFORMERS):
        what = "one of physworld's own" if str(target).startswith("physworld.lm.") else "one for video"
        raise UserError(
            f"{run} cannot be exported: its network is {what}, and only language models of transformers are."
        )
    folder = run / kind
    try:
        network, tokenizer = load_network(str(run / "model")), load_tokenizer(str(run / "model"))
        folder.mkdir(exist_ok=True)
        if kind == "onnx":
            export_onnx(network, folder)
            tokenizer.save_pretrained(folder)
        else:
            write_gguf(network, tokenizer, folder / "model.gguf", run.resolve().name)
    except ImportError as error:
        raise UserError(
            f"{kind} needs the library {error.name}; install it with: pip install 'physworld[export]'"
        ) from None
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return folder


def export_onnx(network: Any, folder: Path) -> None:
    """Two graphs, for rows without padding: prefill.onnx (prompt -> scores and cache), decode.onnx (one token more)."""
    from transformers.exporters import OnnxConfig, OnnxExporter

    example = torch.ones(2, 9, dtype=torch.long)  # sizes are free in the graph
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        exported = OnnxExporter().export_for_generation(
            network, {"input_ids": example, "attention_mask": torch.ones_like(example)}, OnnxConfig(dynamic=True)
        )
        exported.save_pretrained(folder)


# --- the hub


def publish(run: Path, repo: str, *, send: bool, console: Console) -> None:
    """Say what would be sent to a repository on the hub; send it only when asked to.

    Raises:
        UserError: no such name, nothing to send, or no token.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UserError(f"{repo} is no repository name; give OWNER/NAME.")
    files = published_files(run)
    for there, here in files.items():
        console.print(f"{here.stat().st_size:>14,}  {there}")
    total = sum(path.stat().st_size for path in files.values())
    console.print(f"{total:>14,}  bytes in {len(files)} files for {repo}")
    if not send:
        console.print("Nothing was sent; add --send to do so.")
        return
    token = os.environ.get("HF_TOKEN")
    if not token:
        raise UserError("Sending needs a token with write access in the environment variable HF_TOKEN.")
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token)
    api.create_repo(repo, exist_ok=True)
    operations = [CommitOperationAdd(path_in_repo=there, path_or_fileobj=str(here)) for there, here in files.items()]
    api.create_commit(repo, operations=operations, commit_message="physworld run")
    console.print(f"Sent to {repo}.")


def published_files(run: Path) -> dict[str, Path]:
    """Path in the repository -> file. An adapter is its root, as PEFT wants it, with the whole weights in merged/."""
    adapter = (run / "adapter").is_dir()
    folders = {"": run / ("adapter" if adapter else "model"), "onnx/": run / "onnx", "gguf/": run / "gguf"}
    if adapter:
        folders |= {"merged/": run / "model", "base/": run / "base"}
    files = {
        f"{prefix}{path.name}": path
        for prefix, folder in folders.items()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    if not any(name.endswith(".safetensors") for name in files):
        raise UserError(f"{run} holds no weights in safetensors; train first.")
    # A card of the run's own (README.md) stands in for the one that was written beside the weights.
    beside = ("README.md", "metrics.json", "stages.json", "report.md", "report.html")
    files |= {name: run / name for name in beside if (run / name).is_file()}
    if "report.md" in files:
        files |= {name: run / name for name in linked(run / "report.md")}
    return files


def linked(page: Path) -> list[str]:
    """Files inside the page's folder that a Markdown page shows or links."""
    links = re.findall(r"\]\(<?([^)>#]+)>?\)", page.read_text(encoding="utf-8"))
    inside = [link for link in links if (page.parent / link).resolve().is_relative_to(page.parent.resolve())]
    return sorted({link for link in inside if (page.parent / link).is_file()})
