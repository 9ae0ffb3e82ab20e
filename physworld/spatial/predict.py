"""Payloads become scenes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from physworld.errors import UserError, suggest
from physworld.io.compression import written
from physworld.io.placing import placing
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.settings import checks
from physworld.spatial.codecs.grammar import MODES
from physworld.spatial.evaluation import SpatialEvaluation
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.reading import (
    Invalid,
    dumps,
    parse_json,
    payload_from,
    printable,
)
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import check
from physworld.training.hardware import placed

console = screen()


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
            console.print(line, soft_wrap=True)
    console.print(str(target), soft_wrap=True)


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
