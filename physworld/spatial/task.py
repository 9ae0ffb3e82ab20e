"""L4: spatial scenes: language models that write Spatial9Scene JSON for a payload of stems and rules."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from transformers.utils import logging as transformers_logging

from physworld.data import Repeated
from physworld.errors import FormatError, UserError, call, suggest
from physworld.io.compression import written
from physworld.io.placing import placing
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model, save_model
from physworld.settings import checks
from physworld.settings.messages import CONFIG_DIR
from physworld.spatial.codecs.grammar import MODES
from physworld.spatial.codecs.rows import row
from physworld.spatial.evaluation import SpatialEvaluation
from physworld.spatial.report import evaluate_and_report
from physworld.spatial.scene.brief import Brief, resolve
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import AXES
from physworld.spatial.scene.reading import (
    Invalid,
    dumps,
    parse_json,
    payload_from,
    printable,
)
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource
from physworld.spatial.sources.preference import PreferencePairs
from physworld.training.hardware import placed
from physworld.training.parts import Parts

console = Console()
transformers_logging.disable_progress_bar()  # of files that are written in a blink
FITTING = "model=tiny_gravity or model=gravity"


@dataclass(frozen=True, kw_only=True)
class SpatialParts(Parts):
    codec: Any
    evaluation: SpatialEvaluation


def build(cfg: DictConfig) -> SpatialParts:
    """Source, codec, network and evaluation of a run.

    Raises:
        UserError: the configuration asks for something that is not there or does not fit together.
    """
    hardware = placed(cfg)
    micro_batch, accumulate = hardware.split(cfg.global_batch)
    codec = instantiate(cfg.codec)
    if not hasattr(codec, "pad_id"):
        raise UserError(f"{type(codec).__name__} does not write spatial scenes; use {FITTING}.")
    train, val = _sources(cfg)
    try:
        codec.encode(val.sample(0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"This data and codec do not fit together: {error}.") from error
    make_module = instantiate(cfg.model)
    try:
        network = call(make_module.keywords["network"], codec.vocabulary)
        module = call(make_module, network=network, total_steps=cfg.steps)
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"The model cannot be built as configured: {error}.") from error
    if hardware.strategy == "fsdp":
        raise UserError(f"{module.unshardable()}; use hardware=ddp.")
    if module.objective == "preference":
        if micro_batch % 2:
            raise UserError(f"A pass of {micro_batch} rows cuts a pair in two; make hardware.micro_batch even.")
        train = PreferencePairs(train, seed=cfg.seed, split="train")
    elif module.objective == "reward":
        judge = RuleReward(train, codec)
        module.reward, module.limits, module.tokens = judge, judge.limits, (codec.end_id, codec.pad_id)
    data = call(
        instantiate(cfg.data.stream), train=train, val=val, codec=codec, micro_batch=micro_batch,
        num_workers=hardware.workers(),
    )  # fmt: skip
    evaluation = _evaluation(cfg.evaluation)
    return SpatialParts(
        hardware=hardware,
        codec=codec,
        module=module,
        data=data,
        evaluation=evaluation,
        accumulate=accumulate,
        monitor="spatial/broken",
        callbacks=[RulesValidation(evaluation, codec, seed=cfg.seed)],
        pad_id=int(codec.pad_id),
    )


def _evaluation(*nodes: Any) -> SpatialEvaluation:
    """The first of the nodes that is ours. Presets such as debug=smoke name text's `quick`: then ours of that kind."""
    for node in nodes:
        found = instantiate(node if OmegaConf.is_config(node) else OmegaConf.create(node))
        if isinstance(found, SpatialEvaluation):
            return found
    quick = HydraConfig.initialized() and HydraConfig.get().runtime.choices.get("evaluation") == "quick"
    name = "spatial_quick" if quick else "spatial"
    ours: SpatialEvaluation = instantiate(OmegaConf.load(CONFIG_DIR / "evaluation" / f"{name}.yaml"))
    return ours


def _sources(cfg: DictConfig) -> tuple[Any, Any]:
    make = instantiate(cfg.data.source)
    try:
        train, val = (call(make, seed=cfg.seed, split=split) for split in ("train", "val"))
    except (ValueError, FormatError) as error:
        raise UserError(f"The data source cannot be made: {error}") from error
    return (train if cfg.data.repeat is None else Repeated(train, count=cfg.data.repeat)), val


