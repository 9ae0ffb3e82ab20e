"""Model cards: README.md beside the weights, in the words of the hub. What a model does is said by its own system."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from physworld.io.atomic import replacing
from physworld.lm.gguf_weights import find_gguf

LICENSE = "apache-2.0"  # of what is trained here; a base keeps its own


def write_cards(run: Path, make: Callable[[bool], str]) -> None:
    """One card for each folder of weights; `make` is asked for the adapter's (True) and the whole weights' (False)."""
    for folder in ("model", "adapter"):
        if (run / folder).is_dir():
            with replacing(run / folder / "README.md") as temporary:
                temporary.write_text(make(folder == "adapter"), encoding="utf-8")


def card(
    run: Path,
    *,
    command: str,
    base: str | None,
    library: str,
    tags: Sequence[str],
    about: str,
    recipe: Mapping[str, Any],
    usage: Sequence[str],
    results: Sequence[str],
) -> str:
    """A card as Markdown.

    Args:
        base: what was tuned, as others know it.
        usage, results: lines.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=LICENSE, base_model=base, library_name=library, pipeline_tag="text-generation", tags=list(tags)
    )
    lines = [
        f"---\n{data.to_yaml()}\n---", "", f"# {run.resolve().name}", "", about, "",
        "## Recipe", "", "| | |", "| :-- | :-- |", *(f"| {key} | {value} |" for key, value in recipe.items()), "",
        "```", without_folders(command), "```", "", "## Usage", "", *usage, "", *results,
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def base_of(config: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(the base as others know it, as it is called here); a folder of this machine tells others nothing."""
    base = config.get("weights") or config["model"]["network"].get("weights")
    if base and (file := find_gguf(base)) is not None:
        return None, file.name if Path(base).exists() else f"{file.name} of the package {base}"
    known = base if base and not Path(base).is_dir() else None
    return known, known or (f"a local folder, {Path(base).name}" if base else None)


def gguf_of(config: Mapping[str, Any]) -> str | None:
    """Name of the GGUF file that was tuned, if it was one."""
    base = config.get("weights") or config["model"]["network"].get("weights")
    file = find_gguf(base) if base else None
    return None if file is None else file.name


def tuning(config: Mapping[str, Any]) -> dict[str, Any]:
    """How a pretrained network was tuned, for the recipe."""
    network, module = config["model"]["network"], config["model"]
    given = ("optimizer", "learning_rate", "schedule", "warmup_steps", "warmup_fraction", "weight_decay")
    return {
        "tuning": network["tuning"],
        **({key: network[key] for key in ("rank", "alpha", "dropout")} if network["tuning"] != "full" else {}),
        **{key: module[key] for key in given if key in module},
        "examples per step": config["global_batch"],
        "steps": config["steps"],
        "longest example": f"{network['max_length']} tokens",
        "seed": config["seed"],
    }


def without_folders(command: str) -> str:
    """A command as others may read it: folders of this machine by their last name."""
    parts = (argument.partition("=") for argument in shlex.split(command))
    return shlex.join(f"{key}{sign}{_short(value)}" for key, sign, value in parts)


def _short(value: str) -> str:
    return Path(value).name if "/" in value and Path(value).is_dir() else value


class Example(NamedTuple):
    """A prompt, and what the model answers to it."""

    prompt: str
    answer: str
    longest: int  # tokens of an answer at most
    repetition_penalty: float = 1.0


def loading(base: str | None, adapter: bool, gguf: str | None = None, example: Example | None = None) -> list[str]:
    """How others load the weights, and what comes out.

    Args:
        gguf: name of the file that the base lies in, where it is one.
    """
    name = base or "BASE_FOLDER_OR_REPO"  # of random weights, the folder base/ of the run
    ours = '"THIS_FOLDER_OR_REPO"'
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if adapter:
        whole = f'"{name}"' if gguf is None else f'"FOLDER_OF_THE_FILE", gguf_file="{gguf}"'
        lines = ["from peft import PeftModel", *lines, f"base_model = AutoModelForCausalLM.from_pretrained({whole})",
                 f"model = PeftModel.from_pretrained(base_model, {ours})"]  # fmt: skip
        ours = ours if gguf is not None else f'"{name}"'
    else:
        lines.append(f"model = AutoModelForCausalLM.from_pretrained({ours})")
    lines.append(f"tokenizer = AutoTokenizer.from_pretrained({ours})")
    return using(lines, example)


def using(loaded: Sequence[str], example: Example | None) -> list[str]:
    """The lines that load `model` and `tokenizer`, and those that ask it; what they print stands below."""
    if example is None:
        return ["```python", *loaded, "```"]
    prints = (
        ["It prints", "", "```", example.answer, "```"]
        if example.answer.strip()
        else ["It ends at once: it prints nothing."]
    )
    penalty = "" if example.repetition_penalty == 1 else f", repetition_penalty={example.repetition_penalty}"
    return [
        "```python", *loaded, "", f'prompt = """{example.prompt}"""',
        'text = (tokenizer.bos_token or "") + prompt',
        'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")',
        f"said = model.generate(**inputs, max_new_tokens={example.longest}, do_sample=False{penalty})",
        'print(tokenizer.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))', "```", "",
        *prints,
    ]  # fmt: skip


def headline(metrics: Mapping[str, Any], about: str) -> list[str]:
    """Whatever the run measured of itself; every figure is in metrics.json."""
    figures = metrics.get("headline", {})
    if not figures:
        return []
    rows = [f"| {key} | {value:.4g} |" for key, value in figures.items() if isinstance(value, int | float)]
    return ["## Results", "", about, "", "| | |", "| :-- | --: |", *rows, ""]
