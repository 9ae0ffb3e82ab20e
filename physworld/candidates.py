"""L4: what can be judged: a finished run, any causal language model of transformers, or a file of predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from physworld import runs, scenarios
from physworld.checkpoints import load_model
from physworld.errors import UserError, call
from physworld.models.text_lm import TextLM
from physworld.recorded import Predictions
from physworld.rollout import Generator, Store
from physworld.store import DiskStore, code_digest, digest, file_digest

# Files that say what a model answers. What else lies in the folder (a card, optimiser states) does not.
MODEL_FILES = ("*.safetensors", "*.json", "*.model", "*.txt")


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    name: str
    codec: Any
    model: Generator | None  # None: what it says is in `recorded`
    trained_on: tuple[str, ...]  # scenario types
    difficulties: list[int] | None  # that it was trained on, where that is known
    key: str = ""  # changes with its weights, its text and the code that turns a moment into an answer
    cost: dict[str, Any] = field(default_factory=dict)
    recorded: Predictions | None = None

    def store(self, folder: Path | None, settings: str) -> Callable[[int], Store] | None:
        """Where its answers are kept: one store for each drawn sample, 0 = greedy."""
        if self.recorded is not None:
            recorded = self.recorded
            return lambda sample: recorded
        if folder is None:
            return None
        return lambda sample: DiskStore(folder, digest(self.key, settings, str(sample)))


def candidates(cfg: DictConfig, device: torch.device) -> list[Candidate]:
    """Everything that the command line names: run=A or run=[A,B], model=hf, predictions=FILE.

    Raises:
        UserError: nothing is named, or something is not there or not usable.
    """
    named = [] if cfg.run is None else [cfg.run] if isinstance(cfg.run, str) else list(cfg.run)
    found = [from_run(runs.find_run(run), device) for run in named]
    if cfg.model is not None:
        found.append(from_hf(cfg, device))
    elif cfg.weights is not None:
        raise UserError(f"weights={cfg.weights} needs model=hf beside it.")
    if cfg.predictions is not None:
        found.append(from_predictions(Path(cfg.predictions), instantiate(cfg.codec)))
    if not found:
        raise UserError(
            "Nothing to judge: give run=DIR (or run=last, run=[A,B]), model=hf weights=..., or predictions=FILE."
        )
    names = [candidate.name for candidate in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{twice[0]} is named twice; give each run once.")
    return found


def from_run(run: Path, device: torch.device) -> Candidate:
    """A run directory of ours."""
    network, codec, config = load_model(run, device)
    key = digest(code_digest(), file_digest(_files(run / "model")), json.dumps(config["codec"], sort_keys=True))
    return Candidate(
        name=str(run),
        codec=codec,
        model=network,
        trained_on=tuple(config["scenario"]["names"]),
        difficulties=list(config["curriculum"]["difficulties"]),
        key=key,
        cost={"parameters": sum(p.numel() for p in network.parameters())},
    )


def from_predictions(path: Path, codec: Any) -> Candidate:
    """Answers of a model that lives elsewhere."""
    return Candidate(
        name=path.name,
        codec=codec,
        model=None,
        trained_on=scenarios.seen(),
        difficulties=None,
        recorded=Predictions(path, codec),
    )


def from_hf(cfg: DictConfig, device: torch.device) -> Candidate:
    """Weights of a causal language model (merged), or a PEFT adapter with its base, behind a text codec.

    Raises:
        UserError: a part is missing, not safe to load, or does not fit.
    """
    if cfg.weights is None:
        raise UserError(
            "model=hf needs weights=FOLDER_OR_REPO: merged weights, or a PEFT adapter (its base from base=)."
        )
    weights = str(cfg.weights)
    network, tokenizer = load_hf(weights, None if cfg.base is None else str(cfg.base), device)
    try:
        codec = instantiate(cfg.codec, tokenizer=tokenizer)
    except Exception as error:
        cause = error.__cause__ or error
        raise UserError(f"{cfg.codec._target_.rpartition('.')[2]} cannot use this tokenizer: {cause}.") from None
    make = instantiate(cfg.model)
    if make.func is not TextLM:
        raise UserError("Only model=hf goes with weights=; a run of ours is judged with run=DIR.")
    pad = tokenizer.pad_token_id
    model = call(make, network=network, pad_id=codec.end_id if pad is None else pad)
    states = sorted((name, tuple(p.shape), _fingerprint(p)) for name, p in network.named_parameters())
    settings = (str(cfg.codec), str(cfg.model), str(sorted(tokenizer.get_vocab().items())))
    return Candidate(
        name=weights,
        codec=codec,
        model=model,
        trained_on=scenarios.seen(),
        difficulties=None,
        key=digest(code_digest(), str(states), *settings),
        cost={"parameters": sum(p.numel() for p in network.parameters())},
    )


def load_hf(weights: str, base: str | None, device: torch.device) -> tuple[Any, Any]:
    """(network in evaluation mode, tokenizer). Safetensors only, and no code that comes with the weights.

    A folder with `adapter_config.json` is a PEFT adapter: it is put on `base`, else on the base it names, and merged.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = "auto" if device.type == "cuda" else torch.float32
    safe: dict[str, Any] = {"trust_remote_code": False}
    network: Any
    try:
        adapter = _adapter(weights)
        whole = weights if adapter is None else base or adapter.base_model_name_or_path
        if not whole:
            raise UserError(f"weights={weights} is an adapter that names no base model; give base=FOLDER_OR_REPO.")
        network = AutoModelForCausalLM.from_pretrained(whole, dtype=dtype, use_safetensors=True, **safe)
        if adapter is not None:
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, weights, use_safetensors=True).merge_and_unload()
        home = weights if (Path(weights) / "tokenizer_config.json").is_file() else whole
        tokenizer = AutoTokenizer.from_pretrained(home, **safe)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise UserError(f"weights={weights} cannot be loaded ({str(error).strip().splitlines()[0][:200]}).") from None
    network.to(device)
    return network.eval(), tokenizer


def _adapter(weights: str) -> Any:
    """The PEFT configuration of a folder or repository that is an adapter, else None."""
    from peft import PeftConfig

    folder = Path(weights)
    if folder.is_dir():
        if not (folder / "adapter_config.json").is_file():
            return None
        if not (folder / "adapter_model.safetensors").is_file():
            raise UserError(f"weights={weights} holds no adapter_model.safetensors; other formats may run code.")
        return PeftConfig.from_pretrained(weights)
    if folder.is_absolute() or weights.startswith("."):
        raise UserError(f"weights={weights} is no folder; give a folder, or a repository as OWNER/NAME.")
    try:
        return PeftConfig.from_pretrained(weights)
    except (OSError, ValueError):
        return None  # no adapter there: whether there is a model, transformers will say


def _files(folder: Path) -> list[Path]:
    return [path for pattern in MODEL_FILES for path in folder.glob(pattern)]


def _fingerprint(parameter: torch.Tensor) -> str:
    return digest(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