class RuleReward:
    """How well an answer does, 0-1: it can be read, keeps the contract, keeps rules, keeps everything and says so."""

    def __init__(self, source: Any, codec: Any) -> None:
        self.source, self.codec = source, codec

    def __call__(self, indices: list[int], answers: list[Any]) -> list[float]:
        return [self._one(self.source.sample(i).given, answer) for i, answer in zip(indices, answers, strict=True)]

    def _one(self, brief: Brief, answer: Any) -> float:
        data = self.codec.decode(answer, brief)
        if data is None:
            return 0.0
        report = check(data, brief.payload, brief)
        if report.contract:
            return 0.1
        kept = [v.status != "fail" for v in report.verdicts]
        share = sum(kept) / len(kept) if kept else 1.0
        return 0.2 + 0.3 * share + 0.3 * report.obeys + 0.2 * (report.obeys and not report.honesty)

    def limits(self, indices: list[int]) -> list[int]:
        return [self.codec.max_new_tokens(self.source.sample(i).given) for i in indices]


class RulesValidation(Callback):
    """At each validation: raw answers to validation payloads, and what share of them obeys everything."""

    def __init__(self, evaluation: SpatialEvaluation, codec: Any, *, seed: int) -> None:
        self.evaluation, self.codec, self.seed = evaluation, codec, seed

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        evaluation = self.evaluation
        samples = evaluation.sample_cases("seen", seed=self.seed, split="val", count=evaluation.val_samples)
        network: Any = module.eval_network()  # type: ignore[operator]
        answers = evaluation.answer(network, self.codec, [sample.given for sample in samples], "raw")
        found = score_means(answers.scenes, samples)
        module.log_dict({f"spatial/{name}": value for name, value in found.items()}, rank_zero_only=False)
        network.train()


def score_means(scenes: list[Any], samples: list[Any]) -> dict[str, float]:
    """What is logged while training: shares of answers, lower `broken` being better."""
    from physworld.spatial.evaluation import cell

    scores = cell(scenes, samples).scores
    means = {name: _mean([s[name] for s in scores]) for name in ("parse", "schema", "all_rules", "honest")}
    means |= {name: _mean([s.get(name) for s in scores]) for name in ("direction_deg", "gain_db")}
    return {**{k: v for k, v in means.items() if v is not None}, "broken": 1 - (means["all_rules"] or 0.0)}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def conclude(
    cfg: DictConfig, parts: SpatialParts, network: Any, directory: Path, *, command: str, cost: dict[str, Any]
) -> tuple[dict[str, float], float]:
    """Save the model, judge it and write the report; the score is the share of raw answers that break something."""
    save_model(network, parts.codec, directory / "model")
    if not (directory / "model" / "config.json").is_file():  # an adapter has none, and run=last looks for it
        network.get_base_model().config.save_pretrained(directory / "model")
    headline = evaluate_and_report(
        network, parts.codec, parts.evaluation, directory, untrained=_untrained(cfg, parts.codec), command=command,
        seed=cfg.seed, split="val", cost=cost, console=console,
    )  # fmt: skip
    return headline, 1 - headline["raw/all_rules"]


def _untrained(config: Any, codec: Any) -> Any:
    """A network of the same shape with random weights; None where it would be a download."""
    model = config["model"]
    if "TinyLM" not in str(model["network"]["_target_"]):
        return None
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        network = call(instantiate(OmegaConf.create({"network": model["network"]}))["network"], codec.vocabulary)
    return network.eval()


def evaluate(cfg: DictConfig) -> None:
    """Score a finished run on payloads it has never seen."""
    checks.whole("seed", cfg.seed, 0)
    checks.split(cfg.split)
    run = runs.find_run(cfg.run)
    hardware = placed(cfg)
    network, codec, trained = load_model(run, hardware.device())
    evaluation = _evaluation(cfg.evaluation, trained["evaluation"])
    hydra = HydraConfig.get()
    directory = runs.relative(hydra.runtime.output_dir)
    runs.claim(directory, OmegaConf.to_container(cfg, resolve=True))
    evaluate_and_report(
        network, codec, evaluation, directory, untrained=_untrained(trained, codec),
        command=shlex.join(["python", "evaluate.py", *hydra.overrides.task]), seed=cfg.seed, split=cfg.split,
        cost={"parameters": sum(p.numel() for p in network.parameters())}, console=console,
    )  # fmt: skip


