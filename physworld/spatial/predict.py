"""Payloads become scenes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from physworld.errors import UserError, suggest
from physworld.io.compression import BROKEN, damage, written
from physworld.io.placing import placing
from physworld.reporting.progress import bar
from physworld.reporting.screen import screen
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.settings import checks
from physworld.spatial.codecs.grammar import MODES
from physworld.spatial.evaluation import SpatialEvaluation
from physworld.spatial.scene.brief import resolve
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.reading import dumps, printable
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import Report, check
from physworld.spatial.sources.payloads import Asked, holds_many, read_payloads
from physworld.training.hardware import placed

console = screen()


def predict(cfg: DictConfig) -> None:
    """Payloads (one JSON file, or JSONL) -> scenes.

    What is no payload is named, and stands as null in its place; the others become scenes.

    Raises:
        UserError: a setting is wrong, or, after all is written, some line was no payload or some scene is broken.
    """
    if cfg.input is None:
        raise UserError("input=FILE is missing; give a payload as JSON, or many as JSONL.")
    if cfg.mode not in MODES:
        raise UserError(f"mode={cfg.mode} is unknown.{suggest(str(cfg.mode), MODES)} Choose one of {', '.join(MODES)}.")
    checks.flag("repair", cfg.repair)
    path = Path(str(cfg.input))
    asked = _asked(path)
    hardware = placed(cfg)
    network, codec, _ = load_model(runs.find_run(cfg.run), hardware.device())
    evaluation = _evaluation(cfg.mode)
    payloads = [one.payload for one in asked if one.payload is not None]
    with bar("Answering", len(payloads), console) as advance:
        briefs = [resolve(payload) for payload in payloads]
        said = iter(evaluation.answer(network, codec, briefs, cfg.mode, progress=advance).scenes)
    directory = runs.relative(HydraConfig.get().runtime.output_dir)
    with bar("Checking", len(payloads), console) as advance:
        results = [_result(said, one.payload, cfg.repair, advance) for one in asked]
    many = holds_many(path)
    target = directory / ("scenes.jsonl" if many else "scene.json")
    with placing(directory, "hydra.run.dir") as work, written(work / target.name) as file:
        for scene, _, _ in results:
            text = dumps(scene) if many and scene is not None else json.dumps(scene, indent=None if many else 2)
            file.write(f"{text}\n".encode())
    for one, (_, remarks, _) in zip(asked, results, strict=True):
        for remark in remarks:
            line = printable(f"{one.name}: {remark}" if many else remark)
            console.print(line, soft_wrap=True)
    console.print(str(target), soft_wrap=True)
    _conclude(asked, [broken for _, _, broken in results], target)


def answers(run: str, payloads: list[Payload], mode: str) -> list[Any]:
    """What a finished run says to payloads, on the CPU: parsed JSON, None where there is none.

    Raises:
        UserError: there is no such run or mode, or the run writes no scenes.
    """
    import torch

    if mode not in MODES:
        raise UserError(f"--mode {mode} is unknown.{suggest(mode, MODES)} Choose one of {', '.join(MODES)}.")
    directory = runs.find_run(run, "--run")
    network, codec, config = load_model(directory, torch.device("cpu"))
    if config["data"]["task"] != "spatial":
        raise UserError(f"--run {run} is a run of {config['data']['task']}, which writes no scenes.")
    return _evaluation(mode).answer(network, codec, [resolve(payload) for payload in payloads], mode).scenes


def _evaluation(mode: str) -> SpatialEvaluation:
    return SpatialEvaluation(
        samples=1, samples_per_axis=1, val_samples=1, modes=[mode], axes=["seen"], batch_size=64,
        random_weights=False, neighbours=0, repeated=0, pictures=0,
    )  # fmt: skip


def _asked(path: Path) -> list[Asked]:
    """The file's payloads; lines that are none are named at once."""
    try:
        asked = list(read_payloads(path))
    except BROKEN as error:
        raise UserError(f"input={path} cannot be read ({damage(error)}).") from None
    bad = [one for one in asked if one.payload is None]
    if not asked:
        raise UserError(f"{path} holds no payload.")
    if len(bad) == len(asked):
        none = f"None of the {len(bad)} lines is a payload: " if len(bad) > 1 else ""
        raise UserError(printable(f"{none}{bad[0].name} is no payload: {bad[0].problem}"))
    for one in bad:
        console.print(printable(f"{one.name} is no payload: {one.problem}"), soft_wrap=True)
    return asked


def _conclude(asked: list[Asked], broken: list[bool], target: Path) -> None:
    """Raises: UserError: not all went well."""
    bad = [one.name.rpartition(" ")[2] for one in asked if one.payload is None]
    wrong = [f"{len(bad)} of {len(asked)} lines hold no payload (line {', '.join(bad[:20])})"] if bad else []
    if any(broken):
        are = "is" if sum(broken) == 1 else "are"
        wrong.append(f"{sum(broken)} of {len(broken) - len(bad)} scenes {are} broken")
    if wrong:
        raise UserError(f"{' and '.join(wrong)}; {target} holds the scenes, and what is wrong is said above.")


def _result(
    said: Iterator[Any], payload: Payload | None, mend: bool, advance: Callable[[int], None]
) -> tuple[Any, list[str], bool]:
    """(scene to write, what there is to say about it, whether it is broken)."""
    if payload is None:
        return None, [], False
    scene = next(said)
    report = check(scene, payload) if scene is not None else None
    if not mend:
        remarks = ["broken: the answer is no JSON"] if report is None else [f"broken: {v}" for v in report.violations]
    else:
        mended = repair(scene, payload)
        remarks = [f"repaired {edit}" for edit in mended.edits]
        report, scene = check(mended.scene, payload), json.loads(dumps(mended.scene))
        remarks += [f"still broken: {v}" for v in report.violations]
        if _unsolved(report):
            remarks.append("the search found no place for these objects; that there is none is not proved")
    remarks += [f"cannot hold: {v}" for v in report.conflicts] if report is not None else []
    advance(1)
    return scene, remarks, report is None or bool(report.violations)


def _unsolved(report: Report) -> bool:
    return any(v.type == "avoid_masking" and v.status == "fail" for v in report.verdicts)
