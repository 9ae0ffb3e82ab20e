"""What can be judged: a finished run, any causal language model of transformers, or a file of predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig
from safetensors import SafetensorError

from physworld import scenarios
from physworld.errors import UserError, call
from physworld.io.checksums import digest_of, files_digest
from physworld.lm.weights import (
    find_adapter,
    load_network,
    load_tokenizer,
    local_folder,
    refuse_damage,
    whole_weights,
)
from physworld.protocols import Generator
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs import lineage
from physworld.runs.checkpoints import load_model
from physworld.runs.wiring import codec_for, own_codec
from physworld.settings import checks
from physworld.text import timestep
from physworld.text.codecs._frame_guide import is_word_level
from physworld.text.codecs._text import TextCodec
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.external_predictions import Predictions
from physworld.text.evaluation.store import DiskStore, code_digest
from physworld.text.rollout import Store
from physworld.text.sources.physics import PhysicsSource

console = screen()
ENGINES = ("transformers", "vllm")
# Files that say what a model answers. What else lies in the folder (a card, optimiser states) does not.
MODEL_FILES = ("*.safetensors", "*.json", "*.model", "*.txt")


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    name: str
    codec: FrameCodec
    model: Generator | None  # None: what it says is in `recorded`
    trained_on: tuple[str, ...]  # scenario types
    difficulties: list[int] | None  # that it was trained on, where that is known
    key: str = ""  # changes with its weights, its text and the code that turns a moment into an answer
    cost: dict[str, Any] = field(default_factory=dict)
    recorded: Predictions | None = None
    timesteps: tuple[float, ...] | None = None  # s, that it was trained on, where that is known
    keeps_answers: bool = False  # one by one, by itself

    def store(self, folder: Path | None, settings: str) -> Callable[[int], Store] | None:
        """Where its answers are kept: one store for each drawn sample, 0 = not drawn."""
        if self.recorded is not None:
            recorded = self.recorded
            return lambda sample: recorded
        if folder is None or self.keeps_answers:
            return None
        return lambda sample: DiskStore(folder, digest_of(self.key, settings, str(sample)))


def candidates(cfg: DictConfig, device: torch.device) -> list[Candidate]:
    """Everything that the command line names: run=A or run=[A,B], model=hf, predictions=FILE.

    Raises:
        UserError: nothing is named, or something is not there or not usable.
    """
    named = [] if cfg.run is None else list(cfg.run) if isinstance(cfg.run, ListConfig) else [cfg.run]
    found = [from_run(runs.find_run(str(run)), device) for run in named]
    if cfg.engine not in ENGINES:
        raise UserError(f"engine={cfg.engine} is unknown; choose one of {', '.join(ENGINES)}.")
    if cfg.engine == "vllm" and cfg.model is None:
        raise UserError("engine=vllm goes with model=hf; a run of ours is given to it as model=hf weights=RUN/model.")
    if cfg.model is not None:
        found.append(from_api(cfg) if checks.is_api(cfg.model) else from_hf(cfg, device))
    answers = checks.file("predictions", cfg.predictions)
    if answers is not None:
        if cfg.evaluation.samples:
            raise UserError("predictions= holds one answer to each moment, not drawn ones; use evaluation.samples=0.")
        found.append(from_predictions(answers, instantiate(cfg.codec)))
    names = [candidate.name for candidate in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{twice[0]} is named twice; give each run once.")
    return found


def from_run(run: Path, device: torch.device) -> Candidate:
    """A run directory of ours."""
    network, codec, config = load_model(run, device)
    key = digest_of(code_digest(), files_digest(_files(run / "model")), json.dumps(config["codec"], sort_keys=True))
    return Candidate(
        name=runs.brought_as(run) or str(run),
        codec=codec,
        model=network,
        trained_on=tuple(lineage.learned(run)),
        difficulties=list(config["curriculum"]["difficulties"]),
        key=key,
        cost={"parameters": sum(p.numel() for p in network.parameters())},
        timesteps=timestep.of_run(run, config),
    )


def from_predictions(path: Path, codec: FrameCodec) -> Candidate:
    """Answers of a model that lives elsewhere."""
    return Candidate(
        name=path.name,
        codec=codec,
        model=None,
        trained_on=scenarios.seen(),
        difficulties=None,
        recorded=Predictions(path, codec),
    )


def _learned(weights: str) -> tuple[str, ...]:
    """Scenario types of a run's own folder; of weights from elsewhere nobody knows: the seen ones, as published."""
    found = lineage.of_weights(weights)
    return scenarios.seen() if found is None else tuple(found)