def predict(cfg: DictConfig) -> None:
    """Payloads (one JSON file, or JSONL) -> scenes."""
    if cfg.input is None:
        raise UserError("input=FILE is missing; give a payload as JSON, or many as JSONL.")
    if cfg.mode not in MODES:
        raise UserError(f"mode={cfg.mode} is unknown.{suggest(str(cfg.mode), MODES)} Choose one of {', '.join(MODES)}.")
    checks.flag("repair", cfg.repair)
    path = Path(str(cfg.input))
    numbered = list(_payloads(path))
    hardware = placed(cfg)
    network, codec, _ = load_model(runs.find_run(cfg.run), hardware.device())
    evaluation = SpatialEvaluation(
        samples=1, samples_per_axis=1, val_samples=1, modes=[cfg.mode], axes=["seen"], batch_size=64,
        random_weights=False, neighbours=0, repeated=0, pictures=0,
    )  # fmt: skip
    payloads = [payload for _, payload in numbered]
    scenes = evaluation.answer(network, codec, [resolve(payload) for payload in payloads], cfg.mode).scenes
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    results = [_result(scene, payload, cfg.repair) for scene, payload in zip(scenes, payloads, strict=True)]
    single = path.suffix != ".jsonl"
    target = directory / ("scene.json" if single else "scenes.jsonl")
    with placing(directory, "hydra.run.dir") as work, written(work / target.name) as file:
        for scene, _ in results:
            text = json.dumps(scene, indent=2) if single else dumps(scene) if scene is not None else "null"
            file.write(f"{text}\n".encode())
    for (name, _), (_, remarks) in zip(numbered, results, strict=True):
        for remark in remarks:
            line = printable(f"{name}: {remark}" if not single else remark)
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(str(target), highlight=False)


def _result(scene: Any, payload: Payload, mend: bool) -> tuple[Any, list[str]]:
    """(scene to write, what there is to say about it)."""
    report = check(scene, payload) if scene is not None else None
    if not mend:
        remarks = ["the answer is no JSON"] if report is None else [f"broken: {v}" for v in report.violations]
    else:
        mended = repair(scene, payload)
        remarks = [f"repaired {edit}" for edit in mended.edits]
        report, scene = check(mended.scene, payload), json.loads(dumps(mended.scene))
        remarks += [f"still broken: {v}" for v in report.violations]
    remarks += [f"cannot hold: {v}" for v in report.conflicts] if report is not None else []
    return scene, remarks


def _payloads(path: Path) -> Iterator[tuple[str, Payload]]:
    """(line name, payload) of a JSON file or of every line of a JSONL file."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror or error}).") from None
    lines = [line for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else [text]
    for n, line in enumerate(lines, 1):
        name = f"{path} line {n}" if path.suffix == ".jsonl" else str(path)
        try:
            yield name, payload_from(parse_json(line))
        except Invalid as error:
            raise UserError(f"{name} is no payload: {error}") from None
    if not lines:
        raise UserError(f"{path} holds no payload.")


def simulate(cfg: DictConfig) -> None:
    """Write drawn payloads and the engineer's scenes as rows {"prompt", "completion"}."""
    for name, least in (("count", 1), ("seed", 0)):
        checks.whole(name, cfg[name], least)
    checks.split(cfg.split)
    if cfg.axis not in AXES:
        raise UserError(f"axis={cfg.axis} is unknown.{suggest(str(cfg.axis), AXES)} Choose one of {', '.join(AXES)}.")
    if cfg.format != "jsonl":
        raise UserError(f"format={cfg.format} is unknown for spatial scenes; their rows are jsonl.")
    if cfg.compress not in (None, "gz", "zst"):
        raise UserError(f"compress={cfg.compress} is unknown; choose gz or zst, or leave it out.")
    source = SpatialSource(seed=cfg.seed, split=cfg.split, axis=cfg.axis)
    name = f"{cfg.split}.jsonl" + (f".{cfg.compress}" if cfg.compress else "")
    directory = Path(str(cfg.out)) if cfg.out is not None else runs.relative(HydraConfig.get().runtime.output_dir)
    with placing(directory) as work, written(work / name) as file:
        for index in range(cfg.count):
            sample = source.sample(index)
            file.write(f"{json.dumps(row(sample.given.payload, sample.target))}\n".encode())
    console.print(str(directory / name), highlight=False, soft_wrap=True)
