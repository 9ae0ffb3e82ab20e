"""Model cards: README.md beside the weights, in the words of the hub. What a model does is said by its own system."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from physworld.io.atomic import replacing

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
    known = base if base and not Path(base).is_dir() else None
    return known, known or (f"a local folder, {Path(base).name}" if base else None)


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


def loading(base: str | None, adapter: bool) -> list[str]:
    """How others load the weights."""
    name = base or "BASE_FOLDER_OR_REPO"  # of random weights, the folder base/ of the run
    if not adapter:
        return ["```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "",
                'model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER_OR_REPO")',
                'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER_OR_REPO")', "```"]  # fmt: skip
    return ["```python", "from peft import PeftModel", "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "", f'base_model = AutoModelForCausalLM.from_pretrained("{name}")',
            'model = PeftModel.from_pretrained(base_model, "THIS_FOLDER_OR_REPO")',
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")', "```"]  # fmt: skip


def headline(metrics: Mapping[str, Any], about: str) -> list[str]:
    """Whatever the run measured of itself; every figure is in metrics.json."""
    figures = metrics.get("headline", {})
    if not figures:
        return []
    rows = [f"| {key} | {value:.4g} |" for key, value in figures.items() if isinstance(value, int | float)]
    return ["## Results", "", about, "", "| | |", "| :-- | --: |", *rows, ""]