def from_hf(cfg: DictConfig, device: torch.device) -> Candidate:
    """Weights of a causal language model (merged), or a PEFT adapter with its base, behind a text codec.

    Raises:
        UserError: a part is missing, not safe to load, or does not fit.
    """
    weights = cfg.weights or cfg.model.network.weights
    if weights is None:
        raise UserError(
            "model=hf needs weights=FOLDER_OR_REPO: merged weights, or a PEFT adapter (its base from base=)."
        )
    base = None if cfg.base is None else str(cfg.base)
    if cfg.engine == "vllm":
        return from_vllm(cfg, str(weights), base)
    from physworld.lm.generator import CachedGenerator  # late: it loads the models of transformers

    network, tokenizer = load_hf(str(weights), base, device)
    codec = _with_shots(codec_for(cfg.codec, tokenizer), cfg)
    answering = {
        key: cfg.model.network[key] for key in ("max_length", "repetition_penalty", "reuse_cache", "static_cache")
    }
    pad = tokenizer.pad_token_id
    try:
        model = CachedGenerator(network, pad_id=codec.end_id if pad is None else pad, **answering)
    except ValueError as error:
        raise UserError(f"weights={weights}: {error}.") from None
    settings = (str(cfg.codec), str(cfg.model), _shots_of(cfg), _spelling(tokenizer))
    return Candidate(
        name=str(weights) if not cfg.shots else f"{weights}, {cfg.shots} shots",
        codec=codec,
        model=model,
        trained_on=_learned(str(weights)),
        difficulties=None,
        key=digest_of(code_digest(), *_network_parts(network), *settings),
        cost={"parameters": sum(p.numel() for p in network.parameters())},
    )


def from_vllm(cfg: DictConfig, weights: str, base: str | None) -> Candidate:
    """The same, behind vLLM.

    Raises:
        UserError: vLLM is not there, or cannot do what is asked.
    """
    from physworld.lm.vllm_generator import VllmLM

    if cfg.evaluation.samples:
        raise UserError("engine=vllm gives the likeliest answers only; use evaluation.samples=0, or leave engine out.")
    try:
        tokenizer, adapter = load_tokenizer(weights, base), find_adapter(weights)
        codec = _with_shots(codec_for(cfg.codec, tokenizer), cfg)
        if cfg.evaluation.guided and (is_word_level(tokenizer) or codec.by_value):
            raise UserError(
                f"engine=vllm cannot keep answers in the tokenizer of {weights} within a grammar: its tokens are whole "
                f"words; use evaluation.guided=false, or leave engine out."
            )
        folders = [local_folder(whole_weights(weights, base)), *([local_folder(weights)] if adapter else [])]
        answering = {key: cfg.model.network[key] for key in ("max_length", "repetition_penalty", "reuse_cache")}
        model = VllmLM(
            folders[0], adapter=folders[1] if adapter else None, rank=adapter.r if adapter else 0,
            python=cfg.engine_python, **answering,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(str(error).rstrip(".") + ".") from None
    settings = (str(cfg.codec), str(cfg.model), _shots_of(cfg), "vllm")
    key = digest_of(code_digest(), files_digest([file for folder in folders for file in _files(folder)]), *settings)
    return Candidate(name=weights, codec=codec, model=model, trained_on=_learned(weights), difficulties=None, key=key)


def from_api(cfg: DictConfig) -> Candidate:
    """A model behind an OpenAI-compatible API. Each answer is kept in the cache as soon as it comes.

    Raises:
        UserError: the address, the name or the key is missing, or the codec cannot be sent.
    """
    codec = own_codec(cfg.codec)
    if isinstance(codec, TextCodec):
        codec = _with_shots(codec, cfg)
    elif cfg.shots:
        raise UserError(f"shots={cfg.shots} is for codec=engine and codec=card; leave it out.")
    if cfg.evaluation.samples:
        raise UserError("model=api gives the likeliest answers only; use evaluation.samples=0.")
    model = call(
        instantiate(cfg.model), base_url=str(cfg.base_url), name=str(cfg.name), write=codec.write_ids,
        read=codec.read_ids, cache=None if cfg.cache is None else Path(cfg.cache) / "api.sqlite",
        say=lambda sentence: console.print(sentence, style="yellow", highlight=False, soft_wrap=True),
    )  # fmt: skip
    return Candidate(
        name=str(cfg.name) if not cfg.shots else f"{cfg.name}, {cfg.shots} shots",
        codec=codec,
        model=model,
        trained_on=scenarios.seen(),
        difficulties=None,
        cost=model.cost,
        keeps_answers=True,
    )


def _with_shots(codec: TextCodec, cfg: DictConfig) -> TextCodec:
    """The codec with `shots` solved problems before each prompt, of the types and difficulties that are scored, from
    the training split."""
    if not cfg.shots:
        return codec
    source = PhysicsSource(
        seed=cfg.seed, split="train", names=list(cfg.scenario.names),
        difficulties=checks.difficulties(
            list(scenarios.DIFFICULTIES) if cfg.difficulties is None else cfg.difficulties, "difficulties"
        ),
        context_frames=codec.context_frames, target_frames=1, frames=60, windows_per_scene=1, event_fraction=0.5,
        kicked_scenes=0.0, kick_rate=0.0, kick_size=1.0,
    )  # fmt: skip
    return codec.showing([source.sample(index) for index in range(cfg.shots)])


def _shots_of(cfg: DictConfig) -> str:
    """What the solved problems depend on."""
    return f"{cfg.shots} {cfg.seed} {cfg.scenario.names} {cfg.difficulties}" if cfg.shots else ""


def load_hf(weights: str, base: str | None, device: torch.device) -> tuple[Any, Any]:
    """(network in evaluation mode, tokenizer)."""
    try:
        tokenizer = load_tokenizer(weights, base)
        network = load_network(weights, base, dtype="auto" if device.type == "cuda" else torch.float32).to(device)
        refuse_damage(network, None, weights)
    except SafetensorError as error:
        raise UserError(f"The weights in {weights} cannot be read ({error}).") from None
    rows = network.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise UserError(f"The tokenizer of {weights} has {len(tokenizer)} tokens, and its network only {rows}.")
    return network, tokenizer


def _files(folder: Path) -> list[Path]:
    return [path for pattern in MODEL_FILES for path in folder.glob(pattern)]


def _network_parts(network: Any) -> Iterator[str]:
    """Whatever of a network can change an answer: its configuration, its weights and its buffers."""
    yield json.dumps({**network.config.to_dict(), "_name_or_path": ""}, sort_keys=True, default=str)
    for name, value in sorted([*network.named_parameters(), *network.named_buffers()]):
        whole = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        yield f"{name} {tuple(value.shape)} {digest_of(whole)}"


def _spelling(tokenizer: Any) -> str:
    """How a tokenizer makes tokens of text: a fast one's rules are all in one document."""
    if tokenizer.is_fast:
        return str(tokenizer.backend_tokenizer.to_str())
    return str(sorted(tokenizer.get_vocab().items()))
